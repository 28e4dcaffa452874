//! A primary, a standby and a cascading standby, as one walks through such a set-up by hand: all of it through the proxy.

use std::time::{Duration, Instant};

use pgherd::demo::{Cluster, Node};

use crate::harness::{Proxy, eventually, private_cluster, shared, unique};

const INTERVAL: Duration = Duration::from_millis(500);

#[test]
fn a_database_made_through_the_proxy_is_on_every_node() {
    let cluster = shared();
    let proxy = Proxy::start(cluster, "");
    let database = unique("walk");
    proxy.psql(&format!("CREATE DATABASE {database}"));
    cluster.wait_caught_up().unwrap();
    for standby in [&cluster.pg2, &cluster.pg3] {
        let found = standby.psql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'"));
        assert_eq!(found.unwrap(), "1", "on {}", standby.name());
    }

    // DDL straight to a standby fails there, by any of them; through the proxy it works.
    for standby in [&cluster.pg2, &cluster.pg3] {
        let mut command = proxy.client_program("psql", &database, "app");
        command.env("PGPORT", standby.port().to_string()).args(["-X", "-v", "VERBOSITY=verbose"]);
        let output = command.args(["-c", "CREATE TABLE t (a int)"]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let want = "ERROR:  25006: cannot execute CREATE TABLE in a read-only transaction";
        assert!(!output.status.success() && errors.starts_with(want), "on {}: {errors}", standby.name());
    }
    proxy.psql_as(&database, "app", "CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)");
    cluster.wait_caught_up().unwrap();
    for node in cluster.nodes() {
        assert_eq!(node.psql_as(&database, "app", "SELECT sum(a) FROM t").unwrap(), "3", "on {}", node.name());
    }
    let read = ["-c", "BEGIN READ ONLY", "-c", "SELECT pg_is_in_recovery(), sum(a) FROM t"];
    let output = proxy.psql_through(&database, "app", &read);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "t|3\n", "{output:?}");
    cluster.pg1.psql(&format!("DROP DATABASE {database} WITH (FORCE)")).unwrap();
}

#[test]
fn the_nodes_are_shown_as_the_chain_they_are() {
    let cluster = shared();
    let proxy = Proxy::start(cluster, "");
    cluster.pg1.psql("SELECT pg_switch_wal()").unwrap();
    let caught_up = eventually("all nodes have the same LSN", || {
        let nodes = show_nodes(&proxy);
        let lsn = |node: &[(String, String)]| field(node, "replayed_lsn").to_owned();
        nodes.iter().all(|node| lsn(node) == lsn(&nodes[0])).then_some(nodes)
    });
    let told = ["name", "role", "state", "upstream", "lag_bytes"];
    let chain: Vec<String> = caught_up.iter().map(|node| told.map(|column| field(node, column)).join(" ")).collect();
    assert_eq!(chain, ["pg1 primary up  ", "pg2 standby up pg1 0", "pg3 standby up pg2 0"]);
    for node in &caught_up {
        let (received, replayed) = (field(node, "received_lsn"), field(node, "replayed_lsn"));
        assert!(lsn(received) >= lsn(replayed) && lsn(replayed) > 0, "{received} {replayed}");
        assert_eq!(field(node, "timeline"), "1");
    }
}

#[test]
fn standbys_serve_the_selects_and_the_primary_none() {
    let cluster = shared();
    let database = unique("split");
    cluster.pg1.psql_as("app", "app", &format!("CREATE DATABASE {database}")).unwrap();
    pgbench(&Proxy::start(cluster, ""), &database, "-i -s 1 -q");
    cluster.wait_caught_up().unwrap();
    for mode in ["simple", "extended", "prepared"] {
        let [pg1, pg2, pg3] = rows_fetched_by_nodes(cluster, &database, "", mode);
        assert_eq!((pg1, pg2 + pg3), (0, SELECTS), "{mode}: pg1 {pg1}, pg2 {pg2}, pg3 {pg3}");
        assert!(pg2 > SELECTS / 10 && pg3 > SELECTS / 10, "{mode}: pg2 {pg2}, pg3 {pg3}");
    }
    let fetched = rows_fetched_by_nodes(cluster, &database, "[routing]\nsplit = false", "prepared");
    assert_eq!(fetched, [SELECTS, 0, 0], "without splitting");
    cluster.pg1.psql(&format!("DROP DATABASE {database} WITH (FORCE)")).unwrap();
}

