//! `pgherd check --cluster` before a real cluster: what a plain role lacks, and that the printed SQL is enough.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use pgherd::demo::Cluster;
use pgherd::demo::cluster::Options;

use crate::harness::proxy::BINARY;
use crate::harness::{private_cluster_with, shared};

#[test]
fn a_plain_role_is_told_what_it_lacks_and_the_printed_sql_mends_it() {
    // Nothing of it needs a restart here, and everything a reload can mend is wrong.
    let settings = [
        "wal_keep_size = 0",
        "synchronous_commit = local",
        "synchronous_standby_names = ''",
        "wal_receiver_timeout = '1min'",
        "hot_standby_feedback = off",
    ];
    let settings = settings.map(str::to_owned).to_vec();
    let cluster = private_cluster_with(Options { settings, ..Options::default() });
    cluster.pg1.psql("CREATE ROLE watcher LOGIN PASSWORD 'w'; ALTER ROLE app SET synchronous_commit = off").unwrap();
    cluster.pg1.psql("DROP TABLE pgherd.epoch").unwrap();
    cluster.wait_caught_up().unwrap();
    let config = config(&cluster, "watcher", "w", "mode = 'automatic'\ndurability = 'quorum'");

    let (code, report) = check(&config);
    assert_eq!(code, Some(1), "{report}");
    for missing in [
        "replication session",
        "pg_monitor",
        "pg_signal_backend",
        "pg_promote()",
        "pg_reload_conf()",
        "pg_wal_replay_resume()",
        "ALTER SYSTEM",
        "pgherd.epoch",
        "synchronous_commit",
        "synchronous_standby_names",
    ] {
        assert!(has(&report, "missing", missing), "{missing}:\n{report}");
    }
    for advice in ["wal_receiver_timeout", "hot_standby_feedback", "wal_keep_size", "pg_hba"] {
        assert!(has(&report, "advice", advice), "{advice}:\n{report}");
    }

    // What the role can't see at first may be wrong, too.
    let mut rounds = 0;
    let report = loop {
        let (code, report) = check(&config);
        let statements = statements(&report);
        if statements.is_empty() {
            assert_eq!(code, Some(0), "{report}");
            break report;
        }
        rounds += 1;
        assert!(rounds <= 3, "after {rounds} rounds:\n{report}");
        for (node, sql) in statements {
            run(&cluster, &node, &sql);
        }
        cluster.wait_caught_up().unwrap();
    };
    assert!(!report.contains("  missing"), "{report}");
    assert!(!report.contains("  advice"), "{report}");
    assert!(report.contains("nothing is missing"), "{report}");
    assert_eq!(cluster.pg1.psql("SHOW synchronous_standby_names").unwrap(), "ANY 1 (pg2)");
    assert_eq!(cluster.pg2.psql("SHOW synchronous_standby_names").unwrap(), "ANY 1 (pg1, pg3)");
    cluster
        .pg1
        .wait_for(
            "SELECT application_name || ' ' || sync_state FROM pg_stat_replication WHERE state = 'streaming'",
            "pg2 quorum",
        )
        .unwrap();
}

#[test]
fn what_setup_sql_grants_is_all_the_check_wants() {
    let cluster = shared();
    let monitor = cluster.passwords().of("pgherd").expect("the cluster's own role").expose().to_owned();
    let (code, report) = check(&config(cluster, "pgherd", &monitor, ""));
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("failover.mode is \"off\"; for \"automatic\" with durability = \"async\""), "{report}");
    assert!(!report.contains(&monitor) && !report.contains('\x1b'), "{report}");
    for right in ["pg_monitor", "pg_promote()", "ALTER SYSTEM", "pgherd.epoch"] {
        assert!(has(&report, "ok", right), "{right}:\n{report}");
    }
}

#[test]
fn who_cannot_be_asked_is_told_why() {
    let cluster = shared();
    let (code, report) = check(&config(cluster, "pgherd", "wrong", ""));
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("monitor.password is not the password of"), "{report}");
    let nowhere = config(cluster, "pgherd", "wrong", "").replace("127.0.0.1", "127.0.0.2");
    let (code, report) = check(&nowhere);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("Connection refused"), "{report}");
    let (code, _) = check("[failover]\nmode = 'sometimes'\n");
    assert_eq!(code, Some(2));
}

fn config(cluster: &Cluster, user: &str, password: &str, failover: &str) -> String {
    let nodes = cluster
        .nodes()
        .map(|node| format!("[[node]]\nname = '{}'\nhost = '127.0.0.1'\nport = {}\n", node.name(), node.port()));
    format!("[monitor]\nuser = '{user}'\npassword = '{password}'\n[failover]\n{failover}\n{}", nodes.concat())
}

/// Exit code and stdout.
fn check(config: &str) -> (Option<i32>, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config).unwrap();
    let output = Command::new(BINARY).args(["check", "--cluster", "--config"]).arg(file.path()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn has(report: &str, verdict: &str, requirement: &str) -> bool {
    report.lines().any(|line| {
        let rest = line.trim_start().strip_prefix(verdict).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(requirement))
    })
}

/// Node and SQL, as an operator would copy them.
fn statements(report: &str) -> Vec<(String, String)> {
    let lines = report.lines().filter_map(|line| line.trim_start().split_once("=# "));
    lines.map(|(node, sql)| (node.to_owned(), sql.to_owned())).collect()
}

fn run(cluster: &Cluster, node: &str, sql: &str) {
    let node = cluster.nodes().into_iter().find(|own| own.name() == node).unwrap_or_else(|| panic!("{node}: {sql}"));
    let file = tempfile::Builder::new().suffix(".sql").tempfile_in(cluster.dir()).unwrap();
    std::fs::write(file.path(), sql).unwrap();
    // psql runs as the account of PostgreSQL.
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    node.psql_file(file.path()).unwrap_or_else(|error| panic!("{}: {sql}: {error}", node.name()));
}
