//! What a session may do in PostgreSQL it may do in transaction mode, however many others share its two servers. The cases are
//! data (`tests/data/features/*.sql`): each line is a request, first to a lone PostgreSQL, then through the proxy; the answers
//! must be the same, and what the others have set on their side must stay theirs.
//!
//! `FEATURES=word` picks the cases whose name has the word.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use pgherd::config::Secret;
use tokio::task::JoinHandle;

use crate::harness::raw::{Answer, Raw, Role};
use crate::harness::{Proxy, shared};

const CONFIG: &str = "workers = 2\n[pool]\nmode = 'transaction'\nsize = 2\nwait_timeout = '40s'";

/// So many share the two servers of each node with the case.
const OTHERS: usize = 20;

/// Fewer would not be worth the name.
const AT_LEAST: usize = 200;

/// What differs, and why. Each of them stands in docs/pooling.md.
const ALLOWED: [(&str, &str); 3] = [
    (
        "currval and lastval",
        "the next transaction may be on another server; RETURNING, or one transaction, tells the number",
    ),
    ("what an identity column gave", "as above"),
    (
        "app.flag: several in one request",
        "what another has set once in a server, and reset, is empty there and not NULL",
    ),
];

struct Case {
    name: String,
    requests: Vec<String>,
}

#[tokio::test]
async fn transaction_mode_keeps_a_session_s_state_by_simple_queries() {
    compare_all("simple").await;
}

#[tokio::test]
async fn transaction_mode_keeps_a_session_s_state_by_extended_queries() {
    compare_all("extended").await;
}

async fn compare_all(protocol: &str) {
    let role = Role::new("features");
    let proxy = Proxy::start(shared(), &crate::harness::proxy::merged(CONFIG, &role.config()));
    let others = Others::start(&proxy, &role).await;
    let only = std::env::var("FEATURES").unwrap_or_default();
    let cases = cases();
    assert!(cases.len() >= AT_LEAST + ALLOWED.len(), "{} cases", cases.len());
    for (name, reason) in ALLOWED {
        assert!(cases.iter().any(|case| case.name == name) && !reason.is_empty(), "{name}");
    }
    let mut failures = Vec::new();
    for case in cases.iter().filter(|case| case.name.contains(&only)) {
        let mut direct = Raw::direct_to(&shared().pg1, "app", &role.name, Secret::new(Role::password())).await;
        let wanted = answers(&mut direct, case, protocol).await;
        direct.terminate().await;
        // What the case has made and dropped again is known to the standbys, too.
        shared().wait_caught_up().unwrap();
        let mut client = role.raw(proxy.port()).await;
        let got = answers(&mut client, case, protocol).await;
        client.terminate().await;
        for ((request, wanted), got) in case.requests.iter().zip(wanted).zip(got) {
            if wanted != got && !ALLOWED.iter().any(|(name, _)| *name == case.name) {
                failures.push(format!("{}: {request}\n  PostgreSQL: {wanted}\n  pgherd:     {got}", case.name));
                break;
            }
        }
    }
    let rounds = others.stop().await;
    assert!(failures.is_empty(), "{} of {} cases differ\n\n{}\n", failures.len(), cases.len(), failures.join("\n"));
    assert!(rounds >= OTHERS as u64, "the others have hardly been there: {rounds} rounds");
}

async fn answers(client: &mut Raw, case: &Case, protocol: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for request in &case.requests {
        let answer = match protocol {
            "extended" => client.unnamed(request, &[]).await,
            _ => client.query(request).await,
        };
        answers.push(visible(&answer));
    }
    answers
}

/// All that a client sees of it, but for positions and places in PostgreSQL's source.
fn visible(answer: &Answer) -> String {
    let errors: Vec<_> = answer.errors.iter().map(|error| format!("{} {}", error.sqlstate, error.message)).collect();
    format!(
        "{:?} {:?} {:?} {errors:?} {:?} {}",
        answer.columns,
        answer.rows,
        answer.tags,
        answer.notices,
        char::from(answer.status)
    )
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/features");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in paths {
        let mut is_head = true;
        for line in std::fs::read_to_string(path).unwrap().lines() {
            if let Some(name) = line.strip_prefix("-- case: ") {
                is_head = false;
                cases.push(Case { name: name.to_owned(), requests: Vec::new() });
            } else if !is_head && !line.is_empty() {
                cases.last_mut().unwrap().requests.push(line.to_owned());
            }
        }
    }
    cases
}

/// Clients of the same database and user that leave all sorts of things behind, and look whether theirs is what they left.
struct Others {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

// === impl Others ===

impl Others {
    async fn start(proxy: &Proxy<'_>, role: &Role) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = Vec::new();
        for number in 0..OTHERS {
            let client = role.raw(proxy.port()).await;
            tasks.push(tokio::spawn(disturb(client, number, Arc::clone(&stop), Arc::clone(&rounds))));
        }
        Self { stop, rounds, tasks }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.rounds.load(Relaxed)
    }
}

async fn disturb(mut client: Raw, number: usize, stop: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    let mine = format!("of {number}");
    client.query(&format!("SET app.flag = '{mine}'")).await;
    client.query("SET DateStyle = 'Postgres, YMD'").await;
    while !stop.load(Relaxed) {
        let script = [
            "SET work_mem = '3MB'",
            "PREPARE p AS SELECT 'theirs'",
            "DEALLOCATE p",
            "BEGIN",
            "SET LOCAL search_path = pg_catalog",
            "CREATE TEMP TABLE t (theirs text) ON COMMIT DROP",
            "SELECT pg_advisory_xact_lock_shared(99001)",
            "COMMIT",
            "LISTEN one",
            "UNLISTEN *",
            "SELECT set_config('app.done', 'theirs', false)",
            "RESET work_mem",
        ];
        for sql in script {
            let answer = client.query(sql).await;
            assert!(answer.errors.is_empty(), "{sql}: {answer:?}");
        }
        assert_eq!(client.value("SELECT current_setting('app.flag')").await, mine);
        assert_eq!(client.value("SHOW DateStyle").await, "Postgres, YMD");
        rounds.fetch_add(1, Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
