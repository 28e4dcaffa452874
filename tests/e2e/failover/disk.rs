//! The primary's WAL disk fills up: PostgreSQL panics, can't recover, and is gone for good.

use std::time::{Duration, Instant};

use super::rig::Rig;
use super::{crowd, say_outages, until_shown};

/// Mounts a small disk over pg_wal where only this process and its children see it: nothing is left when they end.
const ON_A_SMALL_DISK: &str = r#"
cp -a pg_wal pg_wal.full && mount -t tmpfs -o size=48m,mode=0700 tmpfs pg_wal && cp -a pg_wal.full/. pg_wal/ &&
rm -rf pg_wal.full && exec "$@"
"#;
const PRIVATELY: [&str; 5] = ["/usr/bin/unshare", "--user", "--map-current-user", "--keep-caps", "--mount"];

/// A base backup included.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_primary_whose_wal_disk_is_full_is_replaced() {
    let rig = Rig::quorum();
    let pg1 = &rig.cluster.pg1;
    let mut probe = rig.cluster.site().command(PRIVATELY[0]);
    probe.args(&PRIVATELY[1..]).args(["sh", "-c", "mkdir -p small && mount -t tmpfs -o size=1m tmpfs small"]);
    if let Err(why) = rig.cluster.site().run("mount a private disk", &mut probe) {
        return println!("NOT TESTED: a full WAL disk, for this system lets nobody mount one privately: {why}");
    }
    pg1.stop(pgherd::demo::StopMode::Fast).unwrap();
    let wrapper: Vec<&str> = PRIVATELY.into_iter().chain(["sh", "-c", ON_A_SMALL_DISK, "sh"]).collect();
    pg1.start_by(&wrapper).unwrap();
    rig.wait_streaming("pg1", &["pg2", "pg3"]);

    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    let begun = Instant::now();
    let fill = "CREATE TABLE large AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 200000)";
    let error = pg1.psql(fill).unwrap_err().to_string();
    println!("filled in {} ms: {error}", begun.elapsed().as_millis());
    let killed = Instant::now();
    while !load.all_have_written(killed) {
        assert!(killed.elapsed() < PATIENCE, "nobody took its place");
        start_what_panicked(&rig);
        std::thread::sleep(Duration::from_millis(50));
    }
    say_outages("WAL disk full", load.outages_until_now(begun));
    let primary = rig.primary_but("pg1");
    assert_ne!(primary.name(), "pg1");
    until_shown(&proxy, "role,state", primary.name(), "primary|up");
    load.end().check(primary);
}

/// The WAL ends at the end of a segment, in the middle of a record. PostgreSQL 15's other standby, which has that much of
/// it, then panics now and then when it changes to the new primary's timeline ("could not open file
/// \"pg_wal/000000020000000000000003\""): whoever watches over it must start it again, or make a new copy.
fn start_what_panicked(rig: &Rig) {
    for standby in [&rig.cluster.pg2, &rig.cluster.pg3].into_iter().filter(|node| node.pid().is_none()) {
        println!("{} has panicked", standby.name());
        if standby.start().is_err() {
            let other = if standby.name() == "pg2" { "pg3" } else { "pg2" };
            rig.rejoin(standby.name(), other);
        }
    }
}
