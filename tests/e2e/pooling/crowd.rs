//! A crowd on a pool of 20, and processes killed with -9 in the middle of it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;

use super::{Witness, clients, until, until_all_free};
use crate::harness::raw::{Raw, Role, console};
use crate::harness::{Proxy, shared};

const IDLE: usize = 1000;
const BUSY: usize = 200;
const VICTIMS: u32 = 50;
const SIZE: usize = 20;
/// How long the crowd works at least; longer until all victims are dead.
const WORK: Duration = Duration::from_secs(8);

#[test]
fn each_client_of_a_crowd_gets_its_own_rows_while_others_are_killed() {
    pgherd::net::raise_file_limit();
    // Three workers: servers wander between them.
    let role = Role::new("crowd");
    let proxy = Proxy::start(shared(), &format!("workers = 3\n[pool]\nsize = {SIZE}\n{}", role.config()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let port = proxy.port();
    runtime.block_on(async {
        let mut first = role.raw(port).await;
        first.query("CREATE TABLE work (owner text, step int); CREATE INDEX ON work (owner)").await;
        first.terminate().await;
        shared().wait_caught_up().unwrap();

        let mut idle = Vec::new();
        for _ in 0..IDLE {
            idle.push(role.raw(port).await);
        }
        let over = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicU32::new(0));
        let mut busy = Vec::new();
        for number in 0..BUSY {
            let client = role.raw(port).await;
            busy.push(tokio::spawn(work(client, number, Arc::clone(&over), Arc::clone(&served))));
        }
        let started = Instant::now();
        let killer = std::thread::spawn({
            let role = role.name.clone();
            move || (0..VICTIMS).for_each(|number| kill_one(port, &role, number))
        });
        let witnesses = Witness::all().await;
        while started.elapsed() < WORK || !killer.is_finished() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        killer.join().unwrap();
        over.store(true, Relaxed);
        let mut busy_clients = Vec::new();
        for task in busy {
            busy_clients.push(task.await.unwrap());
        }
        let served = served.load(Relaxed);
        assert!(served > 20 * BUSY as u32, "only {served} requests served");

        let mut console = console(port).await;
        until_all_free(&mut console, &role).await;
        for witness in &witnesses {
            witness.until_idle(&role).await;
            let servers = witness.count(&role).await;
            assert!(servers <= SIZE, "{servers} servers are left");
        }
        until("only the living are clients", async || {
            let names = clients(&mut console, &role, "application_name").await;
            if names.len() == IDLE + BUSY && !names.iter().any(|name| name == "victim") {
                Ok(())
            } else {
                Err(names.len().to_string())
            }
        })
        .await;
        for (number, mut client) in idle.into_iter().enumerate().step_by(25) {
            assert_eq!(client.value(&format!("SELECT {number}")).await, number.to_string());
        }
        let (mut last, _) = busy_clients.pop().unwrap();
        assert_eq!(last.value("SELECT count(*) FROM work WHERE owner = 'victim'").await, "0");
    });
}

/// Asks for what only this client would ask for, in every way there is. Returns how many rows it has committed.
async fn work(mut client: Raw, number: usize, over: Arc<AtomicBool>, served: Arc<AtomicU32>) -> (Raw, u32) {
    // The same names in all clients, for different statements.
    let twice = format!("SELECT $1 || '-{number}'");
    let shared_by_some = format!("SELECT $1::int + {}", number % 5);
    assert_eq!(client.prepare("mine", &twice).await.sqlstate(), "");
    assert_eq!(client.prepare("some", &shared_by_some).await.sqlstate(), "");
    let insert = "INSERT INTO work VALUES ($1, $2::int) RETURNING owner || ':' || step";
    assert_eq!(client.prepare("insert", insert).await.sqlstate(), "");
    let mut committed = 0;
    let mut step = 0;
    while !over.load(Relaxed) {
        step += 1;
        let tag = format!("{step}-{number}");
        assert_eq!(client.value(&format!("SELECT '{tag}'")).await, tag);
        assert_eq!(client.execute("mine", &[&step.to_string()]).await.value(), tag);
        assert_eq!(client.unnamed("SELECT $1 || 'u'", &[&tag]).await.value(), format!("{tag}u"));
        assert_eq!(client.execute("some", &["7"]).await.value(), (7 + number % 5).to_string());
        if step % 4 == 0 {
            committed += transaction(&mut client, number, step, committed).await;
        }
        served.fetch_add(1, Relaxed);
    }
    (client, committed)
}

/// Writes a row and counts what this client has written; every third time all is rolled back.
async fn transaction(client: &mut Raw, number: usize, step: usize, committed: u32) -> u32 {
    let owner = number.to_string();
    assert_eq!(client.query("BEGIN").await.status, b'T');
    let written = client.execute("insert", &[&owner, &step.to_string()]).await;
    assert_eq!(written.value(), format!("{number}:{step}"));
    let count = client.value(&format!("SELECT count(*) FROM work WHERE owner = '{owner}'")).await;
    assert_eq!(count, (committed + 1).to_string());
    let keep = !step.is_multiple_of(3);
    let end = client.query(if keep { "COMMIT" } else { "ROLLBACK" }).await;
    assert_eq!((end.tags[0].as_str(), end.status), (if keep { "COMMIT" } else { "ROLLBACK" }, b'I'));
    u32::from(keep)
}

// === the victims ===

fn kill_one(port: u16, role: &str, number: u32) {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pooling::crowd::helper_that_is_killed", "--nocapture"])
        .env("PGHERD_TEST_VICTIM", format!("{port} {role} {number}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line.contains("in the middle"));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(ready, "the victim ended by itself");
}

/// Not a test of its own: the process that `kill_one` starts.
#[test]
fn helper_that_is_killed() {
    let Ok(parameters) = std::env::var("PGHERD_TEST_VICTIM") else { return };
    let parameters: Vec<&str> = parameters.split(' ').collect();
    let role = Role { name: parameters[1].to_owned() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let name = [("application_name", "victim")];
        let mut client = role.raw_with(parameters[0].parse().unwrap(), &name).await.unwrap();
        match parameters[2].parse::<u32>().unwrap() % 5 {
            0 => {
                client.query("BEGIN").await;
                assert_eq!(client.query("INSERT INTO work VALUES ('victim', 1)").await.tags, ["INSERT 0 1"]);
            }
            1 => {
                client.query("BEGIN; INSERT INTO work VALUES ('victim', 1)").await;
                client.send_query("SELECT pg_sleep(600)").await;
            }
            2 => {
                assert_eq!(client.query("COPY work FROM STDIN").await.kinds, "G");
                client.send(b"d\0\0\0\x0dvictim\t1\n").await;
            }
            3 => {
                client.send_query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)").await;
                client.stream.read_u8().await.unwrap();
            }
            _ => {
                // Half a message, in a failed transaction.
                client.query("BEGIN").await;
                assert_eq!(client.query("SELECT 1/0").await.status, b'E');
                client.send(b"Q\0\0\0\xffSELECT").await;
            }
        }
        println!("in the middle");
        std::io::stdout().flush().unwrap();
        std::future::pending::<()>().await;
    });
}
