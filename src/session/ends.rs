//! A round that its ReadyForQuery has ended, and which transactions ended in it, as far as its answers tell. Pure.

use super::replies::Awaited;
use crate::route::TxStatus;
use crate::wire::error::PgError;

/// Ended by a ReadyForQuery.
#[derive(Debug)]
pub struct Round {
    pub awaited: Awaited,
    /// Its place among all rounds of the exchange.
    pub number: u64,
    /// Where the request ends in what the client sent (`Buffer::lasting`), if that is known.
    pub end: Option<usize>,
    pub status: TxStatus,
    /// An ErrorResponse came.
    pub failed: bool,
    pub ends: Ends,
    /// The error of an injected round.
    pub injected_error: Option<Box<PgError>>,
}

/// The transactions that ended within a round, by the tags of their CommandComplete. (So does ROLLBACK TO count.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub commits: u32,
    pub rollbacks: u32,
    /// Nothing was run after the last of them.
    pub last: bool,
}

// === impl Ends ===

impl Ends {
    #[inline]
    pub fn note(&mut self, tag: &[u8]) {
        let (commit, rollback) = (tag == b"COMMIT\0", tag == b"ROLLBACK\0");
        self.commits += u32::from(commit);
        self.rollbacks += u32::from(rollback);
        self.last = commit || rollback;
    }

    pub fn none(self) -> bool {
        self.commits + self.rollbacks == 0
    }
}
