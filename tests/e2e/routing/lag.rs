//! Standbys that are too far behind take no reads, and who takes how many.

use std::collections::BTreeMap;

use pgherd::demo::{Cluster, Node};

use crate::harness::{Proxy, eventually, private_cluster, shared};

/// The node says which one it is; asked of whoever takes reads.
const WHERE: &str = "/* pgherd: standby */ SELECT pg_catalog.current_setting('port')";

/// Of `count` reads: how many each node took.
async fn reads(proxy: &Proxy<'_>, count: usize) -> BTreeMap<&'static str, usize> {
    let client = proxy.client().await;
    client.batch_execute("SET pgherd.consistency = 'eventual'").await.unwrap();
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let port: String = client.query_one(WHERE, &[]).await.unwrap().get(0);
        let node = proxy.cluster.nodes().into_iter().find(|node| node.port().to_string() == port).unwrap();
        *counts.entry(node.name()).or_insert(0) += 1;
    }
    counts
}

/// Of SHOW STANDBYS.
fn column(proxy: &Proxy<'_>, node: &str, column: &str) -> String {
    let output =
        proxy.psql_through("pgherd", "admin", &["-P", "tuples_only=off", "-P", "footer=off", "-c", "SHOW STANDBYS"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let at = lines.next().unwrap().iter().position(|name| *name == column).unwrap();
    lines.find(|row| row[0] == node).map(|row| row[at].to_owned()).unwrap_or_default()
}

fn wait_until_it_gets_none(proxy: &Proxy<'_>, node: &str, because: &str) {
    eventually(&format!("{node} gets no reads: {because}"), || {
        (column(proxy, node, "reads") == "f" && column(proxy, node, "no_reads").contains(because)).then_some(())
    });
}

fn wait_until_it_gets_some(proxy: &Proxy<'_>, node: &str) {
    eventually(&format!("{node} gets reads"), || (column(proxy, node, "reads") == "t").then_some(()));
}

fn set(node: &Node, setting: &str) {
    node.psql(&format!("ALTER SYSTEM SET {setting}")).unwrap();
    node.psql("SELECT pg_reload_conf()").unwrap();
}

/// In several transactions.
fn write_megabytes(cluster: &Cluster, count: u32) {
    cluster.pg1.psql_as("app", "app", "CREATE TABLE IF NOT EXISTS filler (t text)").unwrap();
    for _ in 0..=count {
        let sql = "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 1024)";
        cluster.pg1.psql_as("app", "app", sql).unwrap();
    }
}

/// [[node]]s as the cluster's, each with further keys.
fn nodes(cluster: &Cluster, more: [&str; 3]) -> String {
    let node = |(node, more): (&Node, &str)| {
        format!("[[node]]\nname = '{}'\nhost = '{}'\nport = {}\n{more}\n", node.name(), node.host(), node.port())
    };
    cluster.nodes().into_iter().zip(more).map(node).collect()
}

#[tokio::test]
async fn a_standby_that_is_too_far_behind_gets_no_reads_until_it_has_caught_up() {
    let cluster = private_cluster();
    for (limits, because) in [
        ("max_lag = '0'\nmax_lag_bytes = '1MB'", "routing.max_lag_bytes = 1048576"),
        ("max_lag = '700ms'\nmax_lag_bytes = 0", "routing.max_lag = 700ms"),
    ] {
        let proxy = Proxy::start(&cluster, &format!("[routing]\nslow_start = '0'\n{limits}\n"));
        assert_eq!(reads(&proxy, 60).await.len(), 2, "both standbys");
        // It gets all, and shows it an hour late.
        set(&cluster.pg3, "recovery_min_apply_delay = '1h'");
        write_megabytes(&cluster, 3);
        wait_until_it_gets_none(&proxy, "pg3", because);
        assert_eq!(reads(&proxy, 60).await, BTreeMap::from([("pg2", 60)]));
        assert_ne!(column(&proxy, "pg3", "lag_bytes"), "0");
        set(&cluster.pg3, "recovery_min_apply_delay = '0'");
        wait_until_it_gets_some(&proxy, "pg3");
        assert_eq!(reads(&proxy, 60).await.len(), 2, "both standbys again");
    }
}

#[tokio::test]
async fn a_standby_that_is_held_back_or_cut_off_gets_no_reads() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, "[routing]\nslow_start = '0'\n");
    cluster.pg3.psql("SELECT pg_wal_replay_pause()").unwrap();
    eventually("it is told", || (column(&proxy, "pg3", "replay_paused") == "t").then_some(()));
    write_megabytes(&cluster, 1);
    wait_until_it_gets_none(&proxy, "pg3", "its replay is paused");
    assert_eq!(reads(&proxy, 30).await, BTreeMap::from([("pg2", 30)]));
    cluster.pg3.psql("SELECT pg_wal_replay_resume()").unwrap();
    wait_until_it_gets_some(&proxy, "pg3");

    // Cut off its upstream. Nothing is written: it misses nothing, but nobody knows for how long.
    let conninfo = cluster.pg2.psql("SHOW primary_conninfo").unwrap().replace('\'', "''");
    set(&cluster.pg2, "primary_conninfo = 'host=127.0.0.1 port=1'");
    wait_until_it_gets_none(&proxy, "pg2", "streams from nobody");
    // Nor does who streams from it.
    wait_until_it_gets_none(&proxy, "pg3", "pg2 streams from nobody");
    assert_eq!(reads(&proxy, 30).await, BTreeMap::from([("pg1", 30)]));
    set(&cluster.pg2, &format!("primary_conninfo = '{conninfo}'"));
    wait_until_it_gets_some(&proxy, "pg2");
    wait_until_it_gets_some(&proxy, "pg3");
}

