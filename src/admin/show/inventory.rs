//! `SHOW DATABASES`, `SHOW USERS`, `SHOW LISTS`, `SHOW MEM`: what there is, and how much of it.

use std::collections::BTreeSet;

use crate::admin::Dialect;
use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Int4, Text};
use crate::admin::table::{Column, Value, row};
use crate::client::registry::ClientEntry;
use crate::pool::PoolSnapshot;
use crate::server::ServerEntry;

pub const DATABASES: &[Column] = &[
    ("name", Text),
    ("host", Text),
    ("port", Int4),
    ("database", Text),
    ("force_user", Text),
    ("pool_size", Int4),
    ("min_pool_size", Int4),
    ("reserve_pool_size", Int4),
    ("server_lifetime", Int4),
    ("pool_mode", Text),
    ("load_balance_hosts", Text),
    ("max_connections", Int4),
    ("current_connections", Int4),
    ("max_client_connections", Int4),
    ("current_client_connections", Int4),
    ("paused", Int4),
    ("disabled", Int4),
];

pub const USERS: &[Column] = &[
    ("name", Text),
    ("pool_size", Int4),
    ("reserve_pool_size", Int4),
    ("pool_mode", Text),
    ("max_user_connections", Int4),
    ("current_connections", Int4),
    ("max_user_client_connections", Int4),
    ("current_client_connections", Int4),
];

pub const LISTS: &[Column] = &[("list", Text), ("items", Int4)];

pub const MEM: &[Column] = &[("name", Text), ("size", Int4), ("used", Int4), ("free", Int4), ("memtotal", Int4)];

/// Databases that have a pool or a client: the proxy serves any, and learns of them as they are used.
pub fn databases(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let primary = snapshot.topology.primary.and_then(|id| snapshot.node(id));
    let pool = &snapshot.config.pool;
    let row = |name: &str| {
        let servers = snapshot.servers.iter().filter(|server| server.database == name).count();
        let clients = snapshot.clients.iter().filter(|client| *client.database == *name).count();
        row![
            name,
            primary.map(|node| node.host.as_str()),
            primary.map(|node| node.port),
            name,
            None::<String>,
            pool.size,
            pool.min_size,
            0u32,
            pool.lifetime.as_secs(),
            pool.mode.as_str(),
            load_balance(snapshot),
            0u32,
            servers,
            0u32,
            clients,
            u32::from(snapshot.closed.is_paused(name)),
            u32::from(snapshot.closed.is_disabled(name)),
        ]
    };
    database_names(snapshot).into_iter().map(row).collect()
}

/// Users of the configuration, of pools and of clients.
pub fn users(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let row = |name: &str| {
        let servers = snapshot.servers.iter().filter(|server| server.user == name).count();
        let clients = snapshot.clients.iter().filter(|client| *client.user == *name).count();
        row![name, None::<u32>, None::<u32>, None::<String>, 0u32, servers, 0u32, clients]
    };
    user_names(snapshot).into_iter().map(row).collect()
}

pub fn lists(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let clients = snapshot.clients.len();
    let servers = snapshot.servers.len();
    let max_servers: usize = snapshot.config.nodes.iter().map(|node| node.max_servers).sum();
    let pools: BTreeSet<(&str, &str)> = snapshot.pools.iter().map(|p| (&*p.key.database, &*p.key.user)).collect();
    vec![
        row!["databases", database_names(snapshot).len()],
        row!["users", user_names(snapshot).len()],
        row!["peers", 0u32],
        row!["pools", pools.len()],
        row!["peer_pools", 0u32],
        row!["free_clients", snapshot.config.limits.max_clients.saturating_sub(clients)],
        row!["used_clients", clients],
        row!["login_clients", 0u32],
        row!["free_servers", max_servers.saturating_sub(servers)],
        row!["used_servers", servers],
        row!["dns_names", 0u32],
        row!["dns_zones", 0u32],
        row!["dns_queries", 0u32],
        row!["dns_pending", 0u32],
    ]
}

/// The registries, and what the system says of the whole process.
pub fn mem(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let sized = |name: &str, size: usize, used: usize| row![name, size, used, 0u32, size * used];
    let process = snapshot.resident_bytes.map(|bytes| row!["process_resident", bytes, 1u32, 0u32, bytes]);
    let mut rows = vec![
        sized("client_entries", size_of::<ClientEntry>(), snapshot.clients.len()),
        sized("server_entries", size_of::<ServerEntry>(), snapshot.servers.len()),
        sized("pools", size_of::<PoolSnapshot>(), snapshot.pools.len()),
    ];
    rows.extend(process);
    rows
}

/// PgBouncer's word for how reads are spread over several hosts.
pub(super) fn load_balance(snapshot: &Snapshot) -> &'static str {
    if snapshot.config.routing.split { "round-robin" } else { "disable" }
}

fn database_names(snapshot: &Snapshot) -> BTreeSet<&str> {
    let pools = snapshot.pools.iter().map(|pool| &*pool.key.database);
    let clients = snapshot.clients.iter().map(|client| &*client.database);
    pools.chain(clients).chain(snapshot.closed.names()).filter(|name| !Dialect::is_console(name)).collect()
}

fn user_names(snapshot: &Snapshot) -> BTreeSet<&str> {
    let configured = snapshot.config.users.iter().map(|user| user.name.as_str());
    let pools = snapshot.pools.iter().map(|pool| &*pool.key.user);
    let clients = snapshot.clients.iter().map(|client| &*client.user);
    configured.chain(pools).chain(clients).collect()
}
