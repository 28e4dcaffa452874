//! What code that nobody can read has left behind in its session (DO, CALL, volatile functions): its server is asked, in a
//! query of the session's own, once the transaction has ended and before the server is given back. Settings travel from then
//! on like those of a SET; whatever else there is pins the session by its name.

use std::fmt::Write;
use std::sync::Arc;

use super::Session;
use super::replies::{Awaited, Replies};
use crate::client::registry::Pin;
use crate::route::TxStatus;
use crate::server::Server;
use crate::server::params::Settings;
use crate::sql::statements::Statements;
use crate::sql::{Class, Effects, Kind, Reason};
use crate::wire::frontend;

/// Names that are looked for, of each kind.
const MAX_NAMES: usize = 32;

/// PostgreSQL cuts longer names.
const MAX_NAME: usize = 63;

/// What is to be asked for.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Custom settings (`app.user`), which PostgreSQL lists nowhere: these may have been set.
    settings: Vec<String>,
    /// Functions that were called: what they set is read from their source.
    functions: Vec<String>,
    /// Whatever custom setting has no name that could be found must be gone before others get the server.
    resets: bool,
}

/// What the server has answered.
#[derive(Debug, Default)]
pub struct Leftovers {
    settings: Vec<(String, String)>,
    pin: Option<Pin>,
    resets: bool,
    /// Statements that were prepared by protocol.
    prepared: Option<usize>,
}

// === impl Session ===

impl Session {
    /// A statement runs code. `unknown`: of which nothing is known, not even its name.
    pub(super) fn doubt(&mut self, text: &str, unknown: bool) {
        let doubts = self.doubts.get_or_insert_default();
        let known = self.catalog.known();
        // Of code that is not called by its name (a trigger's, a view's) or that calls other code.
        let (settings, hides) = known.settings_of_code();
        doubts.resets |= unknown || hides || settings.len() > MAX_NAMES;
        settings.iter().take(MAX_NAMES).for_each(|name| add(&mut doubts.settings, name));
        doubts.note(text);
        self.settings.discards = false;
    }

    /// Of several statements with transactions' ends among them: which of them count, only those ends tell. What code does
    /// is asked for behind them all.
    pub(super) fn doubt_each(&mut self, text: &str) {
        for statement in Statements::new(text.as_bytes()) {
            let class = self.classify(statement);
            if runs_code(class) {
                self.doubt(&String::from_utf8_lossy(statement), class.effects.intersects(Effects::UNKNOWN));
            }
        }
    }

    /// Asks the server, if there is something to ask and nothing under way.
    #[inline]
    pub(super) fn ask_for_leftovers(&mut self, server: &mut Server) {
        if (self.doubts.is_some() || self.pin != Pin::None) && self.status == TxStatus::Idle && self.is_quiet() {
            self.send_question(server);
        }
    }

    /// Kept by a read-only transaction on a node that can't write: it must get away from there as soon as it can.
    fn is_stranded(&self, server: &Server) -> bool {
        (self.pin.can_end() || self.pin == Pin::Setting) && self.shared.topology.load().standbys.contains(&server.node)
    }

    /// A statement of `class` is on its way: what pins the session may be gone behind it.
    #[inline]
    pub(super) fn note_end_of_pin(&mut self, class: Class) {
        if self.pin != Pin::None && may_end(self.pin, class) {
            self.pin_may_be_over = true;
        }
    }

    /// What was done in the transaction that has ended may have failed, or been for as long as that only.
    pub(super) fn settle_pin(&mut self) {
        self.pin_may_be_over |= self.pin != self.settled_pin;
        self.settled_pin = self.pin;
    }

    fn may_leave_its_server(&self, server: &Server) -> bool {
        let is_over = || self.pin.can_end() && !self.is_pinned_for_good;
        self.pin == Pin::None || (self.pin_may_be_over && (is_over() || self.is_stranded(server)))
    }

    fn send_question(&mut self, server: &mut Server) {
        if !self.may_leave_its_server(server) {
            // It stays where it is, and is cleaned when the session ends.
            return;
        }
        let doubts = self.doubts.take().unwrap_or_default();
        let sql = doubts.question(&server.settings);
        self.replies.leftovers = Some(Box::new(Leftovers { resets: doubts.resets, ..Leftovers::default() }));
        self.outbox.push_own(|out| frontend::push_query(out, &sql));
        self.replies.await_ready(Awaited::Leftovers);
        server.unnamed = None;
    }

