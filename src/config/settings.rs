//! The resolved configuration shown to people: `SHOW CONFIG` and `pgherd check`.

use std::fmt::Write;

use super::entries::{self, Entries, sections};
use super::{AuthMethod, Config, defaults};

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
        let lists = self.nodes.iter().map(|node| ("node", &node.name, entries::node(node)));
        let lists = lists.chain(self.users.iter().map(|user| ("user", &user.name, entries::user(user))));
        let lists = lists.chain(self.databases.iter().map(|one| ("database", &one.name, entries::database(one))));
        for (list, name, entries) in lists {
            for (key, value) in entries.into_iter().filter(|(key, _)| *key != "name") {
                let default = match key {
                    "port" => defaults::NODE_PORT.to_string(),
                    "max_servers" => defaults::NODE_MAX_SERVERS.to_string(),
                    "weight" => defaults::NODE_WEIGHT.to_string(),
                    _ => String::new(),
                };
                let changeable = list != "node" || matches!(key, "weight" | "zone" | "max_servers");
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
        self.nodes.iter().for_each(|node| add("[[node]]", entries::node(node)));
        self.users.iter().for_each(|user| add("[[user]]", entries::user(user)));
        self.databases.iter().for_each(|database| add("[[database]]", entries::database(database)));
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

/// Sockets, threads and buffers are made at the start; the rest is looked at each time.
fn is_changeable(key: &str) -> bool {
    let fixed = [
        "listen.",
        "http.",
        "workers",
        "limits.buffer_bytes",
        "routing.cache_entries",
        "routing.max_shapes",
        "routing.catalog",
        "failover.state_file",
        "log.format",
    ];
    !fixed.iter().any(|fixed| key == *fixed || (fixed.ends_with('.') && key.starts_with(fixed)))
}
