//! What looks like a death and is none, and what is none that could be served. All with `durability = "quorum"`.

use std::time::{Duration, Instant};

use pgherd::demo::proxy::Ready;
use pgherd::demo::{StopMode, machine};

use super::rig::{Options, Rig};
use super::{PATIENCE, crowd, nothing_promoted, outage_since, shown, until_shown};
use crate::harness::{Proxy, drivers, eventually};

#[test]
fn a_primary_that_flaps_is_not_replaced() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    for _ in 0..3 {
        rig.cluster.pg1.sigstop().unwrap();
        std::thread::sleep(Duration::from_millis(400));
        rig.cluster.pg1.sigcont().unwrap();
        std::thread::sleep(Duration::from_millis(1600));
    }
    nothing_promoted(&rig, &proxy);
    let tally = load.end();
    assert!(tally.errors.is_empty(), "{tally}");
    tally.check(&rig.cluster.pg1);
}

#[tokio::test]
async fn a_full_primary_is_not_replaced() {
    let settings = vec!["max_connections = 50".to_owned()];
    let rig = Rig::start(Options { settings, ..Options::QUORUM });
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    let mut guests = Vec::new();
    while let Ok(guest) = drivers::connect(&rig.cluster.pg1.dsn("app", "app")).await {
        guests.push(guest);
    }
    load.run_for(Duration::from_secs(2));
    nothing_promoted(&rig, &proxy);
    drop(guests);
    load.run_for(Duration::from_millis(500));
    load.end().check(&rig.cluster.pg1);
}

#[test]
fn a_wrong_password_of_the_monitor_promotes_nobody() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    let password = rig.cluster.passwords().monitor.expose();
    rig.cluster.pg1.psql("ALTER ROLE pgherd PASSWORD 'another'").unwrap();
    rig.cluster.wait_caught_up().unwrap();
    for node in rig.nodes() {
        node.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgherd monitor'")
            .unwrap();
    }
    eventually("it is refused", || proxy.console("SHOW NODES").contains("can't log in").then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    nothing_promoted(&rig, &proxy);
    load.run_for(Duration::from_millis(500));
    rig.cluster.pg1.psql(&format!("ALTER ROLE pgherd PASSWORD '{password}'")).unwrap();
    until_shown(&proxy, "role,state", "pg1", "primary|up");
    load.end().check(&rig.cluster.pg1);
}

/// PostgreSQL ends all its sessions and recovers: it comes back, or somebody else takes its place. Nothing is lost.
#[test]
fn a_crash_of_one_server_process_loses_nothing() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    let pid = rig.cluster.pg1.psql("SELECT pid FROM pg_stat_activity WHERE usename = 'app' LIMIT 1").unwrap();
    let crashed = Instant::now();
    machine::kill("KILL", &[pid.parse().unwrap()]).unwrap();
    let outage = outage_since("a server process crashes", &load, crashed);
    assert!(outage < PATIENCE, "{outage:?}");
    load.run_for(Duration::from_millis(500));
    load.end().check(rig.primary());
}

/// It lets those work who are there, and nobody else in: at last it is replaced, or it lives on.
#[test]
fn a_smart_shutdown_loses_nothing() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    let stopped = Instant::now();
    machine::kill("TERM", &[rig.cluster.pg1.pid().unwrap()]).unwrap();
    let outage = outage_since("smart shutdown", &load, stopped);
    assert!(outage < PATIENCE, "{outage:?}");
    load.run_for(Duration::from_secs(2));
    // Whoever is still there is sent home at last.
    rig.cluster.pg1.stop(StopMode::Immediate).unwrap();
    load.await_writes(Instant::now());
    load.end().check(rig.primary());
}

#[test]
fn of_two_primaries_at_the_start_the_newer_timeline_is_served() {
    let rig = Rig::quorum();
    rig.cluster.pg2.promote().unwrap();
    let proxy = Proxy::start_until(&rig.cluster, &rig.config(""), Ready::Primary);
    until_shown(&proxy, "role,state", "pg2", "primary|up");
    until_shown(&proxy, "state", "pg1", "refused");
    assert!(!matches!(proxy.process.http_get("/readyz"), Ok((200, body)) if body.contains("fit standbys: 1")));
    // pg3 still hears the older one, and may have more of it than pg2 had: it is no standby of pg2's until it is rewound.
    rig.rejoin("pg3", "pg2");
    until_shown(&proxy, "upstream,state", "pg3", "pg2|up");
    proxy.psql("CREATE TABLE t ()");
    assert_eq!(rig.cluster.pg1.psql_as("app", "app", "SELECT to_regclass('t') IS NULL").unwrap(), "t");
}

#[test]
fn of_two_primaries_on_the_same_timeline_none_is_written() {
    let rig = Rig::quorum();
    // A standby that is started as if it had been the primary all along.
    rig.cluster.pg2.stop(StopMode::Fast).unwrap();
    std::fs::remove_file(rig.cluster.pg2.data_dir().join("standby.signal")).unwrap();
    rig.cluster.pg2.start().unwrap();
    assert_eq!(rig.cluster.pg2.psql("SELECT pg_is_in_recovery()").unwrap(), "f");
    let proxy = Proxy::start_until(&rig.cluster, &rig.config(""), Ready::Listens);
    eventually("both are seen", || {
        let both = ["pg1", "pg2"].map(|name| shown(&proxy, "role", name));
        (both == ["primary", "primary"]).then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    assert!(!matches!(proxy.process.http_get("/readyz"), Ok((200, _))), "no primary is served");
    let log = proxy.process.log_text();
    assert!(log.contains("ERROR") && log.contains("pg1") && log.contains("pg2"), "an alarm: {log}");
    nothing_promoted(&rig, &proxy);
}
