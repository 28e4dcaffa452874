//! `SET` and `RESET` of a session's settings: what they do, in a form that can be repeated on another server
//! ("SET" in the PostgreSQL documentation).

use super::class::{Class, Effects, Kind, Reason};
use super::keywords::{Verb, Words, verb};
use super::scanner::{Token, TokenKind};

/// One change of a setting. Names are in lower case (`timezone`, `myapp.user`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The value as `set_config(name, value, false)` takes it, and as `SHOW` would print it.
    Set {
        name: String,
        value: String,
    },
    Reset {
        name: String,
    },
    /// `RESET ALL`: every setting, but not the role.
    ResetAll,
}

/// Lists whose elements are identifiers, quoted one by one.
const QUOTED_LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Client encodings whose characters can contain the byte of a backslash.
const BACKSLASH_ENCODINGS: [&str; 18] = [
    "sjis",
    "shiftjis",
    "mskanji",
    "win932",
    "windows932",
    "shiftjis2004",
    "shiftjisx0213",
    "big5",
    "win950",
    "windows950",
    "gbk",
    "win936",
    "windows936",
    "uhc",
    "win949",
    "windows949",
    "gb18030",
    "johab",
];

/// What a text of `Kind::Set` changes, in order. `None`: it can't be followed (nor can any other text).
pub fn parse(text: &[u8]) -> Option<Vec<Change>> {
    let (verb, after) = verb(text)?;
    let mut words = Words::new(&text[after..]);
    let changes = match verb {
        Verb::Set => parse_set(&mut words)?,
        Verb::Reset if words.take("all") => vec![Change::ResetAll],
        Verb::Reset => vec![Change::Reset { name: setting_name(&mut words)? }],
        _ => return None,
    };
    words.at_end().then_some(changes)
}

/// Do a session's settings speak against standbys? A standby would refuse its reads, or we would misread their text.
/// `get`: the value of a setting by its lower-case name, if it is known.
pub fn force_primary<'a>(get: impl Fn(&str) -> Option<&'a str>) -> bool {
    ["standard_conforming_strings", "default_transaction_isolation", "client_encoding", "search_path"]
        .iter()
        .any(|name| get(name).is_some_and(|value| forces_primary(name, value)))
}

/// Does any of these statements lower `synchronous_commit` below `on`, as far as the text shows? By what stands behind the
/// name: a parameter (`$1`) may do so too.
pub fn weakens_commit(text: &[u8]) -> bool {
    const NAME: &[u8] = b"synchronous_commit";
    let mut rest = text;
    while let Some(at) = rest.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME)) {
        rest = &rest[at + NAME.len()..];
        if is_weaker_commit(value_behind(rest)) {
            return true;
        }
    }
    false
}

/// Whether this value of `synchronous_commit` acknowledges before the standbys have the commit on disk.
pub fn is_weaker_commit(value: &[u8]) -> bool {
    let weaker: [&[u8]; 6] = [b"off", b"local", b"remote_write", b"false", b"no", b"0"];
    value.first() == Some(&b'$') || weaker.iter().any(|weaker| value.eq_ignore_ascii_case(weaker))
}

/// The first word behind a setting's name that is neither `TO` nor a cast.
fn value_behind(mut rest: &[u8]) -> &[u8] {
    loop {
        let is_between = |b: &u8| b.is_ascii_whitespace() || b"'\"=,".contains(b);
        let start = rest.iter().position(|b| !is_between(b)).unwrap_or(rest.len());
        rest = &rest[start..];
        let is_cast = rest.starts_with(b"::");
        let word_at = if is_cast { 2 } else { 0 };
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$');
        let length = rest[word_at..].iter().position(|b| !is_word(b)).unwrap_or(rest.len() - word_at);
        let word = &rest[word_at..word_at + length];
        // E'…' too
        let is_prefix = word.eq_ignore_ascii_case(b"e") && rest.get(length) == Some(&b'\'');
        if length == 0 || !(is_cast || is_prefix || word.eq_ignore_ascii_case(b"to")) {
            return word;
        }
        rest = &rest[word_at + length..];
    }
}

