//! `routing.transactions = "read_first"`: a transaction may begin where it reads; if it writes, its next try does not.

use std::time::Duration;

use pgherd::wire::frontend;

use crate::harness::raw::{Answer, Raw, Role, push_execute, push_parse};
use crate::harness::{Proxy, shared};

const READ_FIRST: &str =
    "workers = 1\n[routing]\ntransactions = 'read_first'\nconsistency = 'eventual'\nslow_start = '0'";

struct Stage {
    role: Role,
    proxy: Proxy<'static>,
}

impl Stage {
    async fn set(name: &str) -> Self {
        let role = Role::new(name);
        let sql = format!(
            "CREATE TABLE {0}.t (n int); CREATE SEQUENCE {0}.s; GRANT ALL ON {0}.t, {0}.s TO {0}; \
             CREATE FUNCTION {0}.lies() RETURNS bigint STABLE LANGUAGE plpgsql AS \
             'BEGIN RETURN nextval(''{0}.s''); END'",
            role.name
        );
        shared().pg1.psql_as("app", "postgres", &sql).unwrap();
        shared().wait_caught_up().unwrap();
        let proxy = Proxy::start(shared(), &crate::harness::proxy::merged(READ_FIRST, &role.config()));
        let stage = Self { role, proxy };
        let mut client = stage.client().await;
        for _ in 0..500 {
            client.query("SELECT count(*) FROM t").await;
            if stage.proxy.console("SHOW CATALOGS").contains("app|loaded")
                && stage.begins(&mut client, "SELECT 1").await
            {
                return stage;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no transaction begins on a standby");
    }

    async fn client(&self) -> Raw {
        self.role.raw(self.proxy.port()).await
    }

    /// Whether a transaction that begins with this statement is on a standby.
    async fn begins(&self, client: &mut Raw, first: &str) -> bool {
        assert_eq!(client.query("BEGIN").await.status, b'T');
        assert_eq!(client.query(first).await.status, b'T');
        let port = client.value("SELECT inet_server_port()").await;
        assert_eq!(client.query("COMMIT").await.tags, ["COMMIT"]);
        port != shared().pg1.port().to_string()
    }
}

fn failed(answer: &Answer) -> (String, u8) {
    (answer.sqlstate().to_owned(), answer.status)
}

#[tokio::test]
async fn a_transaction_that_writes_late_fails_once() {
    let stage = Stage::set("late").await;
    let mut client = stage.client().await;
    let late = [
        ("SELECT 1 AS a", "INSERT INTO t VALUES (1)"),
        ("SELECT 1 AS b", "SELECT n FROM t FOR UPDATE"),
        // What a standby would do, where nobody sees it.
        ("SELECT 1 AS d", "SELECT pg_advisory_xact_lock(1)"),
        ("SELECT 1 AS e", "SELECT txid_current()"),
        // What nobody knew.
        ("SELECT 1 AS f", "SELECT lies()"),
        ("SELECT 1 AS c", "TRUNCATE t"),
    ];
    for (first, then) in late {
        assert!(stage.begins(&mut client, first).await, "{first}");
        for is_extended in [false, true] {
            let first = if is_extended { format!("{first}x") } else { first.to_owned() };
            client.query("BEGIN").await;
            assert_eq!(client.query(&first).await.errors.len(), 0);
            let answer = if is_extended { client.unnamed(then, &[]).await } else { client.query(then).await };
            assert_eq!(failed(&answer), ("40001".to_owned(), b'E'), "{then}: {answer:?}");
            assert!(answer.errors[0].hint.as_deref().is_some_and(|hint| hint.contains("Retry")), "{answer:?}");
            assert_eq!(client.query("SELECT 1").await.sqlstate(), "25P02");
            assert_eq!(client.query("COMMIT").await.tags, ["ROLLBACK"]);
            // The next try begins where it can, all statements of that shape included.
            client.query("BEGIN").await;
            client.query(&first.replace("1 AS", "2 AS")).await;
            let answer = if is_extended { client.unnamed(then, &[]).await } else { client.query(then).await };
            assert_eq!(failed(&answer), (String::new(), b'T'), "{then}: {answer:?}");
            assert_eq!(client.query("ROLLBACK").await.tags, ["ROLLBACK"]);
            assert!(!stage.begins(&mut client, &first).await, "{first}");
        }
    }
    // Outside of transactions such a statement is a read as before, and others begin on standbys as before.
    let mut client = stage.client().await;
    assert!(stage.begins(&mut client, "SELECT 1 AS z").await);
    let explained = client.query("EXPLAIN ROUTE SELECT 1 AS a").await;
    assert!(explained.rows[0][0].as_deref().is_some_and(|node| node.starts_with("Standby")), "{explained:?}");
}

#[tokio::test]
async fn what_does_not_write_stays_in_its_transaction() {
    let stage = Stage::set("stays").await;
    let mut client = stage.client().await;
    client.query("BEGIN").await;
    client.query("SELECT count(*) FROM t").await;
    let harmless = [
        "SAVEPOINT a",
        "SET LOCAL work_mem = '5MB'",
        "SHOW work_mem",
        "SELECT n FROM t",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH c",
        "CLOSE c",
        "ROLLBACK TO a",
        "RELEASE a",
        "EXPLAIN SELECT 1",
    ];
    for sql in harmless {
        assert_eq!(client.query(sql).await.sqlstate(), "", "{sql}");
        assert_eq!(client.unnamed("SELECT 1", &[]).await.sqlstate(), "");
    }
    assert_eq!(client.query("COMMIT").await.tags, ["COMMIT"]);
    // What says that it writes, or more than that it reads, begins on the primary.
    let primary = shared().pg1.port().to_string();
    for begin in ["BEGIN READ WRITE", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"] {
        client.query(begin).await;
        assert_eq!(client.value("SELECT inet_server_port()").await, primary, "{begin}");
        assert_eq!(client.query("COMMIT").await.tags, ["COMMIT"]);
    }
    client.query("BEGIN").await;
    assert_eq!(client.query("INSERT INTO t VALUES (1)").await.tags, ["INSERT 0 1"]);
    assert_eq!(client.query("COMMIT").await.tags, ["COMMIT"]);
}

#[tokio::test]
async fn a_prepared_statement_writes_late_as_well() {
    let stage = Stage::set("late_by_name").await;
    let mut client = stage.client().await;
    for (name, sql) in [
        ("read", "SELECT count(*) FROM t"),
        ("insert", "INSERT INTO t VALUES ($1::int)"),
        ("lock", "SELECT pg_advisory_xact_lock($1::int)"),
    ] {
        assert_eq!(client.prepare(name, sql).await.sqlstate(), "");
    }
    for then in ["insert", "lock"] {
        let first = format!("SELECT count(*) AS {then} FROM t");
        client.query("BEGIN").await;
        assert_eq!(client.unnamed(&first, &[]).await.sqlstate(), "");
        assert_eq!(failed(&client.execute(then, &["1"]).await), ("40001".to_owned(), b'E'), "{then}");
        assert_eq!(client.query("ROLLBACK").await.tags, ["ROLLBACK"]);
        client.query("BEGIN").await;
        assert_eq!(client.unnamed(&first, &[]).await.sqlstate(), "");
        assert_eq!(failed(&client.execute(then, &["1"]).await), (String::new(), b'T'), "{then}");
        assert_eq!(client.query("COMMIT").await.tags, ["COMMIT"]);
    }
    // What comes in one piece is seen as a whole: it begins on the primary at once.
    client.query("BEGIN").await;
    let mut pipeline = Vec::new();
    for sql in ["SELECT count(*) AS piped FROM t", "INSERT INTO t VALUES (7)", "SELECT 3"] {
        push_parse(&mut pipeline, "", sql);
        push_execute(&mut pipeline, "", &[]);
    }
    frontend::push_sync(&mut pipeline);
    client.send(&pipeline).await;
    assert_eq!(failed(&client.answer().await), (String::new(), b'T'));
    assert_eq!(client.query("ROLLBACK").await.tags, ["ROLLBACK"]);
    // And in two: the second is skipped up to its end, as PostgreSQL does it.
    client.query("BEGIN").await;
    assert_eq!(client.unnamed("SELECT count(*) AS two FROM t", &[]).await.sqlstate(), "");
    client.send(&pipeline).await;
    let answer = client.answer().await;
    assert_eq!((failed(&answer), answer.rows.len()), (("40001".to_owned(), b'E'), 1), "{answer:?}");
    assert_eq!(client.query("ROLLBACK").await.tags, ["ROLLBACK"]);
    assert_eq!(client.execute("read", &[]).await.value(), "1");
}

/// A transaction that says READ ONLY may do on PostgreSQL what a standby can't: tried again, it does.
#[tokio::test]
async fn what_a_standby_cannot_do_for_a_read_only_transaction_the_primary_does() {
    let stage = Stage::set("no_standby").await;
    let sql = format!("CREATE UNLOGGED TABLE {0}.x (n int); GRANT ALL ON {0}.x TO {0}", stage.role.name);
    shared().pg1.psql_as("app", "postgres", &sql).unwrap();
    shared().wait_caught_up().unwrap();
    let mut client = stage.client().await;
    let late = [
        ("a", "SELECT count(*) FROM x", 0),
        ("b", "LISTEN c", 0),
        ("c", "SELECT txid_current() > 0", 0),
        ("d", "SELECT pg_advisory_lock(4712)", 0),
        ("e", "SELECT pg_advisory_xact_lock(4712)", 0),
        ("f", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", 0),
        ("g", "PREPARE p AS SELECT 1", 0),
        // What PostgreSQL refuses wherever it is.
        ("h", "INSERT INTO t VALUES (1)", 1),
        ("i", "SELECT nextval('s')", 1),
        ("j", "SELECT n FROM t FOR UPDATE", 1),
        ("k", "SELECT 1/0", 2),
    ];
    for (name, then, refusal) in late {
        let first = format!("SELECT 1 AS {name}");
        let tries = async |client: &mut Raw| {
            client.query("BEGIN READ ONLY").await;
            client.query(&first).await;
            let at = client.value("SELECT inet_server_port()").await;
            let answer = client.query(then).await;
            client.query("ROLLBACK").await;
            // A lock outlives that, and keeps the session where it is.
            client.query("SELECT pg_advisory_unlock_all()").await;
            client.query("DISCARD ALL").await;
            (at == shared().pg1.port().to_string(), answer.sqlstate().to_owned())
        };
        // News of the catalog, another test's too, keeps reads on the primary until the standbys have them.
        let mut got = tries(&mut client).await;
        for _ in 0..1000 {
            if !got.0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            got = tries(&mut client).await;
        }
        let got = [got, tries(&mut client).await];
        let wanted = match refusal {
            0 => [(false, "40001"), (true, "")],
            1 => [(false, "25006"), (false, "25006")],
            _ => [(false, "22012"), (false, "22012")],
        };
        assert_eq!(got, wanted.map(|(at, sqlstate)| (at, sqlstate.to_owned())), "{then}");
        // It is where it was: what was made was undone, and it can write.
        assert_eq!(client.query("INSERT INTO t VALUES (1)").await.tags, ["INSERT 0 1"], "{then}");
    }
    let dump = |name: &str| {
        let mut dump = stage.proxy.client_program("pg_dump", "app", &stage.role.name);
        let output = dump.args(["-n", name, "-t", &format!("{name}.x"), "-t", &format!("{name}.t")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).contains("COPY")
    };
    assert!(dump(&stage.role.name));
}
