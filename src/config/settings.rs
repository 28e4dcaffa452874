//! The resolved configuration, flat: for `SHOW CONFIG` and `pgherd check`. Secrets are masked here and nowhere else.

use std::fmt::Write;
use std::time::Duration;

use super::{AuthMethod, Config, Secret, defaults, units};

/// One line of `SHOW CONFIG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `pool.size`, `node.pg1.port`
    pub key: String,
    /// Secrets are `********`.
    pub value: String,
    /// Empty where there is none.
    pub default: String,
    /// A reload applies it; what else is changed in the file waits for a restart.
    pub changeable: bool,
}

enum Shown {
    Text(String),
    Number(u64),
    Flag(bool),
    Names(Vec<String>),
    Secret(String),
}

type Entries = Vec<(&'static str, Shown)>;

// === impl Config ===

impl Config {
    /// Every key with its value, in the order of proxy.toml.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        for ((section, entries), (_, defaults)) in sections(self).into_iter().zip(sections(&defaults::config())) {
            for ((key, value), (_, default)) in entries.into_iter().zip(defaults) {
                let key = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
                let changeable = is_changeable(&key);
                settings.push(Setting { key, value: value.plain(), default: default.plain(), changeable });
            }
        }
        let lists = self.nodes.iter().map(|node| ("node", &node.name, self::node(node)));
        let lists = lists.chain(self.users.iter().map(|user| ("user", &user.name, self::user(user))));
        for (list, name, entries) in lists {
            for (key, value) in entries.into_iter().filter(|(key, _)| *key != "name") {
                let default = match key {
                    "port" => defaults::NODE_PORT.to_string(),
                    "max_servers" => defaults::NODE_MAX_SERVERS.to_string(),
                    _ => String::new(),
                };
                let changeable = list == "user";
                settings.push(Setting {
                    key: format!("{list}.{name}.{key}"),
                    value: value.plain(),
                    default,
                    changeable,
                });
            }
        }
        settings
    }

    /// The whole configuration as TOML, every key written out, secrets as `********`.
    pub fn to_toml_masked(&self) -> String {
        let mut text = String::new();
        let mut add = |header: &str, entries: Entries| {
            if !header.is_empty() {
                text += &format!("\n{header}\n");
            }
            for (key, value) in entries {
                let _ = writeln!(text, "{key} = {}", value.toml());
            }
        };
        for (section, entries) in sections(self) {
            add(&if section.is_empty() { String::new() } else { format!("[{section}]") }, entries);
        }
        self.nodes.iter().for_each(|node| add("[[node]]", self::node(node)));
        self.users.iter().for_each(|user| add("[[user]]", self::user(user)));
        text
    }

    /// What is allowed, but worth a second look: one sentence each, for `check` and the log.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.monitor.password.is_empty() {
            notes.push(format!(
                "monitor.password is empty: probes work only where PostgreSQL trusts the role \"{}\"",
                self.monitor.user
            ));
        }
        if self.auth.method == AuthMethod::Trust {
            notes.push(
                "auth.method is \"trust\": whoever reaches the port is let in as whatever user he names".to_owned(),
            );
        }
        if !self.auth.lookup && self.users.is_empty() && self.auth.method != AuthMethod::Trust {
            notes.push("auth.lookup is off and there is no [[user]]: nobody can log in".to_owned());
        }
        if self.admin.users.is_empty() {
            notes.push("admin.users is empty: nobody can use the admin console".to_owned());
        }
        notes
    }
}

// === impl Shown ===

impl Shown {
    fn plain(self) -> String {
        match self {
            Shown::Text(text) | Shown::Secret(text) => text,
            Shown::Number(number) => number.to_string(),
            Shown::Flag(flag) => flag.to_string(),
            Shown::Names(names) => names.join(","),
        }
    }