fn forces_primary(name: &str, value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    match name {
        "standard_conforming_strings" => !matches!(value.as_str(), "on" | "true" | "yes" | "1"),
        "default_transaction_isolation" => value == "serializable",
        "client_encoding" => {
            let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
            BACKSLASH_ENCODINGS.contains(&plain.as_str())
        }
        // built-in names mean something else if pg_catalog is not searched first
        "search_path" => {
            let mut schemas = value.split(',').map(|schema| schema.trim().trim_matches('"'));
            let first = schemas.next().unwrap_or_default();
            first.starts_with("pg_temp") || schemas.any(|name| name == "pg_catalog" || name.starts_with("pg_temp"))
        }
        _ => false,
    }
}

/// The class of `SET …`, the words after it given.
pub(super) fn classify_set(words: &mut Words) -> Class {
    let class = Class::write(Reason::SessionCommand);
    let role = class.with_effects(Effects::SET_ROLE);
    if words.take("local") || words.take_all(&["transaction"]) || words.take("constraints") {
        return class;
    }
    if words.take("session") {
        if words.take("authorization") {
            return role;
        }
        if words.take("characteristics") {
            return class.with_kind(Kind::Set).with_effects(Effects::SET_SESSION);
        }
    }
    if words.take_all(&["session", "authorization"]) || words.take("role") {
        return role;
    }
    match words.name().as_deref() {
        Some("session_authorization") => role,
        // the running transaction's, gone with it
        Some("transaction_isolation" | "transaction_read_only" | "transaction_deferrable") => class,
        _ => class.with_kind(Kind::Set).with_effects(Effects::SET_SESSION),
    }
}

/// The class of `RESET …`.
pub(super) fn classify_reset(words: &mut Words) -> Class {
    let class = Class::write(Reason::SessionCommand);
    if words.take_all(&["session", "authorization"]) || words.take("role") || words.take("session_authorization") {
        return class.with_effects(Effects::SET_ROLE);
    }
    class.with_kind(Kind::Set).with_effects(Effects::SET_SESSION)
}

fn parse_set(words: &mut Words) -> Option<Vec<Change>> {
    if words.take_all(&["session", "characteristics", "as", "transaction"]) {
        return characteristics(words);
    }
    words.take("session");
    let plain = |name: &str, value: Option<String>| {
        let name = name.to_owned();
        Some(vec![match value {
            Some(value) => Change::Set { name, value },
            None => Change::Reset { name },
        }])
    };
    if words.take_all(&["time", "zone"]) {
        return match words.take("local") || words.take("default") {
            true => plain("timezone", None),
            // INTERVAL '…' HOUR TO MINUTE is left to the server
            false => plain("timezone", Some(element(words)?)),
        };
    }
    if words.take("names") {
        let none = words.at_end() || words.take("default");
        return plain("client_encoding", if none { None } else { Some(string(words)?) });
    }
    if words.take("schema") {
        return plain("search_path", Some(quote_identifier(&string(words)?)));
    }
    if words.take_all(&["xml", "option"]) {
        let content = words.take("content");
        return (content || words.take("document"))
            .then(|| plain("xmloption", Some(if content { "content" } else { "document" }.to_owned())))?;
    }
    let name = setting_name(words)?;
    let assigned = words.take("to") || words.next().is_some_and(|token| words.text_of(token) == b"=");
    if !assigned {
        return None;
    }
    if words.take("default") {
        return plain(&name, None);
    }
    let value = value(&name, words)?;
    plain(&name, Some(value))
}

/// A name that a session can set and that means the same on every server.
fn setting_name(words: &mut Words) -> Option<String> {
    if words.take_all(&["time", "zone"]) {
        return Some("timezone".to_owned());
    }
    let mut name = words.name()?;
    while words.take_symbol(b'.') {
        name.push('.');
        name.push_str(&words.name()?);
    }
    name.make_ascii_lowercase();
    // `seed` is the state of a generator; the others belong to the transaction or to the role
    let odd = ["seed", "role", "session_authorization", "transaction", "session"].contains(&name.as_str());
    (!odd && !name.starts_with("transaction_")).then_some(name)
}

/// `value [, …]`, put together as PostgreSQL itself does.
fn value(name: &str, words: &mut Words) -> Option<String> {
    let mut value = String::new();
    loop {
        let element = element(words)?;
        if QUOTED_LISTS.contains(&name) {
            value.push_str(&quote_identifier(&element))
        } else {
            value.push_str(&element)
        }
        if !words.take_symbol(b',') {
            return Some(value);
        }
        value.push_str(", ");
    }
}

