//! `SHOW NODES` and PgPool-II's `SHOW POOL_NODES`.

use super::advice;
use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Int4, Int8, Text};
use crate::admin::table::{Column, Value, row};
use crate::cluster::{Health, Node, NodeId, Role};

pub const NODES: &[Column] = &[
    ("name", Text),
    ("host", Text),
    ("port", Int4),
    ("role", Text),
    ("state", Text),
    ("reason", Text),
    ("upstream", Text),
    ("timeline", Int4),
    ("received_lsn", Text),
    ("replayed_lsn", Text),
    ("lag_bytes", Int8),
    ("lag_ms", Int8),
    ("system_identifier", Text),
    ("version", Text),
    ("servers_active", Int4),
    ("servers_idle", Int4),
    ("round_trip_us", Int8),
    ("last_probe", Int4),
    ("epoch", Int8),
    ("advice", Text),
    ("weight", Int4),
    ("zone", Text),
    ("no_reads", Text),
];

/// As PgPool-II 4.x names them; all text there, too.
pub const POOL_NODES: &[Column] = &[
    ("node_id", Text),
    ("hostname", Text),
    ("port", Text),
    ("status", Text),
    ("pg_status", Text),
    ("lb_weight", Text),
    ("role", Text),
    ("pg_role", Text),
    ("select_cnt", Text),
    ("load_balance_node", Text),
    ("replication_delay", Text),
    ("replication_state", Text),
    ("replication_sync_state", Text),
    ("last_status_change", Text),
];

pub fn nodes(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    snapshot.topology.nodes.iter().map(|node| node_row(snapshot, node)).collect()
}

fn node_row(snapshot: &Snapshot, node: &Node) -> Vec<Value> {
    let seen = node.observation.as_ref();
    let (active, idle) = servers(snapshot, node.id);
    row![
        node.name.as_str(),
        node.host.as_str(),
        node.port,
        node.role.as_str(),
        advice::state(&snapshot.topology, node),
        node.health.reason().or(node.warning.as_deref()),
        node.upstream.map(|upstream| snapshot.node_name(upstream)),
        seen.map(|seen| seen.timeline),
        seen.and_then(|seen| seen.received).map(|lsn| lsn.to_string()),
        seen.and_then(|seen| seen.replayed).map(|lsn| lsn.to_string()),
        node.lag_bytes,
        node.lag_ms,
        seen.map(|seen| seen.system_identifier.to_string()),
        seen.map(|seen| seen.version.as_str()),
        active,
        idle,
        seen.map(|seen| seen.round_trip_us),
        seen.map(|seen| snapshot.now.saturating_duration_since(seen.at).as_secs()),
        snapshot.topology.epoch,
        advice::of(&snapshot.topology, node),
        node.weight,
        Some(node.zone.as_str()).filter(|zone| !zone.is_empty()),
        node.no_reads.as_deref(),
    ]
}

/// Servers of the node that are lent, and idle ones, over all pools.
fn servers(snapshot: &Snapshot, id: NodeId) -> (usize, usize) {
    let pools = snapshot.pools.iter().filter(|pool| pool.key.node == id);
    pools.fold((0, 0), |(active, idle), pool| (active + pool.active, idle + pool.idle))
}

pub fn pool_nodes(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    snapshot.topology.nodes.iter().map(|node| pool_node_row(snapshot, node)).collect()
}

fn pool_node_row(snapshot: &Snapshot, node: &Node) -> Vec<Value> {
    let status = match &node.health {
        // As PgPool-II has it: out of its reach, however PostgreSQL is.
        Health::Up if snapshot.topology.status.detached.contains(&node.id) => "down",
        Health::Starting => "waiting",
        Health::Up => "up",
        Health::Down(_) => "down",
        Health::Refused(_) => "quarantine",
    };
    let pg_status = match &node.health {
        Health::Starting => "unknown",
        Health::Up | Health::Refused(_) => "up",
        Health::Down(_) => "down",
    };
    let pg_role =
        node.observation.as_ref().map_or("unknown", |seen| if seen.in_recovery { "standby" } else { "primary" });
    let queries: u64 = snapshot.counted.iter().filter(|c| c.key.node == node.id).map(|c| c.totals.queries).sum();
    let weight = read_weight(snapshot, node.id);
    let streaming = node.role == Role::Standby && node.upstream.is_some();
    row![
        node.id.0.to_string(),
        node.host.as_str(),
        node.port.to_string(),
        status,
        pg_status,
        format!("{weight:.6}"),
        node.role.as_str(),
        pg_role,
        queries.to_string(),
        if weight > 0.0 { "true" } else { "false" },
        node.lag_bytes.unwrap_or(0).to_string(),
        if streaming { "streaming" } else { "" },
        "",
        None::<String>,
    ]
}

/// The node's share of the reads.
fn read_weight(snapshot: &Snapshot, id: NodeId) -> f64 {
    let topology = &snapshot.topology;
    match snapshot.config.routing.split {
        true => topology.share_of(id),
        false if topology.primary == Some(id) => 1.0,
        false => 0.0,
    }
}
