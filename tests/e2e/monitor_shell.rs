//! What the monitor does around its decisions: it notices at once, is not fooled by a slow answer, writes down, waits.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::proxy::BINARY;
use crate::harness::{Proxy, eventually, private_cluster};

/// The process that answers the probes.
const PROBE: &str =
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgherd monitor' ORDER BY backend_start DESC LIMIT 1";

#[tokio::test]
async fn an_unanswered_probe_is_no_failure_while_clients_get_answers() {
    let cluster = private_cluster();
    let config = "[routing]\nsplit = false\n[monitor]\ninterval = '100ms'\ntimeout = '250ms'\nfailures = 1\n";
    let proxy = Proxy::start(&cluster, config);
    let client = proxy.client().await;
    let work = tokio::spawn(async move {
        loop {
            client.simple_query("SELECT 1").await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    for _ in 0..5 {
        let pid = cluster.pg1.psql(PROBE).unwrap();
        signal("STOP", &pid);
        tokio::time::sleep(Duration::from_millis(600)).await;
        signal("CONT", &pid);
    }
    work.abort();
    let log = proxy.process.log_text();
    assert!(!log.contains("suspect") && !log.contains("is down"), "{log}");
    // Without them it is one.
    let pid = cluster.pg1.psql(PROBE).unwrap();
    signal("STOP", &pid);
    eventually("it is down for a moment", || proxy.process.log_text().contains("no answer within").then_some(()));
    signal("CONT", &pid);
}

#[test]
fn a_lost_connection_is_looked_into_at_once() {
    let cluster = private_cluster();
    let proxy = Proxy::start(&cluster, "[monitor]\ninterval = '20s'\nfailures = 1\n");
    let killed = Instant::now();
    cluster.pg1.kill9().unwrap();
    eventually("it is down", || proxy.process.log_text().contains("pg1 is down").then_some(()));
    println!("down after {:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(5), "{:?}", killed.elapsed());
}

#[test]
fn a_state_file_that_cannot_be_trusted_stops_an_automatic_proxy() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    let toml = "[listen]\nport = 0\n[failover]\nmode = 'automatic'\nstate_file = 'my.state'\n[[node]]\nname = 'a'\nhost = '127.0.0.1'\n";
    std::fs::write(&config, toml).unwrap();
    std::fs::write(directory.path().join("my.state"), "epoch = -1\n").unwrap();
    let output = Command::new(BINARY).args(["run", "--config"]).arg(&config).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("my.state") && said.contains("mend it, or remove it"), "{said}");
}

#[tokio::test]
async fn a_switchover_waits_for_transactions_and_not_for_sessions() {
    let cluster = private_cluster();
    let told = tempfile::NamedTempFile::new().unwrap();
    let hook = format!("['/bin/sh', '-c', 'env >> {}']", told.path().display());
    let config = format!("[failover]\nmode = 'manual'\ndrain = '20s'\non_failover = {hook}\non_promote = {hook}\n");
    let proxy = Proxy::start(&cluster, &config);
    let (pinned, working) = (proxy.client().await, proxy.client().await);
    working.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    cluster.wait_caught_up().unwrap();
    pinned.batch_execute("LISTEN x").await.unwrap();
    working.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    let begun = Instant::now();
    let mut switchover = proxy.client_program("psql", "pgherd", "admin");
    let child =
        switchover.args(["-XAtqc", "SWITCHOVER"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(cluster.pg2.psql("SELECT pg_is_in_recovery()").unwrap(), "t", "it waits");
    working.batch_execute("COMMIT").await.unwrap();
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await.unwrap().unwrap();
    println!("{output:?} after {:?}", begun.elapsed());
    assert!(output.status.success() && begun.elapsed() < Duration::from_secs(10), "{output:?}");
    working.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();

    let told = || std::fs::read_to_string(told.path()).unwrap();
    eventually("both commands have run", || (told().matches("PGHERD_OLD_PRIMARY=pg1\n").count() == 2).then_some(()));
    assert!(told().contains("PGHERD_NEW_PRIMARY=pg2\n"), "{}", told());
    let state = std::fs::read_to_string(proxy.process.config().with_file_name("pgherd.state")).unwrap();
    assert!(state.contains("primary = \"pg2\"") && state.contains("timeline = 2"), "{state}");
    assert!(proxy.console("SHOW EVENTS").contains("pg2"));
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap().success());
}
