//! The proxy itself is killed in the middle of a failover, at each of its steps, and started again.

use std::time::{Duration, Instant};

use pgherd::demo::machine;

use super::load::{Crowd, Load, TABLE};
use super::rig::Rig;
use super::until_shown;
use crate::harness::eventually;

const FEW: Crowd = Crowd { writers: 16, readers: 4, idle: 0, extended: true, pause: Duration::from_millis(15) };

/// Kills pg1, and the proxy as soon as its log has these words; then starts it again and looks at what is there.
fn killed_when_it_says(words: &str) {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    proxy.psql(TABLE);
    let load = Load::start(&proxy.dsn("app", "app"), FEW);
    load.run_for(Duration::from_millis(500));
    let pid = proxy.process.pid();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let started = Instant::now();
            while !proxy.process.log_text().contains(words) {
                assert!(started.elapsed() < Duration::from_secs(20), "it never said {words:?}");
                std::thread::sleep(Duration::from_millis(1));
            }
            machine::kill("KILL", &[pid]).unwrap();
        });
        rig.cluster.pg1.kill9().unwrap();
        watcher.join().unwrap();
    });
    eventually("the proxy is dead", || proxy.process.ended());
    let dead_for = Duration::from_millis(300);
    std::thread::sleep(dead_for);
    let proxy = proxy.started_again();
    load.await_writes(Instant::now());
    load.run_for(Duration::from_millis(500));
    let tally = load.end();
    let primary = rig.primary();
    assert_ne!(primary.name(), "pg1");
    until_shown(&proxy, "role,state", primary.name(), "primary|up");
    let verdict = tally.verdict(primary);
    println!("killed at {words:?}: {tally}; {verdict}");
    // Its clients lost their connections with it; what they had been told stays true.
    assert_eq!((verdict.lost.len(), verdict.twice.len(), verdict.undone_there.len()), (0, 0, 0), "{verdict}");
    assert_eq!(verdict.foreign, Vec::<i64>::new());
    assert!(tally.unseen.is_empty(), "{:?}", tally.unseen);
}

#[test]
fn when_it_suspects() {
    killed_when_it_says("is suspect");
}

#[test]
fn when_it_revokes() {
    killed_when_it_says("failover: cutting");
}

#[test]
fn when_it_promotes() {
    killed_when_it_says("promoting pg");
}

#[test]
fn when_it_opens() {
    killed_when_it_says("now it is a primary");
}

#[test]
fn when_all_is_done() {
    killed_when_it_says("is the primary in place of");
}

/// Nobody promotes while there is no proxy; one that is started later knows from its state file whom it misses.
#[test]
fn when_the_primary_dies_without_a_proxy() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    proxy.psql(TABLE);
    let load = Load::start(&proxy.dsn("app", "app"), FEW);
    load.run_for(Duration::from_millis(500));
    machine::kill("KILL", &[proxy.process.pid()]).unwrap();
    eventually("the proxy is dead", || proxy.process.ended());
    rig.cluster.pg1.kill9().unwrap();
    let _proxy = proxy.started_again();
    load.await_writes(Instant::now());
    let tally = load.end();
    let verdict = tally.verdict(rig.primary());
    println!("{tally}; {verdict}");
    assert_eq!((verdict.lost.len(), verdict.twice.len()), (0, 0), "{verdict}");
}
