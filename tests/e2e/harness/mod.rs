//! What the end-to-end tests stand on: clusters, the proxy before them, ways to talk to both.
//!
//! ```ignore
//! let proxy = Proxy::start(shared(), "");                              // the cluster all tests share, defaults
//! let proxy = Proxy::start(shared(), "[pool]\nmode = 'session'");      // further configuration, in TOML
//! let cluster = private_cluster();                                     // for a test that breaks nodes
//! assert_eq!(proxy.psql("SELECT 1"), "1");
//! let client = proxy.client().await;                                   // tokio-postgres
//! ```
//!
//! The shared cluster is one for the whole test binary: make tables under names of your own (`unique("orders")`), never
//! stop a node of it. It goes when the process ends, however it ends.

#![allow(dead_code)] // each test file uses its part

pub mod drivers;
pub mod leftovers;
pub mod proxy;
pub mod raw;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pgherd::demo::{Cluster, cluster};
pub use proxy::Proxy;

/// Never dropped: when the process ends the guard's pipe closes, and the guard removes the cluster.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(private_cluster)
}

/// A cluster for one test that breaks it; gone when it is dropped.
pub fn private_cluster() -> Cluster {
    private_cluster_with(cluster::Options::default())
}

/// The same with further settings or pg_hba rules.
pub fn private_cluster_with(options: cluster::Options) -> Cluster {
    let options = cluster::Options { durable: false, ..options };
    Cluster::start(options, |_| ()).unwrap_or_else(|error| panic!("no cluster: {error}"))
}

/// `NAME_1`, `NAME_2` …: for tables, roles and databases of the shared cluster.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}", COUNT.fetch_add(1, Relaxed) + 1)
}

/// Asks again until there is a value; panics after 30 s.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
