//! What the console and the metrics say of a real cluster under a known load.

use std::collections::BTreeSet;

use tokio_postgres::error::SqlState;

use crate::harness::{Proxy, eventually, shared};

#[test]
fn the_console_shows_the_chain() {
    let proxy = Proxy::start(shared(), "");
    let nodes = proxy.console("SHOW NODES");
    let fields: Vec<Vec<&str>> = nodes.lines().map(|line| line.split('|').collect()).collect();
    let chain: Vec<String> = fields.iter().map(|f| format!("{} {} {} {}", f[0], f[3], f[4], f[6])).collect();
    assert_eq!(chain, ["pg1 primary up ", "pg2 standby up pg1", "pg3 standby up pg2"]);
    for node in &fields {
        assert_eq!(node[12], fields[0][12], "one system identifier: {nodes}");
        assert!(node[8].contains('/') && node[9].contains('/'), "LSNs: {nodes}");
    }
    let pool_nodes = proxy.console("SHOW POOL_NODES");
    let roles: Vec<&str> = pool_nodes.lines().map(|line| line.split('|').nth(7).unwrap()).collect();
    assert_eq!(roles, ["primary", "standby", "standby"], "{pool_nodes}");
}

#[tokio::test]
async fn pools_clients_and_servers_tell_who_has_what() {
    let proxy = Proxy::start(shared(), "");
    let mut client = proxy.client().await;
    let console = proxy.client_as("pgherd", "admin").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let backend: i32 = transaction.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);

    // The extended protocol, with binary results.
    let clients = console.query("SHOW CLIENTS", &[]).await.unwrap();
    let busy = clients.iter().find(|row| row.get::<_, &str>("database") == "app").expect("the client is listed");
    assert_eq!(busy.get::<_, &str>("state"), "active");
    assert_eq!((busy.get::<_, &str>("route"), busy.get::<_, &str>("node")), ("primary", "pg1"));
    let servers = console.query("SHOW SERVERS", &[]).await.unwrap();
    let server = servers.iter().find(|row| row.get::<_, &str>("ptr") == busy.get::<_, &str>("link")).unwrap();
    assert_eq!(server.get::<_, i32>("remote_pid"), backend);
    assert_eq!(server.get::<_, &str>("link"), busy.get::<_, &str>("ptr"));
    assert_eq!(sv_active(&console).await, 1);

    transaction.commit().await.unwrap();
    let idle = console.query("SHOW CLIENTS", &[]).await.unwrap();
    let idle = idle.iter().find(|row| row.get::<_, &str>("database") == "app").unwrap();
    assert_eq!((idle.get::<_, &str>("state"), idle.get::<_, &str>("link")), ("idle", ""));
    assert_eq!(sv_active(&console).await, 0);
    let databases = console.query("SHOW DATABASES", &[]).await.unwrap();
    assert!(databases.iter().any(|row| row.get::<_, &str>("name") == "app"));
}

#[tokio::test]
async fn counters_of_console_and_metrics_are_those_of_the_load() {
    let proxy = Proxy::start(shared(), "");
    let client = proxy.client().await;
    for _ in 0..30 {
        client.simple_query("SELECT 1").await.unwrap();
    }
    let console = proxy.client_as("pgbouncer", "admin").await.unwrap();
    let stats = simple_column(&console, "SHOW STATS", "total_query_count").await;
    assert_eq!(stats, ["30"]);
    assert_eq!(simple_column(&console, "SHOW STATS_TOTALS", "xact_count").await, ["30"]);

    let queries = || {
        let (status, text) = proxy.process.http_get("/metrics").unwrap();
        assert_eq!(status, 200);
        let lines = text.lines().filter(|line| line.starts_with("pgherd_queries_total{")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let value = |line: &String| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let lines = eventually("the metrics of all queries", || {
        Some(queries()).filter(|lines| lines.iter().map(value).sum::<u64>() == 30)
    });
    assert!(lines.iter().all(|line| line.contains("role=\"standby\"") || value(line) == 0), "{lines:?}");
    let (_, text) = proxy.process.http_get("/metrics").unwrap();
    let count = text.lines().filter(|line| line.starts_with("pgherd_server_seconds_count{"));
    assert_eq!(count.map(|line| value(&line.to_owned())).sum::<u64>(), 30);
    let connected = text.lines().find(|line| line.starts_with("pgherd_servers_connected_total ")).unwrap();
    assert!(value(&connected.to_owned()) >= 2, "{connected}");
}

#[tokio::test]
async fn the_pgbouncer_database_has_one_pool_per_database_and_user() {
    let proxy = Proxy::start(shared(), "");
    let client = proxy.client().await;
    for _ in 0..8 {
        client.simple_query("SELECT 1").await.unwrap(); // on both standbys
    }
    client.simple_query("CREATE TEMP TABLE here ()").await.unwrap(); // on the primary
    let keys = |text: String| -> Vec<String> {
        text.lines().map(|line| line.split('|').take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let bouncer = keys(proxy.psql_as("pgbouncer", "admin", "SHOW POOLS"));
    assert_eq!(bouncer.len(), bouncer.iter().collect::<BTreeSet<_>>().len(), "{bouncer:?}");
    assert!(keys(proxy.console("SHOW POOLS")).len() > bouncer.len());
    assert!(proxy.console("SHOW CLIENTS").contains("|temporary table|primary|pg1"));
}

#[tokio::test]
async fn only_admins_get_in() {
    let proxy = Proxy::start(shared(), "");
    let error = proxy.client_as("pgherd", "app").await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION));
    let output = proxy.psql_through("pgherd", "admin", &["-c", "\\conninfo", "-c", "SHOW NONSENSE"]);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("connected to database \"pgherd\""), "{text}");
    assert!(errors.contains("Known commands: SHOW NODES"), "{errors}");
}

#[test]
fn health_and_readiness_are_told() {
    let proxy = Proxy::start(shared(), "");
    assert_eq!(proxy.process.http_get("/healthz").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(
        proxy.process.http_get("/readyz").unwrap(),
        (200, "ok: pg1 is the primary; fit standbys: 2\n".to_owned())
    );
}

async fn sv_active(console: &tokio_postgres::Client) -> i32 {
    let pools = console.query("SHOW POOLS", &[]).await.unwrap();
    pools.iter().map(|row| row.get::<_, i32>("sv_active")).sum()
}

/// The column's values in the row(s) of database app.
async fn simple_column(console: &tokio_postgres::Client, command: &str, column: &str) -> Vec<String> {
    let messages = console.simple_query(command).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.filter(|row| row.get("database") == Some("app")).map(|row| row.get(column).unwrap().to_owned()).collect()
}
