//! What the source of a function tells (SQL or PL/pgSQL): what it names, and whether it leaves something behind in its
//! session. Read by its tokens, so that no parser of either language is needed; what it builds at run time is not seen.

use crate::sql::keywords::identifier;
use crate::sql::scanner::{Scanner, Token, TokenKind};

/// Of one function, or of an expression.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Names of what it calls, reads and changes.
    pub names: Vec<String>,
    /// Custom settings (`app.user`) that it sets.
    pub settings: Vec<String>,
    /// It sets what holds beyond its transaction, or takes a lock that does.
    pub leaves: bool,
    /// The same by a command, which only a volatile function is allowed, or by what nobody can read before it runs.
    pub may_leave: bool,
    /// It may set a custom setting whose name can't be seen.
    pub hides: bool,
}

// === impl Source ===

impl Source {
    pub(super) fn read(text: &str) -> Self {
        let mut source = Self::default();
        source.scan(text.as_bytes());
        source
    }

    fn scan(&mut self, text: &[u8]) {
        let mut before: [Option<Token>; 2] = [None; 2];
        let mut tokens = Scanner::new(text);
        while let Some(token) = tokens.next() {
            match token.kind {
                TokenKind::Word | TokenKind::Quoted => self.word(token, before, text, tokens.clone()),
                // A DO block, or a body with its quotes.
                TokenKind::DollarString => {
                    let raw = token.text(text);
                    let tag = raw[1..].iter().position(|b| *b == b'$').map_or(raw.len(), |at| at + 2);
                    self.scan(raw.get(tag..raw.len() - tag).unwrap_or_default());
                }
                _ => {}
            }
            before = [Some(token), before[0]];
        }
    }

