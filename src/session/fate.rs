//! What became of what a client asked when its server is lost: certainly rolled back, or unknown, or never begun. Pure.
//!
//! A statement is known by its class only, and which transaction it ran in only by what was asked before it. So each round
//! is kept as what it does in either case, and judged when the server is gone.

use super::effects::Traces;
use crate::route::TxStatus;
use crate::sql::{Class, Kind, Reason};

/// What one or several statements do, begun inside of a transaction block and outside of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doing {
    inside: Path,
    outside: Path,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Path {
    /// Something may be committed.
    commits: bool,
    /// Nothing is changed but the session: it can be done again.
    repeats: bool,
    /// It ends inside of a transaction block.
    ends_inside: bool,
    /// It only ends the transaction, by ROLLBACK.
    only_rolls_back: bool,
}

/// Of one round that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It may have been committed.
    Unknown,
    /// The transaction it ran in was rolled back.
    RolledBack,
    /// It asked for the rollback that came about.
    AsAsked,
    /// It ran outside of a transaction block and changed nothing.
    NotDone,
}

/// What became of several rounds.
#[derive(Debug, PartialEq, Eq)]
pub struct Fates {
    /// By round, each with the status that the client is in behind it.
    pub rounds: Vec<(Fate, TxStatus)>,
    /// All of them can be asked again.
    pub repeats: bool,
}

// === impl Doing ===

impl Default for Doing {
    fn default() -> Self {
        Self::NOTHING
    }
}

impl Doing {
    pub const NOTHING: Self = Self { inside: Path::within(true), outside: Path::without(true) };

    /// Not looked into: anything.
    pub const ANYTHING: Self = Self { inside: Path::COMMIT, outside: Path::COMMIT };

    /// The end of a transaction, nothing else.
    pub const COMMIT: Self = Self { inside: Path::COMMIT, outside: Path::without(true) };

    /// One statement, or one text of several.
    pub fn of(class: Class) -> Self {
        let harmless =
            class.is_read() && class.reason != Reason::Claimed || matches!(class.kind, Kind::Set | Kind::Own(_));
        match class.kind {
            Kind::Mixed => Self::ANYTHING,
            Kind::Begin(_) => Self { inside: Path::within(true), outside: Path::within(true) },
            Kind::Commit => Self::COMMIT,
            Kind::Rollback => {
                let rollback = Path { only_rolls_back: true, ..Path::without(false) };
                Self { inside: rollback, outside: Path::without(true) }
            }
            Kind::Savepoint | Kind::RollbackTo | Kind::Release => {
                Self { inside: Path::within(false), outside: Path::without(false) }
            }
            // PREPARE TRANSACTION ends its transaction like COMMIT; COMMIT PREPARED and ROLLBACK PREPARED run outside.
            Kind::Other if class.reason == Reason::TransactionControl => Self::ANYTHING,
            _ => {
                let outside = Path { commits: class.may_write(), ..Path::without(harmless) };
                Self { inside: Path::within(harmless), outside }
            }
        }
    }

    /// `self`, then `next`.
    #[inline]
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        if self == Self::NOTHING {
            return next;
        }
        Self { inside: self.inside.then(next), outside: self.outside.then(next) }
    }

    /// Whether it ends a transaction it finds open, unless by ROLLBACK alone.
    pub fn may_commit_block(self) -> bool {
        self.inside.commits
    }

    /// Outside of a transaction it begins none, inside it ends none.
    pub fn is_plain(self) -> bool {
        !self.inside.commits && !self.outside.ends_inside
    }

    fn path(self, status: TxStatus) -> Path {
        if status == TxStatus::Idle { self.outside } else { self.inside }
    }
}

// === impl Path ===

impl Path {
    const COMMIT: Self = Self { commits: true, repeats: false, ends_inside: false, only_rolls_back: false };

    const fn within(repeats: bool) -> Self {
        Self { commits: false, repeats, ends_inside: true, only_rolls_back: false }
    }

    const fn without(repeats: bool) -> Self {
        Self { commits: false, repeats, ends_inside: false, only_rolls_back: false }
    }

    #[inline]
    fn then(self, next: Doing) -> Self {
        let after = if self.ends_inside { next.inside } else { next.outside };
        Self {
            commits: self.commits || after.commits,
            repeats: self.repeats && after.repeats,
            ends_inside: after.ends_inside,
            only_rolls_back: false,
        }
    }
}

// === impl Fates ===

