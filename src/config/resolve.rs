//! `Raw` → `Config`: every key gets a value, every value is checked, once.

use std::time::Duration;

use super::error::ConfigError;
use super::overrides;
use super::raw::{self, Raw, Value};
use super::reader::{Reader, is_name};
use super::users;
use super::{
    Admin, Auth, AuthMethod, Config, Consistency, Durability, Failover, FailoverMode, Hooks, Http, Limits, Listen, Log,
    LogFormat, Monitor, Node, Outcome, Pool, PoolMode, Routing, Transactions, WeakerCommit, defaults,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// `NodeId` would hold more; a cluster of physical standbys does not.
const MAX_NODES: usize = 64;

/// `cores`: what the default of `workers` depends on.
pub(super) fn resolve(raw: Raw, reader: &Reader<'_>, cores: usize) -> Result<Config, ConfigError> {
    let auth = auth(raw.auth, reader)?;
    let config = Config {
        listen: listen(raw.listen, reader)?,
        workers: match reader.number("workers", raw.workers, 0, 0..=256)? {
            0 => defaults::workers(cores),
            workers => workers,
        },
        nodes: nodes(raw.node, reader)?,
        pool: pool(raw.pool, reader)?,
        routing: routing(raw.routing, reader)?,
        monitor: monitor(raw.monitor, reader)?,
        failover: failover(raw.failover, reader)?,
        users: users::users(raw.user, &auth, reader)?,
        databases: overrides::databases(raw.database, reader)?,
        auth,
        admin: admin(raw.admin, reader)?,
        limits: limits(raw.limits, reader)?,
        http: http(raw.http, reader)?,
        log: log(raw.log, reader)?,
    };
    check_ports(&config, reader)?;
    Ok(config)
}

fn check_ports(config: &Config, reader: &Reader<'_>) -> Result<(), ConfigError> {
    let Config { listen, http, .. } = config;
    if !http.enabled || http.port == 0 || (http.host, http.port) != (listen.host, listen.port) {
        return Ok(());
    }
    let (path, other) =
        if reader.is_given("http.port") { ("http.port", "listen.port") } else { ("listen.port", "http.port") };
    let problem = format!("{path} = {} is {other} ({}) too", http.port, reader.origin(other));
    Err(reader.error(path, problem).allowed("a port for each, or http.enabled = false"))
}

fn listen(raw: raw::Listen, r: &Reader<'_>) -> Result<Listen, ConfigError> {
    let d = Listen::default();
    Ok(Listen {
        host: r.address("listen.host", raw.host, d.host)?,
        port: r.number("listen.port", raw.port, d.port, 0..=65535)?,
        backlog: r.number("listen.backlog", raw.backlog, d.backlog, 1..=65535)?,
    })
}

fn nodes(raw: Vec<raw::Node>, r: &Reader<'_>) -> Result<Vec<Node>, ConfigError> {
    let mut nodes: Vec<Node> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let node = node(index, raw, r)?;
        for (other, earlier) in nodes.iter().enumerate() {
            if earlier.name == node.name {
                let first = r.origin(&format!("node.{other}.name"));
                let problem = format!("two nodes are named \"{}\" (the first: {first})", node.name);
                return Err(r.error(&format!("node.{index}.name"), problem).allowed("a name for each node"));
            }
            if (&earlier.host, earlier.port) == (&node.host, node.port) {
                let first = r.origin(&format!("node.{other}.host"));
                let Node { name, host, port, .. } = &node;
                let problem =
                    format!("node \"{name}\" is \"{}\" ({first}) again: both are {host}:{port}", earlier.name);
                return Err(r.error(&format!("node.{index}.host"), problem).allowed("a host and port for each node"));
            }
        }
        nodes.push(node);
    }
    if nodes.is_empty() {
        let example = "add one, such as\n\n   [[node]]\n   name = \"pg1\"\n   host = \"10.0.0.1\"\n";
        return Err(
            ConfigError::new(&r.source.name, "there is no [[node]]: the proxy needs a PostgreSQL").hint(example)
        );
    }
    if nodes.len() > MAX_NODES {
        let problem = format!("{} nodes are too many", nodes.len());
        return Err(r.error(&format!("node.{MAX_NODES}"), problem).allowed(&format!("at most {MAX_NODES}")));
    }
    Ok(nodes)
}

