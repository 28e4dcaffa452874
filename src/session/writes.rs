//! When this session wrote last, and when any did: what a read has to show.
//!
//! It is the moment at which PostgreSQL's answer was here, so whatever was committed for it was committed before: by a COPY, by
//! a function, by a procedure that failed later on, by half of a pipeline. A request whose outcome is not known counts as
//! written when its server was lost: a backend that nobody listens to any more may yet commit, at a time that nobody knows.

use std::time::Instant;

use super::Session;
use crate::cluster::{NodeId, Role};
use crate::config::Consistency;
use crate::route::TxStatus;

impl Session {
    /// A ReadyForQuery came from `node`.
    pub(super) fn note_writes(&mut self, node: NodeId) {
        if !self.wrote || self.status != TxStatus::Idle {
            return;
        }
        // Of a pipeline more may be on its way, and that may write as well.
        self.wrote = !self.is_quiet();
        // A read-only transaction may have called anything on its standby: nothing was written.
        if self.shared.topology.load().node(node).role != Role::Standby {
            self.has_written();
        }
    }

    pub(super) fn has_written(&mut self) {
        let now = Instant::now();
        self.last_write = Some(now);
        self.shared.last_write.note(now);
        self.shared.writes.beat();
    }

    /// A client may take a CommandComplete for the end, and tell others, ahead of the ReadyForQuery behind it.
    pub(super) fn note_answers(&self) {
        if self.wrote {
            self.shared.last_write.note(Instant::now());
        }
    }

    /// The write that its reads must not be older than.
    pub(super) fn write_to_show(&self, consistency: Consistency) -> Option<Instant> {
        let written = match consistency {
            Consistency::Session => self.last_write,
            Consistency::Global => self.shared.last_write.at().max(self.last_write),
            Consistency::Eventual | Consistency::Primary => None,
        };
        // A table that was just made must be there, whoever made it: the alternative is an error, not an older answer.
        written.max(self.catalog.known().changed_at())
    }
}
