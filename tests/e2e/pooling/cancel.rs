//! A cancel request reaches what its client is running, in the queue as well, and never anything else.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pgherd::wire::cancel::BackendKey;

use super::{Witness, clients, pools, until, until_all_free};
use crate::harness::raw::{Role, cancel, console};
use crate::harness::{Proxy, shared};

const CANCELED: &str = "57014";

#[tokio::test]
async fn a_running_query_is_canceled_and_no_other() {
    let role = Role::new("cancel");
    let proxy = Proxy::start(shared(), &role.config());
    let witnesses = Witness::all().await;
    let (mut one, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    // On a standby, on the primary, in a transaction.
    for before in ["", "CREATE TABLE IF NOT EXISTS a (b int); ", "BEGIN; "] {
        let transaction = before == "BEGIN; ";
        if transaction {
            one.query("BEGIN").await;
        }
        let sleep = format!("{}SELECT pg_sleep(600)", if transaction { "" } else { before });
        one.send_query(&sleep).await;
        other.send_query("SELECT pg_sleep(1) IS NULL, 'mine'").await;
        until("both run", async || {
            let mut running = 0;
            for witness in &witnesses {
                let asleep = "count(*) FILTER (WHERE wait_event = 'PgSleep')";
                running += witness.activity(&role, asleep).await.parse::<u32>().unwrap();
            }
            if running == 2 { Ok(()) } else { Err(running.to_string()) }
        })
        .await;
        one.cancel().await;
        let answer = one.answer().await;
        assert_eq!((answer.sqlstate(), answer.status), (CANCELED, if transaction { b'E' } else { b'I' }), "{sleep}");
        one.query("ROLLBACK").await;
        assert_eq!(other.answer().await.rows[0][1].as_deref(), Some("mine"));
    }
    for witness in &witnesses {
        witness.until_idle(&role).await;
    }
}

#[tokio::test]
async fn who_waits_for_a_server_is_told_at_once() {
    let role = Role::new("queued");
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 1\n{}", role.config()));
    let mut console = console(proxy.port()).await;
    let mut holder = role.raw(proxy.port()).await;
    holder.query("CREATE TABLE done (what text)").await;
    holder.query("BEGIN; SELECT pg_current_xact_id()").await;
    let mut waiting = [role.raw(proxy.port()).await, role.raw(proxy.port()).await];
    for client in &mut waiting {
        client.send_query("INSERT INTO done VALUES ('written')").await;
    }
    until("both wait", async || match pools(&mut console, &role, "cl_waiting").await {
        2 => Ok(()),
        n => Err(n.to_string()),
    })
    .await;
    let started = Instant::now();
    let [first, second] = &mut waiting;
    first.cancel().await;
    let answer = first.answer().await;
    assert_eq!((answer.sqlstate(), answer.status), (CANCELED, b'I'));
    assert!(started.elapsed() < Duration::from_secs(5));
    // It may ask again, and the next request is not canceled.
    first.send_query("INSERT INTO done VALUES ('again')").await;
    holder.query("COMMIT").await;
    assert_eq!(first.answer().await.sqlstate(), "");
    assert_eq!(second.answer().await.sqlstate(), "");
    assert_eq!(holder.value("SELECT string_agg(what, ' ' ORDER BY what) FROM done").await, "again written");
    until_all_free(&mut console, &role).await;
}

#[tokio::test]
async fn a_wrong_key_and_an_idle_client_are_left_alone() {
    let role = Role::new("keys");
    let proxy = Proxy::start(shared(), &role.config());
    let mut client = role.raw(proxy.port()).await;
    client.cancel().await;
    assert_eq!(client.value("SELECT 1").await, "1");
    client.query("BEGIN; SELECT 1").await;
    client.cancel().await;
    assert_eq!(client.query("SELECT 1").await.status, b'T');
    client.query("COMMIT").await;

    client.send_query("SELECT pg_sleep(0.6), 'whole'").await;
    let wrong = |process_id: i32, secret: &[u8]| BackendKey { process_id, secret: secret.into() };
    let key = client.key.clone();
    let mut flipped = key.secret.to_vec();
    flipped[0] ^= 1;
    for key in [
        wrong(key.process_id, &flipped),
        wrong(key.process_id, &key.secret[..3]),
        wrong(key.process_id, &[&key.secret[..], &[0]].concat()),
        wrong(key.process_id + 1, &key.secret),
        wrong(-1, &key.secret),
    ] {
        cancel(proxy.port(), &key).await;
    }
    assert_eq!(client.answer().await.rows[0][1].as_deref(), Some("whole"));
    until("wrong keys are counted", async || {
        let (_, metrics) = proxy.process.http_get("/metrics").unwrap();
        if metrics.contains("\npgherd_cancels_unknown_total 5\n") { Ok(()) } else { Err(metrics) }
    })
    .await;
}

/// 20 clients run short queries on 2 servers a node while their keys are fired at random. Half of them never ask to
/// cancel: none of theirs may be hit, however the requests and the queries cross.
#[tokio::test]
async fn a_storm_of_cancel_requests_hits_nobody_else() {
    let role = Role::new("storm");
    let proxy = Proxy::start(shared(), &format!("workers = 2\n[pool]\nsize = 2\n{}", role.config()));
    let port = proxy.port();
    let over = Arc::new(AtomicBool::new(false));
    let (hit, served) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (mut tasks, mut keys) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let mut client = role.raw(port).await;
        let asks = number % 2 == 0;
        if asks {
            keys.push(client.key.clone());
        }
        let (over, hit, served) = (Arc::clone(&over), Arc::clone(&hit), Arc::clone(&served));
        tasks.push(tokio::spawn(async move {
            let mut step = 0;
            while !over.load(Relaxed) {
                step += 1;
                let want = format!("{number}-{step}");
                let answer = match step % 3 {
                    0 => client.query(&format!("SELECT '{want}' FROM pg_sleep(0.002)")).await,
                    1 => client.unnamed("SELECT $1 FROM pg_sleep(0.001)", &[&want]).await,
                    _ => client.query(&format!("SELECT '{want}', pg_current_xact_id()")).await,
                };
                served.fetch_add(1, Relaxed);
                match answer.sqlstate() {
                    "" => assert_eq!(answer.rows[0][0].as_ref(), Some(&want)),
                    CANCELED if asks => drop(hit.fetch_add(1, Relaxed)),
                    other => panic!("client {number}, which {}: {other}", if asks { "asks" } else { "never asks" }),
                }
            }
        }));
    }
    let started = Instant::now();
    let mut shot = 0;
    while started.elapsed() < Duration::from_secs(4) {
        // Several at once, each at whatever its client is doing at the moment.
        let volley: Vec<_> = (0..4)
            .map(|_| {
                shot += 1;
                let key = keys[(shot * 7 + shot / 10) % keys.len()].clone();
                tokio::spawn(async move { cancel(port, &key).await })
            })
            .collect();
        for request in volley {
            request.await.unwrap();
        }
    }
    over.store(true, Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let (hit, served) = (hit.load(Relaxed), served.load(Relaxed));
    assert!(hit > 0 && served > 100, "{shot} requests, {hit} hit, {served} served");
    let mut console = console(port).await;
    until_all_free(&mut console, &role).await;
    // A session ends a moment after its client has closed.
    let left = async {
        while !clients(&mut console, &role, "state").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), left).await.expect("a client that has left is still there");
}

/// PostgreSQL forgets a cancel request that overtakes its statement.
#[tokio::test]
async fn what_a_client_leaves_behind_is_canceled_however_early_it_leaves() {
    let role = Role::new("leaver");
    let proxy = Proxy::start(shared(), &role.config());
    let witnesses = Witness::all().await;
    let mut client = role.raw(proxy.port()).await;
    client.query("BEGIN; SELECT pg_current_xact_id()").await;
    let process = client.value("SELECT pg_backend_pid()").await;
    let signal = |name: &str| assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    signal("-STOP");
    client.send_query("SELECT pg_sleep(600)").await;
    drop(client);
    // The request comes while the server has not read the statement yet.
    tokio::time::sleep(Duration::from_millis(200)).await;
    signal("-CONT");
    for witness in &witnesses {
        witness.until_idle(&role).await;
    }
}
