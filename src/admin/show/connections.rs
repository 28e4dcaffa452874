//! `SHOW CLIENTS` and `SHOW SERVERS`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Int4, Text};
use crate::admin::table::{Column, Value, row};
use crate::client::registry::{ClientEntry, ClientState};
use crate::server::ServerEntry;

pub const CLIENTS: &[Column] = &[
    ("type", Text),
    ("user", Text),
    ("database", Text),
    ("replication", Text),
    ("state", Text),
    ("addr", Text),
    ("port", Int4),
    ("local_addr", Text),
    ("local_port", Int4),
    ("connect_time", Text),
    ("request_time", Text),
    ("wait", Int4),
    ("wait_us", Int4),
    ("close_needed", Int4),
    ("ptr", Text),
    ("link", Text),
    ("remote_pid", Int4),
    ("tls", Text),
    ("application_name", Text),
    ("prepared_statements", Int4),
    ("id", Int4),
    // ours
    ("pin", Text),
    ("route", Text),
    ("node", Text),
];

pub const SERVERS: &[Column] = &[
    ("type", Text),
    ("user", Text),
    ("database", Text),
    ("replication", Text),
    ("state", Text),
    ("addr", Text),
    ("port", Int4),
    ("local_addr", Text),
    ("local_port", Int4),
    ("connect_time", Text),
    ("request_time", Text),
    ("wait", Int4),
    ("wait_us", Int4),
    ("close_needed", Int4),
    ("ptr", Text),
    ("link", Text),
    ("remote_pid", Int4),
    ("tls", Text),
    ("application_name", Text),
    ("prepared_statements", Int4),
    ("id", Int4),
    // ours
    ("node", Text),
    ("role", Text),
];

pub fn clients(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let servers: BTreeMap<u64, &Arc<ServerEntry>> = snapshot.servers.iter().map(|server| (server.id, server)).collect();
    let row = |client: &Arc<ClientEntry>| {
        let server = servers.get(&client.server_id.load(Relaxed)).copied();
        client_row(snapshot, client, server)
    };
    snapshot.clients.iter().map(row).collect()
}

fn client_row(snapshot: &Snapshot, client: &ClientEntry, server: Option<&Arc<ServerEntry>>) -> Vec<Value> {
    let waits = client.state() == ClientState::Waiting;
    let wait = snapshot.since(if waits { client.waiting_since_us.load(Relaxed) } else { 0 });
    row![
        "C",
        &*client.user,
        &*client.database,
        replication(client.replication.as_deref()),
        client.state().as_str(),
        address(client.addr),
        client.addr.port(),
        address(client.local_addr),
        client.local_addr.port(),
        client.connected_at,
        request_time(snapshot, client.request_at_us.load(Relaxed), client.connected_at),
        wait.as_secs(),
        wait.subsec_micros(),
        u32::from(client.kick.is_set_at_all()),
        format!("c{}", client.id),
        server.map_or(String::new(), |server| format!("s{}", server.id)),
        client.process_id.unsigned_abs(),
        "",
        &*client.application_name,
        client.prepared_statements.load(Relaxed),
        client.id,
        client.pin().as_str(),
        server.map(|server| snapshot.node_role(server.node)),
        server.map(|server| snapshot.node_name(server.node)),
    ]
}

pub fn servers(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let clients: BTreeMap<u64, &Arc<ClientEntry>> = snapshot.clients.iter().map(|client| (client.id, client)).collect();
    let row = |server: &Arc<ServerEntry>| {
        let client = clients.get(&server.client_id.load(Relaxed)).copied();
        server_row(snapshot, server, client)
    };
    snapshot.servers.iter().map(row).collect()
}

fn server_row(snapshot: &Snapshot, server: &ServerEntry, client: Option<&Arc<ClientEntry>>) -> Vec<Value> {
    row![
        "S",
        server.user.as_str(),
        server.database.as_str(),
        replication(client.and_then(|client| client.replication.as_deref())),
        server.state().as_str(),
        address(server.addr),
        server.addr.port(),
        address(server.local_addr),
        server.local_addr.port(),
        server.connected_at,
        request_time(snapshot, server.request_at_us.load(Relaxed), server.connected_at),
        0u32,
        0u32,
        u32::from(server.is_stale()),
        format!("s{}", server.id),
        client.map_or(String::new(), |client| format!("c{}", client.id)),
        server.process_id.unsigned_abs(),
        "",
        client.map_or("", |client| &client.application_name),
        server.prepared_statements.load(Relaxed),
        server.id,
        snapshot.node_name(server.node),
        snapshot.node_role(server.node),
    ]
}

fn address(address: SocketAddr) -> String {
    address.ip().to_canonical().to_string()
}

/// As PgBouncer does, a connection that made no request yet shows when it came.
fn request_time(snapshot: &Snapshot, mark_us: u64, connected_at: SystemTime) -> SystemTime {
    if mark_us == 0 { connected_at } else { snapshot.at(mark_us) }
}

/// PgBouncer's words for the startup parameter.
fn replication(parameter: Option<&str>) -> &'static str {
    match parameter.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "0" | "off" | "no" | "false" | "f" | "n") => "none",
        Some("database") => "logical",
        Some(_) => "physical",
    }
}