    fn word(&mut self, token: Token, before: [Option<Token>; 2], text: &[u8], mut behind: Scanner) {
        let Some(name) = identifier(token, text) else { return };
        let next = behind.next();
        let is = |token: Option<Token>, words: &[&str]| {
            token.is_some_and(|token| words.iter().any(|word| token.is_word(text, word)))
        };
        let is_called = next.is_some_and(|next| next.is_symbol(text, b'('));
        let is_plain = token.kind == TokenKind::Word;
        match name.as_str() {
            "set_config" if is_called => self.set_config(text, behind),
            "setseed" | "pg_advisory_lock" | "pg_advisory_lock_shared" if is_called => self.leaves = true,
            "pg_try_advisory_lock" | "pg_try_advisory_lock_shared" if is_called => self.leaves = true,
            "temp" | "temporary" if is_plain && is(before[0], &["create", "into", "local", "global", "replace"]) => {
                self.may_leave = true;
            }
            "pg_temp" => self.may_leave = true,
            "hold" if is_plain && is(before[0], &["with"]) => self.may_leave = true,
            "execute" if is_plain => (self.may_leave, self.hides) = (true, true),
            "set" | "reset" if is_plain && starts_statement(before[0], text) => self.set(next, text, behind),
            "listen" | "load" | "discard" | "prepare" if is_plain && starts_statement(before[0], text) => {
                self.may_leave = true;
            }
            _ => {}
        }
        let is_relation = is(before[0], &["from", "join", "into", "update", "only", "table", "using"]);
        // `schema.name` too
        let is_relation = is_relation || before[0].is_some_and(|dot| dot.is_symbol(text, b'.'));
        if (is_called || is_relation) && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// After `set_config (`.
    fn set_config(&mut self, text: &[u8], mut arguments: Scanner) {
        let (mut depth, mut last, mut before) = (1usize, None::<Token>, None::<Token>);
        let mut ahead = arguments.clone();
        let (first, behind) = (ahead.next(), ahead.next());
        let is_all = behind.is_some_and(|behind| behind.is_symbol(text, b',') || behind.is_symbol(text, b':'));
        for token in arguments.by_ref() {
            match () {
                () if token.is_symbol(text, b'(') => depth += 1,
                () if token.is_symbol(text, b')') => depth -= 1,
                () => {}
            }
            if depth == 0 {
                break;
            }
            (last, before) = (Some(token), last);
        }
        let is_local = last.is_some_and(|last| last.is_word(text, "true"))
            && before.is_some_and(|before| before.is_symbol(text, b','));
        if is_local {
            return;
        }
        self.leaves = true;
        match first.filter(|first| is_all && first.kind == TokenKind::String).and_then(|first| literal(first, text)) {
            Some(name) => self.setting(name),
            None => self.hides = true,
        }
    }

    /// After SET or RESET: SET LOCAL and the like are the transaction's.
    fn set(&mut self, next: Option<Token>, text: &[u8], mut behind: Scanner) {
        let is = |token: Option<Token>, word| token.is_some_and(|token| token.is_word(text, word));
        if is(next, "local") || is(next, "transaction") || is(next, "constraints") {
            return;
        }
        self.may_leave = true;
        let first = if is(next, "session") { behind.next() } else { next };
        let name = |token: Option<Token>| token.and_then(|token| identifier(token, text));
        if behind.next().is_some_and(|dot| dot.is_symbol(text, b'.'))
            && let (Some(class), Some(last)) = (name(first), name(behind.next()))
        {
            self.setting(format!("{class}.{last}"));
        }
    }

    fn setting(&mut self, name: String) {
        let name = name.to_ascii_lowercase();
        if name.contains('.') && !self.settings.contains(&name) {
            self.settings.push(name);
        }
    }
}

/// Whether a statement of PL/pgSQL or SQL begins behind this token.
fn starts_statement(before: Option<Token>, text: &[u8]) -> bool {
    before.is_none_or(|token| {
        token.is_symbol(text, b';')
            || token.text(text) == b">>"
            || ["begin", "then", "else", "loop", "atomic"].iter().any(|word| token.is_word(text, word))
    })
}

fn literal(token: Token, text: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(token.text(text)).ok()?;
    Some(raw.strip_prefix('\'')?.strip_suffix('\'')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_leaves_behind_is_seen() {
        for (text, leaves, may_leave, hides) in [
            ("BEGIN UPDATE t SET a = 1; RETURN 1; END", false, false, false),
            ("BEGIN PERFORM set_config('app.a', x, true); END", false, false, false),
            ("BEGIN PERFORM set_config('app.a', x, false); END", true, false, false),
            ("BEGIN PERFORM set_config('app.' || a, x, is_local); END", true, false, true),
            ("SELECT pg_advisory_lock(1)", true, false, false),
            ("SELECT pg_advisory_xact_lock(1)", false, false, false),
            ("BEGIN SET LOCAL work_mem = 1; SET CONSTRAINTS ALL DEFERRED; END", false, false, false),
            ("BEGIN -- a comment\n SET search_path = a; END", false, true, false),
            ("BEGIN IF a THEN RESET ALL; END IF; END", false, true, false),
            ("INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 2", false, false, false),
            ("BEGIN CREATE TEMP TABLE x (a int); END", false, true, false),
            ("BEGIN SELECT 1 INTO temp FROM t; END", false, true, false),
            ("BEGIN RAISE NOTICE 'SET; CREATE TEMP TABLE'; END", false, false, false),
            ("BEGIN EXECUTE format('SET a = %s', b); END", false, true, true),
            ("BEGIN LISTEN a; END", false, true, false),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", false, true, false),
        ] {
            let source = Source::read(text);
            assert_eq!((source.leaves, source.may_leave, source.hides), (leaves, may_leave, hides), "{text}");
        }
    }

    #[test]
    fn names_and_settings_are_collected() {
        let text = "BEGIN SET App.One = 1; SET SESSION app.two TO 2; PERFORM set_config('App.Three', f (a), false); \
            INSERT INTO s.t SELECT \"G\"(1) FROM ONLY u; DELETE FROM v; UPDATE w SET a = 1; END";
        let source = Source::read(text);
        assert_eq!(source.settings, ["app.one", "app.two", "app.three"]);
        for name in ["f", "t", "G", "u", "v", "w", "set_config"] {
            assert!(source.names.iter().any(|known| known == name), "{name}: {:?}", source.names);
        }
        assert!(!source.names.iter().any(|name| name == "a"));
    }
}
