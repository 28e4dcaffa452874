//! What a session has set or made must be there for its next read, wherever that goes, and for nobody else.

use std::time::Duration;

use crate::harness::raw::{Raw, Role, console};
use crate::harness::{Proxy, shared};

struct Stage {
    role: Role,
    proxy: Proxy<'static>,
}

impl Stage {
    /// `more`: configuration. Reads return to the standbys at once, however new what they read is.
    fn set(name: &str) -> Self {
        let role = owner(name);
        let eventual = "[routing]\nconsistency = \"eventual\"";
        let proxy = Proxy::start(shared(), &format!("{eventual}\n[pool]\nsize = 2\n{}", role.config()));
        Self { role, proxy }
    }

    async fn client(&self) -> Raw {
        self.role.raw(self.proxy.port()).await
    }

    async fn pin(&self) -> String {
        let mut console = console(self.proxy.port()).await;
        let clients = console.query("SHOW CLIENTS").await;
        clients.column("pin", |value| value("user") == self.role.name).join(",")
    }
}

/// A role that may make schemas.
fn owner(name: &str) -> Role {
    let role = Role::new(name);
    let sql = format!("CREATE SCHEMA {0}_a AUTHORIZATION {0}; CREATE SCHEMA {0}_b AUTHORIZATION {0}", role.name);
    shared().pg1.psql_as("app", "postgres", &sql).unwrap();
    role
}

async fn all(client: &mut Raw, statements: &[&str]) {
    for sql in statements {
        let answer = client.query(sql).await;
        assert_eq!(answer.sqlstate(), "", "{sql}: {answer:?}");
    }
}

