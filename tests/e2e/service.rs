//! PAUSE, RESUME, DISABLE, RECONNECT, KILL, SHUTDOWN: what an operator does to the service, under load.

use std::time::Duration;

use crate::harness::raw::{Answer, Raw, Role, console};
use crate::harness::{Proxy, shared};

const POOL: &str = "[pool]\nsize = 4\nwait_timeout = '20s'\n[routing]\nsplit = false";

fn start(role: &Role, more: &str) -> Proxy<'static> {
    Proxy::start(shared(), &crate::harness::proxy::merged(&format!("{POOL}\n{more}"), &role.config()))
}

async fn say(admin: &mut Raw, text: &str) -> String {
    let answer = admin.query(text).await;
    assert!(answer.errors.is_empty(), "{text}: {answer:?}");
    answer.notices.last().cloned().unwrap_or_default()
}

async fn servers(admin: &mut Raw, role: &Role) -> Vec<String> {
    admin.query("SHOW SERVERS").await.column("remote_pid", |value| value("user") == role.name)
}

async fn id_of(admin: &mut Raw, role: &Role) -> String {
    admin.query("SHOW CLIENTS").await.column("id", |value| value("user") == role.name).join(" ")
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn a_paused_database_has_no_server_and_loses_no_request() {
    let role = Role::new("paused");
    let proxy = start(&role, "");
    let mut admin = console(proxy.port()).await;
    let mut first = role.raw(proxy.port()).await;
    first.query("CREATE TABLE counted (n int)").await;
    first.query("INSERT INTO counted VALUES (0)").await;
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(role.raw(proxy.port()).await);
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let load: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let stop = std::sync::Arc::clone(&stop);
            tokio::spawn(async move {
                let mut done = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for sql in ["BEGIN", "UPDATE counted SET n = n + 1", "COMMIT"] {
                        let answer = client.query(sql).await;
                        assert!(answer.errors.is_empty(), "{sql}: {answer:?}");
                    }
                    done += 1;
                }
                done
            })
        })
        .collect();
    for round in 0..3 {
        until("work is done", async || !servers(&mut admin, &role).await.is_empty()).await;
        let database = if round == 1 { "" } else { "app" };
        assert!(say(&mut admin, &format!("PAUSE {database}")).await.contains("is paused"));
        assert_eq!(servers(&mut admin, &role).await, Vec::<String>::new());
        let paused = admin.query("SHOW DATABASES").await.column("paused", |value| value("name") == "app");
        assert_eq!(paused, ["1"]);
        let waiting = admin.query("SHOW CLIENTS").await.column("state", |value| value("user") == role.name);
        assert!(waiting.iter().all(|state| ["idle", "waiting", "begun"].contains(&state.as_str())), "{waiting:?}");
        say(&mut admin, &format!("RESUME {database}")).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut done = 0;
    for client in load {
        done += client.await.unwrap();
    }
    assert_eq!(first.value("SELECT n FROM counted").await, done.to_string());
}

#[tokio::test]
async fn a_pause_waits_for_transactions_and_ends_when_nobody_waits_for_it() {
    let role = Role::new("waits");
    let proxy = start(&role, "");
    let mut admin = console(proxy.port()).await;
    let mut busy = role.raw(proxy.port()).await;
    busy.query("BEGIN").await;
    busy.query("SELECT 1").await;
    let key = pgherd::wire::cancel::BackendKey { ..copy(&admin.key) };
    let pause = tokio::spawn(async move {
        let answer = admin.query("PAUSE app").await;
        (admin, answer)
    });
    let mut look = console(proxy.port()).await;
    let paused = async |look: &mut Raw| {
        look.query("SHOW DATABASES").await.column("paused", |value| value("name") == "app") == ["1"]
    };
    until("it is paused", async || paused(&mut look).await).await;
    assert!(!pause.is_finished());
    // What is in a transaction goes on.
    assert_eq!(busy.value("SELECT 2").await, "2");
    crate::harness::raw::cancel(proxy.port(), &key).await;
    let (mut admin, answer) = pause.await.unwrap();
    assert_eq!(answer.sqlstate(), "57014", "{answer:?}");
    assert!(!paused(&mut look).await);
    let mut other = role.raw(proxy.port()).await;
    assert_eq!(other.value("SELECT 3").await, "3");

    // The next one waits until the transaction has ended; its word comes in between.
    let pause = tokio::spawn(async move {
        let answer = admin.query("PAUSE app").await;
        (admin, answer)
    });
    until("it is paused", async || paused(&mut look).await).await;
    tokio::time::sleep(Duration::from_millis(3200)).await;
    busy.query("COMMIT").await;
    let (_, answer) = pause.await.unwrap();
    assert!(answer.errors.is_empty(), "{answer:?}");
    assert!(answer.notices[0].contains("1 clients are in a transaction"), "{answer:?}");
}