#[test]
fn a_promotion_by_hand_is_followed() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, &format!("[monitor]\ninterval = '{}ms'", INTERVAL.as_millis()));
    proxy.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    cluster.wait_caught_up().unwrap();

    cluster.pg2.promote().unwrap();
    let promoted = Instant::now();
    eventually("pg2 is the primary", || show_nodes(&proxy).iter().any(|n| is(n, "pg2 primary up")).then_some(()));
    let took = promoted.elapsed();
    assert!(took < INTERVAL * 2 + Duration::from_millis(500), "followed after {took:?}");
    eprintln!("followed {took:?} after pg_ctl promote had returned");

    proxy.psql("INSERT INTO t VALUES (2)");
    assert_eq!(cluster.pg2.psql_as("app", "app", "SELECT sum(a) FROM t").unwrap(), "3");
    assert_eq!(cluster.pg1.psql_as("app", "app", "SELECT sum(a) FROM t").unwrap(), "1");

    // All goes to pg2 and pg3 from now on. pg1, where anybody could still write, is refused and gets nobody.
    eventually("pg1 is refused", || show_nodes(&proxy).iter().any(|n| is(n, "pg1 primary refused")).then_some(()));
    let last_query = "SELECT coalesce(max(query_start)::text, '') FROM pg_stat_activity WHERE usename = 'app'";
    let before = cluster.pg1.psql(last_query).unwrap();
    for value in 3..=12 {
        proxy.psql(&format!("INSERT INTO t VALUES ({value})"));
    }
    cluster.pg3.wait_for("SELECT received_tli FROM pg_stat_wal_receiver", "2").unwrap();
    let rows = || cluster.pg3.psql_as("app", "app", "SELECT count(*) FROM t").unwrap();
    eventually("pg3 follows pg2", || (rows() == "12").then_some(()));
    for _ in 0..6 {
        assert_eq!(proxy.psql("SELECT count(*) FROM t"), "12");
    }
    let after = cluster.pg1.psql(last_query).unwrap();
    assert!(after.is_empty() || after == before, "a client was served by pg1: {before} {after}");
    let pg1 = show_nodes(&proxy).swap_remove(0);
    assert!(field(&pg1, "reason").contains("older timeline"), "{pg1:?}");
}

// === helpers ===

const SELECTS: u64 = 1200;

fn pgbench(proxy: &Proxy<'_>, database: &str, arguments: &str) {
    let output = proxy.client_program("pgbench", database, "app").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "pgbench {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs pgbench -S through a proxy of its own. What the scans of pgbench_accounts' primary key found meanwhile on pg1, pg2
/// and pg3.
fn rows_fetched_by_nodes(cluster: &Cluster, database: &str, config: &str, mode: &str) -> [u64; 3] {
    let ask = |node: &Node| -> u64 {
        let sql = "SELECT coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE relname = 'pgbench_accounts'";
        node.psql_as(database, "postgres", sql).unwrap().parse().unwrap()
    };
    let before = cluster.nodes().map(ask);
    let proxy = Proxy::start(cluster, config);
    if config.is_empty() {
        proxy.until_standbys_read(database);
    }
    pgbench(&proxy, database, &format!("-n -S -M {mode} -c 4 -j 2 -t {}", SELECTS / 4));
    // Servers report what they have counted when they end; while they are idle it may take ten seconds.
    drop(proxy);
    let done = || -> [u64; 3] {
        let after = cluster.nodes().map(ask);
        std::array::from_fn(|node| after[node] - before[node])
    };
    eventually("the nodes have counted all selects", || Some(done()).filter(|done| done.iter().sum::<u64>() >= SELECTS))
}

/// The rows of SHOW NODES: (column, value).
fn show_nodes(proxy: &Proxy<'_>) -> Vec<Vec<(String, String)>> {
    let mut command = proxy.client_program("psql", "pgherd", "admin");
    let output = command.args(["-XAq", "-P", "footer=off", "-c", "SHOW NODES"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>());
    let columns = lines.next().expect("a header");
    lines.map(|values| columns.iter().cloned().zip(values).collect()).collect()
}

fn field<'a>(node: &'a [(String, String)], column: &str) -> &'a str {
    let found = node.iter().find(|(name, _)| name == column);
    found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("SHOW NODES has no column {column}: {node:?}"))
}

/// Name, role and state.
fn is(node: &[(String, String)], words: &str) -> bool {
    ["name", "role", "state"].map(|column| field(node, column)).join(" ") == words
}

fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap_or_else(|| panic!("no LSN: {text:?}"));
    let hex = |digits| u64::from_str_radix(digits, 16).unwrap();
    hex(high) << 32 | hex(low)
}
