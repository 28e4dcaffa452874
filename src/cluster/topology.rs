//! Who is what, at one moment: immutable, stamped with an epoch, published by the monitor only.

use std::time::Instant;

use super::node::{Health, NodeId, Observation, Role};
use super::status::Status;
use crate::config::{self, Config};

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
    /// Of the primary, and of what is done about it.
    pub status: Status,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub host: String,
    pub port: u16,
    pub role: Role,
    pub health: Health,
    /// What an operator should look at although the node counts as it does: it is full (53300), the monitor's login is
    /// refused, probes are failing but not yet often enough …
    pub warning: Option<String>,
    /// Standby: why it gets no reads although it is up.
    pub no_reads: Option<String>,
    /// Its share of the reads just now, beside the others'; 0: none.
    pub weight: u32,
    /// `[[node]] zone`, and whether `routing.zone` has it come first.
    pub zone: String,
    pub is_near: bool,
    /// The last successful probe's answer, kept while the node is down.
    pub observation: Option<Observation>,
    pub upstream: Option<NodeId>,
    /// Behind the primary: WAL it had written when this node told last, and that is not replayed here; and for how long at
    /// least some of it was there.
    pub lag_bytes: Option<u64>,
    pub lag_ms: Option<u64>,
    /// Standby: whatever the primary had acknowledged by then is visible here.
    pub caught_up_at: Option<Instant>,
}

/// Before anything is known: each configured node `Starting`, no primary, epoch 0.
pub fn initial_topology(config: &Config) -> Topology {
    Topology::unknown(&config.nodes)
}

// === impl Topology ===

impl Topology {
    /// Before anything is known of these nodes.
    pub fn unknown(nodes: &[config::Node]) -> Self {
        Self {
            epoch: 0,
            system_identifier: None,
            nodes: (0u16..).zip(nodes).map(|(index, node)| Node::unknown(NodeId(index), node)).collect(),
            primary: None,
            standbys: Vec::new(),
            no_primary_because: Some("no node was asked yet".into()),
            status: Status::default(),
        }
    }

    /// The part of the reads that a node gets now, where all that get any are as good; 0 to 1. Without a standby the primary
    /// gets them all.
    pub fn share_of(&self, id: NodeId) -> f64 {
        let readers = || {
            let primary = self.primary.filter(|id| self.node(*id).weight > 0 || self.standbys.is_empty());
            self.standbys.iter().copied().chain(primary)
        };
        let is_near = readers().any(|id| self.node(id).is_near);
        let weight = |id: NodeId| match self.node(id) {
            node if node.is_near || !is_near => f64::from(node.weight.max(1)),
            _ => 0.0,
        };
        if readers().any(|reader| reader == id) { weight(id) / readers().map(weight).sum::<f64>() } else { 0.0 }
    }

    /// The nodes that answered by `before`, and do not any more.
    pub fn gone_since(&self, before: &Self) -> Vec<NodeId> {
        let is_down = |node: &Node| matches!(node.health, Health::Down(_));
        let both = self.nodes.iter().zip(&before.nodes);
        both.filter(|(now, before)| is_down(now) && !is_down(before)).map(|(now, _)| now.id).collect()
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id.0)]
    }
}

// === impl Node ===

impl Node {
    /// It is a standby that has a WAL receiver, as it told last.
    pub(super) fn streams(&self) -> bool {
        self.observation.as_ref().is_some_and(|told| told.in_recovery && told.has_receiver)
    }

    /// A node nobody has asked yet.
    pub fn unknown(id: NodeId, node: &config::Node) -> Self {
        Self {
            id,
            name: node.name.clone(),
            host: node.host.clone(),
            port: node.port,
            role: Role::Unknown,
            health: Health::Starting,
            warning: None,
            no_reads: None,
            weight: 0,
            zone: node.zone.clone(),
            is_near: true,
            observation: None,
            upstream: None,
            lag_bytes: None,
            caught_up_at: None,
            lag_ms: None,
        }
    }
}