impl Fates {
    /// Of `rounds`, in the order they were asked; `status`: as PostgreSQL last told, before the first of them.
    pub fn of(status: TxStatus, rounds: &[Doing]) -> Self {
        let mut repeats = true;
        let mut at = status;
        let mut paths = Vec::with_capacity(rounds.len());
        for round in rounds {
            let path = round.path(at);
            repeats &= path.repeats;
            paths.push((at, path));
            at = if path.ends_inside { TxStatus::Failed } else { TxStatus::Idle };
        }
        // Whether the transaction that is open behind a round may have been committed by a later one.
        let mut committed_later = false;
        let mut fates = Vec::with_capacity(rounds.len());
        for (before, path) in paths.into_iter().rev() {
            let unknown = path.commits || (path.ends_inside && committed_later);
            committed_later = unknown && before != TxStatus::Idle;
            let fate = match () {
                () if unknown => Fate::Unknown,
                () if before != TxStatus::Idle && path.only_rolls_back => Fate::AsAsked,
                () if before != TxStatus::Idle || path.ends_inside => Fate::RolledBack,
                () => Fate::NotDone,
            };
            fates.push((fate, if path.ends_inside { TxStatus::Failed } else { TxStatus::Idle }));
        }
        fates.reverse();
        Self { rounds: fates, repeats: repeats && status == TxStatus::Idle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::BuiltIn;
    use crate::sql::classify;

    /// `rounds`: each a text of one or several statements as a client sends them one by one (`|`) or in one Query (`;`).
    fn judge(status: u8, rounds: &[&str]) -> String {
        let doing = |round: &&str| {
            let pieces = round.split('|').map(|text| Doing::of(classify(text.as_bytes(), 1000, &BuiltIn)));
            pieces.fold(Doing::NOTHING, Doing::then)
        };
        let doings: Vec<_> = rounds.iter().map(doing).collect();
        let fates = Fates::of(TxStatus::from_byte(status).unwrap(), &doings);
        let mut said = fates.rounds.iter().fold(String::new(), |said, (fate, status)| {
            let word = match fate {
                Fate::Unknown => "unknown",
                Fate::RolledBack => "rolled back",
                Fate::AsAsked => "as asked",
                Fate::NotDone => "not done",
            };
            said + word + " " + &char::from(status.as_byte()).to_string() + ", "
        });
        said += if fates.repeats { "again" } else { "once" };
        said
    }

    #[test]
    fn what_ran_outside_of_a_transaction_is_unknown_if_it_may_write() {
        assert_eq!(judge(b'I', &["SELECT 1"]), "not done I, again");
        assert_eq!(judge(b'I', &["SET x.y = 1"]), "not done I, again");
        assert_eq!(judge(b'I', &["INSERT INTO t VALUES (1)"]), "unknown I, once");
        assert_eq!(judge(b'I', &["SELECT f(1)"]), "unknown I, once");
        assert_eq!(judge(b'I', &["SELECT 1", "INSERT INTO t VALUES (1)"]), "not done I, unknown I, once");
        assert_eq!(judge(b'I', &["SELECT 1|INSERT INTO t VALUES (1)"]), "unknown I, once");
        assert_eq!(judge(b'I', &["DEALLOCATE x"]), "not done I, once");
    }

    #[test]
    fn an_open_transaction_is_rolled_back_unless_something_may_end_it() {
        assert_eq!(judge(b'T', &["INSERT INTO t VALUES (1)"]), "rolled back E, once");
        assert_eq!(judge(b'T', &["SELECT f(1)", "SAVEPOINT a"]), "rolled back E, rolled back E, once");
        for end in ["COMMIT", "END", "COMMIT AND CHAIN", "PREPARE TRANSACTION 'x'", "INSERT INTO t SELECT 1; COMMIT"] {
            assert_eq!(judge(b'T', &[end]), "unknown I, once", "{end}");
        }
        assert_eq!(judge(b'T', &["SELECT 1; PREPARE TRANSACTION 'x'"]), "unknown I, once");
        assert_eq!(judge(b'T', &["ROLLBACK"]), "as asked I, once");
        assert_eq!(judge(b'T', &["DELETE FROM t|ROLLBACK"]), "rolled back I, once");
    }

    #[test]
    fn a_commit_on_its_way_makes_all_of_its_transaction_unknown() {
        assert_eq!(judge(b'T', &["DELETE FROM t", "COMMIT", "SELECT 1"]), "unknown E, unknown I, not done I, once");
        assert_eq!(judge(b'I', &["BEGIN", "DELETE FROM t", "COMMIT"]), "unknown E, unknown E, unknown I, once");
        assert_eq!(judge(b'T', &["ROLLBACK", "DELETE FROM t"]), "as asked I, unknown I, once");
        assert_eq!(
            judge(b'T', &["DELETE FROM t", "ROLLBACK", "BEGIN", "COMMIT"]),
            "rolled back E, as asked I, unknown E, unknown I, once"
        );
    }

    #[test]
    fn a_transaction_that_was_only_begun_can_be_begun_again() {
        assert_eq!(judge(b'I', &["BEGIN"]), "rolled back E, again");
        assert_eq!(judge(b'I', &["BEGIN", "SELECT 1"]), "rolled back E, rolled back E, again");
        assert_eq!(judge(b'I', &["BEGIN", "DELETE FROM t"]), "rolled back E, rolled back E, once");
        assert_eq!(judge(b'I', &["COMMIT"]), "not done I, again");
        assert_eq!(judge(b'T', &["SELECT 1"]), "rolled back E, once");
    }
}