fn node(index: usize, raw: raw::Node, r: &Reader<'_>) -> Result<Node, ConfigError> {
    let section = format!("node.{index}");
    let path = |key: &str| format!("{section}.{key}");
    let name = match r.required(&section, "name", raw.name)? {
        Value::Text(name) if is_node_name(&name) => name,
        value => {
            return Err(r.refuse(&path("name"), &value, "1 to 63 letters, digits, `_`, `-` and `.`, such as \"pg1\""));
        }
    };
    let host = match r.required(&section, "host", raw.host)? {
        Value::Text(host) if is_host(&host) => host,
        value => {
            let error = r.refuse(&path("host"), &value, "a host name or an IP address, such as \"10.0.0.1\"");
            let with_port = matches!(&value, Value::Text(text) if text.matches(':').count() == 1);
            return Err(if with_port { error.hint("the port is a key of its own: port = 5432") } else { error });
        }
    };
    Ok(Node {
        name,
        host,
        port: r.number(&path("port"), raw.port, defaults::NODE_PORT, 1..=65535)?,
        max_servers: r.number(&path("max_servers"), raw.max_servers, defaults::NODE_MAX_SERVERS, 1..=100_000)?,
        weight: r.number(&path("weight"), raw.weight, defaults::NODE_WEIGHT, 0..=10_000)?,
        zone: r.label(&path("zone"), raw.zone)?,
    })
}

