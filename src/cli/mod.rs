//! The command line: what the operator types, and the exit code he gets. 0: all well; 1: it failed; 2: wrong usage or
//! configuration.

mod logging;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config};
use crate::setup_sql::{LOOKUP_QUERY, SetupSql, setup_sql, valid_role};
use crate::{check, demo, proxy, version};

const MISCONFIGURED: u8 = 2;

/// Runs what the arguments of this process ask for.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(file) => run(file.config),
        Command::Check(options) if options.cluster => check_cluster(&options.file.config),
        Command::Check(options) => check(&options.file.config),
        Command::Demo(options) => demo::run(options.into()),
        Command::SetupSql(options) => print(&options.text()),
    }
}

/// A PostgreSQL proxy that keeps a primary/hot-standby cluster usable: applications connect to it as to one PostgreSQL.
///
/// It pools their connections, sends writes to the primary and plainly read-only statements to the hot standbys.
#[derive(Debug, Parser)]
#[command(name = "pgherd", version = version::LONG, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  pgherd demo                          see it work: three PostgreSQL instances, the proxy, and some load
  pgherd setup-sql | psql -d postgres  install what the proxy needs, on the primary
  pgherd check --config proxy.toml     is this configuration right, and what does it amount to?
  pgherd check --config proxy.toml --cluster
                                       is the cluster ready for a failover?
  pgherd run --config proxy.toml       be the proxy

Exit codes: 0 all well; 1 it failed; 2 wrong usage or configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Be the proxy, in the foreground, until SIGTERM or SIGINT
    #[command(after_help = RUN_EXAMPLES)]
    Run(ConfigFile),
    /// Read the configuration as `run` would, and print what it amounts to, secrets masked; or check the cluster
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckOptions),
    /// Start a real cluster of three on this machine and the proxy before it, and show it at work
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoOptions),
    /// Print the SQL to install on the primary: monitor role, grants, and the function that looks up verifiers
    #[command(after_help = SETUP_EXAMPLES)]
    SetupSql(SetupOptions),
}

const RUN_EXAMPLES: &str = "\
Examples:
  pgherd run --config /etc/pgherd/proxy.toml
  PGHERD__POOL__SIZE=40 PGHERD__LOG__FORMAT=json pgherd run --config proxy.toml

Every key outside [[node]] and [[user]] can be given as PGHERD__SECTION__KEY; it wins over the file.
The first SIGTERM or SIGINT lets clients finish their transactions (limits.drain_timeout), a second one stops at once.";

const CHECK_EXAMPLES: &str = "\
Examples:
  pgherd check --config proxy.toml
  pgherd check --config proxy.toml > /dev/null && systemctl reload pgherd
  pgherd check --config proxy.toml --cluster
  pgherd check --config proxy.toml --cluster | grep '=#'    only the SQL

With --cluster, as the monitor's role and without changing anything, each node is asked what failover.mode = \"automatic\"
needs: also while it is \"off\". Of each requirement it is said: ok; missing (a failover would not work, or would lose what
failover.durability promises to keep); or advice (it would be slower, or harder to mend afterwards). What mends it stands below.

Exit code 0: the configuration is right, and with --cluster nothing is missing. 1: something is missing. 2: the configuration is
wrong, and the message on stderr says where and what is allowed.";

const DEMO_EXAMPLES: &str = "\
Examples:
  pgherd demo                       until Ctrl-C, which stops and removes everything
  pgherd demo --for 20s             ends by itself; exit code 0 only if all went well
  pgherd demo --dir /tmp/d --keep   the data stays for a look
  pgherd demo --no-workload         just the cluster and the proxy, for your own queries";

const SETUP_EXAMPLES: &str = "\
Examples:
  pgherd setup-sql | psql -X -v ON_ERROR_STOP=1 -h primary -U postgres -d postgres
  pgherd setup-sql --user monitor_role
  pgherd setup-sql --failover       what failover.mode needs, too
  pgherd setup-sql --query          only the query that auth.query is by default

Run it as a superuser in the database that auth.database names; it may be run again.";

#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration (TOML); proxy.toml of the distribution explains every key
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args, Debug)]
struct CheckOptions {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask the nodes whether they are ready for a failover, and print the SQL that mends what is missing
    #[arg(long)]
    cluster: bool,
}

#[derive(Args, Debug)]
struct DemoOptions {
    /// Where the data goes [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The proxy's port [default: a free one]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Leave the data where it is at the end
    #[arg(long)]
    keep: bool,
    /// Start the cluster and the proxy, and put no load on them
    #[arg(long)]
    no_workload: bool,
    /// End by itself after this time, such as 20s or 5m
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
}

#[derive(Args, Debug)]
struct SetupOptions {
    /// The monitor role: monitor.user of the configuration
    #[arg(long, value_name = "ROLE", default_value = "pgherd", value_parser = role)]
    user: String,
    /// Let superusers log in through the proxy too
    #[arg(long)]
    allow_superusers: bool,
    /// The rights to promote a standby and to point the others to it, too: for failover.mode
    #[arg(long)]
    failover: bool,
    /// Print only the query that uses the function, for auth.query
    #[arg(long, conflicts_with_all = ["user", "allow_superusers", "failover"])]
    query: bool,
}

fn run(path: PathBuf) -> ExitCode {
    let config = match load(&path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let set_level = match logging::start(&config.log) {
        Ok(set_level) => set_level,
        Err(error) => return complain(&error),
    };
    for note in config.notes() {
        tracing::warn!("{note}");
    }
    proxy::run(config, path, set_level)
}

fn check(path: &Path) -> ExitCode {
    match load(path) {
        Ok(config) => {
            for note in config.notes() {
                let _ = writeln!(std::io::stderr(), "note: {note}");
            }
            print(&config.to_toml_masked())
        }
        Err(code) => code,
    }
}

fn check_cluster(path: &Path) -> ExitCode {
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "pgherd: {error}");
            return ExitCode::FAILURE;
        }
    };
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let checked = runtime.block_on(check::cluster(&config, coloured));
    match print(&checked.text) {
        code if checked.is_missing || code != ExitCode::SUCCESS => ExitCode::FAILURE,
        code => code,
    }
}

fn load(path: &Path) -> Result<Config, ExitCode> {
    config::load(path, config::environment()).map_err(|error| complain(&error))
}

fn complain(error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "pgherd: {error}");
    ExitCode::from(MISCONFIGURED)
}

/// To stdout; a reader that has gone (`| head`) is no failure of ours.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    config::parse_time(text)
        .filter(|time| !time.is_zero())
        .ok_or("a time is a whole number and its unit, such as 500ms, 20s or 5m")
}

fn role(name: &str) -> Result<String, &'static str> {
    valid_role(name).map(|()| name.to_owned())
}

// === impl DemoOptions ===

impl From<DemoOptions> for demo::Options {
    fn from(options: DemoOptions) -> Self {
        let DemoOptions { dir, port, keep, no_workload, duration } = options;
        Self { dir, port, keep, workload: !no_workload, duration }
    }
}

// === impl SetupOptions ===

impl SetupOptions {
    fn text(self) -> String {
        match self.query {
            true => format!("{LOOKUP_QUERY}\n"),
            false => setup_sql(&SetupSql {
                user: self.user,
                allow_superusers: self.allow_superusers,
                failover: self.failover,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
