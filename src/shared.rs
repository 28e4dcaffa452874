//! All that tasks share, in one struct. Handed in, never global.

use std::time::{Instant, SystemTime};

use crate::client::registry::Clients;
use crate::cluster::Topology;
use crate::config::Config;
use crate::feed::Feed;
use crate::pool::Pools;
use crate::stats::ProcessCounters;

pub struct Shared {
    pub config: Feed<Config>,
    /// Written by the monitor only.
    pub topology: Feed<Topology>,
    pub pools: Pools,
    pub clients: Clients,
    pub counters: ProcessCounters,
    pub started: Instant,
    pub started_at: SystemTime,
}

impl Shared {
    /// Microseconds since the process started: what the `*_us` marks of the registries hold.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