    /// The answer has come.
    pub(super) fn meet_leftovers(&mut self, server: &mut Server) {
        let Some(leftovers) = self.replies.leftovers.take() else { return };
        let Some(prepared) = leftovers.prepared else {
            // No answer, or not all of it: nobody knows.
            return self.pin(Pin::Unknown);
        };
        if prepared < server.prepared.len() {
            server.prepared.forget();
        }
        let now = leftovers.settings_beside(&server.settings);
        if !now.same(&server.settings) {
            server.settings = Arc::new(now);
            self.settings.want(Arc::clone(&server.settings));
        }
        self.resets |= leftovers.resets;
        // Nothing was taken in meanwhile that could pin it anew.
        if self.is_stranded(server) {
            (self.pin, self.dirty, self.resets) = (Pin::None, false, true);
        } else if self.may_leave_its_server(server) {
            self.pin = Pin::None;
        }
        if let Some(pin) = leftovers.pin {
            self.pin(pin);
        }
        self.entry.set_pin(self.pin);
        (self.settled_pin, self.pin_may_be_over) = (self.pin, false);
    }
}

// === impl Doubts ===

impl Doubts {
    fn note(&mut self, text: &str) {
        for (word, is_called) in words(text.as_bytes()) {
            if word.len() <= 2 * MAX_NAME && word.contains('.') {
                // There are more names than are asked for.
                self.resets |= self.settings.len() >= MAX_NAMES;
                if self.settings.len() < MAX_NAMES {
                    add(&mut self.settings, word);
                }
            }
            let name = word.rsplit('.').next().unwrap_or(word);
            if is_called && name.len() <= MAX_NAME && self.functions.len() < MAX_NAMES {
                add(&mut self.functions, name);
            }
        }
    }

    /// `carried`: what was set on the server for this session.
    fn question(&self, carried: &Settings) -> String {
        let custom = carried.iter().map(|(name, _)| name).filter(|name| name.contains('.'));
        let names: Vec<&str> = self.settings.iter().map(String::as_str).chain(custom).collect();
        let mut sql = QUESTION.to_owned();
        let list = |names: &[&str]| {
            let quoted: Vec<_> = names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect();
            format!("ARRAY[{}]::pg_catalog.text[]", quoted.join(","))
        };
        let functions: Vec<&str> = self.functions.iter().map(String::as_str).collect();
        let _ = write!(sql, "{}", CUSTOM.replace("$names", &list(&names)).replace("$functions", &list(&functions)));
        sql
    }
}

/// Whether it runs what somebody has written in the database, on the primary: that may leave anything behind.
pub(super) fn runs_code(class: Class) -> bool {
    use Reason::{Procedure, RefusedByStandby, UnknownFunction, VolatileFunction};
    class.effects.intersects(Effects::CODE)
        || matches!(class.reason, Procedure | UnknownFunction | VolatileFunction | RefusedByStandby)
}

/// Whether each set_config() of the text names what it sets: then it can be found. The state of a generator can't.
pub(super) fn names_its_settings(text: &str) -> bool {
    if has_word(text, b"setseed") {
        return false;
    }
    const CALL: &[u8] = b"set_config";
    let mut rest = text.as_bytes();
    while let Some(at) = rest.windows(CALL.len()).position(|window| window.eq_ignore_ascii_case(CALL)) {
        rest = &rest[at + CALL.len()..];
        let mut behind = rest.iter().filter(|b| !b.is_ascii_whitespace());
        let is_literal = behind.next() == Some(&b'(') && behind.next() == Some(&b'\'');
        let mut behind = behind.skip_while(|b| **b != b'\'').skip(1);
        if !is_literal || !matches!(behind.next(), Some(b',' | b':')) {
            return false;
        }
    }
    true
}

fn may_end(pin: Pin, class: Class) -> bool {
    let is_command = class.kind == Kind::Other && class.reason == Reason::SessionCommand;
    let is_several = matches!(class.kind, Kind::Several | Kind::Mixed);
    is_several
        || match pin {
            Pin::TemporaryTable => class.reason == Reason::Utility || is_command || runs_code(class),
            Pin::HoldCursor => class.reason == Reason::Cursor || runs_code(class),
            Pin::Listen => is_command || runs_code(class),
            Pin::AdvisoryLock => class.reason == Reason::WritingFunction || runs_code(class),
            Pin::SqlPrepare => matches!(class.kind, Kind::Deallocate { .. }) || is_command || runs_code(class),
            Pin::None | Pin::SessionMode | Pin::Setting | Pin::Load | Pin::LargeStatement | Pin::Unknown => false,
        }
}

