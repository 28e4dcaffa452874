//! What the monitor can make a node do, each order against a real cluster.

use std::time::{Duration, Instant};

use pgherd::cluster::{Command, NodeId, Observation, Outcome};
use pgherd::config::{self, FailoverMode};
use pgherd::demo::{Cluster, Node};
use pgherd::monitor::Prober;

use crate::harness::{drivers, eventually, private_cluster};
use crate::monitor::shared_of;

const SEVER: Command = Command::Sever { timeline: 1 };

#[tokio::test]
async fn a_standby_is_severed_and_restored_with_its_password() {
    let cluster = private_cluster();
    let (mut pg2, mut pg3) = (coordinator(&cluster, &cluster.pg2), coordinator(&cluster, &cluster.pg3));
    cluster.pg1.psql(r"ALTER ROLE replicator PASSWORD 'it''s a \ secret'").unwrap();
    cluster.wait_caught_up().unwrap();
    let port = cluster.pg1.port();
    let conninfo =
        format!(r"user=replicator password='it\'s a \\ secret' host=127.0.0.1 port={port} application_name=pg2");
    cluster.pg2.psql(&format!("ALTER SYSTEM SET primary_conninfo = '{}'", conninfo.replace('\'', "''"))).unwrap();
    cluster.pg2.psql("SELECT pg_reload_conf()").unwrap();
    eventually("it streams with the password", || streams(&cluster.pg1, "pg2"));

    let begun = Instant::now();
    assert_eq!(pg2.obey(&SEVER).await, Outcome::Done);
    println!("severed after {:?}", begun.elapsed());
    assert_eq!(cluster.pg2.psql("SELECT count(*) FROM pg_stat_wal_receiver").unwrap(), "0");
    assert_eq!(told(&mut pg2).await.severed_from, Some(("127.0.0.1".to_owned(), port)));
    assert_eq!(told(&mut pg2).await.sync_name.as_deref(), Some("pg2"));
    assert_eq!(pg2.obey(&SEVER).await, Outcome::Done, "again");
    assert!(matches!(pg2.obey(&Command::Sever { timeline: 2 }).await, Outcome::Refused(_)));
    assert!(streams(&cluster.pg2, "pg3").is_some(), "the cascade is not its concern");
    assert_eq!(pg2.obey(&Command::Reconnect).await, Outcome::Done, "which changes nothing");
    assert!(told(&mut pg2).await.severed_from.is_some());

    assert_eq!(pg2.obey(&Command::Restore).await, Outcome::Done);
    assert_eq!(told(&mut pg2).await.severed_from, None);
    eventually("it streams again", || streams(&cluster.pg1, "pg2"));
    assert_eq!(pg2.obey(&Command::Restore).await, Outcome::Done, "again");

    // Cascading: cut off pg2, and pointed past it.
    assert_eq!(pg3.obey(&SEVER).await, Outcome::Done);
    let to_pg1 = Command::Repoint { host: "127.0.0.1".into(), port };
    cluster
        .pg1
        .psql(&format!("ALTER ROLE replicator PASSWORD '{}'", cluster.passwords().replication.expose()))
        .unwrap();
    assert_eq!(pg3.obey(&to_pg1).await, Outcome::Done);
    eventually("pg3 streams from pg1", || streams(&cluster.pg1, "pg3"));
    assert_eq!(told(&mut pg3).await.severed_from, None);
    assert!(matches!(coordinator(&cluster, &cluster.pg1).obey(&SEVER).await, Outcome::Refused(_)), "the primary");
}

