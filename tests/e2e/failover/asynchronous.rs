//! `durability = "async"`: quick, and what no standby had received may be lost.

use std::time::{Duration, Instant};

use pgherd::demo::Node;

use super::load::Crowd;
use super::network::{Link, PROXY};
use super::rig::{Options, Rig};
use super::{crowd_of, outage_since, shown, until_shown};
use crate::harness::{Proxy, eventually};

/// Asynchronous: what the standby had not received is lost. Here that is a handful.
const MAY_BE_LOST: usize = 100;

const SIMPLE: Crowd = Crowd { writers: 16, readers: 16, idle: 8, extended: false, pause: Duration::from_millis(15) };

fn asynchronous(relays: bool) -> Rig {
    Rig::start(Options { quorum: false, relays, ..Options::QUORUM })
}

#[test]
fn a_killed_primary_is_replaced_and_gets_no_client_when_it_returns() {
    let rig = asynchronous(false);
    rig.point("pg3", "pg2");
    let proxy = rig.proxy("");
    let load = crowd_of(&proxy, SIMPLE);
    let killed = Instant::now();
    rig.cluster.pg1.kill9().unwrap();
    let outage = outage_since("kill -9, async", &load, killed);
    assert!(outage < Duration::from_secs(5), "{outage:?}");
    assert_eq!(shown(&proxy, "role,state", "pg2"), "primary|up");
    rig.cluster.pg3.wait_for("SELECT received_tli FROM pg_stat_wal_receiver", "2").unwrap();
    until_shown(&proxy, "upstream,state", "pg3", "pg2|up");

    rig.cluster.pg1.start().unwrap();
    until_shown(&proxy, "state", "pg1", "refused");
    load.run_for(Duration::from_secs(1));
    assert_eq!(shown(&proxy, "role,state", "pg2"), "primary|up");
    let verdict = load.end().check_async(&rig.cluster.pg2);
    assert!(verdict.lost.len() < MAY_BE_LOST, "{verdict}");
    no_clients(&rig.cluster.pg1);
}

#[test]
fn a_frozen_primary_is_replaced_and_acknowledges_nothing_when_it_thaws() {
    let rig = asynchronous(false);
    let proxy = rig.proxy("");
    let load = crowd_of(&proxy, SIMPLE);
    let frozen = Instant::now();
    rig.cluster.pg1.sigstop().unwrap();
    let outage = outage_since("SIGSTOP, async", &load, frozen);
    assert!(outage < Duration::from_secs(8), "{outage:?}");
    let (winner, other) = match shown(&proxy, "role", "pg2").as_str() {
        "primary" => (&rig.cluster.pg2, &rig.cluster.pg3),
        _ => (&rig.cluster.pg3, &rig.cluster.pg2),
    };
    assert_eq!(shown(&proxy, "role,state", winner.name()), "primary|up");
    until_shown(&proxy, "upstream,timeline", other.name(), &format!("{}|2", winner.name()));
    let conninfo = other.psql("SHOW primary_conninfo").unwrap();
    assert!(conninfo.contains("user='replicator'") && conninfo.contains("passfile="), "{conninfo}");
    assert!(conninfo.contains(&format!("application_name='{}'", other.name())), "{conninfo}");

    rig.cluster.pg1.sigcont().unwrap();
    until_shown(&proxy, "state", "pg1", "refused");
    load.run_for(Duration::from_secs(1));
    let verdict = load.end().check_async(winner);
    assert!(verdict.lost.len() < MAY_BE_LOST, "{verdict}");
    no_clients(&rig.cluster.pg1);
}

/// What is no death: overload, a wrong password, flapping, a cut between us and the primary only, failover off.
#[test]
fn a_primary_that_lives_is_not_replaced() {
    let rig = asynchronous(true);
    let cluster = &rig.cluster;
    {
        let proxy = rig.proxy("");
        // The replication connections are bound by neither limit, so the right to them must go too.
        cluster.pg1.psql("ALTER ROLE pgherd NOREPLICATION CONNECTION LIMIT 0").unwrap();
        end_probes(&cluster.pg1);
        eventually("it is full", || proxy.console("SHOW NODES").contains("too many connections").then_some(()));
        unchanged_for(&rig, &proxy, Duration::from_secs(2), "full");
        cluster.pg1.psql("ALTER ROLE pgherd REPLICATION CONNECTION LIMIT -1").unwrap();
        cluster.wait_caught_up().unwrap();

        let password = cluster.passwords().monitor.expose();
        cluster.pg1.psql("ALTER ROLE pgherd PASSWORD 'another'").unwrap();
        cluster.wait_caught_up().unwrap();
        cluster.nodes().into_iter().for_each(end_probes);
        eventually("it is refused", || proxy.console("SHOW NODES").contains("can't log in").then_some(()));
        unchanged_for(&rig, &proxy, Duration::from_secs(2), "wrong password");
        cluster.pg1.psql(&format!("ALTER ROLE pgherd PASSWORD '{password}'")).unwrap();
        cluster.wait_caught_up().unwrap();

        for _ in 0..5 {
            cluster.pg1.sigstop().unwrap();
            std::thread::sleep(Duration::from_millis(400));
            cluster.pg1.sigcont().unwrap();
            std::thread::sleep(Duration::from_millis(1600));
        }
        unchanged_for(&rig, &proxy, Duration::from_secs(1), "flapping");
    }
    a_cut_between_us_and_the_primary_is_no_death(&rig);
    {
        let proxy = rig.proxy("[failover]\nmode = 'off'");
        cluster.pg1.kill9().unwrap();
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(shown(&proxy, "role,state", "pg2"), "standby|up", "failover is off");
        assert_eq!(cluster.pg2.psql("SELECT pg_is_in_recovery()").unwrap(), "t");
        cluster.pg1.start().unwrap();
    }
}

fn a_cut_between_us_and_the_primary_is_no_death(rig: &Rig) {
    let proxy = rig.proxy("");
    let load = crowd_of(&proxy, SIMPLE);
    for link in [Link::Silent, Link::Refused] {
        rig.link(PROXY, "pg1", link);
        eventually("it is known that others hear the primary", || {
            proxy.console("SHOW NODES").contains("still streams from it").then_some(())
        });
        let reads = load.reads();
        unchanged_for(rig, &proxy, Duration::from_secs(2), "a cut link");
        assert!(load.reads() > reads + 10, "reads go on");
        rig.link(PROXY, "pg1", Link::Open);
        until_shown(&proxy, "role,state", "pg1", "primary|up");
        load.await_writes(Instant::now());
    }
    let verdict = load.end().check_async(&rig.cluster.pg1);
    assert_eq!(verdict.lost, Vec::<i64>::new(), "nobody was promoted");
}

fn unchanged_for(rig: &Rig, proxy: &Proxy<'_>, time: Duration, why: &str) {
    std::thread::sleep(time);
    let log = proxy.process.log_text();
    assert!(!log.contains("promoting"), "{why}: {log}");
    let standbys = [&rig.cluster.pg2, &rig.cluster.pg3];
    assert!(standbys.iter().all(|node| node.psql("SELECT pg_is_in_recovery()").unwrap() == "t"), "{why}");
}

fn end_probes(node: &Node) {
    node.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgherd monitor'")
        .unwrap();
}

fn no_clients(node: &Node) {
    assert_eq!(node.psql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").unwrap(), "0");
}
