//! What is known about a statement text: eight bytes, kept with prepared statements and in the cache.

use std::fmt;

/// The verdict about one text (a Query's or a Parse's, of one or several statements).
///
/// Holds always: whatever has effects is a write, so what pins a session pins it to the primary. A write by
/// [`Reason::Hint`] is a read that shall go to the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    pub target: Access,
    pub kind: Kind,
    pub effects: Effects,
    pub reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Plainly read-only: may run on a standby.
    Read,
    /// May write, holds session state, or is not understood: the primary's.
    Write,
}

/// What a session's loop must know beside the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing but white space, comments and `;`: runs wherever.
    Empty,
    /// Anything that needs no special care: queries, data changes, utility commands, `SET LOCAL`, `SET TRANSACTION`.
    Other,
    /// `BEGIN`, `START TRANSACTION`, standing alone.
    Begin(Begin),
    /// `COMMIT`, `END` (also `AND CHAIN`), standing alone. Not `COMMIT PREPARED`.
    Commit,
    /// `ROLLBACK`, `ABORT` of the whole transaction. Not `ROLLBACK PREPARED`.
    Rollback,
    Savepoint,
    RollbackTo,
    Release,
    /// One `SET`/`RESET` of a session's setting, standing alone: `set::parse` says which.
    Set,
    /// One `DEALLOCATE`; it names SQL-level and protocol-level statements alike.
    Deallocate {
        all: bool,
    },
    /// `DISCARD ALL`, standing alone.
    DiscardAll,
    /// The proxy answers it itself.
    Own(Own),
    /// Several statements, none of them transaction control.
    Several,
    /// Several statements with transaction control among them.
    Mixed,
}

/// A statement of the proxy's own; PostgreSQL gets another one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// `EXPLAIN ROUTE …`
    ExplainRoute,
    /// `SHOW pgherd.last_lsn`: the primary knows.
    LastLsn,
    /// `SHOW pgherd.…` of a session's setting.
    Setting,
}

/// The modes of a `BEGIN`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// `READ ONLY` → true, `READ WRITE` → false, unsaid → none (`default_transaction_read_only` decides).
    pub read_only: Option<bool>,
    /// A standby refuses serializable transactions.
    pub serializable: bool,
}

/// What a statement leaves behind in the session: a transaction pooler must follow it or pin the session.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Effects(u16);

/// Why the target is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    PlainRead,
    Empty,
    ReadOnlyTransaction,
    TransactionControl,
    SessionCommand,
    DataChange,
    Utility,
    RowLock,
    SelectInto,
    WritingFunction,
    UnknownFunction,
    VolatileFunction,
    NodeLocal,
    Temporary,
    UnknownRelation,
    Unlogged,
    Foreign,
    View,
    UnknownType,
    UnknownOperator,
    Cursor,
    Prepared,
    Procedure,
    CopyIn,
    CopyFile,
    Unparsed,
    UnsupportedSyntax,
    TooLong,
    NotUtf8,
    /// A standby has refused it before.
    RefusedByStandby,
    /// The statement's own hint says so: a read that shall go to the primary (a write then), or one for a standby.
    Hint,
    /// Its hint keeps it on the primary, and it may write.
    HintInDoubt,
    /// Its author says that it only reads, by a hint or by `pgherd.route`; nothing else does.
    Claimed,
}

// === impl Class ===

impl Class {
    pub const EMPTY: Self =
        Self { target: Access::Read, kind: Kind::Empty, effects: Effects::NONE, reason: Reason::Empty };

    pub const fn read() -> Self {
        Self { target: Access::Read, kind: Kind::Other, effects: Effects::NONE, reason: Reason::PlainRead }
    }

    pub const fn write(reason: Reason) -> Self {
        Self { target: Access::Write, kind: Kind::Other, effects: Effects::NONE, reason }
    }

    #[must_use]
    pub const fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    #[must_use]
    pub fn with_effects(mut self, effects: Effects) -> Self {
        if !effects.is_empty() && self.target == Access::Read {
            self.target = Access::Write;
            self.reason = Reason::SessionCommand;
        }
        self.effects |= effects;
        self
    }

