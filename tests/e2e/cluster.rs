//! The cluster itself: what the other tests take for granted.

use std::process::{Command, Stdio};
use std::time::Duration;

use pgherd::demo::StopMode;

use crate::harness::leftovers::{assert_nothing_left, processes_naming};
use crate::harness::{eventually, private_cluster};

#[test]
fn a_row_travels_down_the_chain_and_everything_is_gone_afterwards() {
    let cluster = private_cluster();
    let upstream_of = "SELECT string_agg(application_name || ' ' || state, ',') FROM pg_stat_replication";
    assert_eq!(cluster.pg1.psql(upstream_of).unwrap(), "pg2 streaming");
    assert_eq!(cluster.pg2.psql(upstream_of).unwrap(), "pg3 streaming");
    assert_eq!(cluster.pg3.psql(upstream_of).unwrap(), "");

    cluster.pg1.psql_as("app", "app", "CREATE TABLE t (a text); INSERT INTO t VALUES ('hello')").unwrap();
    cluster.wait_caught_up().unwrap();
    assert_eq!(cluster.pg3.psql_as("app", "app", "SELECT a FROM t").unwrap(), "hello");

    let refused = cluster.pg2.psql("CREATE TABLE u ()").unwrap_err().to_string();
    assert!(refused.contains("cannot execute CREATE TABLE in a read-only transaction"), "{refused}");
    let lookup = "SELECT rolname, left(verifier, 14) FROM pgherd.lookup('app')";
    assert_eq!(cluster.pg3.psql_as("postgres", "pgherd", lookup).unwrap(), "app|SCRAM-SHA-256$");

    let dir = cluster.dir().to_owned();
    assert_ne!(processes_naming(&dir.display().to_string()), Vec::<String>::new());
    drop(cluster);
    assert_nothing_left(&dir);
}

#[test]
fn nodes_can_be_stopped_killed_frozen_and_promoted() {
    let cluster = private_cluster();
    cluster.pg3.kill9().unwrap();
    assert_eq!(cluster.pg3.pid(), None);
    cluster.pg3.start().unwrap();
    cluster.pg2.stop(StopMode::Fast).unwrap();
    cluster.pg2.start().unwrap();
    cluster.pg2.wait_for("SELECT application_name FROM pg_stat_replication", "pg3").unwrap();

    cluster.pg1.sigstop().unwrap();
    cluster.pg2.promote().unwrap();
    assert_eq!(cluster.pg2.psql("SELECT pg_is_in_recovery()").unwrap(), "f");
    cluster.pg2.psql_as("app", "app", "CREATE TABLE after_promotion ()").unwrap();
    cluster.pg3.wait_for("SELECT received_tli FROM pg_stat_wal_receiver", "2").unwrap();
    cluster.pg1.sigcont().unwrap();
    assert_eq!(cluster.pg1.psql("SELECT pg_is_in_recovery()").unwrap(), "f");

    cluster.pg3.sigstop().unwrap();
    let dir = cluster.dir().to_owned();
    drop(cluster);
    assert_nothing_left(&dir);
}

/// Not a test of its own: the next one runs it as a process that it kills.
#[test]
fn helper_that_is_killed() {
    let Some(file) = std::env::var_os("PGHERD_TEST_TELL_DIR") else { return };
    let cluster = private_cluster();
    std::fs::write(file, cluster.dir().display().to_string()).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_process_killed_with_9_leaves_no_cluster() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cluster::helper_that_is_killed"])
        .env("PGHERD_TEST_TELL_DIR", file.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let dir = eventually("the helper has a cluster", || {
        Some(std::fs::read_to_string(file.path()).unwrap()).filter(|dir| !dir.is_empty())
    });
    process.kill().unwrap();
    process.wait().unwrap();
    eventually("the guard is done", || processes_naming(&dir).is_empty().then_some(()));
    assert_nothing_left(std::path::Path::new(&dir));
}
