//! psql: what an administrator types.

use std::process::{Command, Output, Stdio};

use super::make_tables;
use crate::harness::{Proxy, shared};

#[test]
fn psql_runs_commands_and_scripts() {
    let cluster = shared();
    let proxy = Proxy::start(cluster, "");
    let prefix = make_tables(cluster, "psql");
    let (items, work) = (format!("{prefix}_items"), format!("{prefix}_work"));

    // Each -c is a message of its own, several statements in one are one transaction.
    let read = format!("SELECT label FROM {items} WHERE id = 7");
    let two = "SELECT 1; SELECT 2";
    assert_eq!(text(&psql(&proxy, &["-c", &read, "-c", two])), "item 7\n1\n2\n");
    let failing = format!("INSERT INTO {work} (id) VALUES (1); SELECT 1/0");
    let output = proxy.psql_through("app", "app", &["-v", "ON_ERROR_STOP=1", "-c", &failing]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "ERROR:  division by zero\n");
    assert_eq!(proxy.psql(&format!("BEGIN; SELECT count(*) FROM {work}; COMMIT")), "0");

    copies_travel_both_ways(&proxy, &items, &work);
    tables_are_described(&proxy, &items);
    errors_are_postgresqls(&proxy);
    interactive_settings_hold(&proxy);
}

fn copies_travel_both_ways(proxy: &Proxy<'_>, items: &str, work: &str) {
    let dir = proxy.cluster.dir();
    let (script, from, to) =
        (dir.join(format!("{work}.sql")), dir.join(format!("{work}.in")), dir.join(format!("{work}.out")));
    let lines: String = (1..=5000).map(|n| format!("{n}\tnote {n}\n")).collect();
    let site = proxy.cluster.site();
    site.write(&from, &lines).unwrap();
    site.write(&to, "").unwrap();
    let sql = format!(
        "\\set ON_ERROR_STOP on
\\copy {work} (id, note) FROM '{from}'
BEGIN;
\\copy (SELECT id, note FROM {work} ORDER BY id) TO '{to}'
SELECT count(*) AS rows FROM {work} \\gset
COMMIT;
\\echo :rows
COPY {work} (id, note) FROM STDIN;
6001\tinline
\\.
\\copy {items} TO PROGRAM 'wc -l'
\\copy {work} (id) FROM PROGRAM 'echo nonsense'
",
        from = from.display(),
        to = to.display()
    );
    site.write(&script, &sql).unwrap();
    let output = proxy.psql_through("app", "app", &["-f", &script.display().to_string()]);
    assert_eq!(text(&output), "5000\n1000\n", "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("ERROR:  invalid input syntax for type integer: \"nonsense\""), "{errors}");
    assert_eq!(output.status.code(), Some(3), "ON_ERROR_STOP in a script");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), lines);
    assert_eq!(
        proxy.cluster.pg1.psql_as("app", "app", &format!("SELECT note FROM {work} WHERE id > 6000")).unwrap(),
        "inline"
    );
}

fn tables_are_described(proxy: &Proxy<'_>, items: &str) {
    let describe = format!("\\d+ {items}");
    let commands = ["-X", "-c", &describe, "-c", "\\dt", "-c", "\\l", "-c", "\\du", "-c", "\\df pgherd.*"];
    let [through, straight] = [proxy.port(), proxy.cluster.pg1.port()].map(|port| {
        let mut command = proxy.client_program("psql", "app", "app");
        command.env("PGPORT", port.to_string()).args(commands).output().unwrap()
    });
    let described = text(&through);
    for part in
        ["price  | numeric(10,2) |", &format!("\"{items}_pkey\" PRIMARY KEY, btree (id)"), "replicator | Replication"]
    {
        assert!(described.contains(part), "no {part} in {described}");
    }
    assert_eq!(described.lines().next(), text(&straight).lines().next());
}