    fn toml(self) -> toml::Value {
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

/// May the value of this key be quoted in a message, whoever reads it? Not so for passwords, and for names unknown here:
/// `pasword` holds one too.
pub(super) fn is_plain_key(key: &str) -> bool {
    let key = key.trim_matches(['"', '\'']);
    let key = key.rsplit('.').next().unwrap_or(key).trim();
    ["name", "host", "port", "max_servers", "password_file"].contains(&key)
        || known_keys().iter().flat_map(|(_, keys)| keys).any(|known| *known == key && key != "password")
}

/// `[pool]` … : the sections that have a key of this name.
pub(super) fn sections_with(key: &str) -> Vec<String> {
    let known = known_keys();
    let with_key = known.iter().filter(|(section, keys)| !section.is_empty() && keys.contains(&key));
    with_key.map(|(section, _)| format!("[{section}]")).collect()
}

/// Made anew each time: it is asked for messages, a few times in a process' life.
fn known_keys() -> Vec<(&'static str, Vec<&'static str>)> {
    let names = |(section, entries): (_, Entries)| (section, entries.into_iter().map(|(key, _)| key).collect());
    sections(&defaults::config()).into_iter().map(names).collect()
}

/// Sockets, threads and buffers are made at the start; the rest is looked at each time.
fn is_changeable(key: &str) -> bool {
    let fixed = ["listen.", "http.", "workers", "limits.buffer_bytes", "routing.cache_entries", "log.format"];
    !fixed.iter().any(|fixed| key.starts_with(fixed))
}

fn sections(c: &Config) -> Vec<(&'static str, Entries)> {
    vec![
        ("", vec![("workers", number(c.workers))]),
        (
            "listen",
            vec![
                ("host", Shown::Text(c.listen.host.to_string())),
                ("port", Shown::Number(c.listen.port.into())),
                ("backlog", Shown::Number(c.listen.backlog.into())),
            ],
        ),
        (
            "pool",
            vec![
                ("mode", c.pool.mode.as_str().into()),
                ("size", number(c.pool.size)),
                ("min_size", number(c.pool.min_size)),
                ("max_waiting", number(c.pool.max_waiting)),
                ("wait_timeout", time(c.pool.wait_timeout)),
                ("connect_timeout", time(c.pool.connect_timeout)),
                ("idle_timeout", time(c.pool.idle_timeout)),
                ("lifetime", time(c.pool.lifetime)),
                ("prepared_statements", number(c.pool.prepared_statements)),
            ],
        ),
        (
            "routing",
            vec![
                ("split", Shown::Flag(c.routing.split)),
                ("max_classified_bytes", size(c.routing.max_classified_bytes)),
                ("cache_entries", number(c.routing.cache_entries)),
            ],
        ),
        (
            "monitor",
            vec![
                ("user", c.monitor.user.as_str().into()),
                ("password", (&c.monitor.password).into()),
                ("database", c.monitor.database.as_str().into()),
                ("interval", time(c.monitor.interval)),
                ("timeout", time(c.monitor.timeout)),
                ("failures", Shown::Number(c.monitor.failures.into())),
            ],
        ),
        (
            "auth",
            vec![
                ("method", c.auth.method.as_str().into()),
                ("lookup", Shown::Flag(c.auth.lookup)),
                ("query", c.auth.query.as_str().into()),
                ("database", c.auth.database.as_str().into()),
                ("cache_ttl", time(c.auth.cache_ttl)),
            ],
        ),
        ("admin", vec![("users", Shown::Names(c.admin.users.clone()))]),
        (
            "limits",
            vec![
                ("max_clients", number(c.limits.max_clients)),
                ("login_timeout", time(c.limits.login_timeout)),
                ("max_startup_bytes", size(c.limits.max_startup_bytes)),
                ("max_login_message_bytes", size(c.limits.max_login_message_bytes)),
                ("max_statement_bytes", size(c.limits.max_statement_bytes)),
                ("max_client_statements", number(c.limits.max_client_statements)),
                ("buffer_bytes", size(c.limits.buffer_bytes)),
                ("drain_timeout", time(c.limits.drain_timeout)),
            ],
        ),
        (
            "http",
            vec![
                ("enabled", Shown::Flag(c.http.enabled)),
                ("host", Shown::Text(c.http.host.to_string())),
                ("port", Shown::Number(c.http.port.into())),
            ],
        ),
        (
            "log",
            vec![
                ("format", c.log.format.as_str().into()),
                ("level", c.log.level.as_str().into()),
                ("slow_statement", time(c.log.slow_statement)),
            ],
        ),
    ]
}

fn node(node: &super::Node) -> Entries {
    vec![
        ("name", node.name.as_str().into()),
        ("host", node.host.as_str().into()),
        ("port", Shown::Number(node.port.into())),
        ("max_servers", number(node.max_servers)),
    ]
}

fn user(user: &super::User) -> Entries {
    vec![("name", user.name.as_str().into()), ("password", (&user.password).into())]
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