#[tokio::test]
async fn a_receiver_connects_anew() {
    let cluster = private_cluster();
    let mut pg2 = coordinator(&cluster, &cluster.pg2);
    for _ in 0..3 {
        let pid = cluster.pg2.psql("SELECT pid FROM pg_stat_wal_receiver").unwrap();
        let begun = Instant::now();
        assert_eq!(pg2.obey(&Command::Reconnect).await, Outcome::Done);
        let gone = begun.elapsed();
        eventually("it streams again", || {
            let now = cluster.pg2.psql("SELECT pid FROM pg_stat_wal_receiver WHERE status = 'streaming'").unwrap();
            (!now.is_empty() && now != pid).then_some(())
        });
        println!("the old receiver was gone after {gone:?}, the new one streams after {:?}", begun.elapsed());
    }
    cluster.pg1.kill9().unwrap();
    eventually("the receiver has lost the primary", || told_now(&cluster.pg2, "0"));
    assert_eq!(pg2.obey(&Command::Reconnect).await, Outcome::Done, "there is none");
    cluster.pg1.start().unwrap();
    eventually("it streams again", || streams(&cluster.pg1, "pg2"));
}

#[tokio::test]
async fn of_two_coordinators_the_one_that_severs_has_the_say() {
    let cluster = private_cluster();
    let (mut first, mut second) = (coordinator(&cluster, &cluster.pg2), coordinator(&cluster, &cluster.pg2));
    assert_eq!(first.obey(&Command::Reconnect).await, Outcome::Done);
    for command in [Command::Restore, Command::Reconnect, Command::Clear, Command::Promote { timeline: 1 }] {
        let outcome = second.obey(&command).await;
        assert!(matches!(&outcome, Outcome::NotDone(why) if why.contains("another coordinator")), "{outcome:?}");
    }
    assert_eq!(second.obey(&SEVER).await, Outcome::Done);
    let outcome = first.obey(&Command::Restore).await;
    assert!(matches!(&outcome, Outcome::NotDone(why) if why.contains("another coordinator")), "{outcome:?}");
    assert!(told(&mut first).await.severed_from.is_some(), "it may look");
    drop(second);
    eventually("the lock is free", || {
        let locks = cluster.pg2.psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").unwrap();
        (locks == "0").then_some(())
    });
    assert_eq!(first.obey(&Command::Restore).await, Outcome::Done);
}

#[tokio::test]
async fn what_a_promotion_would_wait_for_is_cleared() {
    let cluster = private_cluster();
    cluster.pg1.psql_as("app", "app", "CREATE TABLE dropped ()").unwrap();
    cluster.wait_caught_up().unwrap();
    let (reader, idle) = (drivers::direct(&cluster.pg2).await, drivers::direct(&cluster.pg2).await);
    reader.batch_execute("BEGIN; SELECT FROM dropped").await.unwrap();
    let mut pg2 = coordinator(&cluster, &cluster.pg2);
    assert_eq!(pg2.obey(&Command::Clear).await, Outcome::Done);
    reader.batch_execute("SELECT FROM dropped").await.unwrap();

    let blocked = "SELECT wait_event_type FROM pg_stat_activity WHERE backend_type = 'startup'";
    cluster.pg1.psql_as("app", "app", "DROP TABLE dropped").unwrap();
    cluster.pg2.wait_for(blocked, "Lock").unwrap();
    // A replay that hangs keeps its receiver: to sever, too, it must be helped.
    let begun = Instant::now();
    assert_eq!(pg2.obey(&SEVER).await, Outcome::Done);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(reader.batch_execute("SELECT 1").await.is_err());
    idle.batch_execute("SELECT 1").await.unwrap();

    cluster.pg2.psql("SELECT pg_wal_replay_pause()").unwrap();
    cluster.pg2.wait_for("SELECT pg_get_wal_replay_pause_state()", "paused").unwrap();
    assert_eq!(pg2.obey(&Command::Clear).await, Outcome::Done);
    assert_eq!(cluster.pg2.psql("SELECT pg_is_wal_replay_paused()").unwrap(), "f");
}

