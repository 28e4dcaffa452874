//! Which of the nodes that fit takes a read: of two drawn by their weights, the one that is less busy for its weight.
//!
//! Two are enough: the less busy of two spreads the load nearly as well as the least busy of all, and nobody is run over by
//! everybody at once. Being busy is no reason to pass a node over where none is less so: overload is not failure.

use crate::cluster::{NodeId, Topology};

/// Some nodes, by their numbers. (A configuration has at most 64.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nodes(u64);

// === impl Nodes ===

impl Nodes {
    pub(super) fn of(ids: impl Iterator<Item = NodeId>) -> Self {
        ids.fold(Self::default(), Self::with)
    }

    #[must_use]
    pub(super) fn with(self, id: NodeId) -> Self {
        Self(self.0 | 1_u64.checked_shl(id.0.into()).unwrap_or(0))
    }

    #[must_use]
    fn without(self, id: NodeId) -> Self {
        Self(self.0 & !1_u64.checked_shl(id.0.into()).unwrap_or(0))
    }

    pub(super) fn has(self, id: NodeId) -> bool {
        self.0 & 1_u64.checked_shl(id.0.into()).unwrap_or(0) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn ids(self) -> impl Iterator<Item = NodeId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let id = (rest != 0).then(|| NodeId(rest.trailing_zeros() as u16))?;
            rest &= rest - 1;
            Some(id)
        })
    }

    /// Those of our zone, or all of them if none is.
    #[must_use]
    pub(super) fn nearest(self, topology: &Topology) -> Self {
        let near = Self::of(self.ids().filter(|id| topology.node(*id).is_near));
        if near.is_empty() { self } else { near }
    }
}

/// One of `nodes`. `tick`: another number for each call.
pub(super) fn draw(nodes: Nodes, topology: &Topology, load: impl Fn(NodeId) -> usize, tick: usize) -> Option<NodeId> {
    // The weight of a standby that gets reads is never 0; to be sure that whoever is alone gets them.
    let weight = |id| u64::from(topology.node(id).weight.max(1));
    let total: u64 = nodes.ids().map(weight).sum();
    let random = mixed(tick as u64);
    let pick = |nodes: Nodes, total: u64, random: u64| {
        let mut point = (random * total) >> 32;
        nodes.ids().find(|id| {
            let weight = weight(*id);
            let is_it = point < weight;
            point = point.saturating_sub(weight);
            is_it
        })
    };
    let first = pick(nodes, total, random & 0xFFFF_FFFF)?;
    let Some(second) = pick(nodes.without(first), total - weight(first), random >> 32) else { return Some(first) };
    // Where nobody is busy the weights alone decide; else the second one takes it if that leaves it no busier than the first
    // is already.
    let (busy, other) = (load(first) as u64, load(second) as u64 + 1);
    Some(if other * weight(first) <= busy * weight(second) { second } else { first })
}

/// SplitMix64: neighbouring numbers come out far apart.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