fn errors_are_postgresqls(proxy: &Proxy<'_>) {
    for sql in ["SELEC 1", "SELECT nothing", "SELECT * FROM nowhere", "SELECT 1/0", "COPY nowhere FROM STDIN"] {
        let verbose = ["-v", "VERBOSITY=verbose", "-c", sql];
        let through = proxy.psql_through("app", "app", &verbose);
        let mut straight = proxy.client_program("psql", "app", "app");
        straight.env("PGPORT", proxy.cluster.pg1.port().to_string()).arg("-XAtq").args(verbose);
        let straight = straight.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&through.stderr), String::from_utf8_lossy(&straight.stderr));
        assert_eq!((through.status.code(), straight.status.code()), (Some(1), Some(1)), "{sql}");
    }
}

/// One session on its terminal: transactions that fail and go on, cursors, \watch-like repetition, \gexec.
fn interactive_settings_hold(proxy: &Proxy<'_>) {
    let typed = "\
SET datestyle = 'German';
SELECT date '2024-02-29';
\\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT 1/0;
SELECT 'still here';
COMMIT;
\\set FETCH_COUNT 100
SELECT count(*), sum(n) FROM generate_series(1, 1000) n;
SELECT n FROM generate_series(1, 250) n \\g (format=unaligned) | tail -1
SELECT format('SELECT %s', n) FROM generate_series(5, 6) n \\gexec
PREPARE p (int) AS SELECT $1 + 1;
EXECUTE p (41);
DEALLOCATE p;
SELECT date '2024-02-29';
RESET datestyle;
SELECT date '2024-02-29';
";
    let mut command = proxy.client_program("psql", "app", "app");
    let output = fed(command.args(["-XAtq"]), typed);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.matches("ERROR:").count(), 1, "{errors}");
    let want = "29.02.2024\nstill here\n1000|500500\n250\n5\n6\n42\n29.02.2024\n2024-02-29\n";
    assert_eq!(text(&output), want, "{errors}");
}

/// With this on its standard input.
fn fed(command: &mut Command, input: &str) -> Output {
    use std::io::Write;

    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn psql(proxy: &Proxy<'_>, arguments: &[&str]) -> Output {
    let output = proxy.psql_through("app", "app", arguments);
    assert!(output.status.success() && output.stderr.is_empty(), "psql {arguments:?}: {output:?}");
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

// === wrong accounts ===

/// What PostgreSQL itself says, and the same code (which psql does not show for a FATAL at login: tokio-postgres does).
#[tokio::test]
async fn wrong_accounts_are_refused_in_postgresqls_words() {
    let cluster = shared();
    let proxy = Proxy::start(cluster, "");
    let cases = [
        ("app", "app", "wrong", "28P01", "password authentication failed for user \"app\""),
        ("app", "nobody", "wrong", "28P01", "password authentication failed for user \"nobody\""),
        ("nowhere", "nobody", "wrong", "28P01", "password authentication failed for user \"nobody\""),
        ("nowhere", "app", "", "3D000", "database \"nowhere\" does not exist"),
    ];
    for (database, user, password, code, message) in cases {
        let right = cluster.passwords().of(user).map(|password| password.expose().to_owned()).unwrap_or_default();
        let password = if password.is_empty() { &right } else { password };
        for port in [proxy.port(), cluster.pg1.port()] {
            let mut command = proxy.client_program("psql", database, user);
            command.env("PGPORT", port.to_string()).env("PGPASSWORD", password).args(["-X", "-c", "SELECT 1"]);
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2), "psql's own code for a bad connection");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(errors.trim_end().ends_with(&format!("FATAL:  {message}")), "port {port}: {errors}");

            let dsn = format!("postgresql://{user}:{password}@127.0.0.1:{port}/{database}");
            let error = crate::harness::drivers::connect(&dsn).await.err().unwrap();
            assert_eq!(error.code().map(|code| code.code()), Some(code), "port {port}: {error:?}");
        }
    }
}