    /// With what its tokens say that it leaves behind. What only reads runs no code that does, whatever it names.
    #[must_use]
    pub(super) fn noting(self, effects: Effects) -> Self {
        self.with_effects(if self.is_read() { effects.without(Effects::CODE) } else { effects })
    }

    pub fn is_read(&self) -> bool {
        self.target == Access::Read
    }

    /// Whether a standby may have it.
    #[inline]
    pub fn fits_standby(&self) -> bool {
        let begins_there = || matches!(self.kind, Kind::Begin(begin) if begin.fits_standby());
        self.is_read() || begins_there() && self.reason != Reason::Hint
    }

    /// Whether it is only for want of knowledge that it counts as a write: its author may know better.
    pub fn may_only_read(&self) -> bool {
        let is_in_doubt = matches!(
            self.reason,
            Reason::UnknownFunction
                | Reason::VolatileFunction
                | Reason::UnknownOperator
                | Reason::UnknownType
                | Reason::UnknownRelation
                | Reason::View
                | Reason::Foreign
                | Reason::NodeLocal
                | Reason::Unparsed
                | Reason::UnsupportedSyntax
                | Reason::TooLong
                | Reason::NotUtf8
        );
        is_in_doubt && self.kind == Kind::Other && self.effects.without(Effects::CODE).is_empty()
    }

    #[must_use]
    pub(super) const fn on_primary(mut self) -> Self {
        self.target = Access::Write;
        self
    }

    #[must_use]
    pub(super) const fn on_standby(mut self) -> Self {
        self.target = Access::Read;
        self
    }

    /// The class of a protocol batch (a pipeline up to Sync) that runs `self`, then `next`.
    /// A `BEGIN` that opens the batch keeps its word over what follows inside its transaction.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let opened = matches!(self.kind, Kind::Begin(_)) && !next.kind.is_transaction_control();
        match (self.kind, next.kind) {
            (_, Kind::Empty) => self,
            (Kind::Empty, _) => next,
            _ if opened => Self { effects: self.effects | next.effects, ..self },
            _ => self.and(next),
        }
    }

    /// The class of a string with both statements.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        if self.kind == Kind::Empty || next.kind == Kind::Empty {
            return if self.kind == Kind::Empty { next } else { self };
        }
        // By its reason: PREPARE TRANSACTION and the like have no kind of their own.
        let controls = |class: Self| class.kind.is_transaction_control() || class.reason == Reason::TransactionControl;
        let control = controls(self) || controls(next);
        let effects = self.effects | next.effects;
        // What its author said of one statement says nothing of a write beside it.
        let is_only_said = |class: Self| matches!(class.reason, Reason::Hint | Reason::Claimed);
        let (kind, reason) = match (control, self.is_read(), next.is_read()) {
            (true, _, _) => (Kind::Mixed, Reason::TransactionControl),
            (false, true, true) if is_only_said(self) && next.reason != Reason::Claimed => (Kind::Several, self.reason),
            (false, true, _) => (Kind::Several, next.reason),
            (false, false, false) if is_only_said(self) => (Kind::Several, next.reason),
            (false, false, _) => (Kind::Several, self.reason),
        };
        let target = if control || !self.is_read() || !next.is_read() { Access::Write } else { Access::Read };
        Self { target, kind, effects, reason }
    }
}

// === impl Kind ===

impl Kind {
    /// Begins, ends or subdivides a transaction (or may, among several statements).
    pub fn is_transaction_control(self) -> bool {
        match self {
            Kind::Begin(_) | Kind::Commit | Kind::Rollback => true,
            Kind::Savepoint | Kind::RollbackTo | Kind::Release | Kind::Mixed => true,
            Kind::Empty | Kind::Other | Kind::Set | Kind::Deallocate { .. } => false,
            Kind::DiscardAll | Kind::Several | Kind::Own(_) => false,
        }
    }
}

// === impl Begin ===

impl Begin {
    /// May the whole transaction run on a standby?
    pub fn fits_standby(self) -> bool {
        self.read_only == Some(true) && !self.serializable
    }
}

// === impl Effects ===

