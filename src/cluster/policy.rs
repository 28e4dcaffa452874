//! What the operator wants of reads: how far a standby may be behind, and who takes how many of them.

use std::time::{Duration, Instant};

use super::node::NodeId;
use crate::config::Config;

/// A node that comes back begins with this part of its weight (routing.slow_start), in percent.
const FIRST_PERCENT: u32 = 10;

/// Zero: no limit, no slow start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub max_lag: Duration,
    pub max_lag_bytes: u64,
    pub slow_start: Duration,
    /// Of the primary, beside the standbys.
    pub primary_weight: u32,
    /// Standbys of this zone come first.
    pub zone: String,
    /// In the order of the nodes; who is missing has the default.
    pub shares: Vec<Share>,
    /// How often nodes are asked at least.
    pub probe_interval: Duration,
}

/// A node's, of the reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    pub weight: u32,
    pub zone: String,
}

// === impl Policy ===

impl Policy {
    /// For nodes of these names, in this order: what a reload says of them counts.
    pub fn of<'a>(config: &Config, names: impl Iterator<Item = &'a str>) -> Self {
        let routing = &config.routing;
        let share = |name: &str| {
            let node = config.nodes.iter().find(|node| node.name == name);
            node.map_or_else(Share::default, |node| Share { weight: node.weight, zone: node.zone.clone() })
        };
        Self {
            max_lag: routing.max_lag,
            max_lag_bytes: routing.max_lag_bytes as u64,
            slow_start: routing.slow_start,
            primary_weight: routing.primary_weight,
            zone: routing.zone.clone(),
            shares: names.map(share).collect(),
            probe_interval: config.monitor.interval,
        }
    }

    pub(super) fn share(&self, node: NodeId) -> Share {
        self.shares.get(usize::from(node.0)).cloned().unwrap_or_default()
    }

    /// Of a node of this zone the others need not be asked.
    pub(super) fn is_near(&self, share: &Share) -> bool {
        self.zone.is_empty() || self.zone == share.zone
    }

    /// What there is of `weight` at `now`, when the node came back at `since`.
    pub(super) fn grown(&self, weight: u32, since: Option<Instant>, now: Instant) -> u32 {
        let Some(since) = since.filter(|since| now < *since + self.slow_start) else { return weight };
        let (whole, passed) = (self.slow_start.as_millis().max(1), now.saturating_duration_since(since).as_millis());
        let percent = u32::try_from(passed * 100 / whole).unwrap_or(100).max(FIRST_PERCENT);
        (weight * percent / 100).max(weight.min(1))
    }
}

// === impl Share ===

impl Default for Share {
    fn default() -> Self {
        Self { weight: 100, zone: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_comes_back_begins_with_a_tenth() {
        let policy = Policy { slow_start: Duration::from_secs(10), ..Policy::default() };
        let start = Instant::now();
        let at = |ms| policy.grown(200, Some(start), start + Duration::from_millis(ms));
        let weights: Vec<u32> = [0, 500, 1000, 2500, 5000, 9999, 10_000, 99_000].into_iter().map(at).collect();
        assert_eq!(weights, [20, 20, 20, 50, 100, 198, 200, 200]);
        assert_eq!(policy.grown(200, None, start), 200);
        assert_eq!((policy.grown(1, Some(start), start), policy.grown(0, Some(start), start)), (1, 0));
        assert_eq!(Policy::default().grown(200, Some(start), start), 200, "off");
    }
}
