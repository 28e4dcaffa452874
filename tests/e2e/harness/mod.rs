//! What the end-to-end tests stand on: clusters, the proxy, and looking at what is left behind.

pub mod leftovers;

use pgherd::demo::{Cluster, cluster};

/// A cluster for one test that breaks it; gone when it is dropped.
pub fn private_cluster() -> Cluster {
    start(cluster::Options::default())
}

fn start(options: cluster::Options) -> Cluster {
    let options = cluster::Options { durable: false, ..options };
    Cluster::start(options, |_| ()).unwrap_or_else(|error| panic!("no cluster: {error}"))
}
