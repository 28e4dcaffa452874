//! Who takes the place of the primary, and what could hold it up. All with `durability = "quorum"`.

use std::time::{Duration, Instant};

use pgherd::demo::StopMode;

use super::network::Link;
use super::rig::{Options, Rig};
use super::{PATIENCE, crowd, outage_since, shown, until_shown};
use crate::harness::drivers;
use crate::harness::eventually;

/// Readers on both standbys hold what the replay wants to change: PostgreSQL alone would wait 30 s for them.
#[tokio::test]
async fn a_reader_in_its_way_does_not_hold_up_the_promotion() {
    let settings = vec!["hot_standby_feedback = off".to_owned()];
    let rig = Rig::start(Options { settings, ..Options::QUORUM });
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    proxy.psql("CREATE TABLE wanted (id int)");
    let mut readers = Vec::new();
    for standby in [&rig.cluster.pg2, &rig.cluster.pg3] {
        eventually("the table is there", || standby.psql_as("app", "app", "SELECT * FROM wanted").ok());
        let reader = drivers::direct(standby).await;
        reader.batch_execute("BEGIN; SELECT * FROM wanted").await.unwrap();
        readers.push(reader);
    }
    proxy.psql("DROP TABLE wanted");
    for standby in [&rig.cluster.pg2, &rig.cluster.pg3] {
        let waits =
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event_type = 'Lock'";
        standby.wait_for(waits, "t").unwrap();
    }
    let killed = Instant::now();
    rig.cluster.pg1.kill9().unwrap();
    let outage = outage_since("kill -9, readers in the way", &load, killed);
    assert!(outage < PATIENCE, "{outage:?}");
    load.end().check(rig.primary());
}

#[test]
fn a_paused_replay_does_not_hold_up_the_promotion() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    for standby in [&rig.cluster.pg2, &rig.cluster.pg3] {
        standby.psql("SELECT pg_wal_replay_pause()").unwrap();
        standby.wait_for("SELECT pg_get_wal_replay_pause_state()", "paused").unwrap();
    }
    load.run_for(Duration::from_millis(500));
    let killed = Instant::now();
    rig.cluster.pg1.kill9().unwrap();
    let outage = outage_since("kill -9, replay paused", &load, killed);
    assert!(outage < PATIENCE, "{outage:?}");
    load.end().check(rig.primary());
}

/// pg2 comes first in the configuration, and only pg3 has what was acknowledged last.
#[test]
fn the_most_advanced_standby_wins_and_not_the_first() {
    let rig = Rig::start(Options::CUTTABLE);
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    rig.link("pg1", "pg2", Link::Silent);
    load.run_for(Duration::from_secs(2));
    let killed = Instant::now();
    rig.cluster.pg1.kill9().unwrap();
    let outage = outage_since("kill -9, the first standby is behind", &load, killed);
    assert!(outage < PATIENCE, "{outage:?}");
    assert_eq!(rig.primary().name(), "pg3");
    until_shown(&proxy, "role,state,upstream", "pg2", "standby|up|pg3");
    load.end().check(&rig.cluster.pg3);
}

/// After a restart a standby says that it received nothing, or only up to the start of the segment: it must not be
/// taken for one that is behind.
#[test]
fn a_restarted_standby_is_not_underrated() {
    let rig = Rig::start(Options::CUTTABLE);
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    rig.link("pg1", "pg3", Link::Silent);
    load.run_for(Duration::from_secs(2));
    let tally = load.end();
    rig.cluster.pg2.stop(StopMode::Fast).unwrap();
    rig.cluster.pg2.start().unwrap();
    rig.wait_streaming("pg1", &["pg2"]);
    until_shown(&proxy, "role,state", "pg2", "standby|up");
    rig.cluster.pg1.kill9().unwrap();
    until_shown(&proxy, "role,state", "pg2", "primary|up");
    tally.check(&rig.cluster.pg2);
}

#[test]
fn a_standby_whose_upstream_standby_died_gets_another() {
    let rig = Rig::start(Options { cascade: true, ..Options::QUORUM });
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    rig.cluster.pg2.kill9().unwrap();
    eventually("pg4 streams from a node that lives", || {
        let upstream = shown(&proxy, "upstream,state", "pg4");
        ["pg1|up", "pg3|up"].contains(&upstream.as_str()).then_some(())
    });
    rig.cluster.pg2.start().unwrap();
    until_shown(&proxy, "role,state", "pg2", "standby|up");
    load.run_for(Duration::from_millis(500));
    load.end().check(&rig.cluster.pg1);
}
