//! Everything the console and the metrics show, read at one moment; what is made of it is pure.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::catalogs::CatalogOf;
use crate::client::registry::ClientEntry;
use crate::cluster::journal::Line;
use crate::cluster::{Node, NodeId, Topology};
use crate::config::Config;
use crate::pool::doors::Closed;
use crate::pool::{PoolKey, PoolSnapshot};
use crate::server::ServerEntry;
use crate::shared::Shared;
use crate::sql::shapes::{REASONS, Row, Went};
use crate::stats::{HistogramTotals, PoolCounters, PoolTotals};

pub struct Snapshot {
    pub now: Instant,
    pub started_at: SystemTime,
    /// Since the process started.
    pub uptime: Duration,
    pub config: Arc<Config>,
    pub topology: Arc<Topology>,
    /// Databases that are paused or disabled.
    pub closed: Arc<Closed>,
    /// What the monitor said last, the oldest first; empty where nobody asks for it.
    pub events: Vec<Line>,
    /// In the order of the keys.
    pub pools: Vec<PoolSnapshot>,
    pub counted: Vec<Counted>,
    /// In no order.
    pub catalogs: Vec<Arc<CatalogOf>>,
    /// By id.
    pub servers: Vec<Arc<ServerEntry>>,
    /// By process id.
    pub clients: Vec<Arc<ClientEntry>>,
    /// Statements by where they went and why (a reason's number), over all workers.
    pub routed: Vec<(Went, u8, u64)>,
    /// Their shapes, by worker; empty where nobody asks for them.
    pub shapes: Vec<Row>,
    /// Per database, of the last full minute.
    pub averages: BTreeMap<Arc<str>, PoolTotals>,
    /// Name, meaning and value of what is counted once for the process.
    pub process: Vec<(&'static str, &'static str, u64)>,
    /// Of the process, if the system tells.
    pub resident_bytes: Option<u64>,
}

/// What all workers counted for one pool.
#[derive(Clone)]
pub struct Counted {
    pub key: PoolKey,
    pub totals: PoolTotals,
    pub wait: HistogramTotals,
    pub server: HistogramTotals,
    pub proxy: HistogramTotals,
}

// === impl Snapshot ===

impl Snapshot {
    pub fn take(shared: &Shared) -> Self {
        let mut counted = Vec::new();
        shared.pools.for_each_counters(&mut |key, workers| counted.push(Counted::sum(key, workers)));
        let (connected, failed) = shared.pools.logins();
        let mut process = Vec::from(shared.counters.list());
        process.push(("pgherd_servers_connected_total", "Logins to nodes that were done.", connected));
        process.push(("pgherd_server_connect_failures_total", "Logins to nodes that failed.", failed));
        Self {
            now: Instant::now(),
            started_at: shared.started_at,
            uptime: shared.started.elapsed(),
            config: shared.config.latest(),
            topology: shared.topology.latest(),
            closed: shared.pools.doors.closed(),
            events: Vec::new(),
            pools: shared.pools.snapshot(),
            counted,
            catalogs: shared.catalogs.all(),
            servers: shared.pools.servers(),
            clients: shared.clients.all(),
            routed: routed(shared),
            shapes: Vec::new(),
            averages: shared.counters.averages.latest(),
            process,
            resident_bytes: resident_bytes(),
        }
    }

    /// All of it, for the console.
    pub fn take_with_events(shared: &Shared) -> Self {
        let shapes = shared.routes.iter().flat_map(|worker| worker.rows()).collect();
        let journal = shared.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let events = journal.lines().cloned().collect();
        drop(journal);
        Self { events, shapes, ..Self::take(shared) }
    }

    /// When the `*_us` mark of a registry was set.
    pub fn at(&self, mark_us: u64) -> SystemTime {
        self.started_at + Duration::from_micros(mark_us)
    }

    /// How long ago a `*_us` mark was set; 0 = never.
    pub fn since(&self, mark_us: u64) -> Duration {
        if mark_us == 0 { Duration::ZERO } else { self.uptime.saturating_sub(Duration::from_micros(mark_us)) }
    }

    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.topology.nodes.get(usize::from(id.0))
    }

    pub fn node_name(&self, id: NodeId) -> &str {
        self.node(id).map_or("", |node| node.name.as_str())
    }

    pub fn node_role(&self, id: NodeId) -> &'static str {
        self.node(id).map_or("", |node| node.role.as_str())
    }

    /// What was counted for each database, over users and nodes.
    pub fn totals_by_database(&self) -> BTreeMap<Arc<str>, PoolTotals> {
        by_database(self.counted.iter().map(|counted| (&counted.key, &counted.totals)))
    }
}

fn routed(shared: &Shared) -> Vec<(Went, u8, u64)> {
    let sum = |went, reason| shared.routes.iter().map(|worker| worker.routed(went, reason)).sum();
    let all =
        [Went::ToPrimary, Went::ToStandby].into_iter().flat_map(|went| (0..REASONS).map(move |n| (went, n as u8)));
    all.map(|(went, reason)| (went, reason, sum(went, reason))).filter(|(_, _, count)| *count > 0).collect()
}

/// What was counted so far for each database: what the averages are made of.
pub(super) fn totals_by_database(shared: &Shared) -> BTreeMap<Arc<str>, PoolTotals> {
    let mut counted = Vec::new();
    shared.pools.for_each_counters(&mut |key, workers| counted.push((key.clone(), sum(workers))));
    by_database(counted.iter().map(|(key, totals)| (key, totals)))
}

// === impl Counted ===

impl Counted {
    pub fn sum(key: &PoolKey, workers: &[PoolCounters]) -> Self {
        let mut counted = Self {
            key: key.clone(),
            totals: sum(workers),
            wait: HistogramTotals::default(),
            server: HistogramTotals::default(),
            proxy: HistogramTotals::default(),
        };
        for worker in workers {
            counted.wait.count(&worker.wait);
            counted.server.count(&worker.server);
            counted.proxy.count(&worker.proxy);
        }
        counted
    }
}

fn sum(workers: &[PoolCounters]) -> PoolTotals {
    let mut totals = PoolTotals::default();
    workers.iter().for_each(|worker| totals.count(worker));
    totals
}

fn by_database<'a>(pools: impl Iterator<Item = (&'a PoolKey, &'a PoolTotals)>) -> BTreeMap<Arc<str>, PoolTotals> {
    let mut databases: BTreeMap<Arc<str>, PoolTotals> = BTreeMap::new();
    for (key, totals) in pools {
        databases.entry(Arc::clone(&key.database)).or_default().add(totals);
    }
    databases
}

/// `VmRSS` of /proc/self/status, in bytes: Linux only, elsewhere unknown.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}
