//! Servers for clients: one pool per (node, database, user).

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::NodeId;
use crate::config::PoolMode;
use crate::server::ServerEntry;
use crate::stats::PoolCounters;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    pub node: NodeId,
    pub database: Arc<str>,
    pub user: Arc<str>,
}

/// All pools of the process.
pub struct Pools {}

/// One pool at a glance, for the console and the metrics.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    pub key: PoolKey,
    pub mode: PoolMode,
    pub size: usize,
    /// Servers lent, idle, being connected.
    pub active: usize,
    pub idle: usize,
    pub connecting: usize,
    /// Clients in the queue, and how long the first of them waits.
    pub waiting: usize,
    pub max_wait: Duration,
}

impl Pools {
    /// In the order of the keys.
    pub fn snapshot(&self) -> Vec<PoolSnapshot> {
        todo!()
    }

    /// All open servers, by id.
    pub fn servers(&self) -> Vec<Arc<ServerEntry>> {
        todo!()
    }

    /// Calls `visit` with each pool's counters, one entry per worker.
    pub fn for_each_counters(&self, _visit: &mut dyn FnMut(&PoolKey, &[PoolCounters])) {
        todo!()
    }
}
