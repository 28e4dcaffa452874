//! [`Snapshot`] → one sample per series. A value nobody knows (the lag of a node never reached) is no sample.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::show;
use super::snapshot::{Counted, Snapshot};
use crate::cluster::status::State;
use crate::cluster::{Health, Node};
use crate::pool::{PoolKey, PoolSnapshot};
use crate::route::Why;
use crate::version;

/// Name and value, in a fixed order per family.
pub type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Only rises.
    Count(u64),
    Gauge(f64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub family: Family,
    pub labels: Labels,
    pub value: Value,
}

pub fn samples(snapshot: &Snapshot) -> Vec<Sample> {
    let mut out = Samples(Vec::new());
    process(snapshot, &mut out);
    failover(snapshot, &mut out);
    clients(snapshot, &mut out);
    snapshot.topology.nodes.iter().for_each(|seen| node(snapshot, seen, &mut out));
    routed(snapshot, &mut out);
    snapshot.pools.iter().for_each(|seen| pool(snapshot, seen, &mut out));
    snapshot.counted.iter().for_each(|counted| counts(snapshot, counted, &mut out));
    out.0
}

/// The labels of everything that is counted per pool.
pub fn pool_labels(snapshot: &Snapshot, key: &PoolKey) -> Labels {
    vec![
        ("node", snapshot.node_name(key.node).to_owned()),
        ("role", snapshot.node_role(key.node).to_owned()),
        ("database", key.database.to_string()),
        ("user", key.user.to_string()),
    ]
}

struct Samples(Vec<Sample>);

// === impl Samples ===

impl Samples {
    fn count(&mut self, name: &'static str, help: &'static str, labels: Labels, count: u64) {
        self.0.push(Sample { family: Family { name, help }, labels, value: Value::Count(count) });
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, labels: Labels, value: f64) {
        self.0.push(Sample { family: Family { name, help }, labels, value: Value::Gauge(value) });
    }
}

fn process(snapshot: &Snapshot, out: &mut Samples) {
    let build = vec![("version", version::VERSION.to_owned()), ("git", version::GIT_HASH.to_owned())];
    out.gauge("pgherd_build_info", "The running version; always 1.", build, 1.0);
    out.gauge("pgherd_start_time_seconds", "When the process started (Unix time).", vec![], unix(snapshot.started_at));
    if let Some(bytes) = snapshot.resident_bytes {
        out.gauge("pgherd_resident_memory_bytes", "Resident memory of the process.", vec![], bytes as f64);
    }
    for (name, help, count) in &snapshot.process {
        out.count(name, help, vec![], *count);
    }
    let topology = &snapshot.topology;
    out.gauge("pgherd_topology_epoch", "Rises with each change of a role or a state.", vec![], topology.epoch as f64);
    let known = f64::from(u8::from(topology.primary.is_some()));
    out.gauge("pgherd_primary_known", "1 if a primary is known and gets writes.", vec![], known);
    out.gauge("pgherd_read_nodes", "Standbys fit for reads.", vec![], topology.standbys.len() as f64);
}

fn failover(snapshot: &Snapshot, out: &mut Samples) {
    let status = &snapshot.topology.status;
    for state in State::ALL {
        let is_it = f64::from(u8::from(state == status.state));
        let labels = vec![("state", state.as_str().to_owned())];
        out.gauge("pgherd_cluster_state", "1 for the state the primary is in, 0 for the others.", labels, is_it);
    }
    out.count("pgherd_failovers_total", "Failovers made by this process.", vec![], status.failovers);
    out.count("pgherd_switchovers_total", "Switchovers made by this process.", vec![], status.switchovers);
    let paused = f64::from(u8::from(status.is_paused));
    out.gauge("pgherd_failover_paused", "1 if automatic failovers are paused.", vec![], paused);
    let detached = status.detached.len() as f64;
    out.gauge("pgherd_nodes_detached", "Nodes taken out by the operator.", vec![], detached);
    let mut known = |name, help, value: Option<f64>| {
        if let Some(value) = value {
            out.gauge(name, help, vec![], value);
        }
    };
    let (opened, quorum) = (status.opened.as_ref(), status.quorum.as_ref());
    let took = opened.map(|opened| opened.took_ms as f64 / 1e3);
    known("pgherd_failover_last_seconds", "What the last failover or switchover took, to the first write.", took);
    let lost = opened.map(|opened| opened.lost_bytes as f64);
    known(
        "pgherd_failover_lost_bytes",
        "WAL the last one lost: told of by the old primary, never had by the new.",
        lost,
    );
    let needed = quorum.map(|quorum| quorum.needed as f64);
    known("pgherd_quorum_needed", "Standbys that must have a write before it is acknowledged.", needed);
    let members = quorum.map(|quorum| quorum.names.len() as f64);
    known("pgherd_quorum_members", "Standbys that may be among them (synchronous_standby_names).", members);
}

fn routed(snapshot: &Snapshot, out: &mut Samples) {
    for (went, reason, count) in &snapshot.routed {
        let reason = Why::of_number(*reason).map_or("unknown", Why::as_str);
        let labels = vec![("target", show::routes::name(*went).to_owned()), ("reason", reason.to_owned())];
        out.count("pgherd_routed_total", "Statements by the kind of node they went to, and why.", labels, *count);
    }
}

