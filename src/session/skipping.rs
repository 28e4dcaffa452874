//! What PostgreSQL skips after an error. Pure.

use super::begin::Beginning;
use super::replies::{Awaited, Replies};

// === impl Replies ===

impl Replies {
    /// An error came: of an extended request nothing more is answered, up to its Sync.
    pub(super) fn skip_rest_of_request(&mut self) {
        if !self.is_extended_request() {
            return;
        }
        let is_begin = self.beginning == Beginning::Sent && !self.is_injected();
        let rounds = self.awaited.len();
        // A Query or FunctionCall that no Sync precedes is skipped with the rest.
        while self.awaited.front().is_some_and(|w| matches!(w.awaited, Awaited::Query | Awaited::FunctionCall)) {
            self.awaited.pop_front();
        }
        self.skips = self.awaited.is_empty();
        if is_begin {
            self.beginning = Beginning::Failed { wants_sync: self.awaited.len() < rounds };
        }
    }

    /// Whether what is being answered is a message of the extended protocol. Ahead of a Query in the middle of an
    /// extended request the session puts a Close of its own: it is answered when that Query's turn comes.
    fn is_extended_request(&self) -> bool {
        match self.awaited.front() {
            None => true,
            Some(waiting) => match waiting.awaited {
                Awaited::Sync | Awaited::OwnSync => true,
                Awaited::Injected | Awaited::Xid | Awaited::Leftovers => false,
                Awaited::Query | Awaited::FunctionCall => self.has_unanswered_ops(waiting.round),
            },
        }
    }

    pub(super) fn has_unanswered_ops(&self, round: u64) -> bool {
        self.ops.front().is_some_and(|(of, _)| *of <= round)
    }
}