impl Effects {
    pub const NONE: Self = Self(0);
    /// `SET`, `RESET` of a setting outside `LOCAL`, `SET SESSION CHARACTERISTICS`; `set::parse` can often follow it.
    pub const SET_SESSION: Self = Self(1);
    /// `SET/RESET ROLE`, `SET/RESET SESSION AUTHORIZATION`.
    pub const SET_ROLE: Self = Self(1 << 1);
    /// `CREATE TEMP …`, `SELECT INTO TEMP`, `CREATE … pg_temp.x`.
    pub const TEMP_TABLE: Self = Self(1 << 2);
    pub const LISTEN: Self = Self(1 << 3);
    pub const UNLISTEN: Self = Self(1 << 4);
    /// SQL's `PREPARE name AS …`.
    pub const SQL_PREPARE: Self = Self(1 << 5);
    pub const SQL_DEALLOCATE: Self = Self(1 << 6);
    /// `DECLARE … WITH HOLD`.
    pub const HOLD_CURSOR: Self = Self(1 << 7);
    /// `pg_advisory_lock*`, `pg_try_advisory_lock*`: the session's, not the transaction's.
    pub const ADVISORY_LOCK: Self = Self(1 << 8);
    pub const LOAD: Self = Self(1 << 9);
    /// `DISCARD ALL | PLANS | SEQUENCES | TEMP`.
    pub const DISCARD: Self = Self(1 << 10);
    /// May leave anything behind: `DO`, `CALL`, a text too long to be looked at.
    pub const UNKNOWN: Self = Self(1 << 11);
    /// A call of `set_config` whose last argument is not the word `true`.
    pub const SET_CONFIG: Self = Self(1 << 12);
    /// The catalog is another one afterwards: `CREATE`, `ALTER`, `DROP` of what is not temporary (but see `ddl`).
    pub const DDL: Self = Self(1 << 13);

    /// Runs code of the database's own that may leave anything behind, as far as its names tell.
    pub const CODE: Self = Self(1 << 14);

    const NAMES: [&str; 15] = [
        "set_session",
        "set_role",
        "temp_table",
        "listen",
        "unlisten",
        "sql_prepare",
        "sql_deallocate",
        "hold_cursor",
        "advisory_lock",
        "load",
        "discard",
        "unknown",
        "set_config",
        "ddl",
        "code",
    ];

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Any of `these`?
    pub const fn intersects(self, these: Self) -> bool {
        self.0 & these.0 != 0
    }

    /// All of `these`?
    pub const fn contains(self, these: Self) -> bool {
        self.0 & these.0 == these.0
    }

    #[must_use]
    pub const fn and(self, these: Self) -> Self {
        Self(self.0 | these.0)
    }

    #[must_use]
    pub const fn without(self, these: Self) -> Self {
        Self(self.0 & !these.0)
    }

    /// Lower-case names, in the order of the constants.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }
}

impl std::ops::BitOr for Effects {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Effects {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Effects(")?;
        f.write_str(&self.names().collect::<Vec<_>>().join("|"))?;
        f.write_str(")")
    }
}

// === impl Reason ===

impl Reason {
    /// Each at the place of its number.
    pub const ALL: [Self; Self::Claimed as usize + 1] = [
        Reason::PlainRead,
        Reason::Empty,
        Reason::ReadOnlyTransaction,
        Reason::TransactionControl,
        Reason::SessionCommand,
        Reason::DataChange,
        Reason::Utility,
        Reason::RowLock,
        Reason::SelectInto,
        Reason::WritingFunction,
        Reason::UnknownFunction,
        Reason::VolatileFunction,
        Reason::NodeLocal,
        Reason::Temporary,
        Reason::UnknownRelation,
        Reason::Unlogged,
        Reason::Foreign,
        Reason::View,
        Reason::UnknownType,
        Reason::UnknownOperator,
        Reason::Cursor,
        Reason::Prepared,
        Reason::Procedure,
        Reason::CopyIn,
        Reason::CopyFile,
        Reason::Unparsed,
        Reason::UnsupportedSyntax,
        Reason::TooLong,
        Reason::NotUtf8,
        Reason::RefusedByStandby,
        Reason::Hint,
        Reason::HintInDoubt,
        Reason::Claimed,
    ];

    /// One word, as the test data and the console write it.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }

    /// The catalog does not have what is named: maybe not yet.
    pub fn is_doubt(self) -> bool {
        matches!(
            self,
            Reason::UnknownFunction | Reason::UnknownRelation | Reason::UnknownType | Reason::UnknownOperator
        )
    }