/// A constant, a word or a signed number.
pub(super) fn element(words: &mut Words) -> Option<String> {
    let token = words.peek()?;
    match token.kind {
        TokenKind::Word if words.text_of(token).eq_ignore_ascii_case(b"interval") => None,
        TokenKind::Word | TokenKind::Quoted => words.name(),
        TokenKind::Number | TokenKind::Operator => number(words),
        _ => string(words),
    }
}

fn number(words: &mut Words) -> Option<String> {
    let mut text = String::new();
    let mut token = words.next()?;
    if token.kind == TokenKind::Operator {
        match words.text_of(token) {
            b"-" => text.push('-'),
            b"+" => {}
            _ => return None,
        }
        token = words.next()?;
    }
    (token.kind == TokenKind::Number).then_some(())?;
    text.push_str(std::str::from_utf8(words.text_of(token)).ok()?);
    Some(text)
}

/// A string constant's text. Escapes and continued strings are left to the server.
fn string(words: &mut Words) -> Option<String> {
    let token: Token = words.next()?;
    let raw = std::str::from_utf8(words.text_of(token)).ok()?;
    let inner = |raw: &str| {
        let text = &raw[1..raw.len() - 1];
        (!text.replace("''", "").contains('\'')).then(|| text.replace("''", "'"))
    };
    match token.kind {
        TokenKind::String if raw.starts_with('\'') => inner(raw),
        TokenKind::EscapeString if !raw.contains('\\') => inner(&raw[1..]),
        TokenKind::DollarString => {
            let tag = raw[1..].find('$')? + 2;
            Some(raw[tag..raw.len() - tag].to_owned())
        }
        _ => None,
    }
}

