//! `SHOW STANDBYS`: who gets how many of the reads, and why not more.

use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Boolean, Int4, Int8, Text};
use crate::admin::table::{Column, Value, row};
use crate::cluster::{Node, Role};

pub const STANDBYS: &[Column] = &[
    ("name", Text),
    ("reads", Boolean),
    ("no_reads", Text),
    ("share_percent", Int4),
    ("weight", Int4),
    ("zone", Text),
    ("near", Boolean),
    ("servers_active", Int4),
    ("queries", Int8),
    ("lag_bytes", Int8),
    ("lag_ms", Int8),
    ("caught_up_ms", Int8),
    ("replay_paused", Boolean),
    ("heard_ms", Int8),
    ("upstream", Text),
];

/// Every node that is not the primary.
pub fn standbys(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let others = snapshot.topology.nodes.iter().filter(|node| node.role != Role::Primary);
    others.map(|node| standby_row(snapshot, node)).collect()
}

fn standby_row(snapshot: &Snapshot, node: &Node) -> Vec<Value> {
    let topology = &snapshot.topology;
    let seen = node.observation.as_ref();
    let reads = topology.standbys.contains(&node.id);
    let why = node.no_reads.as_deref().or(node.health.reason()).or(node.warning.as_deref());
    let counted = snapshot.counted.iter().filter(|counted| counted.key.node == node.id);
    let active: usize = snapshot.pools.iter().filter(|pool| pool.key.node == node.id).map(|pool| pool.active).sum();
    row![
        node.name.as_str(),
        Value::Boolean(reads),
        why.filter(|_| !reads),
        (topology.share_of(node.id) * 100.0).round() as u64,
        node.weight,
        Some(node.zone.as_str()).filter(|zone| !zone.is_empty()),
        Value::Boolean(node.is_near),
        active,
        counted.map(|counted| counted.totals.queries).sum::<u64>(),
        node.lag_bytes,
        node.lag_ms,
        node.caught_up_at.map(|at| snapshot.now.saturating_duration_since(at).as_millis() as u64),
        seen.map_or(Value::Null, |seen| Value::Boolean(seen.is_replay_paused)),
        seen.and_then(|seen| seen.heard_ms),
        node.upstream.map(|upstream| snapshot.node_name(upstream)),
    ]
}
