//! `routing.transactions = "read_first"`: a transaction that says nothing of itself begins on a standby if its first statement
//! reads, and stays there. Once it must write it fails (40001); when it is tried again it begins on the primary, like all that
//! begin with a statement of that shape.

use super::Session;
use crate::config::Transactions;
use crate::server::Server;
use crate::sql::{Class, Reason};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame;
use crate::wire::frontend;

impl Session {
    /// Whether the statement at the front begins a transaction on a standby.
    pub(super) fn begins_by_reading(&mut self) -> bool {
        if self.config.routing.transactions != Transactions::ReadFirst {
            return false;
        }
        let Some(text) = self.statement_at_front() else { return false };
        if self.worker.classes().begins_writer(text) {
            return false;
        }
        let text = Box::from(text);
        self.begin.first = Some(text);
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
    /// on the primary (an advisory lock).
    #[inline]
    pub(super) fn writes_late(&mut self, class: Class) -> Option<PgError> {
        (self.replies.reads_first && is_the_primarys(class)).then(|| self.learn_writer())
    }

    /// A standby has refused to write, or will: what the client is told.
    #[cold]
    pub(super) fn learn_writer(&mut self) -> PgError {
        if let Some(text) = &self.begin.first {
            self.worker.classes().learn_writer(text);
        }
        PgError::error(sqlstate::SERIALIZATION_FAILURE, "the transaction began on a standby, where it cannot write")
            .with_hint("Retry it: the next one that begins like this begins on the primary (routing.transactions).")
    }

    /// The transaction begins on `server`.
    pub(super) fn begin_reading(&mut self, server: &Server) {
        self.replies.reads_first =
            self.begin.first.is_some() && self.shared.topology.load().primary != Some(server.node);
    }

    /// It is over.
    #[inline]
    pub(super) fn end_reading(&mut self) {
        if self.begin.first.is_some() {
            (self.begin.first, self.replies.reads_first) = (None, false);
        }
    }
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