/// Reads until a standby has answered a few times; panics if any node answers something else.
async fn says_everywhere(client: &mut Raw, sql: &str, want: &str) {
    let primary = shared().pg1.port().to_string();
    let mut on_standbys = 0;
    for _ in 0..1000 {
        let answer = client.query(&format!("SELECT inet_server_port(), ({sql})::text")).await;
        assert_eq!(answer.sqlstate(), "", "{answer:?}");
        // Not a proven read: asked by a statement that is one, too.
        assert_eq!(answer.rows[0][1].as_deref(), Some(want), "{sql} on {:?}", answer.rows[0][0]);
        let told = client.query(&format!("SELECT ({sql})::text")).await;
        assert_eq!(told.rows.first().and_then(|row| row[0].as_deref()), Some(want), "{sql}: {told:?}");
        client.query("BEGIN READ ONLY").await;
        let within = client.query(&format!("SELECT inet_server_port(), ({sql})::text")).await;
        assert_eq!(within.rows[0][1].as_deref(), Some(want), "{sql} on {:?}", within.rows[0][0]);
        client.query("COMMIT").await;
        on_standbys += usize::from(within.rows[0][0].as_ref() != Some(&primary));
        if on_standbys > 6 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no standby answers {sql}");
}

async fn prepared(stage: &Stage) -> Raw {
    let mut client = stage.client().await;
    let name = &stage.role.name;
    let tables = [("_a", 1), ("_b", 2)].map(|(schema, n)| format!("CREATE TABLE {name}{schema}.t AS SELECT {n} AS n"));
    all(
        &mut client,
        &[
            &tables[0],
            &tables[1],
            "CREATE TABLE t AS SELECT 0 AS n",
            "CREATE PROCEDURE go(path text) LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', path, false); END $$",
            "CREATE PROCEDURE tenant(name text) LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.tenant', name, false); END $$",
            "CREATE FUNCTION go_to(path text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN \
             EXECUTE format('SET search_path = %s', path); RETURN 1; END $$",
            "CREATE FUNCTION temporary(sql text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE sql; RETURN 1; END $$",
            "CREATE FUNCTION writes(v int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (v) RETURNING n'",
        ],
    )
    .await;
    shared().wait_caught_up().unwrap();
    client
}

#[tokio::test]
async fn settings_are_seen_on_whatever_node_however_they_were_made() {
    let stage = Stage::set("settings");
    let mut client = prepared(&stage).await;
    let name = stage.role.name.clone();
    let ways = [
        (format!("SET search_path = {name}_a; SET application_name = 'x'"), "1"),
        (format!("SET search_path = {name}_b"), "2"),
        (format!("CALL {name}.go('{name}_a, public')"), "1"),
        (format!("SELECT {name}.go_to('{name}_b')"), "2"),
        (format!("DO $$ BEGIN PERFORM {name}.go_to('{name}_a'); END $$"), "1"),
        (format!("BEGIN; CALL {name}.go('{name}_b'); COMMIT"), "2"),
        (format!("BEGIN; CALL {name}.go('{name}_a'); ROLLBACK"), "2"),
        (format!("DO $$ BEGIN SET search_path = {name}; END $$"), "0"),
        ("DO $$ BEGIN RESET search_path; END $$".to_owned(), "0"),
    ];
    for (way, want) in ways {
        all(&mut client, &[&way]).await;
        says_everywhere(&mut client, "SELECT n FROM t", want).await;
        assert_eq!(stage.pin().await, "", "{way}");
    }
    // A setting that PostgreSQL lists nowhere.
    for (way, want) in [("CALL tenant('one')", "one"), ("DO $$ BEGIN SET app.tenant = 'two'; END $$", "two")] {
        all(&mut client, &[way]).await;
        says_everywhere(&mut client, "current_setting('app.tenant', true)", want).await;
        assert_eq!(stage.pin().await, "", "{way}");
    }
    // Nobody else finds it.
    let mut others = [stage.client().await, stage.client().await];
    for other in &mut others {
        let told = other.query("SELECT coalesce(current_setting('app.tenant', true), ''), (SELECT n FROM t)").await;
        assert_eq!(told.rows, [[Some(String::new()), Some("0".to_owned())]], "{told:?}");
        all(other, &["BEGIN", "SELECT 1"]).await;
    }
    drop(others);
    // set_config() as a statement, by both protocols.
    all(&mut client, &[&format!("SELECT set_config('search_path', '{name}_a', false)")]).await;
    says_everywhere(&mut client, "SELECT n FROM t", "1").await;
    let set = client.unnamed("SELECT set_config('app.tenant', $1, false)", &["three"]).await;
    assert_eq!(set.value(), "three");
    says_everywhere(&mut client, "current_setting('app.tenant', true)", "three").await;
    assert_eq!(stage.pin().await, "");
    let set = client.unnamed("SELECT set_config($1, $2, false)", &["app.tenant", "four"]).await;
    assert_eq!(set.value(), "four");
    assert_eq!(client.value("SELECT current_setting('app.tenant')").await, "four");
    assert_eq!(stage.pin().await, "setting");
}

#[tokio::test]
async fn a_temporary_table_is_seen_from_the_moment_it_is_made() {
    let stage = Stage::set("temporaries");
    drop(prepared(&stage).await);
    let ways = [
        "CREATE TEMP TABLE t AS SELECT 7 AS n",
        "SELECT 7 AS n INTO TEMP t",
        "DO $$ BEGIN CREATE TEMP TABLE t AS SELECT 7 AS n; END $$",
        "SELECT temporary('CREATE TEMP TABLE t AS SELECT 7 AS n')",
        "BEGIN; SELECT temporary('CREATE TEMP TABLE t AS SELECT 7 AS n'); COMMIT",
    ];
    for way in ways {
        let mut client = stage.client().await;
        assert_eq!(client.value("SELECT n FROM t").await, "0");
        all(&mut client, &[way]).await;
        for _ in 0..20 {
            assert_eq!(client.value("SELECT n FROM t").await, "7", "{way}");
            assert_eq!(client.unnamed("SELECT n FROM t", &[]).await.value(), "7", "{way}");
        }
        assert_eq!(stage.pin().await, "temporary table", "{way}");
        all(&mut client, &["DROP TABLE pg_temp.t"]).await;
        assert_eq!(client.value("SELECT n FROM t").await, "0", "{way}");
        client.terminate().await;
    }
    // One that its transaction takes back.
    let mut client = stage.client().await;
    all(&mut client, &["BEGIN", "SELECT temporary('CREATE TEMP TABLE t AS SELECT 7 AS n')"]).await;
    assert_eq!(client.value("SELECT n FROM t").await, "7");
    all(&mut client, &["ROLLBACK"]).await;
    says_everywhere(&mut client, "SELECT n FROM t", "0").await;
}

#[tokio::test]
async fn whatever_else_code_leaves_behind_keeps_the_session_where_it_is() {
    let stage = Stage::set("leftovers");
    drop(prepared(&stage).await);
    let ways = [
        ("SELECT temporary('LISTEN news')", "listen"),
        ("DO $$ BEGIN PERFORM pg_advisory_lock(7); END $$", "advisory lock"),
        ("SELECT temporary('PREPARE p AS SELECT 1')", "sql prepare"),
        ("DO $$ BEGIN PERFORM set_config('app.long', repeat('x', 2000), false); END $$", "setting"),
    ];
    for (way, pin) in ways {
        let mut client = stage.client().await;
        all(&mut client, &[way]).await;
        client.value("SELECT 1").await;
        assert_eq!(stage.pin().await, pin, "{way}");
        client.terminate().await;
        // The next one finds nothing of it.
        let mut client = stage.client().await;
        all(&mut client, &["BEGIN"]).await;
        let left = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
        assert_eq!(client.value(left).await, "0");
        assert_eq!(client.value("SELECT count(*) FROM pg_prepared_statements WHERE from_sql").await, "0");
        assert_eq!(client.value("SELECT count(*) FROM pg_listening_channels()").await, "0");
        assert_eq!(client.value("SELECT coalesce(current_setting('app.long', true), '')").await, "");
        client.terminate().await;
    }
    // What leaves nothing pins nothing, and what was prepared is still there.
    let mut client = stage.client().await;
    assert_eq!(client.prepare("one", "SELECT 1").await.sqlstate(), "");
    for way in ["DO $$ BEGIN PERFORM 1; END $$", "SELECT writes(1)", "BEGIN; SELECT writes(2); ROLLBACK"] {
        all(&mut client, &[way]).await;
        assert_eq!(client.execute("one", &[]).await.value(), "1");
        assert_eq!(stage.pin().await, "", "{way}");
    }
}

/// Code that sets a setting by way of other code, and where statements can hide it.
const HIDDEN: &[&str] = &[
    "CREATE SEQUENCE s",
    "CREATE FUNCTION sets(v text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config('app.tag', v, false); END $$",
    "CREATE FUNCTION calls(v text) RETURNS text LANGUAGE sql AS $$ SELECT sets(v) $$",
    "CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM calls(new.v); RETURN new; END $$",
    "CREATE FUNCTION locks() RETURNS int LANGUAGE sql STABLE AS $$ SELECT 1 FROM pg_advisory_lock(7) $$",
    "CREATE FUNCTION any_of(n text, v text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config(n, v, false); END $$",
    "CREATE TABLE plain (v text)",
    "CREATE TABLE with_default (n int, v text DEFAULT calls('1'))",
    "CREATE TABLE with_trigger (v text)",
    "CREATE TRIGGER fires BEFORE INSERT ON with_trigger FOR EACH ROW EXECUTE FUNCTION fires()",
    "CREATE VIEW called AS SELECT calls('1') AS v",
];

#[tokio::test]
async fn code_is_asked_about_wherever_a_statement_hides_it() {
    let stage = Stage::set("hidden");
    let mut client = prepared(&stage).await;
    all(&mut client, HIDDEN).await;
    shared().wait_caught_up().unwrap();
    says_everywhere(&mut client, "SELECT n FROM t", "0").await;
    client.terminate().await;
    let ways: &[&[&str]] = &[
        &["SELECT calls('1')"],
        &["SELECT nextval('s'), calls('1')"],
        &["SELECT calls('1') FROM t FOR UPDATE"],
        &["SELECT v FROM called"],
        &["INSERT INTO plain VALUES (calls('1'))"],
        &["INSERT INTO plain SELECT 'a' RETURNING calls('1')"],
        &["INSERT INTO with_default VALUES (1)"],
        &["INSERT INTO with_trigger VALUES ('1')"],
        &["WITH i AS (INSERT INTO plain VALUES ('a') RETURNING 1) SELECT calls('1') FROM i"],
        &["BEGIN", "DECLARE c CURSOR FOR SELECT calls('1')", "FETCH ALL FROM c", "COMMIT"],
        &["CREATE TABLE made AS SELECT calls('1') AS v"],
        &["COPY (SELECT calls('1')) TO STDOUT"],
    ];
    let told = "SELECT coalesce(current_setting('app.tag', true), '')";
    for way in ways {
        let mut client = stage.client().await;
        all(&mut client, way).await;
        says_everywhere(&mut client, "current_setting('app.tag', true)", "1").await;
        assert_eq!(stage.pin().await, "", "{way:?}");
        client.terminate().await;
        let mut others = [stage.client().await, stage.client().await];
        for other in &mut others {
            all(other, &["BEGIN"]).await;
            assert_eq!(other.value(told).await, "", "{way:?}");
        }
    }
    // By its number.
    let mut client = stage.client().await;
    let number: u32 = client.value("SELECT 'sets(text)'::regprocedure::oid").await.parse().unwrap();
    let body = [&number.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0, 0, 1, b'1', 0, 0]].concat();
    client.send(&[b"F\0\0\0", &[body.len() as u8 + 4][..], &body].concat()).await;
    assert_eq!(client.answer().await.kinds, "VZ");
    client.terminate().await;
    let mut others = [stage.client().await, stage.client().await];
    for other in &mut others {
        all(other, &["BEGIN"]).await;
        assert_eq!(other.value(told).await, "");
    }
    drop(others);
    // A lock that would be taken on whatever node, a setting of any name, and the state of a generator.
    for (way, pin) in
        [("SELECT locks()", "advisory lock"), ("SELECT any_of($1, $2)", "setting"), ("SELECT setseed(0.5)", "setting")]
    {
        let mut client = stage.client().await;
        let parameters: &[&str] = if way.contains('$') { &["app.any", "1"] } else { &[] };
        assert_eq!(client.unnamed(way, parameters).await.sqlstate(), "", "{way}");
        client.value("SELECT 1").await;
        assert_eq!(stage.pin().await, pin, "{way}");
        client.terminate().await;
    }
}

