//! A switchover under load: nobody notices more than a pause.

use std::time::{Duration, Instant};

use super::rig::Rig;
use super::{PATIENCE, crowd, outage_since, until_shown};

#[test]
fn nobody_gets_an_error_and_it_can_be_done_again() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let load = crowd(&proxy);
    for (old, new) in [("pg1", "pg2"), ("pg2", "pg1")] {
        let begun = Instant::now();
        proxy.console(&format!("SWITCHOVER TO {new}"));
        let outage = outage_since("switchover", &load, begun);
        assert!(outage < PATIENCE, "{outage:?}");
        until_shown(&proxy, "role,state", new, "primary|up");
        until_shown(&proxy, "role,state,upstream", "pg3", &format!("standby|up|{new}"));
        until_shown(&proxy, "state", old, "refused");
        rig.rejoin(old, new);
        until_shown(&proxy, "role,state,upstream", old, &format!("standby|up|{new}"));
    }
    let tally = load.end();
    assert!(tally.errors.is_empty() && tally.sessions_dropped == 0, "{tally}");
    tally.check(&rig.cluster.pg1);
}

/// A transaction that does not end in time is ended, and its client is told so and stays connected.
#[tokio::test]
async fn a_transaction_that_does_not_end_is_ended() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("[failover]\ndrain = '300ms'");
    let client = proxy.client().await;
    client.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    client.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    proxy.console("SWITCHOVER TO pg2");
    until_shown(&proxy, "role,state", "pg2", "primary|up");
    let error = client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("40001"), "{error:?}");
    client.batch_execute("ROLLBACK").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    let rows = rig.cluster.pg2.psql_as("app", "app", "SELECT string_agg(id::text, ',') FROM t").unwrap();
    assert_eq!(rows, "3");
}

/// One that ends in time is not.
#[tokio::test]
async fn a_transaction_that_ends_in_time_is_kept() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    let client = proxy.client().await;
    client.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    client.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let console = proxy.client_as("pgherd", "admin").await.unwrap();
    let order = tokio::spawn(async move { console.simple_query("SWITCHOVER TO pg2").await.map(|_| ()) });
    while !proxy.console("SHOW CLUSTER").contains("draining") {
        assert!(!order.is_finished(), "it must wait for the transaction");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.batch_execute("COMMIT").await.unwrap();
    order.await.unwrap().unwrap();
    client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    let rows = rig.cluster.pg2.psql_as("app", "app", "SELECT string_agg(id::text, ',') FROM t").unwrap();
    assert_eq!(rows, "1,2");
}
