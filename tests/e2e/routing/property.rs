//! Random scripts of one session each, run through the proxy, whose standbys lag at random, and on the primary alone: nobody
//! can tell the one from the other. A script that differs prints its seed; `PGHERD_SEED=n` runs that one alone.

use std::fmt::Write;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::harness::raw::{Answer, Raw};
use crate::harness::{Proxy, drivers, private_cluster};

const SCRIPTS: u64 = 200;
const STEPS: usize = 24;

/// All scripts together; what is not done by then is left out.
const LIMIT: Duration = Duration::from_secs(30);

/// In each of the two databases.
const SCHEMA: &str = "
CREATE TABLE t (id int PRIMARY KEY, v int);
CREATE TABLE u (id int, v int);
CREATE SEQUENCE s;
CREATE SCHEMA other;
CREATE TABLE other.t AS SELECT g AS id, -g AS v FROM generate_series(1, 3) g;
CREATE VIEW sums AS SELECT 't' AS name, count(*) AS n, sum(v) AS total FROM t UNION ALL SELECT 'u', count(*), sum(v) FROM u;
CREATE FUNCTION put(i int) RETURNS int LANGUAGE sql AS 'INSERT INTO u VALUES (i, i) RETURNING v';
CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * i';
CREATE FUNCTION total() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT sum(v) FROM t';
CREATE FUNCTION make_temp() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN CREATE TEMP TABLE t AS SELECT 100 AS id, 100 AS v; RETURN 1; END $$;
CREATE FUNCTION tag(x text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config('app.tag', x, false); END $$;
CREATE PROCEDURE go(path text) LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', path, false); END $$;
CREATE PROCEDURE steps(i int) LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO u VALUES (i, 1); COMMIT; INSERT INTO u VALUES (i, 2); ROLLBACK; END $$;
CREATE FUNCTION sum_of_both(int, int) RETURNS int LANGUAGE sql AS 'INSERT INTO u VALUES ($1, $2) RETURNING $1 + $2';
CREATE OPERATOR <+> (FUNCTION = sum_of_both, LEFTARG = int, RIGHTARG = int);";

/// What a script begins with: from there on its session has written.
const RESET: &str = "TRUNCATE public.t, public.u; INSERT INTO public.t SELECT g, 10 * g FROM generate_series(1, 5) g;
    SELECT setval('public.s', 1)";

const BEGINS: &[&str] = &[
    "BEGIN",
    "BEGIN",
    "BEGIN",
    "START TRANSACTION",
    "begin read only",
    "BEGIN READ WRITE",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "BEGIN ISOLATION LEVEL SERIALIZABLE",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
    "BEGIN; SELECT count(*) FROM t",
    "BEGIN; INSERT INTO u VALUES (7, 7)",
];

/// Right behind a BEGIN.
const MODES: &[&str] = &[
    "SET TRANSACTION READ ONLY",
    "SET TRANSACTION READ WRITE",
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET LOCAL transaction_read_only = on",
    "BEGIN READ ONLY",
];

const ENDS: &[&str] =
    &["COMMIT", "COMMIT", "COMMIT", "ROLLBACK", "ROLLBACK", "END", "ABORT", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"];

const READS: &[&str] = &[
    "SELECT count(*), sum(v) FROM t",
    "SELECT id, v FROM t ORDER BY id, v",
    "SELECT count(*), sum(v) FROM u",
    "SELECT * FROM sums ORDER BY 1",
    "WITH x AS (SELECT max(v) AS m FROM t) SELECT m, twice(1) FROM x",
    "SELECT total()",
    "TABLE u ORDER BY 1, 2 LIMIT 3",
    "SELECT last_value > 0 FROM s",
    "SHOW transaction_read_only",
    "SHOW transaction_isolation",
    "SHOW work_mem",
    "SHOW search_path",
    "SELECT coalesce(current_setting('app.tag', true), ''), current_setting('work_mem')",
    "SELECT current_schema()",
    "COPY (SELECT v FROM t ORDER BY 1) TO STDOUT",
    "COPY u TO STDOUT",
    "SELECT 1; SELECT count(*) FROM t",
    "",
];

const WRITES: &[&str] = &[
    "INSERT INTO t VALUES (#, #)",
    "INSERT INTO t VALUES (#, #) ON CONFLICT DO NOTHING RETURNING v",
    "UPDATE t SET v = v + # WHERE id < #",
    "DELETE FROM t WHERE id = #",
    "INSERT INTO u VALUES (#, #)",
    "WITH new AS (INSERT INTO u VALUES (#, #) RETURNING v) SELECT sum(v) FROM new",
    "SELECT put(#)",
    "SELECT # <+> #",
    "SELECT nextval('s') > 0",
    "SELECT id FROM t ORDER BY id LIMIT 2 FOR UPDATE",
    "INSERT INTO u VALUES (#, #); SELECT count(*) FROM u",
    "BEGIN; INSERT INTO u VALUES (#, #); COMMIT",
    "CALL steps(#)",
    "DO $$ BEGIN INSERT INTO u VALUES (#, #); END $$",
    "DO $$ BEGIN INSERT INTO u VALUES (#, 1); RAISE EXCEPTION 'no'; END $$",
    "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) INSERT INTO u VALUES (#, #)",
];

const STATE: &[&str] = &[
    "SAVEPOINT a",
    "SAVEPOINT b",
    "ROLLBACK TO a",
    "ROLLBACK TO SAVEPOINT b",
    "RELEASE a",
    "BEGIN",
    "SET work_mem = '#MB'",
    "SET LOCAL work_mem = '1#MB'",
    "RESET work_mem",
    "SET app.tag = 'x#'; SET work_mem = '2#MB'",
    "SELECT set_config('app.tag', 'y#', true)",
    "SELECT set_config('app.tag', 'z#', false)",
    "SELECT tag('f#')",
    "DO $$ BEGIN SET app.tag = 'd#'; END $$",
    "SET search_path = other",
    "SET search_path = other, public",
    "RESET search_path",
    "CALL public.go('other, public')",
    "RESET ALL",
    "DISCARD ALL",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SET default_transaction_isolation = 'repeatable read'",
    "CREATE TEMP TABLE t AS SELECT # AS id, # AS v",
    "DO $$ BEGIN CREATE TEMP TABLE t AS SELECT # AS id, # AS v; END $$",
    "SELECT public.make_temp()",
    "DROP TABLE IF EXISTS pg_temp.t",
    "EXECUTE p",
    "DEALLOCATE p",
    "DECLARE c CURSOR FOR SELECT id FROM public.t ORDER BY id",
    "FETCH 2 FROM c",
    "FETCH 2 FROM h",
    "CLOSE c",
    "CLOSE h",
    "SELECT 1/0",
    "SELECT nothing FROM nowhere",
    "SELEC 1",
];

/// Keeps a session where it is. Within a read-only transaction on a standby that would be the standby.
const KEEPS: &[&str] = &[
    // By its schema: whether PostgreSQL plans it anew for a temporary t depends on what its process did before.
    "PREPARE p AS SELECT count(*) FROM public.t",
    "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM public.t ORDER BY id",
    "SELECT pg_advisory_lock(#) IS NULL",
];

/// Prepared by protocol under these names.
const NAMED: &[(&str, &str)] = &[
    ("count", "SELECT count(*), sum(v) FROM t"),
    ("put", "INSERT INTO u VALUES (5, 5)"),
    ("call", "SELECT put(6)"),
    ("begin", "BEGIN"),
    ("end", "COMMIT"),
    ("tag", "SELECT coalesce(current_setting('app.tag', true), '')"),
];

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    /// With numbers for its `#`.
    fn text(&mut self, of: &[&str]) -> String {
        self.pick(of).chars().fold(String::new(), |mut text, c| {
            match c {
                '#' => write!(text, "{}", 1 + self.roll(9)).unwrap(),
                c => text.push(c),
            }
            text
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Simple(String),
    Extended(String),
    Prepare(&'static str, &'static str),
    Execute(&'static str),
    /// One of the standbys begins or ceases to replay.
    Toggle(usize),
    /// Wait, a little, for reads to return to the standbys.
    Settle,
}

/// `status`, `begun`: of the transaction, and whether its BEGIN came last.
fn step(dice: &mut Dice, status: u8, begun: bool) -> Step {
    let text = match (status, dice.roll(100)) {
        (_, 0..4) => return Step::Toggle(dice.roll(2)),
        (b'I', 4..10) => return Step::Settle,
        (b'E', 10..75) => dice.text(&["ROLLBACK", "COMMIT", "ROLLBACK TO a", "ROLLBACK TO b", "ROLLBACK", "ABORT"]),
        (b'T', 10..30) if begun => dice.text(MODES),
        (b'T', 10..28) => dice.text(ENDS),
        (b'I', 10..28) => dice.text(BEGINS),
        (_, 28..55) => dice.text(READS),
        (_, 55..72) => dice.text(WRITES),
        (_, 72..80) => {
            let (name, sql) = NAMED[dice.roll(NAMED.len())];
            return if dice.roll(3) == 0 { Step::Prepare(name, sql) } else { Step::Execute(name) };
        }
        (b'I', 80..84) => dice.text(KEEPS),
        _ => dice.text(STATE),
    };
    if dice.roll(3) == 0 { Step::Extended(text) } else { Step::Simple(text) }
}

async fn run(client: &mut Raw, step: &Step) -> Answer {
    match step {
        Step::Simple(sql) => client.query(sql).await,
        Step::Extended(sql) => client.unnamed(sql, &[]).await,
        Step::Prepare(name, sql) => client.prepare(name, sql).await,
        Step::Execute(name) => client.execute(name, &[]).await,
        Step::Toggle(_) | Step::Settle => Answer::default(),
    }
}

/// All of an answer that does not differ from run to run.
fn told(answer: &Answer) -> String {
    let kinds: String = answer.kinds.chars().filter(|kind| *kind != 'S').collect();
    let errors: Vec<_> = answer.errors.iter().map(|error| error.sqlstate.as_str()).collect();
    let status = char::from(answer.status);
    format!("{kinds} {:?} {:?} {:?} {errors:?} {status}", answer.columns, answer.rows, answer.tags)
}

/// Standbys, and which of them replay.
struct Lag {
    standbys: [Client; 2],
    is_paused: [bool; 2],
}

impl Lag {
    async fn toggle(&mut self, at: usize) {
        self.is_paused[at] = !self.is_paused[at];
        let what = if self.is_paused[at] { "pause" } else { "resume" };
        self.standbys[at].batch_execute(&format!("SELECT pg_wal_replay_{what}()")).await.unwrap();
    }
}

/// Returns when a read went to a standby, or none will soon. Whether one did.
async fn settle(probe: &mut Raw, primary: &str) -> bool {
    for _ in 0..15 {
        let begun = probe.query("BEGIN READ ONLY").await;
        let port = probe.query("SELECT inet_server_port()").await;
        let ended = probe.query("COMMIT").await;
        assert_eq!(ended.tags, ["COMMIT"], "{begun:?} {port:?} {ended:?}");
        if port.rows.first().is_some_and(|row| row[0].as_deref() != Some(primary)) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    false
}

#[tokio::test]
async fn nobody_can_tell_the_proxy_from_one_postgresql() {
    let cluster = private_cluster();
    cluster.pg1.psql("CREATE DATABASE lone OWNER app; ").unwrap();
    for database in ["app", "lone"] {
        cluster.pg1.psql_as(database, "app", SCHEMA).unwrap();
    }
    cluster.wait_caught_up().unwrap();
    let password = cluster.passwords().of("app").unwrap().clone();
    let user = format!("[[user]]\nname = 'app'\npassword = '{}'", password.expose());
    let proxy = Proxy::start(&cluster, &format!("[auth]\nmethod = 'trust'\n{user}"));
    let connect = async |node: &pgherd::demo::Node| drivers::connect(&node.dsn("postgres", "postgres")).await.unwrap();
    let standbys = [connect(&cluster.pg2).await, connect(&cluster.pg3).await];
    let mut lag = Lag { standbys, is_paused: [false; 2] };
    let primary = cluster.pg1.port().to_string();

    let seeds = match std::env::var("PGHERD_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).expect("PGHERD_SEED is a number"),
        Err(_) => 0..SCRIPTS,
    };
    let started = Instant::now();
    let (mut steps, mut settled, mut scripts) = (0, 0, 0);
    for seed in seeds {
        if started.elapsed() > LIMIT {
            break;
        }
        scripts += 1;
        let mut dice = Dice(seed.wrapping_mul(0x1000_0001));
        let mut proxied = Raw::connect(proxy.port(), &[("user", "app"), ("database", "app")]).await.unwrap();
        let mut lone = Raw::direct_to(&cluster.pg1, "lone", "app", password.clone()).await;
        let mut log = String::new();
        let (mut status, mut begun) = (b'I', false);
        for at in 0..STEPS {
            let step = if at == 0 { Step::Simple(RESET.to_owned()) } else { step(&mut dice, status, begun) };
            match step {
                Step::Toggle(standby) => lag.toggle(standby).await,
                Step::Settle => settled += usize::from(settle(&mut proxied, &primary).await),
                _ => {}
            }
            let (got, want) = (run(&mut proxied, &step).await, run(&mut lone, &step).await);
            let _ = writeln!(log, "{step:?} → {}", told(&want));
            assert_eq!(told(&got), told(&want), "PGHERD_SEED={seed}, step {at}, {:?}\n{log}", got.errors.first());
            begun = matches!(&step, Step::Simple(sql) | Step::Extended(sql) if BEGINS.contains(&sql.as_str()));
            status = if want.status == 0 { status } else { want.status };
            steps += 1;
        }
        proxied.terminate().await;
        lone.terminate().await;
    }
    eprintln!("{scripts} scripts, {steps} steps, {settled} times on a standby, in {:?}", started.elapsed());
    for at in 0..2 {
        if lag.is_paused[at] {
            lag.toggle(at).await;
        }
    }
    assert!(std::env::var("PGHERD_SEED").is_ok() || settled > 5, "hardly a read went to a standby");
}
