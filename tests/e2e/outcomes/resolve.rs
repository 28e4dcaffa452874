//! A COMMIT in doubt whose outcome is asked of the new primary.

use std::process::Command;

use pgherd::demo::cluster;

use super::{push_sync, push_unnamed, refusal, send_all};
use crate::harness::raw::{Raw, Role};
use crate::harness::{Proxy, eventually, private_cluster_with};

const RESOLVE: &str = "\
[monitor]
interval = '100ms'
timeout = '250ms'
[failover]
mode = 'automatic'
grace = '0'
pause = '0'
hold_timeout = '30s'
outcome = 'resolve'
";

/// COMMIT waits for a standby that does not exist: its record is on the others, its answer never comes.
#[tokio::test]
async fn a_commit_in_doubt_is_told_as_it_came_about() {
    let settings = ["wal_receiver_timeout = '1s'", "wal_retrieve_retry_interval = '200ms'"].map(str::to_owned);
    let cluster = private_cluster_with(cluster::Options { settings: settings.into(), ..cluster::Options::default() });
    let role = Role::on(&cluster, "resolve");
    let proxy = Proxy::start(&cluster, &format!("{RESOLVE}{}", role.config()));
    let mut clients = Vec::new();
    for _ in 0..7 {
        clients.push(role.raw(proxy.port()).await);
    }
    let [simple, extended, named, reader, pipeline, lost, early] = clients.try_into().ok().unwrap();
    let (mut simple, mut extended, mut named): (Raw, Raw, Raw) = (simple, extended, named);
    let (mut reader, mut pipeline, mut lost, mut early): (Raw, Raw, Raw, Raw) = (reader, pipeline, lost, early);
    assert_eq!(simple.query("CREATE TABLE t (a int)").await.sqlstate(), "");
    // Nothing is in doubt: COMMIT is answered as ever, with the question ahead of it.
    assert_eq!(simple.query("BEGIN; INSERT INTO t VALUES (0)").await.status, b'T');
    assert_eq!(simple.query("COMMIT").await.kinds, "CZ");
    assert_eq!(simple.query("BEGIN").await.status, b'T');
    assert_eq!(simple.unnamed("COMMIT", &[]).await.kinds, "12CZ");
    assert_eq!(simple.query("BEGIN").await.status, b'T');
    assert_eq!(simple.query("SELECT 1/0").await.status, b'E');
    assert_eq!(simple.query("COMMIT").await.tags, ["ROLLBACK"]);
    assert_eq!(named.prepare("end", "COMMIT").await.kinds, "1Z");

    for (number, client) in
        [&mut simple, &mut extended, &mut named, &mut pipeline, &mut lost, &mut early].into_iter().enumerate()
    {
        assert_eq!(client.query(&format!("BEGIN; INSERT INTO t VALUES ({})", number + 1)).await.status, b'T');
    }
    assert_eq!(reader.query("BEGIN; SELECT count(*) FROM t").await.status, b'T');
    cluster.pg1.psql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (nobody)'").unwrap();
    cluster.pg1.psql("SELECT pg_reload_conf()").unwrap();
    cluster.pg1.wait_for("SHOW synchronous_standby_names", "ANY 1 (nobody)").unwrap();
    simple.send_query("COMMIT").await;
    send_all(&mut extended, |out| {
        push_unnamed(out, "COMMIT");
        push_sync(out);
    })
    .await;
    send_all(&mut named, |out| {
        crate::harness::raw::push_execute(out, "end", &[]);
        push_sync(out);
    })
    .await;
    // Together with something else: nobody asked for its number.
    send_all(&mut pipeline, |out| {
        push_unnamed(out, "INSERT INTO t VALUES (40)");
        push_unnamed(out, "COMMIT");
        push_sync(out);
    })
    .await;
    let waiting =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'SyncRep'", role.name);
    eventually("four commits wait", || (cluster.pg1.psql(&waiting).unwrap() == "4").then_some(()));
    cluster.wait_caught_up().unwrap();

    // One that the standbys never hear of: who would tell them is frozen.
    let walsender = cluster.pg1.psql("SELECT pid FROM pg_stat_replication WHERE application_name = 'pg2'").unwrap();
    assert!(Command::new("kill").args(["-STOP", &walsender]).status().unwrap().success());
    lost.send_query("COMMIT").await;
    eventually("five commits wait", || (cluster.pg1.psql(&waiting).unwrap() == "5").then_some(()));
    cluster.pg1.kill9().unwrap();

    assert_eq!(simple.answer().await.kinds, "CZ");
    assert_eq!(extended.answer().await.kinds, "12CZ");
    assert_eq!(named.answer().await.kinds, "2CZ");
    assert_eq!(refusal(&pipeline.answer().await), ("08007", "ERROR", 'I'));
    assert_eq!(refusal(&lost.answer().await), ("40001", "ERROR", 'I'));
    let kept = simple.value("SELECT string_agg(a::text, ',' ORDER BY a) FROM t").await;
    assert_eq!(kept, "0,1,2,3,4,40");
    // Its COMMIT was not sent.
    assert_eq!(refusal(&early.query("COMMIT").await), ("40001", "ERROR", 'I'));
    assert_eq!(refusal(&reader.query("COMMIT").await), ("40001", "ERROR", 'I'));
    assert_eq!(named.query("BEGIN").await.status, b'T');
    assert_eq!(named.execute("end", &[]).await.kinds, "2CZ");
}