fn is_node_name(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn is_host(host: &str) -> bool {
    match host.contains(':') {
        true => host.parse::<std::net::Ipv6Addr>().is_ok(),
        false => is_name(host) && host.len() <= 253 && !host.contains([' ', '/', '@', ',']),
    }
}

fn pool(raw: raw::Pool, r: &Reader<'_>) -> Result<Pool, ConfigError> {
    let d = Pool::default();
    let pool = Pool {
        mode: r.choice("pool.mode", raw.mode, d.mode, &PoolMode::ALL, PoolMode::as_str)?,
        size: r.number("pool.size", raw.size, d.size, 1..=100_000)?,
        min_size: r.number("pool.min_size", raw.min_size, d.min_size, 0..=100_000)?,
        max_waiting: r.number("pool.max_waiting", raw.max_waiting, d.max_waiting, 0..=1_000_000)?,
        wait_timeout: r.time("pool.wait_timeout", raw.wait_timeout, d.wait_timeout, MS, None)?,
        connect_timeout: r.time("pool.connect_timeout", raw.connect_timeout, d.connect_timeout, MS, None)?,
        idle_timeout: r.time("pool.idle_timeout", raw.idle_timeout, d.idle_timeout, SECOND, Some("never"))?,
        lifetime: r.time("pool.lifetime", raw.lifetime, d.lifetime, SECOND, Some("never"))?,
        prepared_statements: r.number(
            "pool.prepared_statements",
            raw.prepared_statements,
            d.prepared_statements,
            1..=100_000,
        )?,
    };
    if pool.min_size > pool.size {
        let (size, origin) = (pool.size, r.origin("pool.size"));
        let problem = format!("pool.min_size = {} is more than pool.size = {size} ({origin})", pool.min_size);
        return Err(r.error("pool.min_size", problem).allowed(&format!("0 to {size}")));
    }
    Ok(pool)
}

fn routing(raw: raw::Routing, r: &Reader<'_>) -> Result<Routing, ConfigError> {
    let d = Routing::default();
    Ok(Routing {
        split: r.flag("routing.split", raw.split, d.split)?,
        transactions: r.choice(
            "routing.transactions",
            raw.transactions,
            d.transactions,
            &Transactions::ALL,
            Transactions::as_str,
        )?,
        consistency: r.choice(
            "routing.consistency",
            raw.consistency,
            d.consistency,
            &Consistency::ALL,
            Consistency::as_str,
        )?,
        max_lag: r.time("routing.max_lag", raw.max_lag, d.max_lag, MS, Some("no limit"))?,
        max_lag_bytes: r.size("routing.max_lag_bytes", raw.max_lag_bytes, d.max_lag_bytes, 0..=1 << 50)?,
        slow_start: r.time("routing.slow_start", raw.slow_start, d.slow_start, MS, Some("all of it at once"))?,
        primary_weight: r.number("routing.primary_weight", raw.primary_weight, d.primary_weight, 0..=10_000)?,
        zone: r.label("routing.zone", raw.zone)?,
        catalog: r.flag("routing.catalog", raw.catalog, d.catalog)?,
        catalog_refresh: r.time("routing.catalog_refresh", raw.catalog_refresh, d.catalog_refresh, 100 * MS, None)?,
        catalog_timeout: r.time("routing.catalog_timeout", raw.catalog_timeout, d.catalog_timeout, MS, None)?,
        max_catalog_bytes: r.size(
            "routing.max_catalog_bytes",
            raw.max_catalog_bytes,
            d.max_catalog_bytes,
            1 << 20..=1 << 32,
        )?,
        retry_deadline: r.time("routing.retry_deadline", raw.retry_deadline, d.retry_deadline, MS, Some("never"))?,
        notice: r.flag("routing.notice", raw.notice, d.notice)?,
        // Not more: the parser's trees are as deep as a text is long, and overflow the stack from some 70 kB on.
        max_classified_bytes: r.size(
            "routing.max_classified_bytes",
            raw.max_classified_bytes,
            d.max_classified_bytes,
            0..=32768,
        )?,
        cache_entries: r.number("routing.cache_entries", raw.cache_entries, d.cache_entries, 1..=10_000_000)?,
        max_shapes: r.number("routing.max_shapes", raw.max_shapes, d.max_shapes, 0..=10_000)?,
    })
}

fn monitor(raw: raw::Monitor, r: &Reader<'_>) -> Result<Monitor, ConfigError> {
    let d = Monitor::default();
    Ok(Monitor {
        user: r.text("monitor.user", raw.user, &d.user)?,
        password: r.secret("monitor", raw.password, raw.password_file)?,
        database: r.text("monitor.database", raw.database, &d.database)?,
        interval: r.time("monitor.interval", raw.interval, d.interval, 10 * MS, None)?,
        write_interval: r.time("monitor.write_interval", raw.write_interval, d.write_interval, 10 * MS, None)?,
        timeout: r.time("monitor.timeout", raw.timeout, d.timeout, 10 * MS, None)?,
        failures: r.number("monitor.failures", raw.failures, d.failures, 1..=1000)?,
    })
}

fn failover(raw: raw::Failover, r: &Reader<'_>) -> Result<Failover, ConfigError> {
    let d = Failover::default();
    let durability = raw.durability;
    Ok(Failover {
        mode: r.choice("failover.mode", raw.mode, d.mode, &FailoverMode::ALL, FailoverMode::as_str)?,
        durability: r.choice("failover.durability", durability, d.durability, &Durability::ALL, Durability::as_str)?,
        grace: r.time("failover.grace", raw.grace, d.grace, MS, Some("promote at once"))?,
        witnesses: r.number("failover.witnesses", raw.witnesses, d.witnesses, 0..=MAX_NODES as u64)?,
        pause: r.time("failover.pause", raw.pause, d.pause, SECOND, Some("never wait"))?,
        drain: r.time("failover.drain", raw.drain, d.drain, MS, Some("end running transactions at once"))?,
        state_file: r.text("failover.state_file", raw.state_file, &d.state_file)?,
        hold_timeout: r.time("failover.hold_timeout", raw.hold_timeout, d.hold_timeout, MS, None)?,
        max_held: r.number("failover.max_held", raw.max_held, d.max_held, 0..=1_000_000)?,
        max_held_bytes: r.size("failover.max_held_bytes", raw.max_held_bytes, d.max_held_bytes, 0..=64 << 30)?,
        outcome: r.choice("failover.outcome", raw.outcome, d.outcome, &Outcome::ALL, Outcome::as_str)?,
        weaker_commit: r.choice(
            "failover.weaker_commit",
            raw.weaker_commit,
            d.weaker_commit,
            &WeakerCommit::ALL,
            WeakerCommit::as_str,
        )?,
        hooks: Hooks {
            on_failover: r.names("failover.on_failover", raw.on_failover, Vec::new())?,
            fence: r.names("failover.fence", raw.fence, Vec::new())?,
            promote: r.names("failover.promote", raw.promote, Vec::new())?,
            on_promote: r.names("failover.on_promote", raw.on_promote, Vec::new())?,
            timeout: r.time("failover.hook_timeout", raw.hook_timeout, d.hooks.timeout, 100 * MS, None)?,
        },
    })
}

fn auth(raw: raw::Auth, r: &Reader<'_>) -> Result<Auth, ConfigError> {
    let d = Auth::default();
    let query = match raw.query {
        None => d.query,
        Some(Value::Text(query)) if query.contains("$1") && !query.contains("$2") && !query.contains('\0') => query,
        Some(value) => {
            let allowed = "a SELECT of (user name, verifier) for the user name $1, its only parameter";
            return Err(r.refuse("auth.query", &value, allowed));
        }
    };
    Ok(Auth {
        method: r.choice("auth.method", raw.method, d.method, &AuthMethod::ALL, AuthMethod::as_str)?,
        lookup: r.flag("auth.lookup", raw.lookup, d.lookup)?,
        query,
        database: r.text("auth.database", raw.database, &d.database)?,
        cache_ttl: r.time("auth.cache_ttl", raw.cache_ttl, d.cache_ttl, MS, Some("ask at every login"))?,
    })
}

fn admin(raw: raw::Admin, r: &Reader<'_>) -> Result<Admin, ConfigError> {
    Ok(Admin { users: r.names("admin.users", raw.users, Admin::default().users)? })
}

fn limits(raw: raw::Limits, r: &Reader<'_>) -> Result<Limits, ConfigError> {
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;
    let d = Limits::default();
    let statements = raw.max_client_statements;
    Ok(Limits {
        max_clients: r.number("limits.max_clients", raw.max_clients, d.max_clients, 1..=1_000_000)?,
        login_timeout: r.time("limits.login_timeout", raw.login_timeout, d.login_timeout, 100 * MS, None)?,
        // PostgreSQL's own limit (MAX_STARTUP_PACKET_LENGTH) is the most that could be passed on.
        max_startup_bytes: r.size(
            "limits.max_startup_bytes",
            raw.max_startup_bytes,
            d.max_startup_bytes,
            256..=10_000,
        )?,
        max_login_message_bytes: r.size(
            "limits.max_login_message_bytes",
            raw.max_login_message_bytes,
            d.max_login_message_bytes,
            1024..=MIB,
        )?,
        max_statement_bytes: r.size(
            "limits.max_statement_bytes",
            raw.max_statement_bytes,
            d.max_statement_bytes,
            1024..=GIB,
        )?,
        max_client_statements: r.number(
            "limits.max_client_statements",
            statements,
            d.max_client_statements,
            1..=1_000_000,
        )?,
        max_client_statement_bytes: r.size(
            "limits.max_client_statement_bytes",
            raw.max_client_statement_bytes,
            d.max_client_statement_bytes,
            1024..=64 * GIB,
        )?,
        buffer_bytes: r.size("limits.buffer_bytes", raw.buffer_bytes, d.buffer_bytes, 4096..=MIB)?,
        drain_timeout: r.time(
            "limits.drain_timeout",
            raw.drain_timeout,
            d.drain_timeout,
            MS,
            Some("wait for nobody"),
        )?,
    })
}

fn http(raw: raw::Http, r: &Reader<'_>) -> Result<Http, ConfigError> {
    let d = Http::default();
    Ok(Http {
        enabled: r.flag("http.enabled", raw.enabled, d.enabled)?,
        host: r.address("http.host", raw.host, d.host)?,
        port: r.number("http.port", raw.port, d.port, 0..=65535)?,
    })
}

fn log(raw: raw::Log, r: &Reader<'_>) -> Result<Log, ConfigError> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let d = Log::default();
    let level = r.text("log.level", raw.level, &d.level)?;
    for directive in level.split(',') {
        let word = directive.rsplit('=').next().unwrap_or(directive).trim();
        if !LEVELS.contains(&word) {
            let allowed = "off, error, warn, info, debug, trace, or by module: \"info,pgherd::monitor=debug\"";
            return Err(r.refuse("log.level", &Value::Text(level.clone()), allowed).did_you_mean(word, LEVELS));
        }
    }
    Ok(Log {
        format: r.choice("log.format", raw.format, d.format, &LogFormat::ALL, LogFormat::as_str)?,
        level,
        slow_statement: r.time("log.slow_statement", raw.slow_statement, d.slow_statement, MS, Some("log none"))?,
    })
}
