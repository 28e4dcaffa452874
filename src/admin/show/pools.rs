//! `SHOW POOLS`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::admin::Dialect;
use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Int4, Text};
use crate::admin::table::{Column, Value, row};
use crate::client::registry::{ClientEntry, ClientState};
use crate::cluster::NodeId;

pub const POOLS: &[Column] = &[
    ("database", Text),
    ("user", Text),
    ("cl_active", Int4),
    ("cl_waiting", Int4),
    ("cl_active_cancel_req", Int4),
    ("cl_waiting_cancel_req", Int4),
    ("sv_active", Int4),
    ("sv_active_cancel", Int4),
    ("sv_being_canceled", Int4),
    ("sv_idle", Int4),
    ("sv_used", Int4),
    ("sv_tested", Int4),
    ("sv_login", Int4),
    ("maxwait", Int4),
    ("maxwait_us", Int4),
    ("pool_mode", Text),
    ("load_balance_hosts", Text),
    // ours
    ("node", Text),
    ("role", Text),
];

/// Database, user, and the node; none for clients that have no server at the moment.
type Key<'a> = (&'a str, &'a str, Option<NodeId>);

#[derive(Default)]
struct Row {
    cl_active: usize,
    cl_waiting: usize,
    sv_active: usize,
    sv_idle: usize,
    sv_login: usize,
    max_wait: Duration,
    mode: Option<&'static str>,
}

/// One row per database, user and node, and one without a node for the idle clients of a database and user.
/// PgBouncer knows no nodes, and its exporter fails when two rows have the same database and user: in its dialect a row
/// sums over the nodes.
pub fn pools(dialect: Dialect, snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let mut rows: BTreeMap<Key<'_>, Row> = BTreeMap::new();
    let node_of = |node: NodeId| (dialect == Dialect::Pgherd).then_some(node);
    for pool in &snapshot.pools {
        let row = rows.entry((&pool.key.database, &pool.key.user, node_of(pool.key.node))).or_default();
        row.cl_waiting += pool.waiting;
        row.sv_active += pool.active;
        row.sv_idle += pool.idle;
        row.sv_login += pool.connecting;
        row.max_wait = row.max_wait.max(pool.max_wait);
        row.mode = Some(pool.mode.as_str());
    }
    let nodes: BTreeMap<u64, NodeId> = snapshot.servers.iter().map(|server| (server.id, server.node)).collect();
    for client in &snapshot.clients {
        // Those that wait are in the pools' own count.
        if client.state() != ClientState::Waiting && !Dialect::is_console(&client.database) {
            let node = server_of(client).and_then(|id| nodes.get(&id).copied()).and_then(node_of);
            rows.entry((&client.database, &client.user, node)).or_default().cl_active += 1;
        }
    }
    rows.into_iter().map(|(key, pool)| pool_row(snapshot, key, &pool)).collect()
}

fn server_of(client: &ClientEntry) -> Option<u64> {
    let id = client.server_id.load(std::sync::atomic::Ordering::Relaxed);
    (id != 0).then_some(id)
}

fn pool_row(snapshot: &Snapshot, (database, user, node): Key<'_>, pool: &Row) -> Vec<Value> {
    row![
        database,
        user,
        pool.cl_active,
        pool.cl_waiting,
        0u32,
        0u32,
        pool.sv_active,
        0u32,
        0u32,
        pool.sv_idle,
        0u32,
        0u32,
        pool.sv_login,
        pool.max_wait.as_secs(),
        pool.max_wait.subsec_micros(),
        pool.mode.unwrap_or(snapshot.config.pool.mode.as_str()),
        super::inventory::load_balance(snapshot),
        node.map(|node| snapshot.node_name(node)),
        node.map(|node| snapshot.node_role(node)),
    ]
}
