//! A read shows what was written before, wherever it runs.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pgherd::demo::{Cluster, Node, cluster};
use pgherd::wire::frontend;
use tokio_postgres::Client;

use crate::harness::drivers::connect;
use crate::harness::raw::Raw;
use crate::harness::{Proxy, eventually, private_cluster, private_cluster_with};

/// A standby may be as far behind as it is, and is asked all the same: that is what these tests want to see.
const ANY_LAG: &str = "[routing]\nmax_lag = '0'\nmax_lag_bytes = 0\n";

/// One whose port is another one's is not the primary.
const WHERE: &str = "/* pgherd: standby */ SELECT pg_catalog.current_setting('port')";

fn replay(cluster: &Cluster, what: &str) {
    for node in [&cluster.pg2, &cluster.pg3] {
        node.psql(&format!("SELECT pg_wal_replay_{what}()")).unwrap();
    }
}

/// Both standbys show this much and no more from now on.
fn freeze(proxy: &Proxy<'_>) {
    let cluster = proxy.cluster;
    proxy.until_standbys_read("app");
    cluster.wait_caught_up().unwrap();
    replay(cluster, "pause");
    for node in [&cluster.pg2, &cluster.pg3] {
        node.wait_for("SELECT pg_get_wal_replay_pause_state()", "paused").unwrap();
    }
}

async fn value(client: &Client, sql: &str) -> i32 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Through the proxy, by text.
async fn raw(proxy: &Proxy<'_>) -> Raw {
    let parameters = [("user", "app"), ("database", "app")];
    Raw::connect(proxy.port(), &parameters).await.unwrap()
}

/// With no password asked for.
fn trusting(cluster: &Cluster, more: &str) -> String {
    let password = cluster.passwords().of("app").unwrap().expose();
    format!("[auth]\nmethod = 'trust'\n{more}\n[[user]]\nname = 'app'\npassword = '{password}'\n")
}

/// DDL that passes no proxy: standbys that wait know neither the column nor the function, the primary does.
#[tokio::test]
async fn what_a_standby_does_not_know_yet_is_asked_of_the_primary() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, ANY_LAG);
    let client = proxy.client().await;
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (0)").await.unwrap();
    freeze(&proxy);
    let other = proxy.client().await;
    assert_ne!(other.query_one(WHERE, &[]).await.unwrap().get::<_, String>(0), cluster.pg1.port().to_string());
    cluster.pg1.psql_as("app", "app", "ALTER TABLE t ADD COLUMN later int DEFAULT 7").unwrap();
    for _ in 0..3 {
        assert_eq!(value(&other, "/* pgherd: standby */ SELECT later FROM t").await, 7);
        assert_eq!(value(&other, "/* pgherd: standby */ SELECT n FROM t WHERE later = 7").await, 0);
    }
    replay(&cluster, "resume");
}

#[tokio::test]
async fn a_prepared_read_that_is_run_again_sees_the_write_between() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, ANY_LAG);
    let (client, other) = (proxy.client().await, proxy.client().await);
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (0)").await.unwrap();
    freeze(&proxy);
    let (read, others) =
        (client.prepare("SELECT n FROM t").await.unwrap(), other.prepare("SELECT n FROM t").await.unwrap());
    let write = client.prepare("UPDATE t SET n = $1").await.unwrap();
    for n in 1..50 {
        client.execute(&write, &[&n]).await.unwrap();
        assert_eq!(client.query_one(&read, &[]).await.unwrap().get::<_, i32>(0), n);
        assert_eq!(
            other.query_one(&others, &[]).await.unwrap().get::<_, i32>(0),
            0,
            "it reads on a standby that waits"
        );
    }
    replay(&cluster, "resume");
}

