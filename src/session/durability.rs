//! What only matters where an acknowledged write must survive a failover (`failover.durability = "quorum"`).

use std::sync::atomic::Ordering::Relaxed;

use super::Session;
use super::remarks::{REFUSED, REFUSED_TAIL};
use super::replies::{Awaited, Op, Reply, Undo};
use crate::config::{Config, Durability, WeakerCommit};
use crate::server::Server;
use crate::server::params::Settings;
use crate::sql::{Class, Kind, Reason, set};
use crate::wire::frontend;

/// A longer change of data is not searched for settings.
const SEARCHED_BYTES: usize = 4096;

impl Session {
    /// Whether this statement must be refused because it lowers `synchronous_commit`. Where that is allowed: notes it.
    #[inline]
    pub(super) fn refuses_weaker_commit(&self, class: Class, text: &[u8]) -> bool {
        self.replies.quorum && !class.is_read() && self.refuses_text(class, text)
    }

    fn refuses_text(&self, class: Class, text: &[u8]) -> bool {
        let is_change = class.kind == Kind::Other && class.reason == Reason::DataChange;
        if (is_change && text.len() > SEARCHED_BYTES) || !set::weakens_commit(text) {
            return false;
        }
        if self.config.failover.weaker_commit == WeakerCommit::Allow {
            self.opt_out();
            return false;
        }
        true
    }

    /// Of this client it is known from here on.
    pub(super) fn opt_out(&self) {
        if !self.entry.has_opted_out.swap(true, Relaxed) {
            tracing::warn!(client = %self.entry.addr, user = %self.user, database = %self.database,
                "a client has lowered synchronous_commit: what it is told is committed may be lost in a failover");
        }
    }

    /// The Query at the front is refused, by PostgreSQL, at its place in the pipeline.
    pub(super) fn refuse_query(&mut self, size: usize) {
        self.outbox.push_own(|out| frontend::push_query(out, REFUSED));
        self.inbox.start += size;
        self.replies.await_ready(Awaited::Query);
    }

    /// So is the Parse at the front.
    pub(super) fn refuse_parse(&mut self, server: &mut Server, size: usize) {
        self.outbox.push_own(|out| frontend::push_parse(out, b"", REFUSED_TAIL));
        self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::Nothing });
        server.unnamed = None;
        self.request_open = true;
        self.inbox.start += size;
    }

    /// A statement is being sent, or bound.
    #[inline]
    pub(super) fn note_commit(&mut self, class: Class) {
        if self.replies.quorum && class.kind == Kind::Commit {
            self.is_committing = true;
            self.entry.is_committing.store(true, Relaxed);
        }
    }

    #[inline]
    pub(super) fn commit_is_answered(&mut self) {
        if std::mem::take(&mut self.is_committing) {
            self.entry.is_committing.store(false, Relaxed);
        }
    }
}

pub(super) fn is_quorum(config: &Config) -> bool {
    config.failover.durability == Durability::Quorum
}

/// Whether a client may not connect with these settings.
pub(super) fn refuses_settings(config: &Config, settings: &Settings) -> bool {
    is_quorum(config) && config.failover.weaker_commit == WeakerCommit::Refuse && is_weaker(settings)
}

pub(super) fn is_weaker(settings: &Settings) -> bool {
    settings.get("synchronous_commit").is_some_and(|value| set::is_weaker_commit(value.trim().as_bytes()))
}