#[tokio::test]
async fn weights_say_how_many_reads_each_gets() {
    let cluster = shared();
    let proxy = Proxy::start(cluster, &nodes(cluster, ["", "weight = 300", "weight = 100"]));
    let counts = reads(&proxy, 400).await;
    assert!((260..=340).contains(&counts["pg2"]) && counts.len() == 2, "{counts:?}");
    assert_eq!(
        (column(&proxy, "pg2", "share_percent"), column(&proxy, "pg3", "share_percent")),
        ("75".into(), "25".into())
    );

    let more = nodes(cluster, ["", "weight = 0", "weight = 100"]);
    let proxy = Proxy::start_until(
        cluster,
        &format!("[routing]\nprimary_weight = 100\n{more}"),
        pgherd::demo::proxy::Ready::Standbys(1),
    );
    assert_eq!(column(&proxy, "pg2", "no_reads"), "its weight is 0");
    let counts = reads(&proxy, 400).await;
    assert!((150..=250).contains(&counts["pg1"]) && !counts.contains_key("pg2"), "{counts:?}");
}

#[tokio::test]
async fn standbys_of_our_zone_come_first() {
    let cluster = private_cluster();
    let more = nodes(&cluster, ["", "zone = 'a'", "zone = 'b'"]);
    let proxy = Proxy::start(&cluster, &format!("[routing]\nzone = 'b'\n{more}"));
    assert_eq!(reads(&proxy, 50).await, BTreeMap::from([("pg3", 50)]));
    assert_eq!((column(&proxy, "pg2", "near"), column(&proxy, "pg3", "near")), ("f".into(), "t".into()));
    cluster.pg3.psql("SELECT pg_wal_replay_pause()").unwrap();
    write_megabytes(&cluster, 1);
    wait_until_it_gets_none(&proxy, "pg3", "paused");
    assert_eq!(reads(&proxy, 50).await, BTreeMap::from([("pg2", 50)]), "better another zone than the primary");
    cluster.pg3.psql("SELECT pg_wal_replay_resume()").unwrap();
    wait_until_it_gets_some(&proxy, "pg3");
    assert_eq!(reads(&proxy, 50).await, BTreeMap::from([("pg3", 50)]));
}
