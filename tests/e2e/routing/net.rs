//! What a standby refuses is run again on the primary, unseen.

use std::time::Duration;

use pgherd::wire::{frame, frontend};

use crate::harness::raw::{Answer, Raw, Role, push_execute, push_parse};
use crate::harness::{Proxy, eventually, shared};

/// A role with what standbys refuse, behind a proxy that does not know the catalog: every relation is a table to it.
struct Stage {
    role: Role,
    proxy: Proxy<'static>,
}

const WITHOUT_CATALOG: &str = "workers = 1\n[log]\nlevel = 'info,pgherd::session=debug'\n[routing]\ncatalog = false\nconsistency = 'eventual'\nslow_start = '0'\nmax_lag = '0'\nmax_lag_bytes = '0'\n";

impl Stage {
    fn set(name: &str, more: &str) -> Self {
        let role = Role::new(name);
        let schema = &role.name;
        let sql = format!(
            "SET search_path = {schema};
             CREATE TABLE t AS SELECT generate_series(1, 1000) AS a;
             CREATE SEQUENCE s;
             CREATE UNLOGGED TABLE u AS SELECT 7 AS a;
             CREATE FUNCTION lies() RETURNS bigint STABLE LANGUAGE plpgsql AS
                 'BEGIN RAISE NOTICE ''ahead''; RETURN nextval(''{schema}.s''); END';
             CREATE FUNCTION talks() RETURNS bigint STABLE LANGUAGE plpgsql AS
                 'BEGIN FOR n IN 1..300 LOOP RAISE NOTICE ''%'', repeat(''x'', 1000); END LOOP; RETURN nextval(''{schema}.s''); END';
             CREATE VIEW talking AS SELECT {schema}.talks() AS n;
             CREATE VIEW next AS SELECT nextval('s') AS n;
             CREATE VIEW lying AS SELECT {schema}.lies() AS n;
             CREATE VIEW late AS
                 SELECT repeat('x', 1000), CASE a WHEN 900 THEN nextval('s') ELSE a END AS n FROM t;
             CREATE VIEW wrong AS SELECT 1 / (a - a) FROM u;
             GRANT ALL ON SCHEMA {schema} TO {schema};
             GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {schema};
             GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {schema}"
        );
        shared().pg1.psql_as("app", "postgres", &sql).unwrap();
        shared().wait_caught_up().unwrap();
        let proxy = Proxy::start(shared(), &crate::harness::proxy::merged(more, &role.config()));
        Self { role, proxy }
    }

    async fn client(&self) -> Raw {
        self.role.raw(self.proxy.port()).await
    }

