//! Drivers of other languages. Each has a program here that asserts what it gets; it is run against PostgreSQL first,
//! which proves the program, then through the proxy.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{assert_every_node_served, make_tables};
use crate::harness::{Proxy, shared};

const JDBC_JAR: &str = "/usr/share/java/postgresql.jar";
/// Longer than any program takes; one that hangs is ended.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn psycopg() {
    check("psycopg", |dsn, prefix, _| python("psycopg_check.py", dsn, prefix));
}

#[test]
fn asyncpg() {
    check("asyncpg", |dsn, prefix, _| python("asyncpg_check.py", dsn, prefix));
}

#[test]
fn node_postgres() {
    let modules = installed("target/drivers/node/node_modules/pg").parent().unwrap().to_owned();
    check("node", |dsn, prefix, _| {
        let mut command = Command::new("node");
        command.env("NODE_PATH", &modules).arg(source("node_check.js")).args([dsn, prefix]);
        command
    });
}

#[test]
fn pgjdbc() {
    installed(JDBC_JAR);
    check("jdbc", |dsn, prefix, through| {
        let mut command = Command::new("java");
        command.arg(format!("-Dstandbys={}", through == Through::Proxy));
        // Starts in half the time, and it is one short run.
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", JDBC_JAR]);
        command.arg(source("JdbcCheck.java")).args([dsn, prefix]);
        command
    });
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Through {
    Nothing,
    Proxy,
}

fn check(name: &str, program: impl Fn(&str, &str, Through) -> Command) {
    let cluster = shared();
    let prefix = make_tables(cluster, name);
    run(Through::Nothing, &mut program(&cluster.pg1.dsn("app", "app"), &prefix, Through::Nothing));

    let proxy = Proxy::start(cluster, "");
    proxy.until_standbys_read("app");
    run(Through::Proxy, &mut program(&proxy.dsn("app", "app"), &prefix, Through::Proxy));
    assert_every_node_served(&proxy);
}

fn run(through: Through, command: &mut Command) {
    let log = tempfile::NamedTempFile::new().unwrap();
    // One file position for both streams: the order is the program's.
    let streams = || Stdio::from(log.as_file().try_clone().unwrap());
    let mut child = match command.stdin(Stdio::null()).stdout(streams()).stderr(streams()).spawn() {
        Ok(child) => child,
        Err(error) => panic!("{command:?}: {error}: install the drivers with `scripts/setup.sh drivers`"),
    };
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let output = std::fs::read_to_string(log.path()).unwrap();
    eprintln!("{through:?}, {:.1} s: {output}", started.elapsed().as_secs_f32());
    let ended = status.map_or_else(|| format!("not within {PATIENCE:?}"), |status| status.to_string());
    assert!(status.is_some_and(|status| status.success()), "through {through:?}: {ended}\n{output}");
}

fn python(program: &str, dsn: &str, prefix: &str) -> Command {
    let mut command = Command::new(installed("target/drivers/venv/bin/python"));
    command.arg("-B").arg(source(program)).args([dsn, prefix]);
    command
}

fn source(program: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/drivers").join(program)
}

/// Panics with what to do if it is not there.
fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    assert!(path.exists(), "{} is missing: install the drivers with `scripts/setup.sh drivers`", path.display());
    path
}
