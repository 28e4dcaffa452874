//! One try to put a node in the primary's place.

use std::time::Instant;

use super::Guarded;
use crate::cluster::node::NodeId;
use crate::cluster::order::OrderId;

#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) cause: Cause,
    /// Whom the operator wants; `None`: whoever is fittest.
    pub(super) target: Option<NodeId>,
    pub(super) lost: Guarded,
    pub(super) begun: Instant,
    /// How often the standby had to catch up once more.
    pub(super) tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The primary is dead.
    Automatic,
    Switchover(OrderId),
    /// `FAILOVER TO`; with `force`, whatever may be lost.
    Failover {
        id: OrderId,
        force: bool,
    },
}

// === impl Attempt ===

impl Attempt {
    pub(super) fn automatic(lost: Guarded, begun: Instant) -> Self {
        Self { cause: Cause::Automatic, target: None, lost, begun, tries: 0 }
    }

    pub(super) fn order(&self) -> Option<OrderId> {
        match self.cause {
            Cause::Automatic => None,
            Cause::Switchover(id) | Cause::Failover { id, .. } => Some(id),
        }
    }

    pub(super) fn is_switchover(&self) -> bool {
        matches!(self.cause, Cause::Switchover(_))
    }

    pub(super) fn is_forced(&self) -> bool {
        matches!(self.cause, Cause::Failover { force: true, .. })
    }

    pub(super) fn word(&self) -> &'static str {
        if self.is_switchover() { "switchover" } else { "failover" }
    }
}
