//! Links are cut, nodes live: who can't hear whom decides what may be done. All with `durability = "quorum"`.

use std::time::{Duration, Instant};

use super::network::{Link, PROXY};
use super::rig::{Options, Rig};
use super::{PATIENCE, crowd, nothing_promoted, outage_since, until_shown};
use crate::harness::eventually;

#[test]
fn between_the_proxy_and_the_primary_only_nothing_is_promoted() {
    let rig = Rig::start(Options::CUTTABLE);
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    for link in [Link::Silent, Link::Refused] {
        rig.link(PROXY, "pg1", link);
        eventually("it is known that others hear the primary", || {
            proxy.console("SHOW NODES").contains("still stream").then_some(())
        });
        let reads = load.reads();
        std::thread::sleep(Duration::from_secs(1));
        assert!(load.reads() > reads + 10, "reads go on");
        nothing_promoted(&rig, &proxy);
        rig.link(PROXY, "pg1", Link::Open);
        load.await_writes(Instant::now());
        until_shown(&proxy, "role,state", "pg1", "primary|up");
    }
    load.end().check(&rig.cluster.pg1);
}

#[test]
fn the_primary_from_all_is_replaced_and_acknowledges_nothing() {
    let rig = Rig::start(Options::CUTTABLE);
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    let cut = Instant::now();
    rig.links_of("pg1", Link::Silent);
    let outage = outage_since("the primary cut from all", &load, cut);
    assert!(outage < PATIENCE, "{outage:?}");
    // Somebody who reaches it directly gets no answer: its quorum is gone.
    std::thread::scope(|scope| {
        let write = scope.spawn(|| rig.cluster.pg1.psql_as("app", "app", "INSERT INTO written VALUES (-1)"));
        std::thread::sleep(Duration::from_secs(1));
        assert!(!write.is_finished(), "the old primary acknowledged: {:?}", write.join());
        rig.links_of("pg1", Link::Open);
        until_shown(&proxy, "state", "pg1", "refused");
        std::thread::sleep(Duration::from_millis(500));
        assert!(!write.is_finished(), "the old primary acknowledged when the network was mended: {:?}", write.join());
        rig.cluster.pg1.kill9().unwrap();
        assert!(write.join().unwrap().is_err());
    });
    load.run_for(Duration::from_millis(500));
    load.end().check(rig.primary());
}

#[test]
fn the_primary_from_its_standbys_only_waits_for_them() {
    let rig = Rig::start(Options::CUTTABLE);
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    for standby in ["pg2", "pg3"] {
        rig.link("pg1", standby, Link::Silent);
    }
    std::thread::sleep(Duration::from_secs(3));
    let writes = load.writes();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(load.writes(), writes, "nothing is acknowledged without a standby");
    nothing_promoted(&rig, &proxy);
    let mended = Instant::now();
    for standby in ["pg2", "pg3"] {
        rig.link("pg1", standby, Link::Open);
    }
    load.await_writes(mended);
    nothing_promoted(&rig, &proxy);
    load.end().check(&rig.cluster.pg1);
}

#[test]
fn a_standby_that_dies_is_not_noticed_by_clients() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    let killed = Instant::now();
    rig.cluster.pg3.kill9().unwrap();
    let outage = outage_since("a standby dies", &load, killed);
    assert!(outage < Duration::from_secs(5), "{outage:?}");
    load.run_for(Duration::from_secs(1));
    nothing_promoted(&rig, &proxy);
    rig.cluster.pg3.start().unwrap();
    until_shown(&proxy, "role,state", "pg3", "standby|up");
    load.run_for(Duration::from_millis(500));
    let tally = load.end();
    assert!(tally.errors.is_empty(), "{tally}");
    tally.check(&rig.cluster.pg1);
}

/// With two standbys and `ANY 1`, an acknowledged write may be on the dead standby only.
#[test]
fn the_primary_and_one_standby_die_and_it_waits_for_the_standby() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    rig.cluster.pg3.kill9().unwrap();
    load.run_for(Duration::from_millis(500));
    rig.cluster.pg1.kill9().unwrap();
    let reads = load.reads();
    std::thread::sleep(Duration::from_secs(3));
    nothing_promoted(&rig, &proxy);
    assert!(load.reads() > reads + 10, "reads go on");
    let shown = proxy.console("SHOW CLUSTER");
    assert!(shown.contains("pg3"), "it says whom it waits for: {shown}");
    rig.cluster.pg3.start().unwrap();
    load.await_writes(Instant::now());
    until_shown(&proxy, "role,state", rig.primary().name(), "primary|up");
    load.end().check(rig.primary());
}
