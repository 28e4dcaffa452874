//! All that tasks share, in one struct. Handed in, never global.

use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Notify, watch};

use crate::catalogs::Catalogs;
use crate::client::auth::Authenticator;
use crate::client::logins::Logins;
use crate::client::registry::{Clients, Held};
use crate::cluster::{Journal, NodeId, Topology};
use crate::config::Config;
use crate::feed::{Feed, Moment, Pulse};
use crate::orders::{Orders, Reloads};
use crate::pool::Pools;
use crate::sql::shapes::Counts;
use crate::stats::ProcessCounters;

/// How the proxy is told to stop, other than by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    AtOnce,
    /// As by SIGTERM: each client ends after its transaction.
    AfterTransactions,
    /// Nobody is ended.
    AfterClients,
}

pub struct Shared {
    pub config: Feed<Config>,
    /// Written by the monitor only.
    pub topology: Feed<Topology>,
    pub pools: Pools,
    pub catalogs: Catalogs,
    /// For the monitor.
    pub orders: Arc<Orders>,
    /// For the proxy.
    pub reloads: Reloads,
    /// What the monitor said last; it alone writes.
    pub journal: Mutex<Journal>,
    /// Of any session.
    pub last_write: Moment,
    /// Beats when a client wrote: then the monitor looks more often.
    pub writes: Arc<Pulse>,
    /// One per node: somebody has reason to doubt that it is what the topology says. Its prober looks at once.
    pub doubts: Vec<Arc<Notify>>,
    pub clients: Clients,
    pub held: Arc<Held>,
    pub authenticator: Authenticator,
    pub logins: Logins,
    pub counters: ProcessCounters,
    /// Set by the console.
    pub stop: watch::Sender<Option<Stop>>,
    /// Where statements went: one of each worker, which alone writes.
    pub routes: Vec<Arc<Counts>>,
    /// Grows when a client learns that a statement's result is not what it was (0A000, "cached plan must not change result
    /// type"). What is prepared from then on is not taken for the statement of the same text that servers have.
    pub statement_generation: AtomicU64,
    /// Of hashes that outsiders must not be able to steer.
    pub seed: u64,
    pub started: Instant,
    pub started_at: SystemTime,
}

// === impl Stop ===

impl Stop {
    pub fn announcement(self) -> &'static str {
        match self {
            Stop::AtOnce => "the proxy stops",
            Stop::AfterTransactions => "the proxy stops as soon as running transactions have ended",
            Stop::AfterClients => "the proxy takes no new clients, and stops when the last one has left",
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Fails only if the system has no random bytes.
    pub fn new(config: Config) -> io::Result<Self> {
        let mut seed = [0; 8];
        SystemRandom::new().fill(&mut seed).map_err(|_| io::Error::other("no random bytes"))?;
        Ok(Self {
            seed: u64::from_ne_bytes(seed),
            topology: Feed::new(Topology::unknown(&config.nodes)),
            pools: Pools::new(&config),
            catalogs: Catalogs::new(config.routing.catalog && config.nodes.len() > 1),
            orders: Arc::default(),
            reloads: Reloads::default(),
            journal: Mutex::default(),
            last_write: Moment::never_since(Instant::now()),
            writes: Arc::default(),
            doubts: config.nodes.iter().map(|_| Arc::default()).collect(),
            clients: Clients::default(),
            held: Arc::default(),
            authenticator: Authenticator::new()?,
            logins: Logins::default(),
            counters: ProcessCounters::default(),
            stop: watch::Sender::new(None),
            routes: (0..config.workers).map(|_| Arc::new(Counts::new(config.routing.max_shapes))).collect(),
            statement_generation: AtomicU64::new(0),
            started: Instant::now(),
            started_at: SystemTime::now(),
            config: Feed::new(config),
        })
    }

    /// Has the node probed at once: a session has lost a server of it unexpectedly.
    pub fn doubt(&self, node: NodeId) {
        self.doubts[usize::from(node.0)].notify_one();
    }

    /// Microseconds since the process started: what the `*_us` marks of the registries hold.
    pub fn now_us(&self) -> u64 {
        self.us_at(Instant::now())
    }

    /// The same of a moment that is known already.
    #[inline]
    pub fn us_at(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
    }
}
