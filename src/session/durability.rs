//! What only matters where an acknowledged write must survive a failover (`failover.durability = "quorum"`).

use std::sync::atomic::Ordering::Relaxed;

use super::Session;
use crate::config::{Config, Durability, WeakerCommit};
use crate::server::params::Settings;
use crate::sql::{Class, Kind, Reason, set};

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