fn copy(key: &pgherd::wire::cancel::BackendKey) -> pgherd::wire::cancel::BackendKey {
    pgherd::wire::cancel::BackendKey { process_id: key.process_id, secret: key.secret.clone() }
}

#[tokio::test]
async fn who_waits_too_long_for_the_end_of_a_pause_is_told_so() {
    let role = Role::new("told");
    let proxy = Proxy::start(
        shared(),
        &crate::harness::proxy::merged("[pool]\nwait_timeout = '300ms'\n[routing]\nsplit = false", &role.config()),
    );
    let mut client = role.raw(proxy.port()).await;
    let mut admin = console(proxy.port()).await;
    say(&mut admin, "PAUSE app").await;
    let answer = client.query("SELECT 1").await;
    assert_eq!(answer.sqlstate(), "57P03", "{answer:?}");
    assert_eq!(answer.errors[0].message, "database \"app\" is paused");
    assert!(answer.errors[0].hint.as_ref().unwrap().contains("pool.wait_timeout"), "{answer:?}");
    say(&mut admin, "RESUME app").await;
    assert_eq!(client.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_disabled_database_takes_no_new_clients() {
    let role = Role::new("disabled");
    let proxy = start(&role, "");
    let mut admin = console(proxy.port()).await;
    let mut client = role.raw(proxy.port()).await;
    say(&mut admin, "DISABLE app").await;
    let refused = role.raw_with(proxy.port(), &[]).await.err().expect("nobody gets in");
    assert_eq!((refused.sqlstate.as_str(), refused.message.as_str()), ("57P03", "database \"app\" is disabled"));
    assert_eq!(client.value("SELECT 1").await, "1");
    say(&mut admin, "ENABLE app").await;
    assert_eq!(role.raw(proxy.port()).await.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn reconnect_replaces_servers_between_transactions() {
    let role = Role::new("renewed");
    let proxy = start(&role, "");
    let mut admin = console(proxy.port()).await;
    let (mut idle, mut busy) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    busy.query("BEGIN").await;
    let kept = busy.value("SELECT pg_backend_pid()").await;
    let old = idle.value("SELECT pg_backend_pid()").await;
    say(&mut admin, "RECONNECT app").await;
    assert_ne!(idle.value("SELECT pg_backend_pid()").await, old);
    assert_eq!(busy.value("SELECT pg_backend_pid()").await, kept);
    let needed = admin.query("SHOW SERVERS").await.column("close_needed", |value| value("remote_pid") == kept);
    assert_eq!(needed, ["1"]);
    let mut waiter = console(proxy.port()).await;
    let waits = tokio::spawn(async move { waiter.query("WAIT_CLOSE app").await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waits.is_finished());
    busy.query("COMMIT").await;
    assert!(waits.await.unwrap().errors.is_empty());
    assert!(!servers(&mut admin, &role).await.contains(&kept));
}

#[tokio::test]
async fn a_client_is_killed_in_whatever_it_does() {
    let role = Role::new("killed");
    let proxy = start(&role, "");
    let mut admin = console(proxy.port()).await;
    let running = || {
        let sql =
            format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND query ~ 'pg_slee[p]'", role.name);
        shared().pg1.psql_as("app", "postgres", &sql).unwrap().trim().to_owned()
    };
    // In a statement, between statements of a transaction, idle, behind a BEGIN that nobody has seen yet.
    for what in ["SELECT pg_sleep(60)", "BEGIN; SELECT 1", "", "BEGIN"] {
        let mut client = role.raw(proxy.port()).await;
        let asked = tokio::spawn(async move {
            match what {
                "SELECT pg_sleep(60)" => client.query(what).await,
                what => {
                    if !what.is_empty() {
                        client.query(what).await;
                    }
                    client.answer().await
                }
            }
        });
        if what.contains("sleep") {
            until("it sleeps", async || running() == "1").await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let id = id_of(&mut admin, &role).await;
        assert!(say(&mut admin, &format!("KILL_CLIENT {id}")).await.contains("was ended"), "{what}");
        let answer: Answer = asked.await.unwrap();
        assert_eq!((answer.sqlstate(), answer.status), ("57P01", 0), "{what}: {answer:?}");
        until("PostgreSQL has stopped", async || running() == "0").await;
        assert_eq!(id_of(&mut admin, &role).await, "", "{what}");
    }
}

#[tokio::test]
async fn a_killed_database_is_empty_until_it_is_resumed() {
    let role = Role::new("emptied");
    let proxy = start(&role, "");
    let mut admin = console(proxy.port()).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = role.raw(proxy.port()).await;
        clients.push(tokio::spawn(async move { client.query("SELECT pg_sleep(60)").await }));
    }
    until("they are at work", async || servers(&mut admin, &role).await.len() == 4).await;
    assert!(say(&mut admin, "KILL app").await.starts_with("6 clients"));
    for client in clients {
        assert_eq!(client.await.unwrap().sqlstate(), "57P01");
    }
    assert_eq!(servers(&mut admin, &role).await, Vec::<String>::new());
    assert_eq!(id_of(&mut admin, &role).await, "");
    say(&mut admin, "RESUME app").await;
    assert_eq!(role.raw(proxy.port()).await.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn a_shutdown_is_as_patient_as_it_is_told_to_be() {
    for (word, answer_of_the_transaction) in [("", "57P01"), ("WAIT_FOR_SERVERS", ""), ("WAIT_FOR_CLIENTS", "")] {
        let role = Role::new("stopped");
        let proxy = start(&role, "");
        let mut client = role.raw(proxy.port()).await;
        let mut admin = console(proxy.port()).await;
        client.query("BEGIN").await;
        client.query("SELECT 1").await;
        say(&mut admin, &format!("SHUTDOWN {word}")).await;
        let sleep = if word.is_empty() { Duration::from_millis(300) } else { Duration::from_millis(100) };
        tokio::time::sleep(sleep).await;
        let answer = match word {
            "" => client.answer().await,
            _ => client.query("COMMIT").await,
        };
        assert_eq!(answer.sqlstate(), answer_of_the_transaction, "{word}: {answer:?}");
        if word == "WAIT_FOR_CLIENTS" {
            assert_eq!(client.value("SELECT 2").await, "2");
            client.terminate().await;
        }
        until("it has stopped", async || proxy.process.ended().is_some()).await;
        assert!(proxy.process.ended().unwrap().success(), "{word}");
    }
}

/// The proxy's file with `old` replaced by `new`.
fn edit(proxy: &Proxy<'_>, old: &str, new: &str) {
    let text = std::fs::read_to_string(proxy.process.config()).unwrap();
    assert!(text.contains(old), "{old} in {text}");
    std::fs::write(proxy.process.config(), text.replace(old, new)).unwrap();
}

async fn config(admin: &mut Raw, key: &str) -> String {
    admin.query("SHOW CONFIG").await.column("value", |value| value("key") == key).join("")
}

#[tokio::test]
async fn a_reload_changes_limits_under_load_without_an_error() {
    let role = Role::new("reloaded");
    let proxy = start(&role, "");
    let mut admin = console(proxy.port()).await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut load = Vec::new();
    for _ in 0..64 {
        let (mut client, stop) = (role.raw(proxy.port()).await, std::sync::Arc::clone(&stop));
        load.push(tokio::spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = client.query("SELECT 1").await;
                assert!(answer.errors.is_empty(), "{answer:?}");
            }
        }));
    }
    until("four are at work", async || servers(&mut admin, &role).await.len() == 4).await;
    edit(&proxy, "size = 4\n", "size = 9\n");
    let told = say(&mut admin, "RELOAD").await;
    assert_eq!(told, "1 changed\npool.size: 4 -> 9");
    until("nine are at work", async || servers(&mut admin, &role).await.len() == 9).await;
    edit(&proxy, "size = 9\n", "size = 2\n");
    assert_eq!(hang_up(&proxy), 0);
    until("two are left", async || servers(&mut admin, &role).await.len() == 2).await;
    assert_eq!(config(&mut admin, "pool.size").await, "2");
    assert_eq!(say(&mut admin, "RELOAD").await, "nothing has changed");
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in load {
        client.await.unwrap();
    }
}

/// SIGHUP, by the program for it. Its exit code.
fn hang_up(proxy: &Proxy<'_>) -> i32 {
    let pid = proxy.process.pid().to_string();
    std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().code().unwrap()
}

#[tokio::test]
async fn a_reload_reaches_open_sessions_and_the_log() {
    let role = Role::new("reached");
    let proxy = start(&role, "[limits]\nmax_clients = 50\n[log]\nlevel = 'warn'\n");
    let mut admin = console(proxy.port()).await;
    let mut client = role.raw(proxy.port()).await;
    assert_eq!(client.value("SHOW pgherd.consistency").await, "session");
    edit(&proxy, "split = false", "split = false\nconsistency = \"global\"");
    edit(&proxy, "level = \"warn\"", "level = \"debug\"");
    edit(&proxy, "max_clients = 50", "max_clients = 1");
    let told = say(&mut admin, "RELOAD").await;
    assert!(told.starts_with("3 changed\n") && told.contains("log.level: warn -> debug"), "{told}");
    assert_eq!(client.value("SHOW pgherd.consistency").await, "global");
    let refused = role.raw_with(proxy.port(), &[]).await.err().expect("too many");
    assert_eq!(refused.sqlstate, "53300");
    // It had nothing to say at the level of the start.
    assert!(proxy.process.log_text().contains("INFO"), "{}", proxy.process.log_text());
}

#[tokio::test]
async fn what_waits_for_a_restart_is_told_and_a_bad_file_changes_nothing() {
    let role = Role::new("unchanged");
    let proxy = start(&role, "[limits]\nbuffer_bytes = '32kB'\n");
    let mut admin = console(proxy.port()).await;
    edit(&proxy, "buffer_bytes = \"32kB\"", "buffer_bytes = \"64kB\"\nmax_clients = 77");
    let told = say(&mut admin, "RELOAD").await;
    assert!(told.starts_with("2 changed, 1 of them after a restart\n"), "{told}");
    assert!(told.contains("limits.buffer_bytes: 32kB -> 64kB (waits for a restart)"), "{told}");
    assert_eq!(config(&mut admin, "limits.buffer_bytes").await, "32kB");
    assert_eq!(config(&mut admin, "limits.max_clients").await, "77");
    edit(&proxy, "max_clients = 77", "max_clients = -1");
    let answer = admin.query("RELOAD").await;
    assert_eq!(answer.sqlstate(), "F0000", "{answer:?}");
    assert!(answer.errors[0].detail.as_ref().unwrap().contains("limits.max_clients"), "{answer:?}");
    assert_eq!(config(&mut admin, "limits.max_clients").await, "77");
}
