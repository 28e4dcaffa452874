//! Where a request goes. Pure.

use crate::cluster::{NodeId, Topology};
use crate::sql::Class;

/// Of a session's transaction, as ReadyForQuery told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxStatus {
    Idle,
    InTransaction,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Primary(NodeId),
    Standby(NodeId),
    Stay,
    Hold { reason: String },
}

/// `class`: `None` = must go to the primary. `load`: servers at work on a node. `tick`: for round robin.
pub fn route(
    class: Option<&Class>,
    topology: &Topology,
    split: bool,
    load: impl Fn(NodeId) -> usize,
    tick: usize,
) -> Target {
    if split && class.is_some_and(|class| class.is_read()) {
        let count = topology.standbys.len().max(1);
        let standbys = (0..topology.standbys.len()).map(|at| topology.standbys[(at + tick) % count]);
        if let Some(standby) = standbys.min_by_key(|node| load(*node)) {
            return Target::Standby(standby);
        }
    }
    match topology.primary {
        Some(primary) => Target::Primary(primary),
        None => Target::Hold { reason: topology.no_primary_because.clone().unwrap_or_default() },
    }
}
