//! A COMMIT whose answer is lost, or comes without its standbys: what the client is told is true.

use std::time::Duration;

use pgherd::demo::Node;

use super::network::{Link, PROXY};
use super::rig::{Options, Rig};
use super::until_shown;
use crate::harness::Proxy;
use crate::harness::raw::{Answer, Raw, Role};

/// Sees every message; trusted, so that it is quick.
async fn client(rig: &Rig, proxy_of: &Role, proxy: &Proxy<'_>) -> Raw {
    let mut client = proxy_of.raw(proxy.port()).await;
    client.query("CREATE TABLE t (id int)").await;
    rig.cluster.wait_caught_up().unwrap();
    client
}

fn rows(role: &Role, node: &Node) -> String {
    node.psql_as("app", "postgres", &format!("SELECT count(*) FROM {}.t", role.name)).unwrap()
}

fn standbys(rig: &Rig, link: Link) {
    ["pg2", "pg3"].into_iter().for_each(|standby| rig.link("pg1", standby, link));
}

fn configured(role: &Role, outcome: &str) -> String {
    format!("[failover]\noutcome = '{outcome}'\n{}", role.config())
}

/// The transaction never reached a standby: it is gone with the primary. (answer to COMMIT, rows on the new primary)
async fn lost_with_the_primary(outcome: &str) -> (Answer, String) {
    let rig = Rig::start(Options::CUTTABLE);
    let role = Role::on(&rig.cluster, "owner");
    let proxy = rig.proxy(&configured(&role, outcome));
    let mut client = client(&rig, &role, &proxy).await;
    client.query("BEGIN").await;
    client.query("INSERT INTO t VALUES (1)").await;
    standbys(&rig, Link::Silent);
    client.send_query("COMMIT").await;
    wait_for_sync(&rig.cluster.pg1);
    rig.cluster.pg1.kill9().unwrap();
    let answer = client.answer().await;
    (answer, after(&rig, &role, &proxy, client).await)
}

/// It reached the standbys, and only the answer is lost.
async fn committed_without_an_answer(outcome: &str) -> (Answer, String) {
    let rig = Rig::start(Options::CUTTABLE);
    let role = Role::on(&rig.cluster, "owner");
    let proxy = rig.proxy(&configured(&role, outcome));
    let mut client = client(&rig, &role, &proxy).await;
    client.query("BEGIN").await;
    client.query("INSERT INTO t VALUES (1)").await;
    standbys(&rig, Link::Silent);
    client.send_query("COMMIT").await;
    wait_for_sync(&rig.cluster.pg1);
    rig.link(PROXY, "pg1", Link::Silent);
    standbys(&rig, Link::Open);
    let there = format!("SELECT count(*) FROM {}.t", role.name);
    for standby in [&rig.cluster.pg2, &rig.cluster.pg3] {
        crate::harness::eventually("the row is on the standbys", || {
            (standby.psql_as("app", "postgres", &there).is_ok_and(|count| count == "1")).then_some(())
        });
    }
    rig.cluster.pg1.kill9().unwrap();
    let answer = client.answer().await;
    (answer, after(&rig, &role, &proxy, client).await)
}

/// A session that was told what became of its COMMIT goes on.
async fn after(rig: &Rig, role: &Role, proxy: &Proxy<'_>, mut client: Raw) -> String {
    let name = crate::harness::eventually("there is a new primary", || {
        ["pg2", "pg3"].into_iter().find(|name| super::shown(proxy, "role,state", name) == "primary|up")
    });
    until_shown(proxy, "role,state", name, "primary|up");
    assert_eq!(client.value("SELECT 1").await, "1", "the client is still connected");
    rows(role, rig.node(name))
}

#[tokio::test]
async fn a_commit_in_doubt_is_said_to_be() {
    let (answer, rows) = lost_with_the_primary("unknown").await;
    assert_eq!((answer.sqlstate(), rows.as_str()), ("08007", "0"), "{answer:?}");
    let (answer, rows) = committed_without_an_answer("unknown").await;
    assert_eq!((answer.sqlstate(), rows.as_str()), ("08007", "1"), "{answer:?}");
}

#[tokio::test]
async fn a_commit_in_doubt_is_resolved_where_that_is_wanted() {
    let (answer, rows) = lost_with_the_primary("resolve").await;
    assert_eq!((answer.sqlstate(), rows.as_str()), ("40001", "0"), "{answer:?}");
    let (answer, rows) = committed_without_an_answer("resolve").await;
    assert_eq!((answer.tags, rows.as_str()), (vec!["COMMIT".to_owned()], "1"));
}

/// PostgreSQL answers a cancelled wait with OK and a warning: that OK is none.
#[tokio::test]
async fn a_cancel_while_the_standbys_are_awaited_is_no_ok() {
    let rig = Rig::start(Options::CUTTABLE);
    let role = Role::on(&rig.cluster, "owner");
    let proxy = rig.proxy(&role.config());
    let mut client = client(&rig, &role, &proxy).await;
    standbys(&rig, Link::Silent);
    client.send_query("INSERT INTO t VALUES (1)").await;
    wait_for_sync(&rig.cluster.pg1);
    client.cancel().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    standbys(&rig, Link::Open);
    let answer = client.answer().await;
    // Cancelled in the wait: in doubt. Not forwarded: it waited, and is there.
    match answer.sqlstate() {
        "" => assert_eq!(answer.tags, ["INSERT 0 1"]),
        code => assert_eq!(code, "08007", "{answer:?}"),
    }

    client.query("BEGIN").await;
    client.query("INSERT INTO t VALUES (2)").await;
    standbys(&rig, Link::Silent);
    client.send_query("COMMIT").await;
    wait_for_sync(&rig.cluster.pg1);
    client.cancel().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let waits = rig.cluster.pg1.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").unwrap();
    assert_eq!(waits, "1", "the cancel is not forwarded once COMMIT is on its way");
    standbys(&rig, Link::Open);
    let answer = client.answer().await;
    assert_eq!((answer.sqlstate(), answer.tags.as_slice()), ("", ["COMMIT".to_owned()].as_slice()), "{answer:?}");
}

fn wait_for_sync(primary: &Node) {
    primary.wait_for("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "1").unwrap();
}
