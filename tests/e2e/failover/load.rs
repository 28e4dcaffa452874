//! Clients at work while nodes fail: writers whose every acknowledged row is looked for afterwards, readers that must
//! never fail, and idle ones that must stay connected. One thread for all of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::tally::{Gap, Tally, Write};
use crate::harness::{drivers, eventually};

pub struct Load {
    shared: Arc<Shared>,
    thread: std::thread::JoinHandle<Tally>,
}

#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    pub writers: usize,
    pub readers: usize,
    pub idle: usize,
    /// Every second reader speaks the extended protocol.
    pub extended: bool,
    /// Between two statements of one client.
    pub pause: Duration,
}

struct Shared {
    dsn: String,
    pause: Duration,
    stop: AtomicBool,
    writes: AtomicU64,
    reads: AtomicU64,
    /// Of each writer: when the write that was acknowledged last was sent.
    sent: Mutex<Vec<Instant>>,
    gaps: Mutex<Vec<Gap>>,
}

/// No key: a row that came twice must be seen twice.
pub const TABLE: &str =
    "CREATE TABLE written (id bigint NOT NULL, at timestamptz DEFAULT now()); CREATE INDEX ON written (id)";
const ONE: &str = "SELECT count(*) FROM written WHERE id < $1";
/// Nothing may hang for ever, or the test would.
const PATIENCE: Duration = Duration::from_secs(45);
/// Shorter pauses between two acknowledgements are the writer's own pace.
const SHORTEST_GAP: Duration = Duration::from_millis(10);

// === impl Crowd ===

impl Default for Crowd {
    fn default() -> Self {
        Self { writers: 16, readers: 16, idle: 8, extended: true, pause: Duration::from_millis(15) }
    }
}

// === impl Load ===