fn has_word(text: &str, word: &[u8]) -> bool {
    text.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

fn add(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        names.push(name.to_ascii_lowercase());
    }
}

/// Rows of a kind, a name and a value. The transaction's own settings look as if they were the session's. A value that is too long to travel pins. Temporary objects are found as PostgreSQL
/// finds them when it drops them, by what depends on their schema.
const QUESTION: &str = "\
SELECT 'p' AS kind, pg_catalog.count(*)::pg_catalog.text AS name, NULL AS value \
FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql \
UNION ALL SELECT CASE WHEN pg_catalog.length(v) <= 1000 THEN 's' ELSE 'setting' END, name, pg_catalog.left(v, 1000) FROM \
(SELECT name, pg_catalog.current_setting(name) AS v FROM pg_catalog.pg_settings WHERE source = 'session' AND name NOT LIKE 'transaction%') AS s \
UNION ALL SELECT 'setting', NULL, NULL WHERE pg_catalog.current_setting('role') <> 'none' \
UNION ALL SELECT 'temporary table', NULL, NULL WHERE pg_catalog.pg_my_temp_schema() <> 0 AND EXISTS \
(SELECT FROM pg_catalog.pg_depend WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
AND refobjid = pg_catalog.pg_my_temp_schema()) \
UNION ALL SELECT 'advisory lock', NULL, NULL WHERE EXISTS \
(SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()) \
UNION ALL SELECT 'listen', NULL, NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) \
UNION ALL SELECT 'hold cursor', NULL, NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable) \
UNION ALL SELECT 'sql prepare', NULL, NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)";

/// Custom settings by the names that the text, or the source of what it calls (and what that calls), has in it; and whether that source may set
/// others. One that exists to set whatever it is told keeps the session where it is.
const CUSTOM: &str = " \
UNION ALL (WITH RECURSIVE called (name) AS (SELECT pg_catalog.unnest($functions) UNION \
SELECT pg_catalog.lower(m[1]) COLLATE pg_catalog.\"default\" FROM called JOIN pg_catalog.pg_proc ON proname = called.name, \
pg_catalog.regexp_matches(prosrc, '([a-zA-Z_][a-zA-Z0-9_]*)[[:space:]]*[(]', 'g') AS m \
WHERE pronamespace <> 'pg_catalog'::pg_catalog.regnamespace), \
sources (source) AS (SELECT prosrc FROM called JOIN pg_catalog.pg_proc ON proname = called.name \
WHERE pronamespace <> 'pg_catalog'::pg_catalog.regnamespace) \
SELECT CASE WHEN pg_catalog.length(v) <= 1000 THEN 'c' ELSE 'setting' END, n, pg_catalog.left(v, 1000) FROM \
(SELECT n, pg_catalog.current_setting(n, true) AS v FROM (SELECT pg_catalog.unnest($names) \
UNION SELECT pg_catalog.lower(m[1]) FROM sources, \
pg_catalog.regexp_matches(source, '([a-zA-Z_][a-zA-Z0-9_]*[.][a-zA-Z_][a-zA-Z0-9_]*)', 'g') AS m) AS names (n)) AS c \
WHERE v IS NOT NULL \
UNION ALL SELECT 'r', NULL, NULL WHERE EXISTS (SELECT FROM sources WHERE source ~* 'set_config|execute|set[[:space:]]') \
UNION ALL SELECT 'setting', NULL, NULL WHERE EXISTS (SELECT FROM sources WHERE \
source ~* 'set_config[[:space:]]*[(][[:space:]]*[^''[:space:]]' AND source !~* ',[[:space:]]*true[[:space:]]*[)]'))";

/// Names as they stand in a text, dots included, each with whether it is called.
fn words(text: &[u8]) -> impl Iterator<Item = (&str, bool)> {
    let is_first = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    let is_part = move |b: u8| is_first(b) || b.is_ascii_digit() || b == b'.';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].iter().position(|b| is_first(*b))?;
        let end = text[start..].iter().position(|b| !is_part(*b)).map_or(text.len(), |length| start + length);
        at = end;
        let is_called = text[end..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'(');
        Some((std::str::from_utf8(&text[start..end]).unwrap_or_default().trim_end_matches('.'), is_called))
    })
}

// === impl Leftovers ===

