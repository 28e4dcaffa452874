//! The modes of a transaction, as its first statements name them ("SET TRANSACTION" in the PostgreSQL documentation).

use super::keywords::{Verb, Words, verb};

/// What was said of a transaction; `None`: unsaid, the session's defaults decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    pub read_only: Option<bool>,
    pub isolation: Option<Isolation>,
    pub deferrable: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// As good as READ COMMITTED in PostgreSQL, but `SHOW` tells it.
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// Of a `BEGIN` or `START TRANSACTION` that stands alone: its tag and its modes.
pub fn begin(text: &[u8]) -> Option<(&'static str, Modes)> {
    let (verb, after) = verb(text)?;
    let mut words = Words::new(&text[after..]);
    let tag = match verb {
        Verb::Begin => {
            let _ = words.take("work") || words.take("transaction");
            "BEGIN"
        }
        Verb::Start if words.take("transaction") => "START TRANSACTION",
        _ => return None,
    };
    Some((tag, modes(&mut words)?))
}

/// Of a `SET TRANSACTION` that stands alone; `None` for all else, such as `SET TRANSACTION SNAPSHOT`.
pub fn set_transaction(text: &[u8]) -> Option<Modes> {
    let (Verb::Set, after) = verb(text)? else { return None };
    let mut words = Words::new(&text[after..]);
    words.take("local");
    words.take("transaction").then(|| modes(&mut words))?
}

/// Whether this makes the transaction see what another one sees, which it can on that one's node alone.
pub fn takes_snapshot(text: &[u8]) -> bool {
    let Some((Verb::Set, after)) = verb(text) else { return false };
    let mut words = Words::new(&text[after..]);
    words.take("local");
    words.take_all(&["transaction", "snapshot"])
}

/// Whether a `COMMIT` or `ROLLBACK` begins another transaction at once.
pub fn chains(text: &[u8]) -> bool {
    text.windows(5).any(|word| word.eq_ignore_ascii_case(b"chain"))
}

fn modes(words: &mut Words) -> Option<Modes> {
    let mut modes = Modes::default();
    while !words.at_end() {
        match () {
            () if words.take_all(&["read", "only"]) => modes.read_only = Some(true),
            () if words.take_all(&["read", "write"]) => modes.read_only = Some(false),
            () if words.take_all(&["isolation", "level"]) => modes.isolation = Some(isolation(words)?),
            () if words.take_all(&["not", "deferrable"]) => modes.deferrable = Some(false),
            () if words.take("deferrable") => modes.deferrable = Some(true),
            () if words.take_symbol(b',') => {}
            () => return None,
        }
    }
    Some(modes)
}

fn isolation(words: &mut Words) -> Option<Isolation> {
    match () {
        () if words.take("serializable") => Some(Isolation::Serializable),
        () if words.take_all(&["repeatable", "read"]) => Some(Isolation::RepeatableRead),
        () if words.take_all(&["read", "committed"]) => Some(Isolation::ReadCommitted),
        () if words.take_all(&["read", "uncommitted"]) => Some(Isolation::ReadUncommitted),
        () => None,
    }
}

// === impl Modes ===

impl Modes {
    /// These, and what was said after them.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            read_only: later.read_only.or(self.read_only),
            isolation: later.isolation.or(self.isolation),
            deferrable: later.deferrable.or(self.deferrable),
        }
    }

    /// These, and what a session's `default_transaction_*` say where nothing else does. `get`: a setting's value.
    #[must_use]
    pub fn or_defaults<'a>(self, get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let switch = |name| get(name).and_then(truth);
        let isolation = || match get("default_transaction_isolation")?.trim().to_ascii_lowercase().as_str() {
            "serializable" => Some(Isolation::Serializable),
            "repeatable read" => Some(Isolation::RepeatableRead),
            "read committed" => Some(Isolation::ReadCommitted),
            "read uncommitted" => Some(Isolation::ReadUncommitted),
            _ => None,
        };
        Self {
            read_only: self.read_only.or_else(|| switch("default_transaction_read_only")),
            isolation: self.isolation.or_else(isolation),
            deferrable: self.deferrable.or_else(|| switch("default_transaction_deferrable")),
        }
    }

    /// Whether a standby can have all of the transaction.
    pub fn fits_standby(self) -> bool {
        self.read_only == Some(true) && self.isolation != Some(Isolation::Serializable)
    }

    /// Whether a standby takes a BEGIN with these modes.
    pub fn can_begin_on_standby(self) -> bool {
        self.read_only != Some(false) && self.isolation != Some(Isolation::Serializable)
    }

    /// READ COMMITTED and READ WRITE, as far as was said.
    pub fn is_plain(self) -> bool {
        self.read_only != Some(true)
            && self.deferrable != Some(true)
            && matches!(self.isolation, None | Some(Isolation::ReadUncommitted | Isolation::ReadCommitted))
    }

    /// As a BEGIN has them behind it, each with a blank before it.
    pub fn push(self, out: &mut Vec<u8>) {
        let mut say = |words: &str| out.extend_from_slice(words.as_bytes());
        match self.isolation {
            None => {}
            Some(Isolation::ReadUncommitted) => say(" ISOLATION LEVEL READ UNCOMMITTED"),
            Some(Isolation::ReadCommitted) => say(" ISOLATION LEVEL READ COMMITTED"),
            Some(Isolation::RepeatableRead) => say(" ISOLATION LEVEL REPEATABLE READ"),
            Some(Isolation::Serializable) => say(" ISOLATION LEVEL SERIALIZABLE"),
        }
        if let Some(read_only) = self.read_only {
            say(if read_only { " READ ONLY" } else { " READ WRITE" });
        }
        if let Some(deferrable) = self.deferrable {
            say(if deferrable { " DEFERRABLE" } else { " NOT DEFERRABLE" });
        }
    }
}

