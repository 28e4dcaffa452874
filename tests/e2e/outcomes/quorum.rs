//! Where what is acknowledged must survive a failover, an OK that no standby stands for is none.

use std::time::Duration;

use pgherd::wire::frontend;

use super::{push_sync, push_unnamed, refusal, send_all};
use crate::harness::raw::{Answer, Raw, Role};
use crate::harness::{Proxy, eventually, private_cluster};

const QUORUM: &str = "[failover]\ndurability = 'quorum'\n";

#[tokio::test]
async fn a_commit_that_did_not_reach_its_standbys_is_no_ok() {
    let cluster = private_cluster();
    let role = Role::on(&cluster, "quorum");
    let proxy = Proxy::start(&cluster, &format!("{QUORUM}{}", role.config()));
    let mut client = role.raw(proxy.port()).await;
    assert_eq!(client.query("CREATE TABLE t (a int)").await.sqlstate(), "");
    cluster.pg1.psql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (nobody)'").unwrap();
    cluster.pg1.psql("SELECT pg_reload_conf()").unwrap();
    cluster.pg1.wait_for("SHOW synchronous_standby_names", "ANY 1 (nobody)").unwrap();
    let waits =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'SyncRep'", role.name);
    let end = |function: &str| {
        eventually("it waits for its standbys", || (cluster.pg1.psql(&waits).unwrap() == "1").then_some(()));
        let sql = format!(
            "SELECT {function}(pid) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'SyncRep'",
            role.name
        );
        assert_eq!(cluster.pg1.psql(&sql).unwrap(), "t");
    };
    for _ in 0..2 {
        // COMMIT, the one statement that a cancel request can do nothing good to.
        assert_eq!(client.query("BEGIN; INSERT INTO t VALUES (1)").await.status, b'T');
        client.send_query("COMMIT").await;
        eventually("it waits for its standbys", || (cluster.pg1.psql(&waits).unwrap() == "1").then_some(()));
        client.cancel().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(cluster.pg1.psql(&waits).unwrap(), "1", "the cancel request was held back");
        end("pg_cancel_backend");
        is_doubtful(&client.answer().await, "NEZ");
    }
    // A statement of its own: that it is over but for the wait can't be told.
    client.send_query("INSERT INTO t VALUES (2)").await;
    eventually("it waits for its standbys", || (cluster.pg1.psql(&waits).unwrap() == "1").then_some(()));
    client.cancel().await;
    is_doubtful(&client.answer().await, "NEZ");
    // PostgreSQL has sent its OK when it commits at Sync.
    send_all(&mut client, |out| {
        push_unnamed(out, "INSERT INTO t VALUES (3)");
        push_sync(out);
    })
    .await;
    end("pg_cancel_backend");
    is_doubtful(&client.answer().await, "12CNEZ");
    // What stands behind it in one text is done, and not told.
    client.send_query("BEGIN; INSERT INTO t VALUES (4); COMMIT; SELECT 1").await;
    end("pg_cancel_backend");
    is_doubtful(&client.answer().await, "CCNEZ");
    // The server ends, too.
    send_all(&mut client, |out| frontend::push_query(out, "INSERT INTO t VALUES (5)")).await;
    end("pg_terminate_backend");
    is_doubtful(&client.answer().await, "NEZ");
    assert_eq!(client.value("SELECT count(*) FROM t").await, "6");
}

fn is_doubtful(answer: &Answer, kinds: &str) {
    assert_eq!((answer.kinds.as_str(), refusal(answer)), (kinds, ("08007", "ERROR", 'I')), "{answer:?}");
}

#[tokio::test]
async fn a_weaker_synchronous_commit_is_refused_unless_it_is_allowed() {
    let role = Role::new("weaker");
    let proxy = Proxy::start(crate::harness::shared(), &format!("{QUORUM}{}", role.config()));
    let mut client = role.raw(proxy.port()).await;
    for weaker in ["SET synchronous_commit = off", "SET LOCAL synchronous_commit TO local"] {
        is_refused(&client.query(weaker).await, 'I');
        is_refused(&client.unnamed(weaker, &[]).await, 'I');
        is_refused(&client.prepare("weaker", weaker).await, 'I');
    }
    is_refused(&client.unnamed("SELECT set_config('synchronous_commit', $1, false)", &["off"]).await, 'I');
    assert_eq!(client.query("BEGIN").await.status, b'T');
    is_refused(&client.query("SET LOCAL synchronous_commit = off").await, 'E');
    assert_eq!(client.query("ROLLBACK").await.status, b'I');
    assert_eq!(client.query("SET synchronous_commit = remote_apply").await.tags, ["SET"]);
    assert_eq!(client.value("SHOW synchronous_commit").await, "remote_apply");
    for startup in [("synchronous_commit", "off"), ("options", "-c synchronous_commit=local")] {
        let refused = role.raw_with(proxy.port(), &[startup]).await.err().unwrap();
        assert_eq!((refused.severity.as_str(), refused.sqlstate.as_str()), ("FATAL", "0A000"), "{refused:?}");
    }

    let allowed = format!("{QUORUM}weaker_commit = 'allow'\n{}", role.config());
    let proxy = Proxy::start(crate::harness::shared(), &allowed);
    let mut client: Raw = role.raw(proxy.port()).await;
    assert_eq!(client.query("SET synchronous_commit = off").await.tags, ["SET"]);
    assert_eq!(client.value("SHOW synchronous_commit").await, "off");
    let log = proxy.process.log_text();
    assert!(log.contains("a client has lowered synchronous_commit"), "{log}");
}

fn is_refused(answer: &Answer, status: char) {
    assert_eq!(refusal(answer), ("0A000", "ERROR", status), "{answer:?}");
    assert!(answer.errors[0].message.contains("synchronous_commit"), "{answer:?}");
}
