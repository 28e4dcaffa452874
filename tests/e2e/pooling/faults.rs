//! Nodes that are down, die, come back: who notices, who waits, who is told what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pgherd::demo::proxy::Ready;
use pgherd::demo::{Cluster, StopMode};

use super::until;
use crate::harness::raw::{Role, console};
use crate::harness::{Proxy, private_cluster};

/// One cluster, harmed in one way after the other.
#[tokio::test]
async fn nodes_that_die_are_passed_over_or_waited_for() {
    let cluster = private_cluster();
    let role = Role::on(&cluster, "faults");
    for node in cluster.nodes().into_iter().rev() {
        node.stop(StopMode::Immediate).unwrap();
    }
    let settings =
        "workers = 2\n[failover]\nhold_timeout = '2s'\n[monitor]\ninterval = '200ms'\n[auth]\nlookup = false\n";
    let config = role.config().replace("[auth]\n", "");
    let proxy = Proxy::start_until(&cluster, &format!("{settings}{config}"), Ready::Listens);
    starts_with_all_nodes_down(&cluster, &proxy, &role).await;
    survives_a_standby_killed(&cluster, &proxy, &role).await;
    waits_for_the_primary(&cluster, &proxy, &role).await;
}

async fn starts_with_all_nodes_down(cluster: &Cluster, proxy: &Proxy<'_>, role: &Role) {
    until("not ready, and why not", async || match proxy.process.http_get("/readyz").unwrap() {
        (503, why) if why.contains("pg1") && why.contains("refused") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    until("the log says what is waited for", async || {
        let log = proxy.process.log_text();
        if ["pg1", "pg2", "pg3"].iter().all(|name| log.contains(name)) { Ok(()) } else { Err(log) }
    })
    .await;
    let started = Instant::now();
    let refused = role.raw_with(proxy.port(), &[]).await.err().unwrap();
    assert_eq!((&*refused.severity, &*refused.sqlstate), ("FATAL", "57P03"), "{refused:?}");
    assert!(refused.message.contains("primary"), "{refused:?}");
    assert!(refused.hint.as_ref().unwrap().contains("failover.hold_timeout"), "{refused:?}");
    assert!(started.elapsed() > Duration::from_millis(1900), "{:?}", started.elapsed());
    // The console is there all the time.
    let nodes = console(proxy.port()).await.query("SHOW NODES").await;
    assert_eq!(nodes.rows.len(), 3);

    cluster.pg1.start().unwrap();
    let mut first =
        until("a login works", async || role.raw_with(proxy.port(), &[]).await.map_err(|e| e.message)).await;
    assert_eq!(first.query("CREATE TABLE t (a int)").await.sqlstate(), "");
    assert_eq!(first.value("SELECT count(*) FROM t").await, "0");
    cluster.pg2.start().unwrap();
    cluster.pg3.start().unwrap();
    proxy.process.wait_ready(Ready::Standbys(2)).unwrap();
}

async fn survives_a_standby_killed(cluster: &Cluster, proxy: &Proxy<'_>, role: &Role) {
    const READERS: u32 = 8;
    let over = Arc::new(AtomicBool::new(false));
    let (served, failed) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut tasks = Vec::new();
    for number in 0..READERS {
        let port = proxy.port();
        let role = Role { name: role.name.clone() };
        let (over, served, failed) = (Arc::clone(&over), Arc::clone(&served), Arc::clone(&failed));
        tasks.push(tokio::spawn(async move {
            let mut client = role.raw(port).await;
            while !over.load(Relaxed) {
                let answer = client.query(&format!("SELECT {number}, count(*) FROM t")).await;
                if answer.errors.is_empty() && answer.status == b'I' {
                    assert_eq!(answer.rows[0][0].as_deref(), Some(number.to_string().as_str()));
                    served.fetch_add(1, Relaxed);
                } else {
                    // Its server died under the query; PostgreSQL's own farewell or ours.
                    assert!(["57P01", "57P02", "08007", "08006"].contains(&answer.sqlstate()), "{answer:?}");
                    failed.fetch_add(1, Relaxed);
                    client = role.raw(port).await;
                }
            }
        }));
    }
    let more_served = async |what: &str| {
        let before = served.load(Relaxed);
        until(what, async || match served.load(Relaxed) - before {
            n if n > 20 * READERS => Ok(()),
            n => Err(n.to_string()),
        })
        .await;
    };
    more_served("reads are served").await;
    cluster.pg3.kill9().unwrap();
    more_served("reads go on").await;
    let failures = failed.load(Relaxed);
    assert!(failures <= READERS, "{failures} reads failed");
    more_served("reads still go on").await;
    assert_eq!(failed.load(Relaxed), failures, "only what was under way may fail");

    cluster.pg3.start().unwrap();
    proxy.process.wait_ready(Ready::Standbys(2)).unwrap();
    more_served("reads go on with all nodes").await;
    over.store(true, Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(failed.load(Relaxed), failures);
}

async fn waits_for_the_primary(cluster: &Cluster, proxy: &Proxy<'_>, role: &Role) {
    let (mut reader, mut writer) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    assert_eq!(writer.query("INSERT INTO t VALUES (1)").await.sqlstate(), "");
    cluster.pg1.stop(StopMode::Fast).unwrap();
    let started = Instant::now();
    writer.send_query("INSERT INTO t VALUES (2)").await;
    let mut reads = 0;
    while started.elapsed() < Duration::from_millis(1500) {
        assert_eq!(reader.value("SELECT 7").await, "7");
        reads += 1;
    }
    assert!(reads > 10, "{reads} reads while the primary was away");
    let refused = writer.answer().await;
    assert_eq!((refused.sqlstate(), refused.status), ("57P03", b'I'), "{refused:?}");
    assert!(refused.errors[0].message.contains("primary"), "{refused:?}");
    let took = started.elapsed();
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(8), "{took:?}");
    until("not ready", async || match proxy.process.http_get("/readyz").unwrap() {
        (503, _) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    // Canceled while it waits, and one that waits until it is back.
    writer.send_query("INSERT INTO t VALUES (3)").await;
    let mut console = console(proxy.port()).await;
    until("it waits", async || {
        let states = super::clients(&mut console, role, "state").await;
        if states.contains(&"waiting".to_owned()) { Ok(()) } else { Err(format!("{states:?}")) }
    })
    .await;
    writer.cancel().await;
    assert_eq!(writer.answer().await.sqlstate(), "57014");
    let start = std::thread::scope(|threads| threads.spawn(|| cluster.pg1.start()).join().unwrap());
    start.unwrap();
    until("writes work again", async || {
        let answer = writer.query("INSERT INTO t VALUES (4)").await;
        if answer.errors.is_empty() { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    assert_eq!(writer.value("SELECT count(*) FROM t").await, "2");
}
