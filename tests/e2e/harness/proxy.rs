//! The real binary before a cluster, for one test.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use pgherd::demo::proxy::{Ports, Ready};
use pgherd::demo::{self, Cluster, Error};

use super::unique;

/// Stopped when it is dropped. When the test panics its log is printed.
pub struct Proxy<'a> {
    pub cluster: &'a Cluster,
    pub process: demo::Proxy,
}

pub const BINARY: &str = env!("CARGO_BIN_EXE_pgherd");

// === impl Proxy ===

impl<'a> Proxy<'a> {
    /// `more` is TOML: its keys win over the harness's, its `[[user]]`s are added, its `[[node]]`s replace.
    /// Returns when the primary and both standbys are known.
    pub fn start(cluster: &'a Cluster, more: &str) -> Self {
        Self::start_until(cluster, more, Ready::Standbys(2))
    }

    pub fn start_until(cluster: &'a Cluster, more: &str, ready: Ready) -> Self {
        Self::start_program(cluster, more, ready, Path::new(BINARY))
    }

    /// `program` runs it, in whatever way.
    pub fn start_program(cluster: &'a Cluster, more: &str, ready: Ready, program: &Path) -> Self {
        for _ in 0..4 {
            match Self::try_start_program(cluster, more, ready, program) {
                // Somebody took the port in the moment between finding and using it.
                Err(Error::Command { output, .. }) if output.contains("in use") => {}
                other => return other.unwrap_or_else(|error| panic!("no proxy: {error}")),
            }
        }
        panic!("no proxy: each port it was given is in use");
    }

    /// `Err` when the proxy ends or is not ready in time; the error has its log.
    pub fn try_start(cluster: &'a Cluster, more: &str, ready: Ready) -> Result<Self, Error> {
        Self::try_start_program(cluster, more, ready, Path::new(BINARY))
    }

    fn try_start_program(cluster: &'a Cluster, more: &str, ready: Ready, program: &Path) -> Result<Self, Error> {
        let ports = Ports::free(None)?;
        let config = merged(&cluster.proxy_config(ports), more);
        let process = demo::Proxy::start(cluster.guard(), program, cluster.dir(), &unique("proxy"), &config, ports)?;
        process.wait_ready(ready)?;
        Ok(Self { cluster, process })
    }

    /// One that was killed, with the same configuration and on the same ports. Returns when it listens.
    pub fn started_again(self) -> Self {
        let config = std::fs::read_to_string(self.process.config()).unwrap();
        let ports = Ports { clients: self.process.port(), http: self.process.http_port() };
        let (cluster, name) = (self.cluster, unique("proxy"));
        eprintln!("--- log of the one that was killed ---\n{}--- end of log ---", self.process.log_text());
        let process =
            demo::Proxy::start(cluster.guard(), Path::new(BINARY), cluster.dir(), &name, &config, ports).unwrap();
        process.wait_ready(Ready::Listens).unwrap();
        Self { cluster, process }
    }

    /// Returns when standbys serve a new session's reads of `database`: its catalog is known, with all DDL that has passed, and
    /// they are known to have that.
    pub fn until_standbys_read(&self, database: &str) {
        let primary = self.cluster.pg1.port().to_string();
        super::eventually("the catalog is known, and a standby reads", || {
            let asked = self.psql_as(database, "app", "/* pgherd: standby */ SELECT inet_server_port()");
            let rows = self.console("SHOW CATALOGS");
            let mut columns = rows.lines().map(|row| row.split('|').collect::<Vec<_>>());
            (columns.any(|row| row[0] == database && row[1] == "loaded") && asked != primary).then_some(())
        });
    }

    pub fn port(&self) -> u16 {
        self.process.port()
    }

    /// `postgresql://USER:PASSWORD@127.0.0.1:PORT/DATABASE`.
    pub fn dsn(&self, database: &str, user: &str) -> String {
        let password = self.cluster.passwords().of(user).map(|password| format!(":{}", password.expose()));
        format!("postgresql://{user}{}@127.0.0.1:{}/{database}", password.unwrap_or_default(), self.port())
    }

    /// As `app` in database `app`: unaligned rows, `|` between columns, no header, no last line end. Panics on an error.
    pub fn psql(&self, sql: &str) -> String {
        self.psql_as("app", "app", sql)
    }

    /// The same as an admin in the console's database.
    pub fn console(&self, command: &str) -> String {
        self.psql_as("pgherd", "admin", command)
    }

    pub fn psql_as(&self, database: &str, user: &str, sql: &str) -> String {
        let output = self.psql_through(database, user, &["-v", "ON_ERROR_STOP=1", "-c", sql]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "psql -c {sql:?}: {}: {errors}", output.status);
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// psql (`-XAtq`) with these further arguments.
    pub fn psql_through(&self, database: &str, user: &str, arguments: &[&str]) -> Output {
        self.client_program("psql", database, user).args(["-XAtq"]).args(arguments).output().unwrap()
    }

    /// A libpq program (psql, pgbench …) that finds the proxy, database and user in its environment.
    pub fn client_program(&self, program: &str, database: &str, user: &str) -> Command {
        let mut command = self.cluster.site().command(program);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port().to_string());
        command.env("PGDATABASE", database).env("PGUSER", user);
        if let Some(password) = self.cluster.passwords().of(user) {
            command.env("PGPASSWORD", password.expose());
        }
        command
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        let _ = self.process.stop(Duration::from_secs(3));
        if std::thread::panicking() {
            eprintln!("--- log of the proxy ---\n{}--- end of log ---", self.process.log_text());
        }
    }
}

pub fn merged(base: &str, more: &str) -> String {
    let mut config: toml::Table = base.parse().unwrap();
    let more: toml::Table = more.parse().unwrap_or_else(|error| panic!("the test's configuration: {error}"));
    merge(&mut config, more);
    config.to_string()
}

fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (Some(toml::Value::Array(old)), toml::Value::Array(new)) if key == "user" => old.extend(new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

#[test]
fn a_tests_configuration_wins_over_the_harnesss() {
    let base = "[pool]\nsize = 1\nmode = 'a'\n[[user]]\nname = 'x'\n[[node]]\nname = 'n'\n";
    let config: toml::Table =
        merged(base, "[pool]\nsize = 2\n[[user]]\nname = 'y'\n[[node]]\nname = 'm'\n").parse().unwrap();
    let want = "user = [{ name = 'x' }, { name = 'y' }]\nnode = [{ name = 'm' }]\n[pool]\nsize = 2\nmode = 'a'";
    assert_eq!(config, want.parse().unwrap());
}