    /// A sentence for people.
    pub fn explain(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Reason::PlainRead => ("plain-read", "only reads, by functions and operators known to be harmless"),
            Reason::Empty => ("empty", "no statement in it"),
            Reason::ReadOnlyTransaction => ("read-only-transaction", "opens a read-only transaction"),
            Reason::TransactionControl => ("transaction-control", "transaction control"),
            Reason::SessionCommand => ("session-command", "changes or uses the state of the session"),
            Reason::DataChange => ("data-change", "INSERT, UPDATE, DELETE or MERGE"),
            Reason::Utility => ("utility", "a command that may change the database"),
            Reason::RowLock => ("row-lock", "locks rows (FOR UPDATE, FOR SHARE, …)"),
            Reason::SelectInto => ("select-into", "SELECT INTO makes a table"),
            Reason::WritingFunction => ("writing-function", "calls a function that writes or uses session state"),
            Reason::UnknownFunction => ("unknown-function", "calls a function not known to be harmless"),
            Reason::VolatileFunction => {
                ("volatile-function", "calls a function that is declared VOLATILE, so it may write")
            }
            Reason::NodeLocal => ("node-local", "the answer differs from node to node"),
            Reason::Temporary => ("temporary", "names a temporary object, or may"),
            Reason::UnknownRelation => {
                ("unknown-relation", "names a relation that the catalog, as known, does not have")
            }
            Reason::Unlogged => ("unlogged", "reads an unlogged table, which standbys do not have"),
            Reason::Foreign => ("foreign", "reads a foreign table: what that does is its server's"),
            Reason::View => ("view", "reads a view that reaches something that may write or is the primary's alone"),
            Reason::UnknownType => ("unknown-type", "uses a type whose functions are not known to be harmless"),
            Reason::UnknownOperator => ("unknown-operator", "uses an operator not known to be harmless"),
            Reason::Cursor => ("cursor", "a cursor of the session"),
            Reason::Prepared => ("prepared", "a prepared statement of the session (SQL's PREPARE)"),
            Reason::Procedure => ("procedure", "runs code (DO, CALL)"),
            Reason::CopyIn => ("copy-in", "COPY FROM writes"),
            Reason::CopyFile => ("copy-file", "COPY to a file or program of the server"),
            Reason::Unparsed => ("unparsed", "not understood by the parser"),
            Reason::UnsupportedSyntax => ("unsupported-syntax", "uses syntax not known to be harmless"),
            Reason::TooLong => ("too-long", "longer than routing.max_classified_bytes"),
            Reason::NotUtf8 => ("not-utf8", "not valid UTF-8, so not parsed"),
            Reason::RefusedByStandby => ("refused-by-standby", "a standby has refused it before"),
            Reason::Hint => ("hint", "its hint says so"),
            Reason::HintInDoubt => ("hint-in-doubt", "its hint says so, and it is not known to only read"),
            Reason::Claimed => ("claimed", "its author says that it only reads"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_number_and_known_by_its_word() {
        let mut words = std::collections::BTreeSet::new();
        for (number, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert!(words.insert(reason.as_str()), "{reason:?}");
        }
    }

    #[test]
    fn a_class_is_small_and_effects_make_it_a_write() {
        assert!(size_of::<Class>() <= 8);
        let class = Class::read().with_effects(Effects::LISTEN | Effects::LOAD);
        assert_eq!((class.target, format!("{:?}", class.effects)), (Access::Write, "Effects(listen|load)".into()));
    }

    #[test]
    fn a_read_only_begin_keeps_its_word_over_the_batch_it_opens() {
        let begin = Class::write(Reason::ReadOnlyTransaction)
            .with_kind(Kind::Begin(Begin { read_only: Some(true), serializable: false }));
        let commit = Class::write(Reason::TransactionControl).with_kind(Kind::Commit);
        assert_eq!(begin.then(Class::read()), begin);
        assert_eq!(begin.then(Class::read()).then(commit).kind, Kind::Mixed);
        assert_eq!(Class::EMPTY.then(begin).then(Class::EMPTY), begin);
        assert_eq!(Class::read().and(Class::write(Reason::DataChange)).reason, Reason::DataChange);
        assert!(Class::read().then(Class::read()).is_read());
    }
}