impl Load {
    /// Returns when each writer has written. `dsn`: of the proxy, where [`TABLE`] is made.
    pub fn start(dsn: &str, crowd: Crowd) -> Self {
        let shared = Arc::new(Shared {
            dsn: dsn.to_owned(),
            pause: crowd.pause,
            stop: AtomicBool::default(),
            writes: AtomicU64::default(),
            reads: AtomicU64::default(),
            sent: Mutex::new(vec![Instant::now(); crowd.writers]),
            gaps: Mutex::default(),
        });
        let handle = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work(handle, crowd))
        });
        let load = Self { shared, thread };
        load.await_writes(Instant::now());
        load
    }

    pub fn run_for(&self, time: Duration) {
        let (writes, reads) = (self.writes(), self.reads());
        std::thread::sleep(time);
        assert!(self.writes() > writes, "no write got through");
        assert!(self.reads() > reads, "no read got through");
    }

    pub fn writes(&self) -> u64 {
        self.shared.writes.load(Relaxed)
    }

    pub fn reads(&self) -> u64 {
        self.shared.reads.load(Relaxed)
    }

    /// Until each writer got a write acknowledged that it sent after `since`.
    pub fn await_writes(&self, since: Instant) {
        eventually("every writer writes", || self.all_have_written(since).then_some(()));
    }

    pub fn all_have_written(&self, since: Instant) -> bool {
        assert!(!self.thread.is_finished(), "the clients have panicked");
        self.shared.sent.lock().unwrap().iter().all(|sent| *sent > since)
    }

    /// Of each writer, the longest time without an acknowledgement that ended after `since`. To be asked when the blow has
    /// fallen: waits until each writer has written since then.
    pub fn outages_since(&self, since: Instant) -> Vec<Duration> {
        self.await_writes(Instant::now());
        self.outages_until_now(since)
    }

    /// The same without waiting: who has not written since has been waiting until now.
    pub fn outages_until_now(&self, since: Instant) -> Vec<Duration> {
        let gaps = self.shared.gaps.lock().unwrap();
        let sent = self.shared.sent.lock().unwrap();
        let of = |(writer, sent): (usize, &Instant)| match *sent > since {
            true => Gap::longest(&gaps, writer, since).unwrap_or(self.shared.pause),
            false => since.elapsed(),
        };
        sent.iter().enumerate().map(of).collect()
    }

    /// All clients end; what they have seen.
    pub fn end(self) -> Tally {
        self.shared.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

async fn work(shared: Arc<Shared>, crowd: Crowd) -> Tally {
    let mut idle = Vec::new();
    for _ in 0..crowd.idle {
        let client = drivers::connect(&shared.dsn).await.unwrap();
        client.batch_execute("SELECT 1").await.unwrap();
        idle.push(client);
    }
    let writers: Vec<_> = (0..crowd.writers).map(|number| tokio::spawn(write(Arc::clone(&shared), number))).collect();
    let readers: Vec<_> = (0..crowd.readers)
        .map(|number| tokio::spawn(read(Arc::clone(&shared), crowd.extended && number % 2 == 1)))
        .collect();
    let mut tally = Tally::default();
    for client in writers.into_iter().chain(readers) {
        tally.add(client.await.unwrap());
    }
    for client in idle {
        if client.batch_execute("SELECT 1").await.is_err() {
            tally.idle_dropped += 1;
        }
    }
    tally.gaps = std::mem::take(&mut shared.gaps.lock().unwrap());
    tally
}

// === a writer ===

async fn write(shared: Arc<Shared>, number: usize) -> Tally {
    let mut tally = Tally::default();
    let mut session = None;
    let mut acknowledged_at = Instant::now();
    for count in 1_i64.. {
        if shared.stop.load(Relaxed) {
            break;
        }
        let Some(client) = &session else {
            session = connect(&shared, &mut tally.errors).await;
            continue;
        };
        let id = (number as i64) << 32 | count;
        let sent = Instant::now();
        match in_time(insert(client, id, count)).await {
            Ok(()) => {
                let now = Instant::now();
                if now - acknowledged_at > SHORTEST_GAP {
                    shared.gaps.lock().unwrap().push(Gap { writer: number, from: acknowledged_at, to: now });
                }
                acknowledged_at = now;
                shared.sent.lock().unwrap()[number] = sent;
                shared.writes.fetch_add(1, Relaxed);
                tally.writes.insert(id, Write::Acknowledged);
                if count % 4 == 0 {
                    look_for(client, id, &mut tally).await;
                }
            }
            Err(code) => {
                tally.writes.insert(id, Write::after(&code));
                *tally.errors.entry(code).or_default() += 1;
                if in_time(client.batch_execute("ROLLBACK")).await.is_err() {
                    tally.sessions_dropped += 1;
                    session = None;
                }
            }
        }
        tokio::time::sleep(shared.pause).await;
    }
    tally
}

/// By turns: alone, in a transaction, with the extended protocol.
async fn insert(client: &Client, id: i64, count: i64) -> Result<(), tokio_postgres::Error> {
    match count % 3 {
        0 => client.batch_execute(&format!("INSERT INTO written VALUES ({id})")).await,
        1 => {
            client.batch_execute("BEGIN").await?;
            client.batch_execute(&format!("INSERT INTO written VALUES ({id})")).await?;
            client.batch_execute("COMMIT").await
        }
        _ => client.execute("INSERT INTO written VALUES ($1)", &[&id]).await.map(|_| ()),
    }
}

/// A session sees its own writes, wherever it reads.
async fn look_for(client: &Client, id: i64, tally: &mut Tally) {
    match in_time(client.simple_query(&format!("SELECT id FROM written WHERE id = {id}"))).await {
        Ok(answer) => {
            let rows = answer.iter().filter(|part| matches!(part, tokio_postgres::SimpleQueryMessage::Row(_))).count();
            if rows != 1 {
                tally.unseen.push((id, rows));
            }
        }
        Err(code) => *tally.own_read_errors.entry(code).or_default() += 1,
    }
}

async fn connect(shared: &Shared, errors: &mut BTreeMap<String, u64>) -> Option<Client> {
    match in_time(drivers::connect(&shared.dsn)).await {
        Ok(client) => Some(client),
        Err(code) => {
            *errors.entry(format!("login {code}")).or_default() += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

// === a reader ===

async fn read(shared: Arc<Shared>, extended: bool) -> Tally {
    let mut tally = Tally::default();
    let mut session = None;
    while !shared.stop.load(Relaxed) {
        let Some(client) = &session else {
            session = connect(&shared, &mut tally.read_errors).await;
            continue;
        };
        let asked = Instant::now();
        let answer = match extended {
            false => in_time(client.simple_query("SELECT max(id) FROM written")).await.map(|_| ()),
            true => in_time(client.query_one(ONE, &[&9_i64])).await.map(|_| ()),
        };
        tally.longest_read = tally.longest_read.max(asked.elapsed());
        match answer {
            Ok(()) => drop(shared.reads.fetch_add(1, Relaxed)),
            Err(code) => {
                *tally.read_errors.entry(code).or_default() += 1;
                if client.is_closed() {
                    session = None;
                }
            }
        }
        tokio::time::sleep(shared.pause).await;
    }
    tally
}

/// `Err`: the SQLSTATE; `closed` when the connection ended without one, `silent` when no answer came.
async fn in_time<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
    let Ok(answer) = tokio::time::timeout(PATIENCE, answer).await else { return Err("silent".to_owned()) };
    answer.map_err(|error| error.code().map_or_else(|| "closed".to_owned(), |code| code.code().to_owned()))
}