#[tokio::test]
async fn a_function_that_writes_does_so_once_and_is_seen() {
    let role = owner("functions");
    let stage = Stage { proxy: Proxy::start(shared(), &role.config()), role };
    let mut client = prepared(&stage).await;
    for n in 1..=30 {
        match n % 2 {
            0 => assert_eq!(client.value(&format!("SELECT writes({n})")).await, n.to_string()),
            _ => assert_eq!(client.unnamed("SELECT writes($1)", &[&n.to_string()]).await.value(), n.to_string()),
        }
        assert_eq!(client.value("SELECT count(*) FROM t").await, (n + 1).to_string());
    }
}

#[tokio::test]
async fn whether_transactions_are_read_only_is_told_as_by_a_primary() {
    let role = Role::new("read_only");
    let stage = Stage { proxy: Proxy::start(shared(), &role.config()), role };
    let mut client = stage.client().await;
    for _ in 0..20 {
        assert_eq!(client.value("SHOW transaction_read_only").await, "off");
        assert_eq!(client.value("SELECT current_setting('transaction_read_only')").await, "off");
        assert_eq!(client.unnamed("SHOW transaction_read_only", &[]).await.value(), "off");
        assert_eq!(client.value("SHOW in_hot_standby").await, "off");
    }
    for begin in ["BEGIN", "START TRANSACTION", "BEGIN READ WRITE"] {
        all(&mut client, &[begin]).await;
        assert_eq!(client.value("SHOW transaction_read_only").await, "off");
        all(&mut client, &["COMMIT"]).await;
    }
    all(&mut client, &["BEGIN READ ONLY"]).await;
    assert_eq!(client.value("SHOW transaction_read_only").await, "on");
    all(&mut client, &["COMMIT", "SET default_transaction_read_only = on"]).await;
    assert_eq!(client.value("SHOW transaction_read_only").await, "on");
    assert_eq!(client.value("SELECT 1").await, "1");
    assert_eq!(client.query("CREATE TABLE x (a int)").await.sqlstate(), "25006");
}