/// (8): a write, then a read, 10,000 times.
#[test]
fn whatever_the_standbys_do_a_read_after_a_write_is_never_stale() {
    const CLIENTS: i32 = 8;
    const ROUNDS: i32 = 1250;
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, ANY_LAG);
    proxy.psql("CREATE TABLE t (id int PRIMARY KEY, n int)");
    let (stop, on_standbys) = (AtomicBool::new(false), AtomicU32::new(0));
    let standbys = [cluster.pg2.port().to_string(), cluster.pg3.port().to_string()];
    std::thread::scope(|threads| {
        for node in [&cluster.pg2, &cluster.pg3] {
            let stop = &stop;
            threads.spawn(move || hold_back_at_times(node, stop));
        }
        let _stops = Stops(&stop);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let one = |id| write_and_read(&proxy, id, ROUNDS, &standbys, &on_standbys);
        runtime.block_on(futures_util::future::join_all((0..CLIENTS).map(one)));
    });
    // Else it has shown nothing.
    let count = on_standbys.load(Relaxed);
    assert!(count > 200, "only {count} reads were on a standby");
}

/// Also when the test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Paused and not, some milliseconds each.
fn hold_back_at_times(node: &Node, stop: &AtomicBool) {
    let mut number = u64::from(node.port());
    while !stop.load(Relaxed) {
        for what in ["pause", "resume"] {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            node.psql(&format!("SELECT pg_wal_replay_{what}()")).unwrap();
            std::thread::sleep(Duration::from_millis((number >> 33) % 120));
        }
    }
    node.psql("SELECT pg_wal_replay_resume()").unwrap();
}

