//! `durability = "quorum"`: the primary dies, one way or another, and nothing that was acknowledged is lost.

use std::time::{Duration, Instant};

use pgherd::demo::StopMode;

use super::rig::{Options, Rig};
use super::{PATIENCE, crowd, outage_since, shown, until_shown};

/// Breaks pg1 under load; when all write again, `afterwards` may do more. Nothing acknowledged may be missing.
fn after(what: &str, rig: &Rig, breaks: impl FnOnce(&Rig), afterwards: impl FnOnce(&Rig)) {
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    let broken = Instant::now();
    breaks(rig);
    let outage = outage_since(what, &load, broken);
    assert!(outage < PATIENCE, "{outage:?}");
    afterwards(rig);
    load.run_for(Duration::from_millis(500));
    let tally = load.end();
    let primary = rig.primary();
    assert_ne!(primary.name(), "pg1", "somebody took its place");
    until_shown(&proxy, "role,state", primary.name(), "primary|up");
    assert_ne!(shown(&proxy, "role,state", "pg1"), "primary|up");
    tally.check(primary);
}

#[test]
fn killed() {
    after("kill -9", &Rig::quorum(), |rig| rig.cluster.pg1.kill9().unwrap(), |_| ());
}

#[test]
fn frozen_and_thawed() {
    let thaw = |rig: &Rig| {
        rig.cluster.pg1.sigcont().unwrap();
        // It can't acknowledge: a commit there waits for standbys that have another primary.
        std::thread::scope(|scope| {
            let write = scope.spawn(|| rig.cluster.pg1.psql_as("app", "app", "INSERT INTO written VALUES (-1)"));
            std::thread::sleep(Duration::from_secs(1));
            assert!(!write.is_finished(), "the old primary acknowledged: {:?}", write.join());
            rig.cluster.pg1.kill9().unwrap();
            assert!(write.join().unwrap().is_err());
        });
    };
    after("SIGSTOP", &Rig::quorum(), |rig| rig.cluster.pg1.sigstop().unwrap(), thaw);
}

#[test]
fn stopped_at_once() {
    let stop = |rig: &Rig| rig.cluster.pg1.stop(StopMode::Immediate).unwrap();
    after("immediate shutdown", &Rig::quorum(), stop, |_| ());
}

#[test]
fn killed_and_started_again() {
    let start = |rig: &Rig| {
        rig.cluster.pg1.start().unwrap();
        std::thread::sleep(Duration::from_millis(500));
    };
    after("kill -9, started again", &Rig::quorum(), |rig| rig.cluster.pg1.kill9().unwrap(), start);
}

#[test]
fn killed_twice_with_the_old_primary_back_as_a_standby() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    for _ in 0..2 {
        let old = rig.primary().name();
        let killed = Instant::now();
        rig.node(old).kill9().unwrap();
        outage_since("kill -9, one of two", &load, killed);
        let new = rig.primary().name();
        assert_ne!(old, new);
        rig.rejoin(old, new);
        for standby in ["pg1", "pg2", "pg3"].into_iter().filter(|name| *name != new) {
            until_shown(&proxy, "role,state,upstream", standby, &format!("standby|up|{new}"));
        }
    }
    load.run_for(Duration::from_millis(500));
    load.end().check(rig.primary());
}

#[test]
fn killed_while_a_standby_hangs_below_another() {
    let rig = Rig::start(Options { cascade: true, ..Options::QUORUM });
    let below = |rig: &Rig| {
        let primary = rig.primary().name();
        let follows = "SELECT received_tli >= 2 FROM pg_stat_wal_receiver";
        rig.nodes().into_iter().filter(|node| ![primary, "pg1"].contains(&node.name())).for_each(|node| {
            node.wait_for(follows, "t").unwrap();
        });
    };
    after("kill -9, with a cascade", &rig, |rig| rig.cluster.pg1.kill9().unwrap(), below);
}