#[tokio::test]
async fn a_new_primary_is_open_once_its_standby_has_the_first_write() {
    let cluster = private_cluster();
    let (mut pg2, mut pg3) = (coordinator(&cluster, &cluster.pg2), coordinator(&cluster, &cluster.pg3));
    cluster.pg2.psql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (pg3)'").unwrap();
    cluster.pg2.psql("SELECT pg_reload_conf()").unwrap();
    let open = Command::Open { epoch: 7, primary: "pg 2's".into() };
    assert!(matches!(pg2.obey(&open).await, Outcome::NotDone(_)), "a standby");
    assert!(matches!(pg2.obey(&Command::Promote { timeline: 1 }).await, Outcome::Refused(_)), "it streams");

    cluster.pg1.kill9().unwrap();
    assert_eq!(pg2.obey(&SEVER).await, Outcome::Done);
    assert_eq!(pg3.obey(&SEVER).await, Outcome::Done);
    assert!(matches!(pg2.obey(&Command::Promote { timeline: 2 }).await, Outcome::Refused(_)), "another timeline");
    assert_eq!(pg2.obey(&Command::Promote { timeline: 1 }).await, Outcome::Done);
    cluster.pg2.wait_for("SELECT pg_is_in_recovery()", "f").unwrap();
    assert_eq!(pg2.obey(&Command::Promote { timeline: 1 }).await, Outcome::Done, "again");

    let xmax = cluster.pg2.psql("SELECT pg_snapshot_xmax(pg_current_snapshot())").unwrap().parse().ok();
    let outcome = pg2.obey(&open).await;
    assert!(matches!(&outcome, Outcome::Unknown(why) if why.contains("not acknowledged")), "{outcome:?}");
    let to_pg2 = Command::Repoint { host: "127.0.0.1".into(), port: cluster.pg2.port() };
    assert_eq!(pg3.obey(&to_pg2).await, Outcome::Done);
    let begun = Instant::now();
    // The first try's session still waits, and has the lock: ours, so it is ended.
    assert_eq!(pg2.obey(&open).await, Outcome::Opened { xmax });
    println!("open after {:?}", begun.elapsed());
    let row = "SELECT epoch, primary_name, timeline FROM pgherd.epoch ORDER BY opened_at DESC LIMIT 1";
    assert_eq!(cluster.pg2.psql(row).unwrap(), "7|pg 2's|2");
    eventually("the standby has it", || (cluster.pg3.psql(row).ok()? == "7|pg 2's|2").then_some(()));

    // A canceled wait is no acknowledgement.
    assert_eq!(pg3.obey(&Command::Sever { timeline: 2 }).await, Outcome::Done);
    let outcome = tokio::join!(pg2.obey(&open), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.pg2.psql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").unwrap();
    });
    assert!(matches!(&outcome.0, Outcome::Unknown(why) if why.contains("synchronous")), "{outcome:?}");
    assert_eq!(pg3.obey(&Command::Restore).await, Outcome::Done);
    cluster.pg2.psql("DROP TABLE pgherd.epoch").unwrap();
    let open = Command::Open { epoch: 8, primary: "pg2".into() };
    assert!(matches!(pg2.obey(&open).await, Outcome::Opened { xmax: Some(_) }), "without the table");
}

/// One that does what it is told.
fn coordinator(cluster: &Cluster, node: &Node) -> Prober {
    let settings = config::Monitor {
        user: "pgherd".into(),
        password: cluster.passwords().monitor.clone(),
        database: "postgres".into(),
        write_interval: Duration::from_millis(50),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        failures: 2,
    };
    let node = config::Node {
        name: node.name().into(),
        host: node.host().into(),
        port: node.port(),
        max_servers: 10,
        weight: 100,
        zone: String::new(),
    };
    let shared = shared_of(vec![node.clone()], settings.clone());
    Prober::new(NodeId(0), &node, &settings, FailoverMode::Manual, shared)
}

async fn told(prober: &mut Prober) -> Observation {
    prober.probe().await.unwrap()
}

/// Whether a standby of this name streams from the node.
fn streams(node: &Node, name: &str) -> Option<()> {
    let sql = format!("SELECT state FROM pg_stat_replication WHERE application_name = '{name}'");
    (node.psql(&sql).unwrap() == "streaming").then_some(())
}

fn told_now(node: &Node, receivers: &str) -> Option<()> {
    (node.psql("SELECT count(*) FROM pg_stat_wal_receiver").unwrap() == receivers).then_some(())
}
