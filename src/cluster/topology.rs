//! Who is what, at one moment: immutable, stamped with an epoch, published by the monitor only.

use super::node::{Health, NodeId, Observation, Role};

#[derive(Clone, Debug)]
pub struct Topology {
    /// Rises by one whenever a role, a health or the primary changes (not with each LSN).
    pub epoch: u64,
    /// The cluster's system identifier, once a node has told it.
    pub system_identifier: Option<u64>,
    /// In the order of the configuration: `nodes[id.0]`.
    pub nodes: Vec<Node>,
    /// The one node that gets writes, if any is fit.
    pub primary: Option<NodeId>,
    /// The nodes fit for reads: up, standby, of this cluster. In node order.
    pub standbys: Vec<NodeId>,
    /// Why there is no primary (in words), when there is none.
    pub no_primary_because: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub host: String,
    pub port: u16,
    pub role: Role,
    pub health: Health,
    /// The last successful probe's answer, kept while the node is down.
    pub observation: Option<Observation>,
    pub upstream: Option<NodeId>,
    /// Behind the primary's write position, in bytes (replayed), and in ms.
    pub lag_bytes: Option<u64>,
    pub lag_ms: Option<u64>,
}

// === impl Topology ===

impl Topology {
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id.0)]
    }
}