/// A switch's value as PostgreSQL reads it: any beginning of these words that is no other's.
fn truth(value: &str) -> Option<bool> {
    let value = value.trim().to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    match () {
        () if value == "1" || begins("on", 2) || begins("true", 1) || begins("yes", 1) => Some(true),
        () if value == "0" || begins("off", 2) || begins("false", 1) || begins("no", 1) => Some(false),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_in_all_their_forms() {
        let read_only = Modes { read_only: Some(true), ..Modes::default() };
        assert_eq!(begin(b"BEGIN"), Some(("BEGIN", Modes::default())));
        assert_eq!(begin(b"/* x */ begin work read only;"), Some(("BEGIN", read_only)));
        assert_eq!(begin(b"START TRANSACTION READ ONLY"), Some(("START TRANSACTION", read_only)));
        let (_, all) = begin(b"BEGIN ISOLATION LEVEL SERIALIZABLE, READ WRITE NOT DEFERRABLE").unwrap();
        assert_eq!(
            all,
            Modes { read_only: Some(false), isolation: Some(Isolation::Serializable), deferrable: Some(false) }
        );
        assert_eq!(set_transaction(b"SET TRANSACTION READ ONLY"), Some(read_only));
        assert_eq!(set_transaction(b"set local transaction read only"), Some(read_only));
        for other in ["SET TRANSACTION SNAPSHOT '1'", "SET a = 1", "SET LOCAL transaction_read_only = on", "START"] {
            assert_eq!(set_transaction(other.as_bytes()), None, "{other}");
            assert_eq!(begin(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn modes_are_written_as_they_are_read() {
        for text in [
            "BEGIN",
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED READ ONLY",
            "BEGIN ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE",
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
        ] {
            let mut written = b"BEGIN".to_vec();
            begin(text.as_bytes()).unwrap().1.push(&mut written);
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }

    #[test]
    fn a_snapshot_is_another_transactions() {
        assert!(
            takes_snapshot(b"SET TRANSACTION SNAPSHOT '1'") && takes_snapshot(b"set local transaction snapshot '1'")
        );
        assert!(!takes_snapshot(b"SET TRANSACTION READ ONLY") && !takes_snapshot(b"SET a = 1"));
    }

    #[test]
    fn what_is_unsaid_is_the_sessions() {
        let read_only = |name: &str| (name == "default_transaction_read_only").then_some(" On ");
        let (_, said) = begin(b"BEGIN READ WRITE").unwrap();
        assert!(Modes::default().or_defaults(read_only).fits_standby());
        assert!(!said.or_defaults(read_only).fits_standby() && said.is_plain());
        let serializable = |name: &str| (name == "default_transaction_isolation").then_some("serializable");
        assert!(!set_transaction(b"SET TRANSACTION READ ONLY").unwrap().or_defaults(serializable).fits_standby());
        assert!(!Modes::default().or_defaults(serializable).is_plain());
        for (value, truth_of_it) in
            [("on", Some(true)), ("t", Some(true)), ("of", Some(false)), ("n", Some(false)), ("o", None), ("", None)]
        {
            assert_eq!(truth(value), truth_of_it, "{value}");
        }
    }
}
