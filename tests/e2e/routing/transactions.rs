//! One transaction, one node, always; and a BEGIN that waits for the first statement of its transaction.

use std::time::Duration;

use crate::harness::raw::{Answer, Raw, Role, push_execute, push_parse};
use crate::harness::{Proxy, eventually, shared};

/// A role of its own, and a proxy that lets it in.
struct Stage {
    role: Role,
    proxy: Proxy<'static>,
}

impl Stage {
    /// `more`: configuration.
    fn set(name: &str, more: &str) -> Self {
        let role = Role::new(name);
        let proxy = Proxy::start(shared(), &format!("{more}\n{}", role.config()));
        Self { role, proxy }
    }

    async fn client(&self) -> Raw {
        self.role.raw(self.proxy.port()).await
    }

    /// Of the role, on all nodes.
    fn servers(&self) -> usize {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", self.role.name);
        let count =
            |node: &pgherd::demo::Node| node.psql_as("app", "postgres", &sql).unwrap().parse::<usize>().unwrap();
        shared().nodes().into_iter().map(count).sum()
    }
}

/// Where the session's transaction is.
async fn port(client: &mut Raw) -> u16 {
    client.value("SELECT inet_server_port()").await.parse().unwrap()
}

/// Sends a Query that must bring this tag and this status.
async fn does(client: &mut Raw, sql: &str, tag: &str, status: u8) -> Answer {
    let answer = client.query(sql).await;
    assert_eq!((answer.tags.first().map(String::as_str), answer.status), (Some(tag), status), "{sql}: {answer:?}");
    answer
}

/// The catalog of the database that `client` uses is known.
async fn until_loaded(proxy: &Proxy<'_>, client: &mut Raw) {
    client.value("SELECT 1").await;
    eventually("the catalog is known", || proxy.console("SHOW CATALOGS").contains("app|loaded").then_some(()));
}

#[tokio::test]
async fn a_transaction_that_asks_for_nothing_needs_no_server() {
    let stage = Stage::set("begins", "");
    let mut client = stage.client().await;
    client.value("SELECT 1").await;
    // The one that greeted it may be gone by now, or not: from here on there are no more.
    let before = stage.servers();
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut begun = stage.client().await;
        assert_eq!(does(&mut begun, "BEGIN", "BEGIN", b'T').await.kinds, "CZ");
        idle.push(begun);
    }
    assert_eq!(stage.servers(), before);
    for (at, begun) in idle.iter_mut().enumerate() {
        let end = ["COMMIT", "ROLLBACK", "end;", "abort work"][at % 4];
        does(begun, end, if at % 2 == 0 { "COMMIT" } else { "ROLLBACK" }, b'I').await;
    }
    assert_eq!(stage.servers(), before);
    does(
        &mut client,
        "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE",
        "START TRANSACTION",
        b'T',
    )
    .await;
    let modes = "SELECT current_setting('transaction_isolation') || current_setting('transaction_read_only')
        || current_setting('transaction_deferrable')";
    assert_eq!(client.value(modes).await, "repeatable readonon");
    does(&mut client, "COMMIT AND CHAIN", "COMMIT", b'T').await;
    assert_eq!(client.value(modes).await, "repeatable readonon");
    does(&mut client, "ROLLBACK", "ROLLBACK", b'I').await;
    does(&mut client, "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN", b'T').await;
    does(&mut client, "COMMIT AND CHAIN", "COMMIT", b'T').await;
    assert_eq!(client.value(modes).await, "repeatable readoffoff");
    does(&mut client, "COMMIT", "COMMIT", b'I').await;
    // Outside of a transaction it is PostgreSQL's to warn.
    assert_eq!(does(&mut client, "COMMIT", "COMMIT", b'I').await.kinds, "NCZ");
}

