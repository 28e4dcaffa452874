//! The programs and drivers that applications use, each through the proxy in transaction mode with splitting on.

mod pgbench;
mod programs;
mod psql;
mod rust;

use pgherd::demo::Cluster;

use crate::harness::{Proxy, eventually, unique};

/// Tables of the test's own, on all nodes: `PREFIX_items` with the rows 1 to 1000, `PREFIX_work` empty. The prefix.
fn make_tables(cluster: &Cluster, name: &str) -> String {
    let prefix = unique(name);
    let sql = format!(
        "CREATE TABLE {prefix}_items (id int PRIMARY KEY, label text, price numeric(10, 2));
         INSERT INTO {prefix}_items SELECT n, 'item ' || n, n * 1.25 FROM generate_series(1, 1000) n;
         CREATE TABLE {prefix}_work (id int PRIMARY KEY, note text, payload bytea)"
    );
    cluster.pg1.psql_as("app", "app", &sql).unwrap();
    cluster.wait_caught_up().unwrap();
    prefix
}

/// The counters are published by a timer.
fn assert_every_node_served(proxy: &Proxy<'_>) {
    eventually("queries were answered by pg1, pg2 and pg3", || {
        let (_, text) = proxy.process.http_get("/metrics").unwrap();
        let served = |node: &str| {
            let of_node = format!("node=\"{node}\"");
            let mut lines = text.lines().filter(|l| l.starts_with("pgherd_queries_total{") && l.contains(&of_node));
            lines.any(|line| !line.ends_with(" 0"))
        };
        ["pg1", "pg2", "pg3"].into_iter().all(served).then_some(())
    });
}