async fn write_and_read(proxy: &Proxy<'_>, id: i32, rounds: i32, standbys: &[String; 2], on_standbys: &AtomicU32) {
    let client = proxy.client().await;
    client.execute("INSERT INTO t VALUES ($1, 0)", &[&id]).await.unwrap();
    let read = client.prepare("SELECT n FROM t WHERE id = $1").await.unwrap();
    let hinted = "/* pgherd: standby */ SELECT n, pg_catalog.current_setting('port') FROM t WHERE id = $1";
    let hinted = client.prepare(hinted).await.unwrap();
    for n in 1..=rounds {
        if n % 3 == 0 {
            client.batch_execute(&format!("UPDATE t SET n = {n} WHERE id = {id}")).await.unwrap();
        } else {
            client.execute("UPDATE t SET n = $2 WHERE id = $1", &[&id, &n]).await.unwrap();
        }
        let seen: i32 = client.query_one(&read, &[&id]).await.unwrap().get(0);
        assert_eq!(seen, n, "client {id}");
        // At some time a standby may take it: just then is when it could be too early.
        if (n + id * 7) % 8 == 0 {
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_millis(150) {
                let row = client.query_one(&hinted, &[&id]).await.unwrap();
                assert_eq!(row.get::<_, i32>(0), n, "client {id}, later");
                if standbys.contains(&row.get(1)) {
                    on_standbys.fetch_add(1, Relaxed);
                    break;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
    }
}

/// Each by a session that has written nothing else, with the standbys held back: the read behind it must show it.
#[tokio::test]
async fn whatever_writes_is_a_write() {
    let options = cluster::Options { settings: vec!["max_prepared_transactions = 10".into()], ..Default::default() };
    let cluster = private_cluster_with(options);
    let proxy = Proxy::start(&cluster, &trusting(&cluster, ANY_LAG));
    proxy.psql(
        "CREATE TABLE t (n int); INSERT INTO t VALUES (0);
         CREATE FUNCTION writes(n int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (n); SELECT n';
         CREATE PROCEDURE commits_and_fails(n int) LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO t VALUES (n); COMMIT; RAISE 'so it is'; END $$;
         CREATE PROCEDURE adds(n int) LANGUAGE sql AS 'INSERT INTO t VALUES (n)'",
    );
    let mut preparer = raw(&proxy).await;
    preparer.query("BEGIN; INSERT INTO t VALUES (8); PREPARE TRANSACTION 'two'").await;
    freeze(&proxy);
    let writes = [
        (1, "SET synchronous_commit = off; INSERT INTO t VALUES (1)"),
        (2, "DO $$ BEGIN INSERT INTO t VALUES (2); END $$"),
        (3, "CALL adds(3)"),
        (4, "SELECT writes(4)"),
        (5, "CALL commits_and_fails(5)"),
        (6, "BEGIN; INSERT INTO t VALUES (6); COMMIT; SELECT 1/0"),
        (7, "BEGIN; INSERT INTO t VALUES (7); SAVEPOINT a; INSERT INTO t VALUES (70); ROLLBACK TO a; COMMIT"),
        (8, "COMMIT PREPARED 'two'"),
        (9, "EXPLAIN ANALYZE INSERT INTO t VALUES (9)"),
        (10, "WITH new AS (INSERT INTO t VALUES (10) RETURNING n) SELECT n FROM new"),
    ];
    for (n, sql) in writes {
        let mut client = raw(&proxy).await;
        assert_eq!(client.value("SELECT count(*) FROM t").await, "1", "{sql}: before, on a standby");
        client.query(sql).await;
        assert_eq!(client.value(&format!("SELECT count(*) FROM t WHERE n = {n}")).await, "1", "{sql}");
        client.terminate().await;
    }
    let mut client = raw(&proxy).await;
    let mut copy = Vec::new();
    frontend::push_query(&mut copy, "COPY t FROM STDIN");
    copy.extend_from_slice(b"d\0\0\0\x0711\nc\0\0\0\x04");
    client.send(&copy).await;
    assert_eq!(client.answer().await.kinds, "G");
    assert_eq!(client.answer().await.tags, ["COPY 1"]);
    assert_eq!(client.value("SELECT count(*) FROM t WHERE n = 11").await, "1", "COPY");
    // The unnamed statement, by the extended protocol.
    let mut client = raw(&proxy).await;
    client.unnamed("INSERT INTO t VALUES ($1::text::int)", &["12"]).await;
    assert_eq!(client.unnamed("SELECT count(*) FROM t WHERE n = 12", &[]).await.value(), "1");
    replay(&cluster, "resume");
}

/// The first of two writes is answered, and a standby has it, long before the second one is done.
#[tokio::test]
async fn each_write_of_a_pipeline_counts() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, &trusting(&cluster, ANY_LAG));
    proxy.psql("CREATE TABLE t (n int); INSERT INTO t VALUES (0)");
    let mut client = raw(&proxy).await;
    let mut pipeline = Vec::new();
    frontend::push_query(&mut pipeline, "UPDATE t SET n = 1");
    frontend::push_query(&mut pipeline, "UPDATE t SET n = 2 FROM pg_sleep(2) WHERE true");
    client.send(&pipeline).await;
    assert_eq!(client.answer().await.tags, ["UPDATE 1"]);
    // As far as the first one the standbys are, and the proxy knows it.
    let first = proxy.client().await;
    eventually("a standby shows the first write", || {
        (cluster.pg3.psql_as("app", "postgres", "SELECT n FROM t").unwrap() == "1").then_some(())
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    replay(&cluster, "pause");
    assert_eq!(client.answer().await.tags, ["UPDATE 1"], "it was still under way");
    assert_eq!(client.value("SELECT n FROM t").await, "2");
    assert_eq!(value(&first, "SELECT n FROM t").await, 1, "others read on a standby");
    replay(&cluster, "resume");
}

#[tokio::test]
async fn global_shows_what_any_session_wrote_and_eventual_what_there_is() {
    let cluster = private_cluster();
    let more =
        "[[user]]\nname = 'other'\nconsistency = 'eventual'\n[[database]]\nname = 'app'\nconsistency = 'global'\n";
    cluster.pg1.psql("CREATE ROLE other LOGIN PASSWORD 'secret'").unwrap();
    let proxy = Proxy::start(&cluster, &format!("{ANY_LAG}{more}"));
    let (writer, reader) = (proxy.client().await, proxy.client().await);
    writer.batch_execute("CREATE TABLE t (n int); GRANT SELECT ON t TO other; INSERT INTO t VALUES (0)").await.unwrap();
    freeze(&proxy);
    let other = connect(&format!("postgresql://other:secret@127.0.0.1:{}/app", proxy.port())).await.unwrap();
    for n in 1..50 {
        writer.execute("UPDATE t SET n = $1", &[&n]).await.unwrap();
        assert_eq!(value(&reader, "SELECT n FROM t").await, n, "global, by its database");
        assert_eq!(value(&other, "SELECT n FROM t").await, 0, "eventual, by its user");
    }
    // A session may ask for something else.
    reader.batch_execute("SET pgherd.consistency = 'session'").await.unwrap();
    assert_eq!(value(&reader, "SELECT n FROM t").await, 0);
    reader.batch_execute("SET pgherd.consistency = 'primary'").await.unwrap();
    assert_eq!(value(&reader, "SELECT n FROM t").await, 49);
    reader.batch_execute("RESET pgherd.consistency").await.unwrap();
    writer.batch_execute("SET pgherd.consistency = 'eventual'").await.unwrap();
    assert_eq!(value(&writer, "SELECT n FROM t").await, 0, "its own writes as well");
    replay(&cluster, "resume");
    cluster.wait_caught_up().unwrap();
    eventually("global reads return to the standbys", || {
        let port = proxy.psql(WHERE);
        (port != cluster.pg1.port().to_string()).then_some(())
    });
}

#[tokio::test]
async fn a_token_takes_a_write_from_one_session_to_another() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, ANY_LAG);
    let (writer, reader) = (proxy.client().await, proxy.client().await);
    writer.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (0)").await.unwrap();
    freeze(&proxy);
    writer.batch_execute("UPDATE t SET n = 1").await.unwrap();
    assert_eq!(value(&reader, "SELECT n FROM t").await, 0);
    let token: String = writer.query_one("SHOW pgherd.last_lsn", &[]).await.unwrap().get(0);
    reader.batch_execute(&format!("SET pgherd.min_lsn = '{token}'")).await.unwrap();
    assert_eq!(value(&reader, "SELECT n FROM t").await, 1);
    let primary = cluster.pg1.port().to_string();
    let at = async || -> String { reader.query_one(WHERE, &[]).await.unwrap().get(0) };
    assert_eq!(at().await, primary);
    replay(&cluster, "resume");
    cluster.wait_caught_up().unwrap();
    let started = Instant::now();
    while at().await == primary {
        assert!(started.elapsed() < Duration::from_secs(30), "its reads do not return to the standbys");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(value(&reader, "SELECT n FROM t").await, 1);
}

/// What was written on the old primary, and on the new one: a standby that is held back on the old timeline never shows less.
#[tokio::test]
async fn own_writes_are_seen_across_a_promotion() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, ANY_LAG);
    let client = proxy.client().await;
    client.batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (0)").await.unwrap();
    cluster.wait_caught_up().unwrap();
    cluster.pg3.psql("SELECT pg_wal_replay_pause()").unwrap();
    client.batch_execute("UPDATE t SET n = 1").await.unwrap();
    let lsn = cluster.pg1.psql("SELECT pg_current_wal_lsn()").unwrap();
    cluster.pg2.wait_for(&format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'"), "t").unwrap();
    cluster.pg1.kill9().unwrap();
    cluster.pg2.promote().unwrap();
    for n in 1..=20 {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(200) {
            assert_eq!(value(&client, "SELECT n FROM t").await, n);
        }
        if n == 15 {
            cluster.pg3.psql("SELECT pg_wal_replay_resume()").unwrap();
        }
        client.batch_execute(&format!("UPDATE t SET n = {}", n + 1)).await.unwrap();
    }
    let followed = cluster.pg3.port().to_string();
    let started = Instant::now();
    while client.query_one(WHERE, &[]).await.unwrap().get::<_, String>(0) != followed {
        assert!(started.elapsed() < Duration::from_secs(30), "its reads do not return to the standby");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(value(&client, "SELECT n FROM t").await, 21);
}
