//! `SHOW ROUTES`, the counters of reasons, and reads by role in `SHOW STATS`.

use crate::harness::raw::{Role, console};
use crate::harness::{Proxy, eventually, shared};

#[tokio::test]
async fn what_went_where_is_counted_by_shape_and_reason() {
    let cluster = shared();
    let role = Role::new("counted");
    let proxy = Proxy::start(cluster, &role.config());
    let mut client = role.raw(proxy.port()).await;
    let table = format!("{}.t", role.name);
    client.query(&format!("CREATE TABLE {table} (n int)")).await;
    client.query("SET pgherd.consistency = 'eventual'").await;
    for n in 0..7 {
        client.query(&format!("INSERT INTO {table} (n) VALUES ({n}), ({n})")).await;
        // The same shape by each protocol.
        client.query(&format!("SELECT n /* {n} */ FROM pg_catalog.generate_series({n}, 9) n")).await;
        client.unnamed("SELECT n FROM pg_catalog.generate_series($1::int, 9) n", &["1"]).await;
    }
    let prepared = format!("SELECT {}", "1 + ".repeat(3) + "$1::int");
    client.prepare("p", &prepared).await;
    for _ in 0..5 {
        client.execute("p", &["4"]).await;
    }
    client.query("BEGIN").await;
    client.query(&format!("INSERT INTO {table} (n) VALUES (1)")).await;
    client.query("SELECT 'in a transaction'").await;
    client.query("COMMIT").await;
    // A standby refuses it, whatever its author believes.
    client.query("SET pgherd.route = 'standby'").await;
    client
        .query(&format!(
            "CREATE FUNCTION {}.f() RETURNS int LANGUAGE sql AS 'INSERT INTO {table} VALUES (0) RETURNING 1'",
            role.name
        ))
        .await;
    cluster.wait_caught_up().unwrap();
    for _ in 0..3 {
        assert_eq!(client.value(&format!("SELECT {}.f()", role.name)).await, "1");
    }
    let mut console = console(proxy.port()).await;
    let routes = console.query("SHOW ROUTES").await;
    assert_eq!(routes.columns, ["database", "target", "count", "reason", "replays", "shape"]);
    let rows: Vec<Vec<String>> =
        routes.rows.iter().map(|row| row.iter().map(|value| value.clone().unwrap_or_default()).collect()).collect();
    let find = |shape: &str, target: &str| {
        let row = rows.iter().find(|row| row[5] == shape && row[1] == target);
        row.map(|row| (row[0].as_str(), row[2].as_str(), row[3].as_str(), row[4].as_str()))
    };
    let insert = format!("INSERT INTO {table} (n) VALUES (?)");
    assert_eq!(find(&insert, "primary"), Some(("app", "8", "data-change", "0")), "{rows:?}");
    let series = "SELECT n FROM pg_catalog.generate_series(?) n";
    assert_eq!(find(series, "standby"), Some(("app", "7", "plain-read", "0")), "{rows:?}");
    let series = "SELECT n FROM pg_catalog.generate_series(?::int, ?) n";
    assert_eq!(find(series, "standby"), Some(("app", "7", "plain-read", "0")), "{rows:?}");
    assert_eq!(find("SELECT ? + ? + ? + ?::int", "standby"), Some(("app", "5", "plain-read", "0")), "{rows:?}");
    assert_eq!(find("SELECT ?", "primary"), Some(("app", "1", "held", "0")), "{rows:?}");
    let function = format!("SELECT {}.f()", role.name);
    assert_eq!(find(&function, "standby"), Some(("app", "1", "preference", "1")), "{rows:?}");
    assert_eq!(find(&function, "primary").map(|row| row.1), Some("3"), "{rows:?}");
    let counts: Vec<u64> = rows.iter().map(|row| row[2].parse().unwrap()).collect();
    assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
    // Shapes, not values: nobody's data stands on the console.
    assert!(!rows.iter().any(|row| row[5].contains("in a transaction")), "{rows:?}");
    let stats = console.query("SHOW STATS").await;
    let reads = |column| stats.column(column, |row| row("database") == "app")[0].parse::<u64>().unwrap();
    assert!(reads("total_reads_on_standbys") >= 19 && reads("total_reads_on_primary") >= 1);
    eventually("the counter of a reason", || {
        let (_, metrics) = proxy.process.http_get("/metrics").unwrap();
        metrics.contains("pgherd_routed_total{target=\"standby\",reason=\"plain-read\"}").then_some(())
    });
}

#[tokio::test]
async fn the_table_of_shapes_is_bounded() {
    let role = Role::new("bounded");
    let proxy = Proxy::start(shared(), &format!("{}[routing]\nmax_shapes = 5\n", role.config()));
    let mut client = role.raw(proxy.port()).await;
    for n in 0..50 {
        client.query("SELECT 'often'").await;
        client.query(&format!("SELECT 1 AS a{n}")).await;
    }
    let rows = console(proxy.port()).await.query("SHOW ROUTES").await;
    assert!(rows.rows.len() <= 12, "{rows:?}");
    assert_eq!(rows.rows[0][5].as_deref(), Some("SELECT ?"), "{rows:?}");
    assert_eq!(rows.column("count", |row| row("shape") == "SELECT ?"), ["50"]);
    assert_eq!(rows.column("shape", |row| row("shape") == "(others)").len(), 1, "{rows:?}");
}
