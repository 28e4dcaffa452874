//! Where each statement went and why, counted: a few additions to counters of this worker's own.

use std::hash::BuildHasher;

use super::{Session, WorkerCell};
use crate::cluster::NodeId;
use crate::route::{TxStatus, Why};
use crate::sql::shapes::{Shape, Shapes, Went};
use crate::sql::{Cache, Class, Kind, Reason, Told};
use crate::wire::error::PgError;

/// What a session counts by.
pub(super) struct Counting {
    /// Why the request under way goes where it goes.
    pub(super) why: Why,
    /// Of the last statement, if it counts by one.
    last_shape: Option<Shape>,
    /// Tells this database's shapes from others'.
    salt: u64,
}

// === impl Counting ===

impl Counting {
    pub(super) fn new(database: &str) -> Self {
        let salt = foldhash::fast::FixedState::default().hash_one(database);
        Self { why: Why::NotClassified, last_shape: None, salt }
    }
}

// === impl Session ===

impl Session {
    /// What a statement is counted by; none: it is of no interest by itself (transaction control, SET).
    #[inline]
    pub(super) fn shape_of(&self, told: &Told, text: &[u8]) -> Option<Shape> {
        if !matches!(told.class.kind, Kind::Other | Kind::Several | Kind::Mixed) {
            return None;
        }
        Some(self.worker.shapes().of(text, told.alike, &self.database, self.counting.salt))
    }

    /// A statement is on its way to `node`.
    #[inline]
    pub(super) fn count_statement(&mut self, node: NodeId, class: Class, shape: Option<Shape>) {
        if matches!(class.kind, Kind::Own(_) | Kind::Empty) {
            return;
        }
        let is_primary = self.shared.topology.load().primary == Some(node);
        let went = if is_primary { Went::ToPrimary } else { Went::ToStandby };
        let why = told(self.counting.why, class, is_primary, self.reads.split && self.renames);
        self.worker.counts.count(shape, went, why.number());
        self.counting.last_shape = shape;
        if self.settings.wishes.notice.unwrap_or(self.config.routing.notice) {
            self.announce(node, went, why);
        }
        let is_read = class.is_read() || class.reason == Reason::Hint;
        if is_read && !class.kind.is_transaction_control() {
            let cell = self.cell();
            if is_primary { &cell.reads_on_primary } else { &cell.reads_on_standbys }.add(1);
        }
    }

    /// The client is told ahead of the answer.
    #[cold]
    fn announce(&mut self, node: NodeId, went: Went, why: Why) {
        let role = if went == Went::ToPrimary { "primary" } else { "standby" };
        let topology = self.shared.topology.load();
        let name = &topology.node(node).name;
        let text = format!("pgherd: {role} {name} ({}): {}", why.as_str(), why.explain());
        drop(topology);
        let notice = PgError { severity: "NOTICE".into(), ..PgError::error("00000", text) };
        self.replies.notices.push_back((self.replies.round(), notice));
    }

    /// The last statement is run again, for its standby could not.
    #[inline]
    pub(super) fn count_replay(&self) {
        self.worker.counts.replayed(self.counting.last_shape.unwrap_or_default());
    }

    /// The request at the front goes to the server at hand, without a choice.
    #[inline]
    pub(super) fn goes_along(&mut self) {
        let is_free = self.status == TxStatus::Idle && self.pin == crate::client::registry::Pin::None;
        self.counting.why = if is_free { Why::Along } else { Why::Held };
    }
}

// === impl WorkerCell ===

impl WorkerCell {
    pub(super) fn classes(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.classes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn random(&self) -> std::sync::MutexGuard<'_, crate::client::random::Random> {
        self.random.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn shapes(&self) -> std::sync::MutexGuard<'_, Shapes> {
        self.shapes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The reason to tell of one statement, where `routed` is that of its whole request.
fn told(routed: Why, class: Class, is_primary: bool, split: bool) -> Why {
    match routed {
        // It would have come there anyway.
        _ if is_primary && !class.fits_standby() => Why::Class(class.reason),
        Why::NotClassified if !split => Why::NotSplit,
        Why::NotClassified => Why::NoStandby,
        // The BEGIN ahead of it decided.
        Why::Class(Reason::TransactionControl | Reason::ReadOnlyTransaction) => routed,
        // Another statement of the request decided.
        Why::Class(reason) if reason != class.reason => Why::Along,
        why => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_told_its_own_reason() {
        let (read, write) = (Class::read(), Class::write(Reason::DataChange));
        for (routed, class, is_primary, split, expected) in [
            (Why::Class(Reason::PlainRead), read, false, true, Why::Class(Reason::PlainRead)),
            (Why::Class(Reason::TransactionControl), read, true, true, Why::Class(Reason::TransactionControl)),
            (Why::Class(Reason::ReadOnlyTransaction), read, false, true, Why::Class(Reason::ReadOnlyTransaction)),
            (Why::Held, write, true, true, Why::Class(Reason::DataChange)),
            (Why::Held, read, true, true, Why::Held),
            (Why::Class(Reason::DataChange), read, true, true, Why::Along),
            (Why::NotClassified, read, true, false, Why::NotSplit),
            (Why::NotClassified, read, true, true, Why::NoStandby),
            (Why::NotCaughtUp, read, true, true, Why::NotCaughtUp),
        ] {
            assert_eq!(told(routed, class, is_primary, split), expected, "{routed:?}");
        }
    }
}
