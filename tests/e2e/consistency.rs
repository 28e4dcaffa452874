//! A session reads what it has written, however far the standbys are behind.

use std::time::{Duration, Instant};

use crate::harness::{Proxy, eventually, private_cluster, shared, unique};

async fn rows_seen_by(client: &tokio_postgres::Client) -> usize {
    client.query("SELECT * FROM t", &[]).await.unwrap().len()
}

#[tokio::test]
async fn a_read_after_a_write_is_never_stale() {
    let cluster = shared();
    let proxy = Proxy::start(cluster, "");
    let client = proxy.client().await;
    let table = unique("own_writes");
    for round in 0..300 {
        // A table that has just been made, a row that has just been changed: by both protocols.
        if round % 50 == 0 {
            client.batch_execute(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} (n int)")).await.unwrap();
            client.batch_execute(&format!("INSERT INTO {table} VALUES (0)")).await.unwrap();
        }
        client.execute(&format!("UPDATE {table} SET n = $1"), &[&round]).await.unwrap();
        let seen: i32 = client.query_one(&format!("SELECT n FROM {table}"), &[]).await.unwrap().get(0);
        assert_eq!(seen, round);
    }
    client.batch_execute(&format!("DROP TABLE {table}")).await.unwrap();
}

#[tokio::test]
async fn reads_stay_on_the_primary_until_a_standby_has_the_write() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, "[routing]\nmax_lag = '0'\nmax_lag_bytes = 0\n");
    let (writer, reader) = (proxy.client().await, proxy.client().await);
    let node = "CREATE FUNCTION node() RETURNS text LANGUAGE sql STABLE AS $$ SELECT current_setting('port') $$";
    writer.batch_execute(&format!("CREATE TABLE t (n int); {node}")).await.unwrap();
    let replay = |what: &str| {
        for node in [&cluster.pg2, &cluster.pg3] {
            node.psql(&format!("SELECT pg_wal_replay_{what}()")).unwrap();
        }
    };
    cluster.wait_caught_up().unwrap();
    let primary = cluster.pg1.port().to_string();
    eventually("reads go to the standbys, which have the table", || {
        (proxy.psql("SELECT node(), count(*) FROM t") != format!("{primary}|0")).then_some(())
    });
    replay("pause");
    writer.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    for _ in 0..100 {
        assert_eq!(rows_seen_by(&writer).await, 1);
        // A session that wrote nothing has no reason to wait: what the standbys show is as good as anything.
        assert_eq!(rows_seen_by(&reader).await, 0);
    }
    // A read-only transaction follows the same rule.
    writer.batch_execute("BEGIN READ ONLY").await.unwrap();
    assert_eq!(rows_seen_by(&writer).await, 1);
    writer.batch_execute("COMMIT").await.unwrap();
    // Once the standbys have it, the writer reads there again: what others write meanwhile it does not see.
    replay("resume");
    cluster.wait_caught_up().unwrap();
    replay("pause");
    proxy.client().await.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    let started = Instant::now();
    while rows_seen_by(&writer).await == 2 {
        assert!(started.elapsed() < Duration::from_secs(30), "the writer's reads do not return to the standbys");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    replay("resume");
}