#[tokio::test]
async fn whatever_comes_first_runs_within_the_transaction() {
    let stage = Stage::set("firsts", "");
    let mut client = stage.client().await;
    does(&mut client, "CREATE TABLE t (n int)", "CREATE TABLE", b'I').await;
    let mut extended = Vec::new();
    push_parse(&mut extended, "named", "INSERT INTO t VALUES ($1)");
    push_execute(&mut extended, "named", &["1"]);
    push_parse(&mut extended, "", "INSERT INTO t VALUES ($1)");
    push_execute(&mut extended, "", &["2"]);
    for round in 0..3 {
        does(&mut client, "BEGIN", "BEGIN", b'T').await;
        match round {
            0 => {
                drop(does(&mut client, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", "INSERT 0 1", b'T').await)
            }
            1 => {
                client.send(&[&extended[..], b"S\0\0\0\x04"].concat()).await;
                assert_eq!(client.answer().await.kinds, "12C12CZ");
            }
            // The first request, and the end of the transaction, before anything was answered.
            _ => {
                let flushed = [&extended[..], b"H\0\0\0\x04", b"S\0\0\0\x04"].concat();
                let mut pipeline = Vec::new();
                pgherd::wire::frontend::push_close_statement(&mut pipeline, b"named");
                pipeline.extend_from_slice(&flushed);
                client.send(&pipeline).await;
                client.send_query("SELECT count(*) FROM t").await;
                client.send_query("ROLLBACK").await;
                assert_eq!(client.answer().await.kinds, "312C12CZ");
                assert_eq!(client.answer().await.value(), "2");
                assert_eq!(client.answer().await.tags, ["ROLLBACK"]);
                break;
            }
        }
        assert_eq!(client.value("SELECT count(*) FROM t").await, "2");
        does(&mut client, "ROLLBACK", "ROLLBACK", b'I').await;
        assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
    }
    does(&mut client, "BEGIN", "BEGIN", b'T').await;
    let warned = does(&mut client, "BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN", b'T').await;
    assert_eq!(warned.kinds, "NCZ");
    assert_eq!(client.value("SHOW transaction_isolation").await, "serializable");
    let failed = client.query("SELECT 1/0").await;
    assert_eq!((failed.sqlstate(), failed.status), ("22012", b'E'));
    does(&mut client, "COMMIT", "ROLLBACK", b'I').await;
    // An error in its very first statement.
    does(&mut client, "BEGIN", "BEGIN", b'T').await;
    let failed = client.query("SELECT nothing").await;
    assert_eq!((failed.sqlstate(), failed.status), ("42703", b'E'));
    assert_eq!(client.query("SELECT 1").await.sqlstate(), "25P02");
    does(&mut client, "ROLLBACK", "ROLLBACK", b'I').await;
    // COPY, and a function call of the protocol.
    does(&mut client, "BEGIN", "BEGIN", b'T').await;
    assert_eq!(client.query("COPY t FROM STDIN").await.kinds, "G");
    client.send(b"d\0\0\0\x067\nc\0\0\0\x04").await;
    let copied = client.answer().await;
    assert_eq!((copied.tags, copied.status), (vec!["COPY 1".to_owned()], b'T'));
    does(&mut client, "ROLLBACK", "ROLLBACK", b'I').await;
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
    // Only a Sync: the client learns where it is.
    does(&mut client, "BEGIN", "BEGIN", b'T').await;
    client.send(b"S\0\0\0\x04").await;
    assert_eq!(client.answer().await.status, b'T');
    does(&mut client, "ROLLBACK", "ROLLBACK", b'I').await;
}

#[tokio::test]
async fn a_transaction_that_says_it_only_reads_runs_on_one_standby() {
    let stage = Stage::set("reads_only", "");
    let primary = shared().pg1.port();
    let mut client = stage.client().await;
    does(&mut client, "CREATE TABLE t (n int)", "CREATE TABLE", b'I').await;
    shared().wait_caught_up().unwrap();
    let until_standby = async |client: &mut Raw, begin: &[&str]| {
        // The write before it must be known to have arrived.
        for _ in 0..1000 {
            for sql in begin {
                assert_eq!(client.query(sql).await.sqlstate(), "", "{sql}");
            }
            let at = port(client).await;
            if at != primary {
                return at;
            }
            client.query("ROLLBACK").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{begin:?} does not go to a standby");
    };
    let ways: [&[&str]; 8] = [
        &["BEGIN READ ONLY"],
        &["BEGIN", "SET TRANSACTION READ ONLY"],
        &["BEGIN READ ONLY", "SELECT set_config('app.tenant', 'one', true), set_config('search_path', 'public', true)"],
        &["BEGIN", "set transaction isolation level repeatable read, read only"],
        &["BEGIN READ WRITE", "SET TRANSACTION READ ONLY"],
        &[
            "BEGIN ISOLATION LEVEL SERIALIZABLE -- not yet",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        ],
        &["SET default_transaction_read_only = on", "BEGIN"],
        &["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "BEGIN"],
    ];
    for begin in ways {
        let at = until_standby(&mut client, begin).await;
        assert_eq!(client.value("SHOW transaction_read_only").await, "on");
        for sql in ["SAVEPOINT a", "SELECT 1", "ROLLBACK TO a", "RELEASE a", "COMMIT AND CHAIN"] {
            assert_eq!(client.query(sql).await.sqlstate(), "", "{sql}");
            assert_eq!(port(&mut client).await, at);
        }
        let refused = client.query("INSERT INTO t VALUES (1)").await;
        assert_eq!((refused.sqlstate(), refused.status), ("25006", b'E'), "{begin:?}");
        assert_eq!(client.query("SELECT 1").await.sqlstate(), "25P02");
        does(&mut client, "ROLLBACK", "ROLLBACK", b'I').await;
        client.query("RESET default_transaction_read_only").await;
    }
    // What can't be said of a standby's transaction, and what the role's own default says.
    let to_primary: [&[&str]; 5] = [
        &["BEGIN READ ONLY", "SET TRANSACTION READ WRITE"],
        &["BEGIN", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"],
        &["BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"],
        &["BEGIN", "SAVEPOINT a"],
        &["BEGIN READ ONLY", "SELECT set_config('app.tenant', 'one', true), pg_advisory_xact_lock(1)"],
    ];
    for begin in to_primary {
        for sql in begin {
            assert_eq!(client.query(sql).await.sqlstate(), "", "{sql}");
        }
        assert_eq!(port(&mut client).await, primary, "{begin:?}");
        does(&mut client, "ROLLBACK", "ROLLBACK", b'I').await;
    }
    let name = &stage.role.name;
    // PostgreSQL reports no isolation level: the catalog tells.
    let sql = format!("ALTER ROLE {name} SET default_transaction_isolation = 'serializable'");
    shared().pg1.psql_as("app", "postgres", &sql).unwrap();
    let proxy =
        Proxy::start(shared(), &format!("[log]\nlevel = 'info,pgherd::session=debug'\n{}", stage.role.config()));
    let mut client = stage.role.raw(proxy.port()).await;
    until_loaded(&proxy, &mut client).await;
    let repeated = || proxy.process.log_text().matches("is asked again").count();
    let before = repeated();
    for _ in 0..10 {
        does(&mut client, "BEGIN READ ONLY", "BEGIN", b'T').await;
        assert_eq!(port(&mut client).await, primary);
        assert_eq!(client.value("SHOW transaction_isolation").await, "serializable");
        does(&mut client, "COMMIT", "COMMIT", b'I').await;
    }
    assert_eq!(repeated(), before);
    let sql = format!("ALTER ROLE {name} RESET default_transaction_isolation");
    shared().pg1.psql_as("app", "postgres", &sql).unwrap();
    let sql = format!("ALTER ROLE {name} SET default_transaction_read_only = on");
    shared().pg1.psql_as("app", "postgres", &sql).unwrap();
    shared().wait_caught_up().unwrap();
    // A proxy that greets it anew.
    let proxy = Proxy::start(shared(), &stage.role.config());
    let mut client = stage.role.raw(proxy.port()).await;
    does(&mut client, "BEGIN", "BEGIN", b'T').await;
    assert_ne!(port(&mut client).await, primary);
    does(&mut client, "COMMIT", "COMMIT", b'I').await;
    does(&mut client, "BEGIN READ WRITE", "BEGIN", b'T').await;
    does(&mut client, "INSERT INTO t VALUES (1)", "INSERT 0 1", b'T').await;
    does(&mut client, "COMMIT", "COMMIT", b'I').await;
}

#[tokio::test]
async fn what_a_standby_refuses_to_a_transaction_keeps_nobody_there() {
    let stage = Stage::set("refused", "[routing]\nconsistency = 'eventual'\nslow_start = '0'\n");
    let primary = shared().pg1.port();
    let mut client = stage.client().await;
    does(&mut client, "CREATE TABLE t (n int)", "CREATE TABLE", b'I').await;
    shared().wait_caught_up().unwrap();
    let refused = [
        "CREATE TEMP TABLE u AS SELECT 1 AS n",
        "CREATE TEMP TABLE u (n int)",
        "SELECT 1 AS n INTO TEMP u",
        "LISTEN c",
        "SELECT pg_advisory_lock(1), 1/0",
        "SELECT nextval('s')",
        "LOCK t IN EXCLUSIVE MODE",
    ];
    for (number, sql) in refused.into_iter().enumerate() {
        for is_extended in [false, true] {
            let mut say = async |sql: &str| match is_extended {
                true => client.unnamed(sql, &[]).await,
                false => client.query(sql).await,
            };
            assert_eq!(say("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.status, b'T');
            let at = say(&format!("SELECT inet_server_port() AS of_{number}_{is_extended}")).await.value();
            assert_ne!(at, primary.to_string(), "{sql}");
            let answer = say(sql).await;
            assert_eq!((answer.errors.len(), answer.status), (1, b'E'), "{sql}: {answer:?}");
            assert_eq!(say("ROLLBACK").await.tags, ["ROLLBACK"]);
            for _ in 0..2 {
                assert_eq!(say("SELECT count(*) FROM t").await.value(), "0", "{sql}");
                let answer = say("EXPLAIN (ANALYZE, COSTS OFF) INSERT INTO t SELECT 1 WHERE false").await;
                assert_eq!((answer.sqlstate(), answer.status), ("", b'I'), "{sql}, {is_extended}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_transaction_has_left_on_a_standby_is_there_until_it_is_gone() {
    let stage = Stage::set("stranded", "[routing]\nconsistency = 'eventual'\nslow_start = '0'\n");
    let primary = shared().pg1.port();
    let mut client = stage.client().await;
    does(&mut client, "CREATE TABLE t (n int)", "CREATE TABLE", b'I').await;
    shared().wait_caught_up().unwrap();
    // Hidden in code: what shows itself is not done on a standby (`read_first`).
    let ways = [
        ("DO 'BEGIN PERFORM pg_advisory_lock(1); END'", "SELECT pg_advisory_unlock(1)"),
        ("DO $$ BEGIN EXECUTE 'PREPARE p AS SELECT 1'; END $$", "DEALLOCATE p"),
    ];
    for (leaves, takes) in ways {
        does(&mut client, "BEGIN READ ONLY", "BEGIN", b'T').await;
        assert_ne!(port(&mut client).await, primary, "{leaves}");
        assert_eq!(client.query(leaves).await.sqlstate(), "", "{leaves}");
        does(&mut client, "COMMIT", "COMMIT", b'I').await;
        for _ in 0..3 {
            assert_ne!(port(&mut client).await, primary, "{leaves}");
        }
        assert_eq!(client.query(takes).await.sqlstate(), "", "{takes}");
        does(&mut client, "INSERT INTO t VALUES (1)", "INSERT 0 1", b'I').await;
    }
}

#[tokio::test]
async fn a_snapshot_is_taken_where_it_was_exported() {
    let stage = Stage::set("snapshots", "");
    let mut leader = stage.client().await;
    let mut worker = stage.client().await;
    does(&mut leader, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n", "SELECT 1000", b'I').await;
    shared().wait_caught_up().unwrap();
    // As pg_dump -j does it, ten times: standbys are chosen by chance.
    for _ in 0..10 {
        for client in [&mut leader, &mut worker] {
            does(client, "BEGIN", "BEGIN", b'T').await;
            let modes = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
            assert_eq!(does(client, modes, "SET", b'T').await.kinds, "CZ");
        }
        let snapshot = leader.value("SELECT pg_catalog.pg_export_snapshot()").await;
        does(&mut worker, &format!("SET TRANSACTION SNAPSHOT '{snapshot}'"), "SET", b'T').await;
        assert_eq!(worker.value("SELECT count(*) FROM t").await, "1000");
        assert_eq!(worker.value("SHOW transaction_isolation").await, "repeatable read");
        for client in [&mut leader, &mut worker] {
            does(client, "COMMIT", "COMMIT", b'I').await;
        }
    }
    let dir = shared().dir().join("a_parallel_dump");
    let mut dump = stage.proxy.client_program("pg_dump", "app", &stage.role.name);
    dump.args(["-Fd", "-j", "3", "-n", &stage.role.name, "-f"]).arg(&dir);
    let output = dump.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(dir.join("toc.dat").exists());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_transaction_sees_its_own_insert_whatever_it_does_with_savepoints() {
    let stage = Stage::set("own_inserts", "");
    let mut client = stage.client().await;
    does(&mut client, "CREATE TABLE t (n int)", "CREATE TABLE", b'I').await;
    for sql in ["BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT a", "INSERT INTO t VALUES (2)", "ROLLBACK TO a"] {
        assert_eq!(client.query(sql).await.sqlstate(), "", "{sql}");
    }
    assert_eq!(client.value("SELECT count(*) FROM t").await, "1");
    // A redundant BEGIN begins nothing.
    assert_eq!(does(&mut client, "BEGIN", "BEGIN", b'T').await.kinds, "NCZ");
    assert_eq!(client.value("SELECT count(*) FROM t").await, "1");
    assert_eq!(client.unnamed("SELECT count(*) FROM t", &[]).await.value(), "1");
    does(&mut client, "ROLLBACK", "ROLLBACK", b'I').await;
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
}

#[tokio::test]
async fn a_repeatable_read_transaction_has_one_snapshot() {
    let stage = Stage::set("snapshots", "");
    let (mut client, mut writer) = (stage.client().await, stage.client().await);
    does(&mut writer, "CREATE TABLE t (n int)", "CREATE TABLE", b'I').await;
    does(&mut writer, "INSERT INTO t VALUES (0)", "INSERT 0 1", b'I').await;
    shared().wait_caught_up().unwrap();
    for begin in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"] {
        does(&mut client, begin, "BEGIN", b'T').await;
        let first = client.value("SELECT sum(n) FROM t").await;
        for n in 0..20 {
            assert_eq!(writer.query(&format!("INSERT INTO t VALUES ({})", n + 1)).await.sqlstate(), "");
            let again = match n % 2 {
                0 => client.value("SELECT sum(n) FROM t").await,
                _ => client.unnamed("SELECT sum(n) FROM t", &[]).await.value(),
            };
            assert_eq!(again, first, "{begin}");
        }
        does(&mut client, "COMMIT", "COMMIT", b'I').await;
    }
}
