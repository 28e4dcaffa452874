//! What the demo cluster is configured with: settings, access rules, roles. Texts only.

use std::path::Path;

use super::proxy::Ports;
use super::site::Passwords;
use crate::setup_sql::{SetupSql, setup_sql};

/// The user of `psql` below, of pg_hba rules and of setup: initdb's superuser.
pub const SUPERUSER: &str = "postgres";
pub const REPLICATION: &str = "replicator";
pub const MONITOR: &str = "pgherd";
pub const APP: &str = "app";
pub const ADMIN: &str = "admin";

/// A primary that is gone is noticed in a fraction of a second.
const QUICK_PROBES: &str = "interval = \"100ms\"\ntimeout = \"250ms\"\n";

/// Nothing acknowledged is lost: each node names the others as its synchronous standbys.
const FAILOVER: &str = "
[failover]
mode = \"automatic\"
durability = \"quorum\"
pause = \"0\"
";

/// `synchronous_standby_names` of a node, for when it is the primary.
pub fn quorum(others: &[&str]) -> String {
    format!("synchronous_standby_names = 'ANY 1 ({})'\n", others.join(", "))
}

/// Included by each node's postgresql.conf, after which it may change.
pub const CONF_FILE: &str = "pgherd-demo.conf";

/// Quicker. `full_page_writes` stays on: a base backup of a standby wants it.
pub const NOT_DURABLE: &str = "fsync = off\n";
/// A node killed with -9 and never started again would leave its segments in /dev/shm.
pub const NOTHING_OUTSIDE: &str = "dynamic_shared_memory_type = mmap\n";

/// `sockets`: none if the path would be too long for a Unix socket.
pub fn conf(name: &str, port: u16, sockets: Option<&Path>, more: &[String]) -> String {
    let sockets = sockets.map(|dir| dir.display().to_string().replace('\'', "''")).unwrap_or_default();
    let mut conf = format!(
        "\
cluster_name = '{name}'
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 200
password_encryption = 'scram-sha-256'
wal_level = replica
max_wal_senders = 20
wal_keep_size = '128MB'
wal_log_hints = on
hot_standby = on
# A demo restarts nodes: look for the upstream more often than each 5 s, report to it each second.
wal_retrieve_retry_interval = '1s'
wal_receiver_status_interval = '1s'
wal_receiver_timeout = '2s'
hot_standby_feedback = on
log_line_prefix = '%m [%p] %q%a %u@%d '
"
    );
    for line in more {
        conf += line;
        conf.push('\n');
    }
    conf
}

/// Passwords for all, replication included; `first` wins over the rest.
pub fn hba(first: &[String]) -> String {
    let rules = [
        "local  all          all                scram-sha-256",
        "host   all          all  127.0.0.1/32  scram-sha-256",
        "host   replication  all  127.0.0.1/32  scram-sha-256",
    ];
    let mut text = String::new();
    for rule in first.iter().map(String::as_str).chain(rules) {
        text += rule;
        text.push('\n');
    }
    text
}

/// libpq's password file: what pg_basebackup and the standbys log in with.
pub fn passfile(passwords: &Passwords) -> String {
    format!("127.0.0.1:*:*:{REPLICATION}:{}\n", passwords.replication.expose())
}

/// For psql, in database `postgres` of the primary, as the superuser. The passwords need no quoting.
pub fn roles(passwords: &Passwords) -> String {
    format!(
        "\
CREATE ROLE {REPLICATION} LOGIN REPLICATION PASSWORD '{replication}';
CREATE ROLE {APP} LOGIN CREATEDB PASSWORD '{app}';
CREATE DATABASE {APP} OWNER {APP};
{monitor_and_lookup}
ALTER ROLE {MONITOR} PASSWORD '{monitor}';
",
        replication = passwords.replication.expose(),
        app = passwords.app.expose(),
        monitor = passwords.monitor.expose(),
        monitor_and_lookup = setup_sql(&SetupSql { user: MONITOR.into(), allow_superusers: false, failover: true }),
    )
}

/// proxy.toml for these nodes, in order: (name, host, port).
pub fn proxy_config<'a>(
    nodes: impl IntoIterator<Item = (&'a str, &'a str, u16)>,
    passwords: &Passwords,
    ports: Ports,
    failover: bool,
) -> String {
    let mut text = format!("[listen]\nhost = \"127.0.0.1\"\nport = {}\n", ports.clients);
    for (name, host, port) in nodes {
        text += &format!("\n[[node]]\nname = \"{name}\"\nhost = \"{host}\"\nport = {port}\n");
    }
    text + &format!(
        "
[monitor]
user = \"{MONITOR}\"
password = \"{monitor}\"
database = \"postgres\"
{quick}
# {APP} is not here: it proves itself with its password in PostgreSQL. {ADMIN} is no role of PostgreSQL.
[[user]]
name = \"{ADMIN}\"
password = \"{admin}\"

[admin]
users = [\"{ADMIN}\"]

[http]
host = \"127.0.0.1\"
port = {http}
{failover}",
        quick = if failover { QUICK_PROBES } else { "" },
        failover = if failover { FAILOVER } else { "" },
        monitor = passwords.monitor.expose(),
        admin = passwords.admin.expose(),
        http = ports.http,
    )
}