fn quote_identifier(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let safe = name.bytes().next().is_some_and(plain) && name.bytes().all(|b| plain(b) || b.is_ascii_digit());
    if safe { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn characteristics(words: &mut Words) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    let mut set = |name: &str, value: &str| {
        changes.push(Change::Set { name: format!("default_transaction_{name}"), value: value.to_owned() });
    };
    while !words.at_end() {
        match () {
            () if words.take_all(&["read", "only"]) => set("read_only", "on"),
            () if words.take_all(&["read", "write"]) => set("read_only", "off"),
            () if words.take_all(&["not", "deferrable"]) => set("deferrable", "off"),
            () if words.take("deferrable") => set("deferrable", "on"),
            () if words.take_all(&["isolation", "level"]) => match () {
                () if words.take("serializable") => set("isolation", "serializable"),
                () if words.take_all(&["repeatable", "read"]) => set("isolation", "repeatable read"),
                () if words.take_all(&["read", "committed"]) => set("isolation", "read committed"),
                () if words.take_all(&["read", "uncommitted"]) => set("isolation", "read uncommitted"),
                () => return None,
            },
            () if words.take_symbol(b',') => {}
            () => return None,
        }
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = match parse(text.as_bytes()) {
            None => "-".to_owned(),
            Some(changes) => changes.iter().map(show).collect::<Vec<_>>().join("; "),
        };
        assert_eq!(got, want, "{text}");
    }

    fn show(change: &Change) -> String {
        match change {
            Change::Set { name, value } => format!("{name}={value}"),
            Change::Reset { name } => format!("{name}!"),
            Change::ResetAll => "all!".to_owned(),
        }
    }

    #[test]
    fn a_weaker_commit_is_seen_wherever_it_stands() {
        for weaker in [
            "SET synchronous_commit = off",
            "set session SYNCHRONOUS_COMMIT to 'Local'",
            "SET LOCAL synchronous_commit TO remote_write;",
            "SET \"synchronous_commit\" = 0",
            "SELECT set_config('synchronous_commit', 'off', true)",
            "SELECT set_config('synchronous_commit'::text, E'no', $1)",
            "SELECT set_config('synchronous_commit', $1, false)",
            "BEGIN; SET synchronous_commit=on; SET synchronous_commit=false",
            "ALTER ROLE app SET synchronous_commit = off",
            "CREATE FUNCTION f() RETURNS int SET synchronous_commit TO 'off' AS 'SELECT 1' LANGUAGE sql",
        ] {
            assert!(weakens_commit(weaker.as_bytes()), "{weaker}");
        }
        for fine in [
            "SET synchronous_commit = on",
            "SET LOCAL synchronous_commit TO remote_apply",
            "SET synchronous_commit TO DEFAULT",
            "SHOW synchronous_commit",
            "RESET synchronous_commit",
            "SELECT current_setting('synchronous_commit')",
            "SELECT set_config('synchronous_commit', 'on', false), 'off'",
            "SET synchronous_commit",
            "SET synchronous_commit_delay = 0 -- another name",
        ] {
            assert!(!weakens_commit(fine.as_bytes()), "{fine}");
        }
    }

    #[test]
    fn settings_are_read_as_postgresql_would_show_them() {
        check("SET work_mem = '64MB'", "work_mem=64MB");
        check("set session Work_Mem to 64 ;", "work_mem=64");
        check("SET statement_timeout TO -1", "statement_timeout=-1");
        check("SET extra_float_digits = +3", "extra_float_digits=3");
        check("SET seq_page_cost = 1.5", "seq_page_cost=1.5");
        check("SET DateStyle TO ISO, 'MDY'", "datestyle=iso, MDY");
        check(
            "SET search_path TO \"$user\", Public, 'My Schema', \"a\"\"b\"",
            "search_path=\"$user\", public, \"My Schema\", \"a\"\"b\"",
        );
        check("SET search_path TO ''", "search_path=\"\"");
        check("SET enable_seqscan TO OFF", "enable_seqscan=off");
        check("SET jit = true", "jit=true");
        check("SET myapp.User = 'o''brien'", "myapp.user=o'brien");
        check("SET application_name = $$it's$$", "application_name=it's");
        check("SET application_name = E'plain'", "application_name=plain");
        check("SET x TO DEFAULT", "x!");
        check("RESET Search_Path", "search_path!");
        check("RESET TIME ZONE", "timezone!");
        check("reset all", "all!");
    }

    #[test]
    fn special_forms_name_their_setting() {
        check("SET TIME ZONE 'Europe/Berlin'", "timezone=Europe/Berlin");
        check("SET TIME ZONE -7", "timezone=-7");
        check("SET TIME ZONE LOCAL", "timezone!");
        check("SET NAMES 'utf8'", "client_encoding=utf8");
        check("SET NAMES", "client_encoding!");
        check("SET SCHEMA 'app'", "search_path=app");
        check("SET XML OPTION DOCUMENT", "xmloption=document");
        check(
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "default_transaction_isolation=repeatable read; default_transaction_read_only=on",
        );
    }

    #[test]
    fn what_can_not_be_followed_is_not_guessed() {
        for text in [
            "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
            "SET x FROM CURRENT",
            "SET x",
            "SET",
            "SET x = E'a\\'b'",
            "SET x = 'a'\n'b'",
            "SET x = U&'a'",
            "SET x = 'a' 'b'",
            "SET x = 1 + 1",
            "SET x = f(1)",
            "SET a = 1; SET b = 2",
            "SET LOCAL x = 1",
            "SET TRANSACTION READ ONLY",
            "SET seed = 0.5",
            "SET ROLE admin",
            "SET role = 'admin'",
            "SET SESSION AUTHORIZATION bob",
            "RESET ROLE",
            "RESET x y",
            "SELECT 1",
            "",
        ] {
            check(text, "-");
        }
    }

    #[test]
    fn some_settings_keep_reads_on_the_primary() {
        for (name, value, forced) in [
            ("standard_conforming_strings", "on", false),
            ("standard_conforming_strings", "off", true),
            ("default_transaction_isolation", "serializable", true),
            ("default_transaction_isolation", "read committed", false),
            ("client_encoding", "UTF8", false),
            ("client_encoding", "LATIN1", false),
            ("client_encoding", "Shift_JIS_2004", true),
            ("search_path", "\"$user\", public", false),
            ("search_path", "pg_catalog, public", false),
            ("search_path", "public, pg_catalog", true),
            ("search_path", "pg_temp", true),
        ] {
            assert_eq!(force_primary(|asked| (asked == name).then_some(value)), forced, "{name}={value}");
        }
    }
}
