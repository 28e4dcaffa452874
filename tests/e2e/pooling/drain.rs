//! SIGTERM: transactions finish, the idle are told, nobody hangs, and it ends in time.

use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Witness, until};
use crate::harness::raw::{Raw, Role, socket};
use crate::harness::{Proxy, shared};

fn signal(proxy: &Proxy<'_>, name: &str) {
    let status = Command::new("kill").args(["-s", name, &proxy.process.pid().to_string()]).status().unwrap();
    assert!(status.success());
}

async fn ended(proxy: &Proxy<'_>) -> ExitStatus {
    until("the proxy has ended", async || proxy.process.ended().ok_or("still there".to_owned())).await
}

/// The client hears why, and that is all.
async fn assert_told(client: &mut Raw) {
    let end = client.answer().await;
    assert_eq!((end.kinds.as_str(), end.sqlstate()), ("E", "57P01"), "{end:?}");
    assert_eq!(end.errors[0].severity, "FATAL");
}

#[tokio::test]
async fn running_transactions_finish_and_idle_clients_are_told() {
    let role = Role::new("drain");
    let proxy = Proxy::start(shared(), &format!("workers = 2\n[pool]\nsize = 5\n{}", role.config()));
    let port = proxy.port();
    let mut busy = role.raw(port).await;
    busy.query("CREATE TABLE kept (what text)").await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(role.raw(port).await);
    }
    let (mut listens, mut runs, mut prepared) = (role.raw(port).await, role.raw(port).await, role.raw(port).await);
    listens.query("LISTEN news").await;
    prepared.prepare("s", "SELECT 1").await;
    // Two that only connected.
    let mut silent = socket(port).await;
    busy.query("BEGIN").await;
    runs.send_query("SELECT pg_current_xact_id() IS NULL, pg_sleep(1)").await;
    let witness = Witness::on(&shared().pg1).await;
    until("it runs", async || {
        match &*witness.activity(&role, "count(*) FILTER (WHERE wait_event = 'PgSleep')").await {
            "1" => Ok(()),
            n => Err(n.to_owned()),
        }
    })
    .await;

    signal(&proxy, "TERM");
    for client in idle.iter_mut().chain([&mut listens, &mut prepared]) {
        assert_told(client).await;
    }
    until("nobody is let in any more", async || match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(_) => Err("connected".to_owned()),
        Err(_) => Ok(()),
    })
    .await;
    assert_eq!(busy.query("INSERT INTO kept VALUES ('in time')").await.tags, ["INSERT 0 1"]);
    assert_eq!(runs.answer().await.rows.len(), 1);
    assert_told(&mut runs).await;
    assert_eq!(busy.value("SELECT count(*) FROM kept").await, "1");
    assert_eq!(proxy.process.ended(), None);
    assert_eq!(busy.query("COMMIT").await.tags, ["COMMIT"]);
    assert_told(&mut busy).await;
    assert_eq!(ended(&proxy).await.code(), Some(0));
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    let count = format!("SELECT count(*) FROM {}.kept", role.name);
    assert_eq!(shared().pg1.psql_as("app", "postgres", &count).unwrap(), "1");
}

#[tokio::test]
async fn who_does_not_finish_in_time_is_cut_off() {
    let role = Role::new("slow");
    let limits = "[pool]\nsize = 4\n[limits]\ndrain_timeout = '700ms'\n";
    let proxy = Proxy::start(shared(), &format!("{limits}{}", role.config()));
    let mut stays = role.raw(proxy.port()).await;
    stays.query("CREATE TABLE never (a int)").await;
    stays.query("BEGIN; INSERT INTO never VALUES (1)").await;
    let mut runs = role.raw(proxy.port()).await;
    runs.send_query("SELECT pg_current_xact_id(), pg_sleep(600)").await;
    // One that reads no more.
    let mut stuck = role.raw(proxy.port()).await;
    stuck.send_query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)").await;
    stuck.stream.read_u8().await.unwrap();

    let started = Instant::now();
    signal(&proxy, "TERM");
    assert_eq!(ended(&proxy).await.code(), Some(0));
    let took = started.elapsed();
    assert!(took > Duration::from_millis(600) && took < Duration::from_secs(10), "{took:?}");
    assert!(stays.query("COMMIT").await.tags.is_empty());
    assert!(runs.answer().await.rows.is_empty());
    assert_eq!(shared().pg1.psql_as("app", "postgres", &format!("SELECT * FROM {}.never", role.name)).unwrap(), "");
    for witness in Witness::all().await {
        until("no server is left", async || {
            match witness.activity(&role, "count(*) FILTER (WHERE query NOT LIKE '%sleep%')").await {
                count if count == "0" => Ok(()),
                count => Err(count),
            }
        })
        .await;
    }
    // PostgreSQL notices only when it wants to answer: no harm is done, but the shared cluster is not to keep it.
    shared()
        .pg1
        .psql(&format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'", role.name))
        .unwrap();
}

#[tokio::test]
async fn the_second_signal_stops_at_once() {
    let role = Role::new("twice");
    let proxy = Proxy::start(shared(), &role.config());
    let mut stays = role.raw(proxy.port()).await;
    stays.query("BEGIN; SELECT 1").await;
    signal(&proxy, "INT");
    let log = || proxy.process.log_text();
    until("it drains", async || if log().contains("draining") { Ok(()) } else { Err(log()) }).await;
    let started = Instant::now();
    signal(&proxy, "TERM");
    assert_eq!(ended(&proxy).await.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(stays.is_closed().await);
}
