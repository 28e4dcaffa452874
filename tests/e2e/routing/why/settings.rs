//! Hints, and `SET pgherd.…`: checked before they are sent, travelling with the session.

use crate::harness::raw::{Raw, Role};
use crate::harness::{Proxy, shared};

/// Says of itself which node answered, and is not known to be the same everywhere: the primary's unless somebody says so.
const PORT: &str = "SELECT pg_catalog.current_setting('port')";

#[tokio::test]
async fn a_statement_goes_where_its_author_says() {
    let cluster = shared();
    let role = Role::new("hints");
    let proxy = Proxy::start(cluster, &role.config());
    let mut client = role.raw(proxy.port()).await;
    let primary = cluster.pg1.port().to_string();
    // What the primary gets may have written: without this what is behind it would follow it there for a moment.
    client.query("SET pgherd.consistency = 'eventual'").await;
    assert_eq!(client.value(PORT).await, primary);
    for _ in 0..2 {
        assert_ne!(client.value(&format!("/* pgherd: standby */ {PORT}")).await, primary);
        assert_ne!(client.value(&format!("{PORT} /*action='x',pgherd='standby'*/")).await, primary);
        assert_eq!(client.value(&format!("/* pgherd: primary */ {PORT}")).await, primary);
        assert_ne!(client.unnamed(&format!("/* pgherd: standby */ {PORT}"), &[]).await.value(), primary);
        assert_eq!(client.unnamed(PORT, &[]).await.value(), primary);
    }
    assert_eq!(client.prepare("there", &format!("/* pgherd: standby */ {PORT}")).await.sqlstate(), "");
    assert_ne!(client.execute("there", &[]).await.value(), primary);
    // A write is no read whatever its author says.
    let table = format!("{}.t", role.name);
    let answer = client.query(&format!("/* pgherd: standby */ CREATE TABLE {table} (n int)")).await;
    assert_eq!(answer.sqlstate(), "");
    let answer = client.query(&format!("/* pgherd: standby */ INSERT INTO {table} VALUES (1)")).await;
    assert_eq!(answer.sqlstate(), "");
    client.query("RESET pgherd.consistency").await;
    // A hinted read sees what its session has written.
    for n in 2..20 {
        client.query(&format!("INSERT INTO {table} VALUES ({n})")).await;
        let seen = client.value(&format!("/* pgherd: standby */ SELECT max(n) FROM {table}")).await;
        assert_eq!(seen, n.to_string());
    }
}

#[tokio::test]
async fn a_session_goes_where_it_says() {
    let cluster = shared();
    let role = Role::new("routes");
    let proxy = Proxy::start(cluster, &role.config());
    let mut client = role.raw(proxy.port()).await;
    let primary = cluster.pg1.port().to_string();
    client.query("SET pgherd.consistency = 'eventual'").await;
    client.query("SET pgherd.route = 'standby'").await;
    for _ in 0..3 {
        assert_ne!(client.value(PORT).await, primary);
        assert_eq!(client.value(&format!("/* pgherd: primary */ {PORT}")).await, primary);
    }
    assert_eq!(client.value("SHOW pgherd.route").await, "standby");
    // Undone with its transaction, like any setting.
    client.query("BEGIN").await;
    client.query("SET pgherd.route = 'primary'").await;
    client.query("ROLLBACK").await;
    assert_ne!(client.value(PORT).await, primary);
    client.query("RESET pgherd.route").await;
    assert_eq!(client.value(PORT).await, primary);
    // From its first word on.
    let options = "-c pgherd.route=standby -c pgherd.consistency=eventual";
    let mut client = role.raw_with(proxy.port(), &[("options", options)]).await.unwrap();
    assert_ne!(client.value(PORT).await, primary);
    client.query("SET pgherd.route TO auto").await;
    assert_eq!(client.value(PORT).await, primary);
    client.query("RESET ALL").await;
    // RESET puts the settings right behind its answer: what comes at once rides along.
    client.query("SELECT 1").await;
    assert_ne!(client.value(PORT).await, primary);
}

#[tokio::test]
async fn a_value_that_means_nothing_is_refused() {
    let role = Role::new("refused");
    let proxy = Proxy::start(shared(), &role.config());
    let mut client = role.raw(proxy.port()).await;
    for (sql, sqlstate, hint) in [
        ("SET pgherd.route = 'secondary'", "22023", "Available values: auto, primary, standby."),
        ("set local pgherd.consistency to always", "22023", "Available values: session, global, eventual, primary."),
        ("SET pgherd.min_lsn = '12'", "22023", "Available values: what SHOW pgherd.last_lsn said"),
        ("SELECT set_config('pgherd.notice', 'maybe', false)", "22023", "Available values: on, off."),
        ("SET work_mem = '4MB'; SET pgherd.route = x", "22023", "Available values: auto"),
        ("SET pgherd.rout = 'primary'", "42704", "Did you mean \"pgherd.route\"?"),
        ("SET pgherd.x = 'primary'", "42704", "The settings of the proxy are pgherd.route, "),
    ] {
        for answer in [client.query(sql).await, client.unnamed(sql, &[]).await, client.prepare("s", sql).await] {
            assert_eq!(answer.sqlstate(), sqlstate, "{sql}: {answer:?}");
            let said = answer.errors[0].hint.clone().unwrap_or_default();
            assert!(said.starts_with(hint), "{sql}: {said}");
        }
    }
    // At its place among others, and without a trace.
    let answer = client.query("SET pgherd.route = 'primary'").await;
    assert_eq!(answer.sqlstate(), "");
    client.query("BEGIN").await;
    assert_eq!(client.query("SET pgherd.route = 'no'").await.sqlstate(), "22023");
    assert_eq!(client.query("SET pgherd.route = 'no'").await.sqlstate(), "25P02");
    client.query("ROLLBACK").await;
    assert_eq!(client.value("SHOW pgherd.route").await, "primary");
    for options in ["-c pgherd.route=no", "--pgherd.rout=auto"] {
        let error = role.raw_with(proxy.port(), &[("options", options)]).await.err().expect("a refusal");
        assert!(["22023", "42704"].contains(&error.sqlstate.as_str()) && error.severity == "FATAL", "{error:?}");
    }
}

