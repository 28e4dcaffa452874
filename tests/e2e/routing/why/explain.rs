//! `EXPLAIN ROUTE` and `SHOW pgherd.…`: in every protocol, today's answer each time.

use crate::harness::raw::{Answer, Role};
use crate::harness::{Proxy, shared};

fn text(answer: &Answer) -> String {
    assert_eq!(answer.sqlstate(), "", "{answer:?}");
    let lines = answer.rows.iter().map(|row| row[0].clone().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn has(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "{wanted:?} is not in:\n{text}");
    }
}

#[tokio::test]
async fn a_decision_is_explained_in_each_protocol() {
    let cluster = shared();
    let role = Role::new("explained");
    let proxy = Proxy::start(cluster, &role.config());
    let mut client = role.raw(proxy.port()).await;
    let reads = "EXPLAIN ROUTE SELECT 1 WHERE $1 = 'x'";
    let answer = client.query("EXPLAIN ROUTE SELECT 1").await;
    assert_eq!(answer.columns, ["QUERY PLAN"]);
    has(&text(&answer), &["Standby pg", "(plain-read)", "pg1 (primary, up", "not: standbys can do it", ": chosen"]);
    has(&text(&client.unnamed(reads, &["x"]).await), &["Standby pg", "(plain-read)"]);
    assert_eq!(client.prepare("e", reads).await.sqlstate(), "");
    has(&text(&client.execute("e", &["x"]).await), &["Standby pg", "nothing was written that must show"]);
    // It runs nothing, and says what the statement would have left behind.
    let writes = client.query(&format!("EXPLAIN ROUTE CREATE TABLE {}.never (n int)", role.name)).await;
    has(
        &text(&writes),
        &["Primary pg1", "Class: write", "(utility)", "Leaves behind: ddl", "only the primary can do it"],
    );
    assert_eq!(client.query(&format!("SELECT * FROM {}.never", role.name)).await.sqlstate(), "42P01");
    // Re-executed, it tells of what was written since.
    client.query(&format!("CREATE TABLE {}.t (n int)", role.name)).await;
    has(&text(&client.execute("e", &["x"]).await), &["a standby must show what was written"]);
    client.query("SET pgherd.route = 'primary'").await;
    has(&text(&client.execute("e", &["x"]).await), &["Primary pg1", "pgherd.route says so", "pgherd.route: primary"]);
    client.query("RESET pgherd.route").await;
    for hinted in [
        "/* pgherd: standby */ EXPLAIN ROUTE SELECT my_function()",
        "EXPLAIN ROUTE /* pgherd: standby */ SELECT my_function()",
        "EXPLAIN ROUTE SELECT my_function() /* pgherd: standby */",
    ] {
        has(&text(&client.query(hinted).await), &["Hint: standby", "(claimed)", "function my_function is "]);
    }
    let told = text(&client.query("EXPLAIN ROUTE SELECT 1 IN (1) WHERE EXISTS (VALUES (1))").await);
    assert!(!told.contains("function "), "{told}");
    // In a transaction there is nothing to choose.
    client.query("BEGIN").await;
    client.query(&format!("INSERT INTO {}.t VALUES (1)", role.name)).await;
    has(&text(&client.query("EXPLAIN ROUTE SELECT 1").await), &["Stays on pg1", "(held)", "the middle of something"]);
    has(&text(&client.execute("e", &["x"]).await), &["Stays on pg1"]);
    assert_eq!(client.query("SELECT 1/0").await.sqlstate(), "22012");
    assert_eq!(client.query("EXPLAIN ROUTE SELECT 1").await.sqlstate(), "25P02");
    assert_eq!(client.execute("e", &["x"]).await.sqlstate(), "25P02");
    client.query("ROLLBACK").await;
    // PostgreSQL's words for what is no statement of ours.
    assert_eq!(client.query("EXPLAIN ROUTE").await.sqlstate(), "42601");
    assert_eq!(client.query("EXPLAIN ROUTE SELECT 1; SELECT 2").await.sqlstate(), "42601");
    // And by a driver, which describes it first.
    let proxy = Proxy::start(cluster, "");
    proxy.until_standbys_read("app");
    let driver = proxy.client().await;
    let prepared = driver.prepare("EXPLAIN ROUTE SELECT * FROM pg_class WHERE relname = $1").await.unwrap();
    for _ in 0..2 {
        let rows = driver.query(&prepared, &[&"x"]).await.unwrap();
        assert!(rows[0].get::<_, String>(0).starts_with("Standby pg"));
    }
    let plan = proxy.psql("EXPLAIN ROUTE SELECT count(*) FROM pg_class");
    has(&plan, &["Standby pg", "relation pg_class is ordinary"]);
}

#[tokio::test]
async fn a_token_makes_the_next_session_see_the_write() {
    let cluster = shared();
    let role = Role::new("tokens");
    let proxy = Proxy::start(cluster, &role.config());
    let table = format!("{}.t", role.name);
    let mut writer = role.raw(proxy.port()).await;
    // Nothing was written, nothing must be seen.
    assert_eq!(writer.value("SHOW pgherd.last_lsn").await, "");
    assert_eq!(writer.value("SHOW pgherd.min_lsn").await, "");
    assert_eq!(writer.value("SHOW pgherd.route").await, "auto");
    assert_eq!(writer.value("SHOW pgherd.consistency").await, "session");
    assert_eq!(writer.value("SHOW pgherd.notice").await, "off");
    writer.query(&format!("CREATE TABLE {table} (n int)")).await;
    writer.prepare("lsn", "SHOW pgherd.last_lsn").await;
    for n in 0..50 {
        writer.query(&format!("INSERT INTO {table} VALUES ({n})")).await;
        let token = match n % 3 {
            0 => writer.value("SHOW pgherd.last_lsn").await,
            1 => writer.unnamed("SHOW pgherd.last_lsn", &[]).await.value(),
            _ => writer.execute("lsn", &[]).await.value(),
        };
        assert!(token.starts_with("1:0/"), "{token}");
        let mut reader = role.raw(proxy.port()).await;
        reader.query(&format!("SET pgherd.min_lsn = '{token}'")).await;
        assert_eq!(reader.value(&format!("SELECT max(n) FROM {table}")).await, n.to_string());
        reader.terminate().await;
        // Who writes nothing hands on what he was told to see.
        let mut reader = role.raw(proxy.port()).await;
        reader.query(&format!("SET pgherd.min_lsn = '{token}'")).await;
        reader.query("SELECT 1").await;
        assert_eq!(reader.value("SHOW pgherd.last_lsn").await, token);
        reader.terminate().await;
    }
    // What no standby has: the primary's.
    let mut reader = role.raw(proxy.port()).await;
    reader.query("SET pgherd.min_lsn = '1:FFFF/0'").await;
    has(
        &text(&reader.query("EXPLAIN ROUTE SELECT 1").await),
        &["Primary pg1", "pgherd.min_lsn 1:FFFF/0", "not: it is not known to have reached pgherd.min_lsn"],
    );
}
