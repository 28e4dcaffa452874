//! Transactions on a standby that need the primary after all. They never move: they fail with 40001, and when they are tried again
//! they begin on the primary, like all that begin with a statement of that shape.
//!
//! A transaction that says nothing of itself may begin on a standby if its first statement reads (`routing.transactions =
//! "read_first"`); it must not write. One that says READ ONLY may do things that a standby can't: an unlogged table, LISTEN, a
//! transaction's id, a lock that others shall see.

use super::Session;
use super::net::{Again, again};
use crate::config::Transactions;
use crate::server::Server;
use crate::sql::{Class, Effects, Reason};
use crate::wire::error::{PgError, field, sqlstate};
use crate::wire::frame;
use crate::wire::frontend;

/// Of the transaction at hand: what must not come late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Late {
    /// It is on the primary, or there is none.
    #[default]
    Anything,
    /// It is on a standby by `read_first`: no writes.
    Writes,
    /// It is read-only, and on a standby: nothing that only a primary has.
    Primarys,
}

/// Where PostgreSQL raises what a read-only transaction meets on a standby alone. (A write is refused to it on the primary too.)
const ON_STANDBYS_ONLY: [&[u8]; 4] =
    [b"PreventCommandDuringRecovery", b"get_relation_info", b"GetNewTransactionId", b"LockAcquireExtended"];

// === impl Late ===

impl Late {
    /// Whether this error of a standby is one that the primary would not have.
    pub fn meets(self, error: &[u8]) -> bool {
        match self {
            Late::Anything => false,
            Late::Writes => again(error) == Some(Again::Refused),
            Late::Primarys => field(error, b'R').is_some_and(|routine| ON_STANDBYS_ONLY.contains(&routine)),
        }
    }
}

// === impl Session ===

impl Session {
    /// Whether a standby may have the transaction that begins with the statement at the front.
    pub(super) fn begins_on_standby(&mut self, late: Late) -> bool {
        if late == Late::Writes && self.config.routing.transactions != Transactions::ReadFirst {
            return false;
        }
        // It skips unlogged tables only where it knows that it is on a standby.
        if self.catalog.known().has_unlogged() && self.settings.wanted.get("application_name") == Some("pg_dump") {
            return false;
        }
        let Some(text) = self.statement_at_front() else { return late == Late::Primarys };
        if self.worker.classes().begins_writer(text) {
            return false;
        }
        let text = Box::from(text);
        (self.begin.first, self.begin.late) = (Some(text), late);
        true
    }

    /// Of a Query or Parse, or what a Bind names.
    fn statement_at_front(&self) -> Option<&[u8]> {
        let header = frame::header(self.inbox.filled()).ok()??;
        if header.tag != b'B' {
            return self.text_at_front();
        }
        match frontend::bind(self.front(header))?.statement {
            b"" => self.names.unnamed().map(|unnamed| unnamed.text()),
            name => self.names.get(name).map(|statement| statement.text()),
        }
    }

    /// Why a statement is not run in the transaction at hand, if it is not: a standby would refuse it, or do what nobody sees
    /// on the primary (an advisory lock), or keep the session.
    #[inline]
    pub(super) fn comes_late(&self, class: Class, text: &[u8]) -> Option<PgError> {
        let is_late = match self.replies.late {
            Late::Anything => false,
            Late::Writes => is_the_primarys(class) || class.effects.intersects(STAYS),
            Late::Primarys => class.effects.intersects(STAYS) || takes_lock(class, text),
        };
        is_late.then(|| self.learn_writer())
    }

    /// A standby has refused to write, or will: what the client is told.
    #[cold]
    pub(super) fn learn_writer(&self) -> PgError {
        if let Some(text) = &self.begin.first {
            self.worker.classes().learn_writer(text);
        }
        PgError::error(sqlstate::SERIALIZATION_FAILURE, "the transaction began on a standby, which cannot do this")
            .with_hint("Retry it: the next one that begins like this begins on the primary (routing.transactions).")
    }

    /// The transaction begins on `server`.
    pub(super) fn begin_reading(&mut self, server: &Server) {
        let is_primary = self.shared.topology.load().primary == Some(server.node);
        self.replies.late = if is_primary { Late::Anything } else { self.begin.late };
    }

    /// It is over.
    #[inline]
    pub(super) fn end_reading(&mut self) {
        if self.begin.late != Late::Anything {
            (self.begin.first, self.begin.late, self.replies.late) = (None, Late::Anything, Late::Anything);
        }
    }
}

/// What keeps a session where it is, and is not refused by PostgreSQL in a read-only transaction.
const STAYS: Effects = Effects::HOLD_CURSOR
    .and(Effects::LISTEN)
    .and(Effects::ADVISORY_LOCK)
    .and(Effects::SQL_PREPARE)
    .and(Effects::SET_ROLE)
    .and(Effects::LOAD);

/// Even for the transaction only.
fn takes_lock(class: Class, text: &[u8]) -> bool {
    class.reason == Reason::WritingFunction && text.windows(8).any(|word| word.eq_ignore_ascii_case(b"advisory"))
}

/// What a standby may do, and should not: the rest it does well, or refuses.
fn is_the_primarys(class: Class) -> bool {
    matches!(
        class.reason,
        Reason::WritingFunction
            | Reason::UnknownFunction
            | Reason::VolatileFunction
            | Reason::UnknownOperator
            | Reason::UnknownType
            | Reason::Procedure
            | Reason::DataChange
    )
}
