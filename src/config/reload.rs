//! From the configuration that holds to the one in the file: what changes now, what waits for a restart. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::{Config, Node, User};

/// One key that the file has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As `SHOW CONFIG` has it.
    pub key: String,
    /// `None`: it was not there. Secrets are `********`.
    pub from: Option<String>,
    pub to: Option<String>,
    /// `false`: it waits for a restart.
    pub applies: bool,
}

impl Config {
    /// What holds from now on, where `file` is what was read: all of it but for what only a restart changes.
    pub fn reloaded(&self, file: Self) -> (Self, Vec<Change>) {
        let changes = changes(self, &file);
        let mut holds = file;
        holds.workers = self.workers;
        holds.listen.clone_from(&self.listen);
        holds.http.clone_from(&self.http);
        holds.limits.buffer_bytes = self.limits.buffer_bytes;
        holds.routing.cache_entries = self.routing.cache_entries;
        holds.routing.max_shapes = self.routing.max_shapes;
        holds.routing.catalog = self.routing.catalog;
        holds.failover.state_file.clone_from(&self.failover.state_file);
        holds.log.format = self.log.format;
        let nodes = std::mem::replace(&mut holds.nodes, self.nodes.clone());
        for node in &mut holds.nodes {
            if let Some(new) = nodes.iter().find(|new| new.name == node.name) {
                *node = Node { host: node.host.clone(), port: node.port, ..new.clone() };
            }
        }
        (holds, changes)
    }
}

/// In the order of `SHOW CONFIG`; what is not there any more comes last.
fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut before: BTreeMap<_, _> = old.settings().into_iter().map(|one| (one.key, one.value)).collect();
    let hidden = hidden_changes(old, new);
    let is_new_node = |key: &str| {
        let of = |nodes: &[Node]| nodes.iter().any(|node| key.starts_with(&format!("node.{}.", node.name)));
        of(&old.nodes) != of(&new.nodes)
    };
    let mut changes = Vec::new();
    for setting in new.settings() {
        let from = before.remove(&setting.key);
        if from.as_ref() != Some(&setting.value) || hidden.contains(&setting.key) {
            let applies = setting.changeable && !is_new_node(&setting.key);
            changes.push(Change { key: setting.key, from, to: Some(setting.value), applies });
        }
    }
    let gone = before.into_iter().map(|(key, value)| {
        let applies = !key.starts_with("node.");
        Change { key, from: Some(value), to: None, applies }
    });
    changes.extend(gone);
    changes
}

/// Keys of secrets that are others now, which nobody sees by what is shown of them.
fn hidden_changes(old: &Config, new: &Config) -> Vec<String> {
    let password = |config: &Config, name: &str| {
        config.users.iter().find(|user: &&User| user.name == name).map(|user| user.password.clone())
    };
    let users = new.users.iter().filter(|user| password(old, &user.name).is_some_and(|was| was != user.password));
    let mut keys: Vec<String> = users.map(|user| format!("user.{}.password", user.name)).collect();
    if old.monitor.password != new.monitor.password {
        keys.push("monitor.password".to_owned());
    }
    keys
}

// === impl Change ===

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| match value.as_deref() {
            None => "(not set)".to_owned(),
            Some("") => "''".to_owned(),
            Some(value) => value.to_owned(),
        };
        let when = if self.applies { "" } else { " (waits for a restart)" };
        write!(f, "{}: {} -> {}{when}", self.key, shown(&self.from), shown(&self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "[[node]]\nname = 'a'\nhost = 'ha'\n[[node]]\nname = 'b'\nhost = 'hb'\nweight = 50\n";

    fn config(text: &str) -> Config {
        Config::from_toml(text, "test").unwrap()
    }

    fn reloaded(old: &str, new: &str) -> (Config, Vec<String>) {
        let (holds, changes) = config(old).reloaded(config(new));
        (holds, changes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_the_same_is_no_change() {
        let (holds, changes) = reloaded(NODES, NODES);
        assert_eq!((holds, changes), (config(NODES), Vec::new()));
    }

    #[test]
    fn what_can_change_does_and_what_cannot_is_told() {
        let new = format!("workers = 7\n[pool]\nsize = 33\n[listen]\nport = 7000\n{}", NODES.replace("50", "60"));
        let (holds, changes) = reloaded(NODES, &new);
        let old = config(NODES);
        assert_eq!((holds.pool.size, holds.nodes[1].weight), (33, 60));
        assert_eq!((holds.workers, holds.listen.port), (old.workers, old.listen.port));
        let expected = [
            format!("workers: {} -> 7 (waits for a restart)", old.workers),
            "listen.port: 6432 -> 7000 (waits for a restart)".to_owned(),
            "pool.size: 20 -> 33".to_owned(),
            "node.b.weight: 50 -> 60".to_owned(),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn nodes_stay_those_of_the_start() {
        let new = "[[node]]\nname = 'a'\nhost = 'elsewhere'\nmax_servers = 7\n[[node]]\nname = 'c'\nhost = 'hc'\n";
        let (holds, changes) = reloaded(NODES, new);
        let names: Vec<_> = holds.nodes.iter().map(|node| (node.name.as_str(), node.host.as_str())).collect();
        assert_eq!((names, holds.nodes[0].max_servers), (vec![("a", "ha"), ("b", "hb")], 7));
        assert!(changes.contains(&"node.a.host: ha -> elsewhere (waits for a restart)".to_owned()), "{changes:?}");
        assert!(changes.contains(&"node.c.host: (not set) -> hc (waits for a restart)".to_owned()), "{changes:?}");
        assert!(changes.contains(&"node.b.host: hb -> (not set) (waits for a restart)".to_owned()), "{changes:?}");
        assert!(changes.iter().any(|change| change.starts_with("node.a.max_servers: ") && !change.ends_with(')')));
    }

    #[test]
    fn a_secret_changes_unseen() {
        let with = |password: &str| format!("{NODES}[[user]]\nname = 'u'\npassword = '{password}'\n");
        let (holds, changes) = reloaded(&with("old"), &with("new"));
        assert_eq!(changes, ["user.u.password: ******** -> ********"]);
        assert_eq!(holds.users[0].password.expose(), "new");
        let (_, changes) = reloaded(&with("old"), NODES);
        assert_eq!(changes, ["user.u.password: ******** -> (not set)"]);
    }
}