impl Leftovers {
    /// A row of the answer, from the body of its DataRow.
    pub fn note(&mut self, body: &[u8]) {
        let mut rest = body.get(2..).unwrap_or_default();
        let mut column = || {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                rest = tail;
                return None;
            };
            let (text, tail) = tail.split_at_checked(length)?;
            rest = tail;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        let (kind, name, value) = (column().unwrap_or_default(), column(), column());
        match (kind.as_str(), name, value) {
            ("p", Some(count), _) => self.prepared = count.parse().ok(),
            // One that was never set to anything is NULL or, if somebody did and took it back, empty.
            ("s" | "c", Some(name), Some(value)) => self.settings.push((name.to_ascii_lowercase(), value)),
            ("r", ..) => self.resets = true,
            (kind, _, _) => self.pin = Some(Pin::by_name(kind).unwrap_or(Pin::Unknown)),
        }
    }

    /// What is set now where `carried` was.
    fn settings_beside(&self, carried: &Settings) -> Settings {
        let mut now = Settings::default();
        let is_told = |name: &str| self.settings.iter().any(|(told, _)| told == name);
        for (name, value) in carried.iter().filter(|(name, _)| name.contains('.') && !is_told(name)) {
            now = now.with(name, value);
        }
        for (name, value) in &self.settings {
            match carried.get(name) {
                // The client's own spelling of it.
                Some(known) if known.trim().eq_ignore_ascii_case(value) => now = now.with(name, known),
                None if value.is_empty() && name.contains('.') => {}
                _ => now = now.with(name, value),
            }
        }
        now
    }
}

// === impl Replies ===

impl Replies {
    /// A round ended that is not the client's, and whose error is not either.
    pub(super) fn forgive(&mut self, awaited: Awaited) {
        if matches!(awaited, Awaited::Xid | Awaited::Leftovers) {
            self.injected_error = None;
            if std::mem::take(&mut self.failed) {
                self.leftovers = self.leftovers.take().map(|_| Box::default());
            }
        }
    }

    /// A DataRow of a query of ours.
    pub(super) fn row_of_ours(&mut self, body: &[u8]) {
        match self.awaited.front().map(|waiting| waiting.awaited) {
            Some(Awaited::Xid) => self.xid = super::resolve::Xid::from_row(body),
            Some(Awaited::Leftovers) => {
                if let Some(leftovers) = &mut self.leftovers {
                    leftovers.note(body);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_settings_and_functions_are_found_in_any_text() {
        let mut doubts = Doubts::default();
        doubts.note("DO $$ BEGIN PERFORM set_config('App.User', '1', false); SET app.b = 1; CALL s.Proc (1); END $$");
        assert_eq!(doubts.settings, ["app.user", "app.b", "s.proc"]);
        assert_eq!(doubts.functions, ["set_config", "proc"]);
        assert!(names_its_settings("SELECT set_config( 'a.b', $1, false), Set_Config('c', '', false)"));
        for unnamed in [
            "SELECT set_config($1, 'a', false)",
            "SELECT set_config('a' || 'b', 'c', false)",
            "SELECT \"set_config\"('a', 'b', false)",
            "SELECT set_config(E'a",
            "SELECT SetSeed (0.5)",
        ] {
            assert!(!names_its_settings(unnamed), "{unnamed}");
        }
    }

    fn row(columns: [Option<&str>; 3]) -> Vec<u8> {
        let mut body = vec![0, 3];
        for column in columns {
            let length = column.map_or(-1, |text| i32::try_from(text.len()).unwrap());
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(column.unwrap_or_default().as_bytes());
        }
        body
    }

    #[test]
    fn what_is_found_takes_the_place_of_what_was_carried() {
        let carried = Settings::default().with("timezone", "utc").with("geqo", "off").with("app.a", "1");
        let mut found = Leftovers::default();
        for columns in [
            [Some("p"), Some("2"), None],
            [Some("s"), Some("TimeZone"), Some("UTC")],
            [Some("s"), Some("search_path"), Some("a, b")],
            [Some("c"), Some("app.a"), Some("2")],
            [Some("c"), Some("app.b"), Some("")],
        ] {
            found.note(&row(columns));
        }
        let now = found.settings_beside(&carried);
        let want = Settings::default().with("timezone", "utc").with("search_path", "a, b").with("app.a", "2");
        assert!(now.same(&want), "{now:?}");
        assert_eq!((found.pin, found.prepared, found.resets), (None, Some(2), false));
        found.note(&row([Some("temporary table"), None, None]));
        assert_eq!(found.pin, Some(Pin::TemporaryTable));
    }
}
