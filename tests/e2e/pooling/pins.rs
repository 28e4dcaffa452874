//! A pin lasts as long as its cause, and no longer; whoever gets the server then finds nothing of it.

use std::time::Duration;

use crate::harness::raw::{Raw, Role, console};
use crate::harness::{Proxy, shared};

/// One server on each node: nobody else gets it while a session is pinned to it.
const ONE: &str = "workers = 1\n[pool]\nsize = 1\nwait_timeout = '20s'\n[routing]\nsplit = false";

async fn pin(proxy: &Proxy<'_>, role: &Role) -> String {
    let clients = console(proxy.port()).await.query("SHOW CLIENTS").await;
    clients.column("pin", |value| value("user") == role.name).join("")
}

async fn all(client: &mut Raw, statements: &[&str]) {
    for sql in statements {
        let answer = client.query(sql).await;
        assert_eq!(answer.sqlstate(), "", "{sql}: {answer:?}");
    }
}

/// PostgreSQL is asked behind the answer.
async fn until_pinned_by(proxy: &Proxy<'_>, role: &Role, what: &str, wanted: &str) {
    for _ in 0..500 {
        if pin(proxy, role).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: pinned by {:?}, not {wanted:?}", pin(proxy, role).await);
}

#[tokio::test]
async fn a_pin_ends_when_its_cause_does() {
    let role = Role::new("pins");
    let proxy = Proxy::start(shared(), &crate::harness::proxy::merged(ONE, &role.config()));
    let ways: [(&str, &[&str], &[&str]); 12] = [
        ("temporary table", &["CREATE TEMP TABLE x (n int)"], &["DROP TABLE x"]),
        ("temporary table", &["CREATE TEMP TABLE x (n int)", "INSERT INTO x VALUES (1)"], &["DISCARD TEMP"]),
        ("temporary table", &["BEGIN", "CREATE TEMP TABLE x (n int)", "COMMIT"], &["BEGIN", "DROP TABLE x", "COMMIT"]),
        ("temporary table", &["CREATE TEMP VIEW x AS SELECT 1"], &["DO 'BEGIN DROP VIEW x; END'"]),
        ("hold cursor", &["DECLARE c CURSOR WITH HOLD FOR SELECT 1"], &["FETCH c", "CLOSE c"]),
        ("listen", &["LISTEN a", "LISTEN b"], &["UNLISTEN *"]),
        ("advisory lock", &["SELECT pg_advisory_lock(4711)"], &["SELECT pg_advisory_unlock(4711)"]),
        ("advisory lock", &["SELECT pg_advisory_lock(4711)"], &["SELECT pg_advisory_unlock_all()"]),
        ("sql prepare", &["PREPARE p AS SELECT 1"], &["EXECUTE p", "DEALLOCATE p"]),
        ("sql prepare", &["PREPARE p AS SELECT 1"], &["DEALLOCATE ALL"]),
        ("listen", &["LISTEN a"], &["DISCARD ALL"]),
        ("temporary table", &["SELECT 1 AS n INTO TEMP x"], &["ALTER TABLE x RENAME TO y", "SELECT 1; DROP TABLE y"]),
    ];
    let mut client = role.raw(proxy.port()).await;
    let mut other = role.raw(proxy.port()).await;
    let traces = "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())
        + (SELECT count(*) FROM pg_cursors WHERE is_holdable) + (SELECT count(*) FROM pg_listening_channels())
        + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
        + (SELECT count(*) FROM pg_prepared_statements WHERE from_sql)";
    for is_extended in [false, true] {
        for (name, make, end) in ways {
            for sql in make {
                let answer = if is_extended { client.unnamed(sql, &[]).await } else { client.query(sql).await };
                assert_eq!(answer.sqlstate(), "", "{sql}: {answer:?}");
            }
            until_pinned_by(&proxy, &role, make[0], name).await;
            // What changes nothing of it leaves it.
            all(&mut client, &["SELECT 1", "BEGIN", "SELECT 2", "COMMIT"]).await;
            until_pinned_by(&proxy, &role, make[0], name).await;
            for sql in end {
                // Several statements are a simple Query's.
                let is_extended = is_extended && !sql.contains(';');
                let answer = if is_extended { client.unnamed(sql, &[]).await } else { client.query(sql).await };
                assert_eq!(answer.sqlstate(), "", "{sql}: {answer:?}");
            }
            until_pinned_by(&proxy, &role, end[0], "").await;
            assert_eq!(other.value(traces).await, "0", "{make:?} {end:?}");
        }
    }
}

#[tokio::test]
async fn what_came_to_nothing_pins_nobody() {
    let role = Role::new("unpinned");
    let proxy = Proxy::start(shared(), &crate::harness::proxy::merged(ONE, &role.config()));
    let mut client = role.raw(proxy.port()).await;
    let mut other = role.raw(proxy.port()).await;
    let ways: [&[&str]; 6] = [
        &["BEGIN", "CREATE TEMP TABLE x (n int)", "ROLLBACK"],
        &["BEGIN", "CREATE TEMP TABLE x (n int) ON COMMIT DROP", "INSERT INTO x VALUES (1)", "COMMIT"],
        &["BEGIN", "SAVEPOINT a", "CREATE TEMP TABLE x (n int)", "ROLLBACK TO a", "COMMIT"],
        &["BEGIN", "LISTEN a", "ROLLBACK"],
        &["BEGIN", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "ROLLBACK"],
        &["BEGIN; CREATE TEMP TABLE x (n int); ROLLBACK"],
    ];
    for way in ways {
        all(&mut client, way).await;
        until_pinned_by(&proxy, &role, way[0], "").await;
        assert_eq!(other.value("SELECT 1").await, "1", "{way:?}");
    }
    // Nor what PostgreSQL refused.
    assert_eq!(client.query("CREATE TEMP TABLE x (n nosuch)").await.sqlstate(), "42704");
    until_pinned_by(&proxy, &role, "a table that was not made", "").await;
    assert_eq!(other.value("SELECT 1").await, "1");
    // What PostgreSQL can't tell of lasts as long as the session.
    all(&mut client, &["CREATE TEMP TABLE x (n int)", "SELECT setseed(0.5)", "DROP TABLE x", "SELECT 1"]).await;
    assert_eq!(pin(&proxy, &role).await, "temporary table");
}
