//! What the catalog knows decides: views, functions, operators, unlogged and foreign tables.

use std::time::{Duration, Instant};

use pgherd::demo::Cluster;

use crate::harness::{Proxy, eventually, shared, unique};

/// `node()` says who answers, and is declared as what it is not: so it may go anywhere.
const SCHEMA: &str = "
    CREATE FUNCTION node() RETURNS text LANGUAGE sql STABLE AS $$ SELECT current_setting('port') $$;
    CREATE TABLE t (a int, b text);
    INSERT INTO t VALUES (1, 'one'), (2, 'two');
    CREATE SEQUENCE s;
    CREATE UNLOGGED TABLE u (a int);
    INSERT INTO u VALUES (7);
    CREATE VIEW plain AS SELECT a, b FROM t WHERE a > 0;
    CREATE VIEW over_plain AS SELECT a FROM plain;
    CREATE VIEW counts AS SELECT nextval('s') AS n, a FROM t;
    CREATE VIEW over_counts AS SELECT n FROM counts;
    CREATE VIEW over_u AS SELECT a FROM u;
    CREATE MATERIALIZED VIEW stored AS SELECT a FROM t;
    CREATE TABLE parts (a int) PARTITION BY LIST (a);
    CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
    CREATE UNLOGGED TABLE part_2 PARTITION OF parts FOR VALUES IN (2);
    CREATE FUNCTION stable_one(int) RETURNS int LANGUAGE sql STABLE AS $$ SELECT $1 + 1 $$;
    CREATE FUNCTION volatile_one(int) RETURNS int LANGUAGE sql AS $$ INSERT INTO t VALUES ($1, 'written') RETURNING a $$;
    CREATE FUNCTION overloaded(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
    CREATE FUNCTION overloaded(text) RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('s') $$;
    CREATE FUNCTION lower(int) RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('s') $$;
    CREATE FUNCTION writes(int, int) RETURNS int LANGUAGE sql AS $$ INSERT INTO t VALUES ($1, 'by <+>') RETURNING a $$;
    CREATE OPERATOR <+> (LEFTARG = int, RIGHTARG = int, FUNCTION = writes);
    CREATE OPERATOR <*> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
    CREATE AGGREGATE writes_all (int) (SFUNC = writes, STYPE = int, INITCOND = '0');
    CREATE AGGREGATE adds_all (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
    CREATE TYPE pair AS (x int, y int);
    CREATE FUNCTION to_pair(int) RETURNS pair LANGUAGE sql AS $$ SELECT nextval('s')::int, $1 $$;
    CREATE CAST (int AS pair) WITH FUNCTION to_pair(int);
    CREATE FUNCTION odd(int) RETURNS boolean LANGUAGE sql AS $$ SELECT nextval('s') > 0 $$;
    CREATE DOMAIN counted AS int CHECK (odd(VALUE));
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE guarded (a int);
    INSERT INTO guarded VALUES (1);
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON guarded USING (odd(a));
    CREATE TABLE tenants (a int, tenant text);
    INSERT INTO tenants VALUES (1, 'one');
    ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON tenants USING (tenant = current_setting('app.tenant', true));
";

struct Database<'a> {
    proxy: Proxy<'a>,
    name: String,
    primary: String,
}

impl<'a> Database<'a> {
    fn new(cluster: &'a Cluster, config: &str) -> Self {
        let name = unique("catalog");
        cluster.pg1.psql_as("app", "app", &format!("CREATE DATABASE {name}")).unwrap();
        cluster.pg1.psql_as(&name, "app", SCHEMA).unwrap();
        cluster.wait_caught_up().unwrap();
        let database = Self { proxy: Proxy::start(cluster, config), name, primary: cluster.pg1.port().to_string() };
        database.proxy.until_standbys_read(&database.name);
        database
    }

    fn sql(&self, sql: &str) -> String {
        self.proxy.psql_as(&self.name, "app", sql)
    }

    /// Whether a standby answers; `sql` has `node()` for its first column.
    fn is_elsewhere(&self, sql: &str) -> bool {
        let answer = self.sql(sql);
        answer.split(['|', '\n']).next() != Some(self.primary.as_str())
    }

    fn until_elsewhere(&self, sql: &str) {
        eventually(sql, || self.is_elsewhere(sql).then_some(()));
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let _ = self.proxy.cluster.pg1.psql(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

#[test]
fn what_a_name_reaches_decides_where_it_is_read() {
    let database = Database::new(shared(), "");
    let elsewhere = [
        "SELECT node()",
        "SELECT node(), a FROM t",
        "SELECT node(), a FROM public.t",
        "SELECT node(), a FROM plain",
        "SELECT node(), a FROM over_plain",
        "SELECT node(), a FROM stored",
        "SELECT node(), a FROM part_1",
        "SELECT node(), stable_one(1)",
        "SELECT node(), 1 <*> 1",
        "SELECT node(), adds_all(a) FROM t",
        "SELECT node(), pg_catalog.lower('A')",
        "SELECT node(), (1::positive)",
        "SELECT node(), count(a) FROM tenants",
        "SELECT node(), count(a) FROM tenants WHERE tenant = current_setting('app.tenant', true)",
        "WITH u AS (SELECT 1 AS a) SELECT node(), a FROM u",
        "SELECT node(), count(*) FROM pg_class",
        "SELECT node(), count(*) FROM information_schema.tables",
    ];
    // A role that another test makes is news as well: until they have it, standbys are not asked.
    for sql in elsewhere {
        database.until_elsewhere(sql);
    }
    let on_the_primary = [
        "SELECT node(), n FROM counts",
        "SELECT node(), n FROM over_counts",
        "SELECT node(), a FROM u",
        "SELECT node(), a FROM over_u",
        "SELECT node(), count(*) FROM parts",
        "SELECT node(), count(*) FROM part_2",
        "SELECT node(), volatile_one(3)",
        "SELECT node(), overloaded(1)",
        "SELECT node(), lower(1)",
        "SELECT node(), lower('A')",
        "SELECT node(), 1 <+> 2",
        "SELECT node(), 1 OPERATOR(public.<+>) 2",
        "SELECT node(), writes_all(a) FROM t",
        "SELECT node(), 1::pair",
        "SELECT node(), CAST(2 AS pair)",
        "SELECT node(), 1::counted",
        "SELECT node(), a FROM guarded",
        // A standby has what was logged ahead, not what was given out.
        "SELECT node(), last_value FROM s",
    ];
    for sql in on_the_primary {
        assert!(!database.is_elsewhere(sql), "{sql}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM t WHERE b = 'written'"), "1");
}

#[test]
fn ddl_that_passes_is_known_before_its_client_hears_of_it() {
    let database = Database::new(shared(), "[routing]\ncatalog_refresh = \"10m\"");
    let ask = "SELECT node(), stable_one(1)";
    assert!(database.is_elsewhere(ask));
    for round in 0..10 {
        let body = "AS $$ INSERT INTO t VALUES ($1, 'volatile now') RETURNING a $$";
        database.sql(&format!("CREATE OR REPLACE FUNCTION stable_one(int) RETURNS int LANGUAGE sql VOLATILE {body}"));
        assert!(!database.is_elsewhere(ask), "round {round}");
        database.sql("CREATE OR REPLACE FUNCTION stable_one(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1'");
        assert_eq!(database.sql(&format!("CREATE TABLE made_{round} (a int); SELECT count(*) FROM made_{round}")), "0");
        assert_eq!(database.sql(&format!("SELECT count(*) FROM made_{round}")), "0");
    }
    database.until_elsewhere(ask);
    // Rolled back: as it was.
    database.sql("BEGIN; ALTER FUNCTION stable_one(int) VOLATILE; ROLLBACK");
    database.until_elsewhere(ask);
    // Within a transaction, with reads of others beside it.
    database.sql("BEGIN; ALTER FUNCTION stable_one(int) VOLATILE; COMMIT");
    assert!(!database.is_elsewhere(ask));
    std::thread::sleep(Duration::from_millis(500));
    assert!(!database.is_elsewhere(ask));
}

#[test]
fn ddl_behind_the_proxys_back_is_found() {
    let database = Database::new(shared(), "[routing]\ncatalog_refresh = \"300ms\"");
    let pg1 = &database.proxy.cluster.pg1;
    let ask = "SELECT node(), stable_one(1)";
    assert!(database.is_elsewhere(ask));
    pg1.psql_as(&database.name, "app", "ALTER FUNCTION stable_one(int) VOLATILE").unwrap();
    eventually("the function is known to be volatile", || (!database.is_elsewhere(ask)).then_some(()));
    pg1.psql_as(&database.name, "app", "ALTER FUNCTION stable_one(int) STABLE").unwrap();
    database.until_elsewhere(ask);
}

#[test]
fn a_name_that_is_not_known_is_looked_for_at_once() {
    let database = Database::new(shared(), "[routing]\ncatalog_refresh = \"10m\"");
    let pg1 = &database.proxy.cluster.pg1;
    pg1.psql_as(&database.name, "app", "CREATE TABLE made_elsewhere (a int)").unwrap();
    let started = Instant::now();
    database.until_elsewhere("SELECT node(), count(*) FROM made_elsewhere");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// No standby that has not replayed it yet is asked for what was made a moment ago, by whomever.
#[test]
fn other_sessions_find_what_was_made() {
    let database = Database::new(shared(), "");
    for round in 0..40 {
        database.sql(&format!("CREATE TABLE fresh_{round} (a int)"));
        assert_eq!(database.sql(&format!("SELECT count(*) FROM fresh_{round}")), "0");
        database.sql(&format!("ALTER TABLE fresh_{round} ADD COLUMN b int"));
        assert_eq!(database.sql(&format!("SELECT count(b) FROM fresh_{round}")), "0");
    }
}

#[test]
fn where_the_catalog_cannot_be_asked_reads_stay_on_the_primary() {
    let cluster = shared();
    let name = unique("closed");
    cluster.pg1.psql_as("app", "app", &format!("CREATE DATABASE {name}")).unwrap();
    cluster.pg1.psql_as(&name, "app", SCHEMA).unwrap();
    cluster.pg1.psql(&format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")).unwrap();
    cluster.wait_caught_up().unwrap();
    let proxy = Proxy::start(cluster, "");
    let ask = |sql: &str| proxy.psql_as(&name, "app", sql);
    let primary = cluster.pg1.port().to_string();
    for _ in 0..10 {
        assert!(ask("SELECT node(), a FROM t").starts_with(&primary));
    }
    let row = eventually("the console tells why", || {
        let rows = proxy.console("SHOW CATALOGS");
        rows.lines().find(|row| row.starts_with(&name) && row.contains("failed")).map(str::to_owned)
    });
    assert!(row.contains("permission denied"), "{row}");
    assert!(proxy.process.log_text().contains("the catalog can't be asked"));
    // Put right, it is noticed.
    cluster.pg1.psql(&format!("GRANT CONNECT ON DATABASE {name} TO PUBLIC")).unwrap();
    eventually("a standby answers", || (!ask("SELECT node(), a FROM t").starts_with(&primary)).then_some(()));
    drop(proxy);
    cluster.pg1.psql(&format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
}