    /// The first client, once reads do go to standbys.
    async fn first_client(&self) -> Raw {
        let mut client = self.client().await;
        for _ in 0..500 {
            // Not before the catalog is known, if it is to be.
            assert_eq!(client.value("SELECT count(*) FROM t").await, "1000");
            let pools = self.proxy.console("SHOW POOLS");
            if pools.contains(&self.role.name) && pools.contains("|standby") {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no read goes to a standby");
    }

    /// How often a request was asked again for that reason, as the log tells at once (and the metrics within a second).
    ///
    /// Once no server is held any more: code that may have set something is asked about after its answer, and what the
    /// client sends meanwhile goes along to the same server.
    fn repeated(&self, why: &str) -> usize {
        eventually("no server is held", || {
            let servers = self.proxy.console("SHOW SERVERS");
            let mut mine = servers.lines().filter(|line| line.contains(&self.role.name));
            mine.all(|line| !line.contains("|active|")).then_some(())
        });
        let log = self.proxy.process.log_text();
        log.lines().filter(|line| line.contains("is asked again") && line.contains(why)).count()
    }

    fn refused(&self) -> usize {
        self.repeated("why=Refused")
    }
}

fn first(answer: &Answer) -> &str {
    assert!(answer.errors.is_empty(), "{answer:?}");
    answer.rows[0][0].as_deref().unwrap()
}

fn push_describe(out: &mut Vec<u8>, name: &str) {
    frame::push(out, b'D', |out| {
        out.push(b'S');
        out.extend_from_slice(name.as_bytes());
        out.push(0);
    });
}

#[tokio::test]
async fn what_a_standby_refuses_runs_on_the_primary_and_goes_there_from_then_on() {
    let stage = Stage::set("refused", WITHOUT_CATALOG);
    let mut client = stage.first_client().await;
    let mut refused = 0;
    for (number, (sql, kinds)) in [
        ("SELECT n FROM next", "TDCZ"),
        ("SELECT a FROM u", "TDCZ"),
        ("TABLE u", "TDCZ"),
        // What comes ahead of the error is not seen either, nor twice.
        ("SELECT n FROM lying", "TNDCZ"),
        ("SELECT 1; SELECT n FROM next WHERE 1 = 1", "TDCTDCZ"),
        ("COPY (SELECT n FROM next) TO STDOUT", "HdcCZ"),
        ("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT n FROM next", "TDCZ"),
        ("VALUES ((SELECT n FROM next))", "TDCZ"),
    ]
    .into_iter()
    .enumerate()
    {
        for again in [false, true] {
            let answer = client.query(sql).await;
            let mut seen: Vec<_> = answer.kinds.chars().collect();
            seen.dedup();
            assert_eq!((String::from_iter(seen).as_str(), answer.status), (kinds, b'I'), "{sql}: {answer:?}");
            refused += usize::from(!again);
            assert_eq!(stage.refused(), refused, "{number}, {again}: {sql}");
        }
    }
    // Of the same shape.
    assert_eq!(first(&client.query("SELECT a FROM u WHERE a = 7").await), "7");
    assert_eq!(stage.refused(), refused + 1);
    assert_eq!(first(&client.query("SELECT a FROM u WHERE a = 00007").await), "7");
    assert_eq!(stage.refused(), refused + 1);
    // Known to the next client as well.
    assert_eq!(first(&stage.client().await.query("TABLE u").await), "7");
    assert_eq!(stage.refused(), refused + 1);
    // Each was run once.
    let last: i64 = client.value("SELECT n FROM next").await.parse().unwrap();
    assert_eq!(last, 13);
}

#[tokio::test]
async fn it_does_in_the_extended_protocol() {
    let stage = Stage::set("refused_extended", WITHOUT_CATALOG);
    let mut client = stage.first_client().await;
    let answer = client.unnamed("SELECT n FROM next", &[]).await;
    assert_eq!((answer.kinds.as_str(), first(&answer), stage.refused()), ("12DCZ", "1", 1));
    let answer = client.unnamed("SELECT n FROM next", &[]).await;
    assert_eq!((answer.kinds.as_str(), first(&answer), stage.refused()), ("12DCZ", "2", 1));

    // Prepared earlier, on a standby.
    assert_eq!(client.prepare("p", "SELECT n + $1::int FROM next").await.kinds, "1Z");
    assert_eq!((first(&client.execute("p", &["10"]).await), stage.refused()), ("13", 2));
    assert_eq!((first(&client.execute("p", &["10"]).await), stage.refused()), ("14", 2));

    // Prepared, described and run at once: the name is the client's once, not twice.
    let mut batch = Vec::new();
    push_parse(&mut batch, "q", "SELECT a + $1::int FROM u");
    push_describe(&mut batch, "q");
    push_execute(&mut batch, "q", &["1"]);
    frontend::push_sync(&mut batch);
    client.send(&batch).await;
    let answer = client.answer().await;
    assert_eq!((answer.kinds.as_str(), first(&answer), stage.refused()), ("1tT2DCZ", "8", 3), "{answer:?}");
    client.send(&batch).await;
    assert_eq!(client.answer().await.sqlstate(), "42P05");
    assert_eq!((first(&client.execute("q", &["2"]).await), stage.refused()), ("9", 3));

    // Described first, by a client that waits for it.
    let mut start = Vec::new();
    push_parse(&mut start, "r", "SELECT a * $1::int FROM u");
    push_describe(&mut start, "r");
    start.extend_from_slice(b"H\0\0\0\x04");
    client.send(&start).await;
    for tag in *b"1tT" {
        assert_eq!(client.receive().await.unwrap().tag, tag);
    }
    let mut run = Vec::new();
    push_execute(&mut run, "r", &["2"]);
    frontend::push_sync(&mut run);
    client.send(&run).await;
    let answer = client.answer().await;
    assert_eq!((answer.kinds.as_str(), first(&answer), stage.refused()), ("2DCZ", "14", 4), "{answer:?}");
    assert_eq!((first(&client.execute("r", &["3"]).await), stage.refused()), ("21", 4));

    // Several statements up to one Sync: only the one that was refused is the primary's.
    let mut batch = Vec::new();
    for sql in ["SELECT 1 AS one", "SELECT n, 5 FROM next", "SELECT 3 AS three"] {
        push_parse(&mut batch, "", sql);
        push_execute(&mut batch, "", &[]);
    }
    frontend::push_sync(&mut batch);
    client.send(&batch).await;
    let answer = client.answer().await;
    assert_eq!((answer.kinds.as_str(), stage.refused()), ("12DC12DC12DCZ", 5), "{answer:?}");
    client.send(&batch).await;
    assert_eq!((client.answer().await.kinds.as_str(), stage.refused()), ("12DC12DC12DCZ", 5));
}

/// The catalog is fooled as well: a function that says of itself that it is STABLE, and is not.
#[tokio::test]
async fn a_function_that_lies_about_itself_is_found_out() {
    let more = "workers = 1\n[log]\nlevel = 'info,pgherd::session=debug'\n[routing]\nconsistency = 'eventual'\nslow_start = '0'\nmax_lag = '0'\nmax_lag_bytes = '0'\n";
    let stage = Stage::set("lies", more);
    let mut client = stage.first_client().await;
    let mut refused = 0;
    let mut n = 0;
    for again in [false, true] {
        let mut expect = |answer: Answer, kinds: &str, at: Option<usize>| {
            refused += usize::from(!again);
            n += 1;
            assert_eq!((answer.kinds.as_str(), answer.status), (kinds, b'I'), "{answer:?}");
            if let Some(at) = at {
                assert_eq!(answer.rows[at][0].as_deref(), Some(n.to_string().as_str()), "{answer:?}");
            }
            assert_eq!(stage.refused(), refused, "{again}: {kinds}");
        };
        expect(client.query("SELECT lies()").await, "TNDCZ", Some(0));
        expect(client.query("COPY (SELECT lies() AS b) TO STDOUT").await, "HNdcCZ", None);
        expect(client.unnamed("SELECT lies() + $1::int", &["0"]).await, "12NDCZ", Some(0));
        if !again {
            assert_eq!(client.prepare("p", "SELECT lies() - $1::int").await.kinds, "1Z");
        }
        expect(client.execute("p", &["0"]).await, "2NDCZ", Some(0));
        let mut pipeline = Vec::new();
        for sql in ["SELECT 'c'", "SELECT lies() AS d", "SELECT last_value FROM s"] {
            push_parse(&mut pipeline, "", sql);
            push_execute(&mut pipeline, "", &[]);
            frontend::push_sync(&mut pipeline);
        }
        client.send(&pipeline).await;
        assert_eq!(first(&client.answer().await), "c");
        expect(client.answer().await, "12NDCZ", Some(0));
        assert_eq!(first(&client.answer().await), n.to_string());
        // Whatever it was: reads that are reads still go to standbys.
        assert_eq!(client.value("SELECT count(*) FROM t").await, "1000");
    }
}

#[tokio::test]
async fn of_a_pipeline_what_is_not_answered_runs_again() {
    let stage = Stage::set("refused_pipeline", WITHOUT_CATALOG);
    let mut client = stage.first_client().await;
    for (round, refused) in [(0, 1), (1, 1)] {
        let mut pipeline = Vec::new();
        for sql in ["SELECT 'a', 1", "SELECT n FROM next WHERE n > 0", "SELECT 'c', 2", "SELECT last_value FROM s"] {
            push_parse(&mut pipeline, "", sql);
            push_execute(&mut pipeline, "", &[]);
            frontend::push_sync(&mut pipeline);
        }
        client.send(&pipeline).await;
        let mut values = Vec::new();
        for _ in 0..4 {
            let answer = client.answer().await;
            assert_eq!((answer.kinds.as_str(), answer.status), ("12DCZ", b'I'), "{answer:?}");
            values.push(first(&answer).to_owned());
        }
        // The last one sees what the second one did.
        let n = (round + 1).to_string();
        assert_eq!(values, ["a", &n, "c", &n]);
        assert_eq!(stage.refused(), refused);
    }
}

#[tokio::test]
async fn after_the_first_row_an_error_is_an_error() {
    let stage = Stage::set("refused_late", WITHOUT_CATALOG);
    let mut client = stage.first_client().await;
    let answer = client.query("SELECT * FROM late").await;
    assert_eq!((answer.sqlstate(), answer.status, answer.rows.is_empty()), ("25006", b'I', false));
    assert_eq!(stage.refused(), 0);
    // Nor is more withheld than one buffer holds.
    let answer = client.query("SELECT * FROM talking").await;
    assert_eq!((answer.sqlstate(), answer.status), ("25006", b'I'));
    assert_eq!(answer.kinds.bytes().filter(|kind| *kind == b'N').count(), 300);
    assert_eq!(stage.refused(), 0);
    // In a transaction as well, which was told to be read-only.
    assert_eq!(client.query("BEGIN READ ONLY").await.status, b'T');
    assert_eq!(first(&client.query("SELECT 1").await), "1");
    assert_eq!(client.query("SELECT n FROM next").await.sqlstate(), "25006");
    assert_eq!(client.query("ROLLBACK").await.status, b'I');
    assert_eq!(stage.refused(), 0);
    assert_eq!(first(&client.query("SELECT 1").await), "1");
}

#[tokio::test]
async fn a_transaction_of_which_nothing_was_answered_is_begun_again() {
    let stage = Stage::set("refused_begin", WITHOUT_CATALOG);
    let mut client = stage.first_client().await;
    for refused in [1, 1] {
        assert_eq!(client.query("BEGIN READ ONLY").await.status, b'T');
        let answer = client.query("SELECT a FROM u").await;
        assert_eq!((first(&answer), answer.status), ("7", b'T'));
        assert_eq!(client.value("SHOW transaction_read_only").await, "on");
        assert_eq!(client.query("COMMIT").await.tags, ["COMMIT"]);
        assert_eq!(stage.refused(), refused);
    }
    // Where the primary refuses it too, the transaction has failed, as PostgreSQL has it.
    assert_eq!(client.query("BEGIN READ ONLY").await.status, b'T');
    let answer = client.query("SELECT n FROM next").await;
    assert_eq!((answer.sqlstate(), answer.status), ("25006", b'E'));
    assert_eq!(client.query("COMMIT").await.tags, ["ROLLBACK"]);
    assert_eq!(first(&client.query("SELECT 2").await), "2");
}

#[tokio::test]
async fn what_the_primary_refuses_too_is_its_error_and_nothing_is_learnt() {
    let stage = Stage::set("refused_twice", WITHOUT_CATALOG);
    let mut client = stage.first_client().await;
    for refused in [1, 2] {
        let answer = client.query("SELECT * FROM wrong").await;
        assert_eq!((answer.sqlstate(), answer.status, answer.errors.len()), ("22012", b'I', 1), "{answer:?}");
        assert_eq!(stage.refused(), refused);
    }
    // A name that a standby does not know may be new: the primary is asked, each time.
    for _ in 0..2 {
        assert_eq!(client.query("SELECT nothing").await.sqlstate(), "42703");
    }
    assert_eq!(stage.repeated("why=Outdated"), 2);
    // Any other mistake is told by the standby itself, and nobody cancels a client's own cancel.
    assert_eq!(client.query("SELECT 1/0").await.sqlstate(), "22012");
    assert_eq!(client.query("SET statement_timeout = '50ms'").await.sqlstate(), "");
    assert_eq!(client.query("SELECT pg_sleep(5)").await.sqlstate(), "57014");
    assert_eq!(client.query("RESET statement_timeout").await.sqlstate(), "");
    client.send_query("SELECT pg_sleep(30)").await;
    let asked = std::time::Instant::now();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.cancel().await;
    assert_eq!(client.answer().await.sqlstate(), "57014");
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!((stage.refused(), stage.repeated("why=")), (2, 4));
    eventually("the metrics say so", || {
        let (_, text) = stage.proxy.process.http_get("/metrics").unwrap();
        ["reads_refused_total 2\n", "reads_outdated_total 2\n", "requests_repeated_total 4\n"]
            .iter()
            .all(|line| text.contains(line))
            .then_some(())
    });
}