#[tokio::test]
async fn who_asks_is_told_with_each_statement_where_it_went() {
    let cluster = shared();
    let role = Role::new("told");
    let proxy = Proxy::start(cluster, &role.config());
    let mut client = role.raw(proxy.port()).await;
    let table = format!("{}.t", role.name);
    assert_eq!(client.query(&format!("CREATE TABLE {table} (n int)")).await.kinds, "CZ");
    client.query("SET pgherd.consistency = 'eventual'").await;
    client.query("SET pgherd.notice = on").await;
    let there = "/* pgherd: standby */ SELECT 1";
    let write = format!("INSERT INTO {table} VALUES (1)");
    // Ahead of its answer, in each protocol.
    let answer = client.query(&write).await;
    assert_eq!(answer.kinds, "NCZ");
    assert!(answer.notices[0].starts_with("pgherd: primary pg1 (data-change): "), "{answer:?}");
    let answer = client.query(there).await;
    assert_eq!((answer.kinds.as_str(), answer.value()), ("NTDCZ", "1".to_owned()));
    assert!(answer.notices[0].starts_with("pgherd: standby pg"), "{answer:?}");
    assert!(answer.notices[0].contains("(hint)"), "{answer:?}");
    let answer = client.unnamed(there, &[]).await;
    assert_eq!(answer.kinds, "N12DCZ");
    assert!(answer.notices[0].starts_with("pgherd: standby pg"), "{answer:?}");
    // An error is told of as well, and each of a transaction's statements.
    let answer = client.query(&format!("INSERT INTO {table} VALUES (1 / 0)")).await;
    assert_eq!((answer.kinds.as_str(), answer.sqlstate()), ("NEZ", "22012"));
    client.query("BEGIN").await;
    assert_eq!(client.query(&write).await.notices.len(), 1);
    assert!(client.query("SELECT 1").await.notices[0].contains("(held)"));
    client.query("COMMIT").await;
    client.query("BEGIN").await;
    assert!(client.query("SELECT 1").await.notices[0].contains("primary pg1 (transaction-control)"));
    client.query("COMMIT").await;
    client.query("BEGIN READ ONLY").await;
    assert!(client.query("SELECT 1").await.notices[0].contains("(read-only-transaction)"));
    client.query("COMMIT").await;
    client.query("SET pgherd.notice = off").await;
    assert_eq!(client.query(there).await.kinds, "TDCZ");
}

#[tokio::test]
async fn what_alter_role_sets_holds_as_well() {
    let cluster = shared();
    let role = Role::new("by_default");
    let alter =
        |what: &str| cluster.pg1.psql_as("app", "postgres", &format!("ALTER ROLE {} {what}", role.name)).unwrap();
    alter("SET pgherd.route = 'standby'");
    alter("SET pgherd.consistency = 'eventual'");
    cluster.wait_caught_up().unwrap();
    let proxy = Proxy::start(cluster, &format!("[routing]\ncatalog_refresh = '500ms'\n{}", role.config()));
    let mut client = role.raw(proxy.port()).await;
    let primary = cluster.pg1.port().to_string();
    let until = async |client: &mut Raw, what: &str, wanted: bool| {
        let started = std::time::Instant::now();
        while (client.value(PORT).await == primary) != wanted {
            assert!(started.elapsed() < std::time::Duration::from_secs(30), "{what}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    until(&mut client, "the catalog tells, once it is known", false).await;
    assert_eq!(client.value("SHOW pgherd.route").await, "standby");
    // The client's own word counts for more, and goes.
    client.query("SET pgherd.route = 'primary'").await;
    assert_eq!(client.value(PORT).await, primary);
    client.query("RESET pgherd.route").await;
    client.query("SELECT 1").await;
    assert_ne!(client.value(PORT).await, primary);
    // No name is what it seems where pg_catalog does not come first: those reads are the primary's.
    alter(&format!("SET search_path = {}, pg_catalog", role.name));
    until(&mut client, "a change is seen", true).await;
    let told = client.query("EXPLAIN ROUTE SELECT 1").await;
    assert!(told.rows[1][0].as_deref().is_some_and(|why| why.contains("(setting)")), "{told:?}");
}
