//! Every default, in one place. proxy.toml shows the same ones; a test holds them equal.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{
    Admin, Auth, AuthMethod, Config, Consistency, Durability, Failover, FailoverMode, Hooks, Http, Limits, Listen, Log,
    LogFormat, Monitor, Outcome, Pool, PoolMode, Routing, Secret, Transactions, WeakerCommit, units,
};
use crate::setup_sql::LOOKUP_QUERY;

pub(super) const NODE_PORT: u16 = 5432;

/// PostgreSQL's max_connections is 100: the rest is for superusers, the monitor and replication.
pub(super) const NODE_MAX_SERVERS: usize = 90;
pub(super) const NODE_WEIGHT: u32 = 100;

/// All of them, and no node.
pub(super) fn config() -> Config {
    Config {
        listen: Listen::default(),
        workers: 0,
        nodes: Vec::new(),
        pool: Pool::default(),
        routing: Routing::default(),
        monitor: Monitor::default(),
        failover: Failover::default(),
        auth: Auth::default(),
        users: Vec::new(),
        databases: Vec::new(),
        admin: Admin::default(),
        limits: Limits::default(),
        http: Http::default(),
        log: Log::default(),
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Fewer workers are cheaper per query, and one relays some 60,000 transactions a second; the other half of the cores
/// is for PostgreSQL when it lives on the same machine.
pub(super) fn workers(cores: usize) -> usize {
    if cores <= 2 { 1 } else { (cores / 2).min(8) }
}

impl Default for Listen {
    fn default() -> Self {
        Self { host: LOOPBACK, port: 6432, backlog: 1024 }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            mode: PoolMode::Transaction,
            size: 20,
            min_size: 0,
            max_waiting: 10_000,
            wait_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(10 * 60),
            lifetime: Duration::from_secs(60 * 60),
            prepared_statements: 500,
        }
    }
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            split: true,
            transactions: Transactions::Strict,
            consistency: Consistency::Session,
            max_lag: Duration::from_secs(10),
            max_lag_bytes: 64 * 1024 * units::KIB,
            slow_start: Duration::from_secs(10),
            primary_weight: 0,
            zone: String::new(),
            catalog: true,
            catalog_refresh: Duration::from_secs(10),
            catalog_timeout: Duration::from_secs(10),
            max_catalog_bytes: 64 * 1024 * units::KIB,
            retry_deadline: Duration::from_secs(5),
            notice: false,
            max_classified_bytes: 32 * units::KIB,
            cache_entries: 4096,
            max_shapes: 500,
        }
    }
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            user: "pgherd".to_owned(),
            password: Secret::default(),
            database: "postgres".to_owned(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            write_interval: Duration::from_millis(50),
            failures: 2,
        }
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            mode: FailoverMode::Off,
            durability: Durability::Async,
            grace: Duration::from_secs(1),
            witnesses: 0,
            pause: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            state_file: "pgherd.state".to_owned(),
            hold_timeout: Duration::from_secs(10),
            max_held: 10_000,
            max_held_bytes: 64 * 1024 * units::KIB,
            outcome: Outcome::Unknown,
            weaker_commit: WeakerCommit::Refuse,
            hooks: Hooks { timeout: Duration::from_secs(10), ..Hooks::default() },
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            method: AuthMethod::ScramSha256,
            lookup: true,
            query: LOOKUP_QUERY.to_owned(),
            database: "postgres".to_owned(),
            cache_ttl: Duration::from_secs(30),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            login_timeout: Duration::from_secs(15),
            max_startup_bytes: 10_000,
            max_login_message_bytes: 64 * units::KIB,
            max_statement_bytes: 1024 * units::KIB,
            max_client_statements: 10_000,
            max_client_statement_bytes: 64 * 1024 * units::KIB,
            buffer_bytes: 16 * units::KIB,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { enabled: true, host: LOOPBACK, port: 9187 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned(), slow_statement: Duration::from_secs(1) }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn small_machines_get_one_worker_and_none_gets_more_than_eight() {
        let workers: Vec<usize> = [1, 2, 3, 4, 8, 16, 64].into_iter().map(super::workers).collect();
        assert_eq!(workers, [1, 1, 1, 2, 4, 8, 8]);
    }
}