fn clients(snapshot: &Snapshot, out: &mut Samples) {
    let max = snapshot.config.limits.max_clients as f64;
    out.gauge("pgherd_clients_max", "limits.max_clients.", vec![], max);
    let mut clients: BTreeMap<(&str, &str, &'static str), u32> = BTreeMap::new();
    for client in &snapshot.clients {
        *clients.entry((&client.database, &client.user, client.state().as_str())).or_default() += 1;
    }
    for ((database, user, state), count) in clients {
        let labels = vec![("database", database.to_owned()), ("user", user.to_owned()), ("state", state.to_owned())];
        out.gauge("pgherd_clients", "Clients logged in: idle, active (has a server), waiting.", labels, count.into());
    }
}

fn node(snapshot: &Snapshot, node: &Node, out: &mut Samples) {
    let named = || vec![("node", node.name.clone())];
    let with = |name, value: &str| vec![("node", node.name.clone()), (name, value.to_owned())];
    let up = f64::from(u8::from(node.health == Health::Up));
    out.gauge("pgherd_node_up", "1 if the node answers and belongs to the cluster.", named(), up);
    out.gauge("pgherd_node_role", "1 for the role the node has.", with("role", node.role.as_str()), 1.0);
    out.gauge("pgherd_node_state", "1 for the state the node is in.", with("state", node.health.as_str()), 1.0);
    let max = snapshot.config.nodes.get(usize::from(node.id.0)).map_or(0, |node| node.max_servers);
    out.gauge("pgherd_node_servers_max", "node.max_servers.", named(), max as f64);
    let mut known = |name, help, value: Option<f64>| {
        if let Some(value) = value {
            out.gauge(name, help, named(), value);
        }
    };
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    known("pgherd_node_lag_bytes", "WAL written by the primary, not yet replayed.", bytes(node.lag_bytes));
    let seconds = node.lag_ms.map(|ms| ms as f64 / 1e3);
    known("pgherd_node_lag_seconds", "For how long some of that was there, at least.", seconds);
    let share = Some(snapshot.topology.share_of(node.id));
    known("pgherd_node_read_share", "Part of the reads that the node gets, 0 to 1.", share);
    let Some(seen) = &node.observation else { return };
    known("pgherd_node_timeline", "Timeline of the node.", Some(f64::from(seen.timeline)));
    let received = bytes(seen.received.map(|lsn| lsn.0));
    known("pgherd_node_received_lsn_bytes", "WAL position received (primary: written).", received);
    known("pgherd_node_replayed_lsn_bytes", "WAL position replayed.", bytes(seen.replayed.map(|lsn| lsn.0)));
    let round_trip = seen.round_trip_us as f64 / 1e6;
    known("pgherd_node_probe_seconds", "Round trip of the last probe that was answered.", Some(round_trip));
    let age = snapshot.now.saturating_duration_since(seen.at).as_secs_f64();
    known("pgherd_node_probe_age_seconds", "Since the last probe that was answered.", Some(age));
}

fn pool(snapshot: &Snapshot, pool: &PoolSnapshot, out: &mut Samples) {
    let labels = || pool_labels(snapshot, &pool.key);
    for (state, count) in [("active", pool.active), ("idle", pool.idle), ("connecting", pool.connecting)] {
        let mut labels = labels();
        labels.push(("state", state.to_owned()));
        out.gauge("pgherd_pool_servers", "Servers: active (lent), idle, connecting.", labels, count as f64);
    }
    out.gauge("pgherd_pool_size", "The most servers the pool may have.", labels(), pool.size as f64);
    out.gauge("pgherd_pool_waiting_clients", "Clients in the pool's queue.", labels(), pool.waiting as f64);
    let wait = pool.max_wait.as_secs_f64();
    out.gauge("pgherd_pool_max_wait_seconds", "How long the first in the queue has waited.", labels(), wait);
}

fn counts(snapshot: &Snapshot, counted: &Counted, out: &mut Samples) {
    let totals = &counted.totals;
    let families = [
        ("pgherd_transactions_total", "Transactions ended, single statements included.", totals.xacts),
        ("pgherd_queries_total", "Queries answered.", totals.queries),
        ("pgherd_received_bytes_total", "Bytes from clients.", totals.received),
        ("pgherd_sent_bytes_total", "Bytes to clients.", totals.sent),
        ("pgherd_server_assignments_total", "Times a server was lent to a client.", totals.assignments),
        ("pgherd_client_parses_total", "Parse messages from clients.", totals.client_parses),
        ("pgherd_server_parses_total", "Parse messages sent to servers.", totals.server_parses),
        ("pgherd_binds_total", "Bind messages from clients.", totals.binds),
        ("pgherd_reads_on_primary_total", "Statements that only read, on the primary.", totals.reads_on_primary),
        ("pgherd_reads_on_standbys_total", "Statements that only read, on standbys.", totals.reads_on_standbys),
        ("pgherd_errors_total", "Errors of servers passed on to clients.", totals.errors),
    ];
    for (name, help, count) in families {
        out.count(name, help, pool_labels(snapshot, &counted.key), count);
    }
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
