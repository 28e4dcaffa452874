//! The resolved configuration as keys and values. Secrets are masked here, once, for all who show it.

use std::time::Duration;

use super::{Config, Secret, defaults, units};

pub(super) enum Shown {
    Text(String),
    Number(u64),
    Flag(bool),
    Names(Vec<String>),
    Secret(String),
}

/// The keys of a section, in the order of proxy.toml.
pub(super) type Entries = Vec<(&'static str, Shown)>;

/// Name and entries of each `[section]`, in the order of proxy.toml; the first has no name.
pub(super) fn sections(config: &Config) -> Vec<(&'static str, Entries)> {
    vec![
        ("", vec![("workers", number(config.workers))]),
        ("listen", listen(&config.listen)),
        ("pool", pool(&config.pool)),
        ("routing", routing(&config.routing)),
        ("monitor", monitor(&config.monitor)),
        ("failover", failover(&config.failover)),
        ("auth", auth(&config.auth)),
        ("admin", admin(&config.admin)),
        ("limits", limits(&config.limits)),
        ("http", http(&config.http)),
        ("log", log(&config.log)),
    ]
}

/// May the value of this key be quoted in a message, whoever reads it? Not so for passwords, and for names unknown here:
/// `pasword` holds one too.
pub(super) fn is_plain_key(key: &str) -> bool {
    let key = key.trim_matches(['"', '\'']);
    let key = key.rsplit('.').next().unwrap_or(key).trim();
    ["name", "host", "port", "max_servers", "weight", "zone", "password_file"].contains(&key)
        || sections(&defaults::config())
            .iter()
            .flat_map(|(_, keys)| keys)
            .any(|(known, _)| *known == key && key != "password")
}

/// `[pool]` … : the sections that have a key of this name.
pub(super) fn sections_with(key: &str) -> Vec<String> {
    let has_key = |entries: &Entries| entries.iter().any(|(known, _)| *known == key);
    let sections = sections(&defaults::config()).into_iter();
    sections.filter(|(name, keys)| !name.is_empty() && has_key(keys)).map(|(name, _)| format!("[{name}]")).collect()
}

pub(super) fn node(node: &super::Node) -> Entries {
    vec![
        ("name", node.name.as_str().into()),
        ("host", node.host.as_str().into()),
        ("port", Shown::Number(node.port.into())),
        ("max_servers", number(node.max_servers)),
        ("weight", Shown::Number(node.weight.into())),
        ("zone", node.zone.as_str().into()),
    ]
}

pub(super) fn user(user: &super::User) -> Entries {
    let mut entries = vec![("name", user.name.as_str().into()), ("password", (&user.password).into())];
    entries.extend(overrides(user.reads));
    entries
}

pub(super) fn database(database: &super::Database) -> Entries {
    let mut entries = vec![("name", database.name.as_str().into())];
    entries.extend(overrides(database.reads));
    entries
}

fn overrides(reads: super::Overrides) -> impl Iterator<Item = (&'static str, Shown)> {
    let split = reads.split.map(|split| ("split", Shown::Flag(split)));
    split.into_iter().chain(reads.consistency.map(|consistency| ("consistency", consistency.as_str().into())))
}

fn listen(listen: &super::Listen) -> Entries {
    vec![
        ("host", Shown::Text(listen.host.to_string())),
        ("port", Shown::Number(listen.port.into())),
        ("backlog", Shown::Number(listen.backlog.into())),
    ]
}

fn pool(pool: &super::Pool) -> Entries {
    vec![
        ("mode", pool.mode.as_str().into()),
        ("size", number(pool.size)),
        ("min_size", number(pool.min_size)),
        ("max_waiting", number(pool.max_waiting)),
        ("wait_timeout", time(pool.wait_timeout)),
        ("connect_timeout", time(pool.connect_timeout)),
        ("idle_timeout", time(pool.idle_timeout)),
        ("lifetime", time(pool.lifetime)),
        ("prepared_statements", number(pool.prepared_statements)),
    ]
}

fn routing(routing: &super::Routing) -> Entries {
    vec![
        ("split", Shown::Flag(routing.split)),
        ("transactions", routing.transactions.as_str().into()),
        ("consistency", routing.consistency.as_str().into()),
        ("max_lag", time(routing.max_lag)),
        ("max_lag_bytes", size(routing.max_lag_bytes)),
        ("slow_start", time(routing.slow_start)),
        ("primary_weight", Shown::Number(routing.primary_weight.into())),
        ("zone", routing.zone.as_str().into()),
        ("catalog", Shown::Flag(routing.catalog)),
        ("catalog_refresh", time(routing.catalog_refresh)),
        ("catalog_timeout", time(routing.catalog_timeout)),
        ("max_catalog_bytes", size(routing.max_catalog_bytes)),
        ("retry_deadline", time(routing.retry_deadline)),
        ("notice", Shown::Flag(routing.notice)),
        ("max_classified_bytes", size(routing.max_classified_bytes)),
        ("cache_entries", number(routing.cache_entries)),
        ("max_shapes", number(routing.max_shapes)),
    ]
}

fn monitor(monitor: &super::Monitor) -> Entries {
    vec![
        ("user", monitor.user.as_str().into()),
        ("password", (&monitor.password).into()),
        ("database", monitor.database.as_str().into()),
        ("interval", time(monitor.interval)),
        ("write_interval", time(monitor.write_interval)),
        ("timeout", time(monitor.timeout)),
        ("failures", Shown::Number(monitor.failures.into())),
    ]
}

fn failover(failover: &super::Failover) -> Entries {
    vec![
        ("mode", failover.mode.as_str().into()),
        ("durability", failover.durability.as_str().into()),
        ("grace", time(failover.grace)),
        ("witnesses", Shown::Number(failover.witnesses.into())),
        ("pause", time(failover.pause)),
        ("drain", time(failover.drain)),
        ("state_file", failover.state_file.as_str().into()),
        ("hold_timeout", time(failover.hold_timeout)),
        ("max_held", number(failover.max_held)),
        ("max_held_bytes", size(failover.max_held_bytes)),
        ("outcome", failover.outcome.as_str().into()),
        ("weaker_commit", failover.weaker_commit.as_str().into()),
        ("on_failover", Shown::Names(failover.hooks.on_failover.clone())),
        ("fence", Shown::Names(failover.hooks.fence.clone())),
        ("promote", Shown::Names(failover.hooks.promote.clone())),
        ("on_promote", Shown::Names(failover.hooks.on_promote.clone())),
        ("hook_timeout", time(failover.hooks.timeout)),
    ]
}

fn auth(auth: &super::Auth) -> Entries {
    vec![
        ("method", auth.method.as_str().into()),
        ("lookup", Shown::Flag(auth.lookup)),
        ("query", auth.query.as_str().into()),
        ("database", auth.database.as_str().into()),
        ("cache_ttl", time(auth.cache_ttl)),
    ]
}

fn admin(admin: &super::Admin) -> Entries {
    vec![("users", Shown::Names(admin.users.clone()))]
}

fn limits(limits: &super::Limits) -> Entries {
    vec![
        ("max_clients", number(limits.max_clients)),
        ("login_timeout", time(limits.login_timeout)),
        ("max_startup_bytes", size(limits.max_startup_bytes)),
        ("max_login_message_bytes", size(limits.max_login_message_bytes)),
        ("max_statement_bytes", size(limits.max_statement_bytes)),
        ("max_client_statements", number(limits.max_client_statements)),
        ("max_client_statement_bytes", size(limits.max_client_statement_bytes)),
        ("buffer_bytes", size(limits.buffer_bytes)),
        ("drain_timeout", time(limits.drain_timeout)),
    ]
}

fn http(http: &super::Http) -> Entries {
    vec![
        ("enabled", Shown::Flag(http.enabled)),
        ("host", Shown::Text(http.host.to_string())),
        ("port", Shown::Number(http.port.into())),
    ]
}

fn log(log: &super::Log) -> Entries {
    vec![
        ("format", log.format.as_str().into()),
        ("level", log.level.as_str().into()),
        ("slow_statement", time(log.slow_statement)),
    ]
}

fn number(number: usize) -> Shown {
    Shown::Number(number as u64)
}

fn time(time: Duration) -> Shown {
    Shown::Text(units::format_time(time))
}

fn size(bytes: usize) -> Shown {
    units::format_size(bytes as u64).map_or_else(|| number(bytes), Shown::Text)
}

// === impl Shown ===

impl Shown {
    pub(super) fn plain(self) -> String {
        match self {
            Shown::Text(text) | Shown::Secret(text) => text,
            Shown::Number(number) => number.to_string(),
            Shown::Flag(flag) => flag.to_string(),
            Shown::Names(names) => names.join(","),
        }
    }

    pub(super) fn toml(self) -> toml::Value {
        match self {
            Shown::Text(text) | Shown::Secret(text) => text.into(),
            // No number of ours is near 2^63: `resolve` bounds them all.
            Shown::Number(number) => i64::try_from(number).unwrap_or(i64::MAX).into(),
            Shown::Flag(flag) => flag.into(),
            Shown::Names(names) => names.into(),
        }
    }
}

impl From<&Secret> for Shown {
    fn from(secret: &Secret) -> Self {
        Shown::Secret(secret.to_string())
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Shown::Text(text.to_owned())
    }
}
