//! Standbys die and freeze under reads, and nobody hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pgherd::demo::proxy::Ready;
use pgherd::demo::{Cluster, cluster};
use pgherd::wire::frontend;

use crate::harness::raw::{Raw, Role, push_execute, push_parse};
use crate::harness::{Proxy, private_cluster, private_cluster_with};

const QUICK: &str = "\
workers = 2
[log]
level = 'info,pgherd::session=debug'
[monitor]
interval = '100ms'
timeout = '250ms'
failures = 2
[routing]
max_lag = '0'
max_lag_bytes = '0'
slow_start = '0'
";

fn proxy<'a>(cluster: &'a Cluster, role: &Role) -> Proxy<'a> {
    Proxy::start(cluster, &crate::harness::proxy::merged(QUICK, &role.config()))
}

fn repeated(proxy: &Proxy<'_>, why: &str) -> usize {
    let log = proxy.process.log_text();
    log.lines().filter(|line| line.contains("is asked again") && line.contains(why)).count()
}

async fn until(what: &str, mut ask: impl AsyncFnMut() -> Result<(), String>) {
    let started = Instant::now();
    while let Err(got) = ask().await {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: not within 30 s: {got}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Clients that read without a pause, each in its own way, and check what they get. In a thread of their own: they go on
/// while the test waits for a node.
struct Readers {
    over: Arc<AtomicBool>,
    /// Answers by client.
    served: Arc<Vec<AtomicU32>>,
    thread: std::thread::JoinHandle<()>,
}

const READERS: usize = 16;

impl Readers {
    fn start(role: &Role, port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let served: Arc<Vec<_>> = Arc::new((0..READERS).map(|_| AtomicU32::new(0)).collect());
        let (is_over, count, name) = (Arc::clone(&over), Arc::clone(&served), role.name.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let reader = async |number: usize| {
                let mut client = Role { name: name.clone() }.raw(port).await;
                let mut turn = 0;
                while !is_over.load(Relaxed) {
                    read(&mut client, number, turn).await;
                    count[number].fetch_add(1, Relaxed);
                    turn += 1;
                }
            };
            let readers: Vec<_> = (0..READERS).map(&reader).collect();
            runtime.block_on(futures_util::future::join_all(readers));
        });
        Self { over, served, thread }
    }

    /// Each of them gets so many more answers.
    async fn more(&self, what: &str) {
        let before: Vec<_> = self.served.iter().map(|served| served.load(Relaxed)).collect();
        until(what, async || {
            let more: Vec<_> = self.served.iter().zip(&before).map(|(now, then)| now.load(Relaxed) - then).collect();
            assert!(!self.thread.is_finished(), "a reader has heard something");
            if more.iter().all(|more| *more > 20) { Ok(()) } else { Err(format!("{more:?}")) }
        })
        .await;
    }

    fn end(self) {
        self.over.store(true, Relaxed);
        self.thread.join().unwrap();
    }
}

/// One request, or several, in the way of that client.
async fn read(client: &mut Raw, number: usize, turn: usize) {
    let sql = format!("SELECT {number} * 1000 + {turn} % 1000, count(*) FROM t");
    let check = |answer: &crate::harness::raw::Answer, of: usize| {
        let wanted = (number * 1000 + of % 1000).to_string();
        assert!(answer.errors.is_empty(), "client {number}: {answer:?}");
        assert_eq!((answer.rows.len(), answer.status), (1, b'I'), "{answer:?}");
        let row: Vec<_> = answer.rows[0].iter().map(|value| value.as_deref().unwrap()).collect();
        assert_eq!(row, [wanted.as_str(), "1000"], "client {number}");
    };
    match number % 4 {
        0 => check(&client.query(&sql).await, turn),
        1 => check(&client.unnamed(&sql, &[]).await, turn),
        2 => {
            if turn == 0 {
                let sql = "SELECT $1::int * 1000 + $2::int % 1000, count(*) FROM t";
                let prepared = client.prepare("named", sql).await;
                assert_eq!(prepared.kinds, "1Z", "{prepared:?}");
            }
            check(&client.execute("named", &[&number.to_string(), &turn.to_string()]).await, turn);
        }
        _ => {
            let mut pipeline = Vec::new();
            for of in turn..turn + 5 {
                push_parse(&mut pipeline, "", &format!("SELECT {number} * 1000 + {of} % 1000, count(*) FROM t"));
                push_execute(&mut pipeline, "", &[]);
                frontend::push_sync(&mut pipeline);
            }
            client.send(&pipeline).await;
            for of in turn..turn + 5 {
                check(&client.answer().await, of);
            }
        }
    }
}

/// The catalog is known, and the node takes its share.
async fn until_read(proxy: &Proxy<'_>, node: &str) {
    let served = || {
        let rows = proxy.console("SHOW STANDBYS");
        let mut columns = rows.lines().map(|row| row.split('|').collect::<Vec<_>>());
        // queries
        let count = columns.find(|row| row[0] == node).and_then(|row| row[8].parse::<u64>().ok());
        count.unwrap_or_else(|| panic!("{rows}"))
    };
    let before = served();
    until(node, async || {
        let now = served();
        if now > before + 200 { Ok(()) } else { Err(format!("{now} reads, {before} before")) }
    })
    .await;
}

fn make_table(cluster: &Cluster, role: &Role) {
    let sql = format!(
        "SET ROLE {0}; CREATE TABLE {0}.t (a int); INSERT INTO {0}.t SELECT generate_series(1, 1000)",
        role.name
    );
    cluster.pg1.psql_as("app", "postgres", &sql).unwrap();
    cluster.wait_caught_up().unwrap();
}

#[tokio::test]
async fn sixteen_readers_hear_nothing_of_standbys_that_die_or_freeze() {
    let cluster = private_cluster();
    let role = Role::on(&cluster, "readers");
    make_table(&cluster, &role);
    let proxy = proxy(&cluster, &role);
    let readers = Readers::start(&role, proxy.port());
    readers.more("reads are served").await;
    until_read(&proxy, "pg3").await;

    cluster.pg3.kill9().unwrap();
    readers.more("reads go on without pg3").await;
    cluster.pg3.start().unwrap();
    proxy.process.wait_ready(Ready::Standbys(2)).unwrap();
    readers.more("reads go on with all").await;
    assert!(repeated(&proxy, "why=Lost") > 0, "somebody was reading there");

    let before = repeated(&proxy, "why=Lost");
    until_read(&proxy, "pg3").await;
    cluster.pg3.sigstop().unwrap();
    readers.more("reads go on while pg3 is frozen").await;
    assert!(repeated(&proxy, "why=Lost") > before, "somebody was reading there");
    cluster.pg3.sigcont().unwrap();
    proxy.process.wait_ready(Ready::Standbys(2)).unwrap();
    readers.more("reads go on with all again").await;

    // The one the other streams from, then both.
    cluster.pg2.kill9().unwrap();
    readers.more("reads go on without pg2").await;
    cluster.pg3.kill9().unwrap();
    readers.more("reads go on without any standby").await;
    readers.end();
}

/// Of a pipeline a part is answered when its server dies: the rest is answered by another one.
#[tokio::test]
async fn a_pipeline_goes_on_elsewhere() {
    let cluster = private_cluster();
    let role = Role::on(&cluster, "pipeline");
    make_table(&cluster, &role);
    let proxy = proxy(&cluster, &role);
    let mut client = role.raw(proxy.port()).await;
    let mut pipeline = Vec::new();
    let wanted = ["SELECT 'a'", "SELECT 'b'", "SELECT 'c', pg_sleep(2)", "SELECT 'd'", "SELECT 'e'"];
    for sql in wanted {
        push_parse(&mut pipeline, "", sql);
        push_execute(&mut pipeline, "", &[]);
        frontend::push_sync(&mut pipeline);
    }
    client.send(&pipeline).await;
    let mut answers = vec![client.answer().await, client.answer().await];
    let killer = async {
        for node in [&cluster.pg2, &cluster.pg3] {
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(2)%' \
                       AND pid <> pg_backend_pid()";
            assert!(node.psql_as("app", "postgres", sql).unwrap().parse::<u32>().is_ok());
        }
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    killer.await;
    for _ in 2..wanted.len() {
        answers.push(client.answer().await);
    }
    let values: Vec<_> = answers.iter().map(|answer| answer.rows[0][0].clone().unwrap()).collect();
    assert_eq!(values, ["a", "b", "c", "d", "e"]);
    assert!(answers.iter().all(|answer| answer.kinds == "12DCZ" && answer.status == b'I'), "{answers:?}");
    assert_eq!(repeated(&proxy, "why=Lost"), 1);
}

#[tokio::test]
async fn a_conflict_with_recovery_is_nobodys_error_before_the_first_row() {
    let settings = ["max_standby_streaming_delay = 0", "max_standby_archive_delay = 0", "hot_standby_feedback = off"];
    let settings = settings.map(str::to_owned).to_vec();
    let cluster = private_cluster_with(cluster::Options { settings, ..cluster::Options::default() });
    let role = Role::on(&cluster, "conflict");
    make_table(&cluster, &role);
    let proxy = proxy(&cluster, &role);
    let primary = cluster.pg1.port().to_string();
    let vacuum = || {
        let sql = format!("UPDATE {}.t SET a = a", role.name);
        cluster.pg1.psql_as("app", "postgres", &sql).unwrap();
        cluster.pg1.psql_as("app", "postgres", &format!("VACUUM {}.t", role.name)).unwrap();
    };
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = role.raw(proxy.port()).await;
        assert_eq!(client.value("SELECT count(*) FROM t").await, "1000");
        clients.push(client);
    }
    // Each is on a standby, and not behind one that waits for another answer there.
    for client in &mut clients {
        until("it reads on a standby", async || {
            let port = client.value("/* pgherd: standby */ SELECT inet_server_port()").await;
            if port == primary { Err(port) } else { Ok(()) }
        })
        .await;
    }
    // Before the first row: simple, unnamed, and with its outline sent by a server that was asked to notice first.
    clients[0].send_query("SELECT count(*), pg_sleep(5) FROM t").await;
    let mut extended = Vec::new();
    push_parse(&mut extended, "", "SELECT count(*), pg_sleep(5) FROM t AS u");
    push_execute(&mut extended, "", &[]);
    frontend::push_sync(&mut extended);
    clients[1].send(&extended).await;
    // After it: much more than a server keeps back comes ahead of the conflict.
    clients[2]
        .send_query("SELECT repeat('x', 1000), pg_sleep(CASE g WHEN 100 THEN 20 ELSE 0 END) FROM t, generate_series(1, 100) g WHERE a = 1")
        .await;
    assert_eq!(clients[2].receive().await.unwrap().tag, b'T');
    assert_eq!(clients[2].receive().await.unwrap().tag, b'D');
    until("all three run", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' \
                   AND pid <> pg_backend_pid()";
        let running = [&cluster.pg2, &cluster.pg3].map(|node| node.psql_as("app", "postgres", sql).unwrap());
        let count: u32 = running.iter().map(|n| n.parse::<u32>().unwrap()).sum();
        if count == 3 { Ok(()) } else { Err(format!("{running:?}")) }
    })
    .await;
    vacuum();
    for client in &mut clients[..2] {
        let answer = client.answer().await;
        assert_eq!((answer.sqlstate(), answer.status), ("", b'I'), "{answer:?}");
        assert_eq!(answer.rows[0][0].as_deref(), Some("1000"));
    }
    let answer = clients[2].answer().await;
    assert_eq!((answer.sqlstate(), answer.status), ("40001", b'I'), "{answer:?}");
    assert!(repeated(&proxy, "why=Conflict") >= 2);
    for client in &mut clients {
        assert_eq!(client.value("SELECT count(*) FROM t").await, "1000");
    }
}
