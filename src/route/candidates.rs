//! Why each node would take a statement, or not: for people. `route` decides the same.

use super::choice::Nodes;
use super::{Need, Turn, need, reaches, readers, shows_writes};
use crate::cluster::{Health, Node, NodeId, Topology};
use crate::sql::Class;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub node: NodeId,
    /// Behind the primary.
    pub lag_bytes: Option<u64>,
    pub lag_ms: Option<u64>,
    /// Its share of the reads.
    pub weight: u32,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be the one.
    Fits,
    /// Down, refused, detached, or not known yet.
    NotServed,
    /// A standby that gets no reads: it lags, strays, or has no weight.
    NoReads,
    /// It was found unreachable for this request.
    Unreachable,
    /// It is not known to show what was written.
    NotCaughtUp,
    BelowMinLsn,
    /// Others stand in our zone.
    Far,
    /// Only the primary can do it.
    NotPrimary,
    /// The primary has no share of what standbys can do.
    Spared,
    /// The session is in the middle of something elsewhere.
    Held,
}

/// Every node, in the order of the configuration.
pub fn candidates(class: Option<&Class>, turn: &Turn, topology: &Topology, split: bool) -> Vec<Candidate> {
    let (need, _) = need(class, turn, split);
    let able = readers(turn, topology);
    let near = able.nearest(topology);
    let verdict = |id| match turn.holds_server() {
        true if turn.node == Some(id) => Verdict::Fits,
        true => Verdict::Held,
        false => judge(id, need, turn, topology, able, near),
    };
    let candidate = |node: &Node| Candidate {
        node: node.id,
        lag_bytes: node.lag_bytes,
        lag_ms: node.lag_ms,
        weight: node.weight,
        verdict: verdict(node.id),
    };
    topology.nodes.iter().map(candidate).collect()
}

fn judge(id: NodeId, need: Need, turn: &Turn, topology: &Topology, able: Nodes, near: Nodes) -> Verdict {
    let is_primary = topology.primary == Some(id);
    let needs_primary = match need {
        Need::Primary => true,
        Need::Anyone => topology.primary.is_some(),
        Need::Standby => able.is_empty() && topology.primary.is_some(),
    };
    match () {
        () if is_primary && needs_primary => Verdict::Fits,
        () if near.has(id) && need != Need::Primary && !needs_primary => Verdict::Fits,
        () if is_primary && able.has(id) => Verdict::Far,
        () if is_primary => Verdict::Spared,
        () if !topology.standbys.contains(&id) => match topology.node(id) {
            node if node.health == Health::Up && node.no_reads.is_some() => Verdict::NoReads,
            _ => Verdict::NotServed,
        },
        () if need != Need::Standby && needs_primary => Verdict::NotPrimary,
        () if turn.avoid.has(id) => Verdict::Unreachable,
        () if !shows_writes(topology, id, turn) => Verdict::NotCaughtUp,
        () if !reaches(topology, id, turn.min_lsn) => Verdict::BelowMinLsn,
        () => Verdict::Far,
    }
}

// === impl Verdict ===

impl Verdict {
    /// One word.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }

    /// For people; of a node that gets no reads `Node::no_reads` says more.
    pub fn explain(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Verdict::Fits => ("fits", "it may be the one"),
            Verdict::NotServed => ("not-served", "it is down, refused, detached, or not known yet"),
            Verdict::NoReads => ("no-reads", "it gets no reads"),
            Verdict::Unreachable => ("unreachable", "it could not be reached for this request"),
            Verdict::NotCaughtUp => ("not-caught-up", "it is not known to show yet what was written"),
            Verdict::BelowMinLsn => ("below-min-lsn", "it is not known to have reached pgherd.min_lsn"),
            Verdict::Far => ("far", "others stand in our zone (routing.zone)"),
            Verdict::NotPrimary => ("not-primary", "only the primary can do it"),
            Verdict::Spared => ("spared", "standbys can do it (routing.primary_weight)"),
            Verdict::Held => ("held", "the session is in the middle of something elsewhere"),
        }
    }
}
