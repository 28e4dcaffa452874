//! What `failover.mode = "automatic"` needs, and what of it a cluster has: facts in, findings out. Pure.
//!
//! *Missing* means that a failover would not work, or would not keep what `failover.durability` promises. *Advice* means that
//! it would be slower, or harder to mend afterwards.

mod access;
mod login;
mod promise;
mod settings;

use super::facts::{Facts, Told};
use crate::cluster::quorum::Quorum;
use crate::config::{Config, Durability, FailoverMode, Hooks};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Index of the node; `None`: of all of them together.
    pub node: Option<usize>,
    pub requirement: &'static str,
    pub verdict: Verdict,
    /// What there is, or what is wrong with it.
    pub why: String,
    pub mend: Vec<Mend>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    Advice,
    Missing,
}

/// One statement, without its semicolon, to be run as a superuser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mend {
    /// The node to run it on.
    pub node: String,
    pub sql: String,
    /// It takes effect when PostgreSQL is restarted.
    pub needs_restart: bool,
}

/// What of the configuration matters here.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub mode: FailoverMode,
    pub durability: Durability,
    pub hooks: Hooks,
    /// `monitor.user`.
    pub role: String,
    /// `monitor.database`.
    pub database: String,
}

/// Node by node, then the cluster; in the order it is best mended.
pub fn findings(wanted: &Wanted, nodes: &[Facts]) -> Vec<Finding> {
    let cluster = Cluster { wanted, nodes };
    let mut findings = Vec::new();
    for (index, facts) in nodes.iter().enumerate() {
        let mut report = Report { cluster: &cluster, node: Some(index), findings: Vec::new() };
        login::check(&mut report);
        if let Ok(told) = &facts.told {
            settings::check(&mut report, told);
            promise::check_node(&mut report, told);
            access::check(&mut report, told);
        }
        findings.append(&mut report.findings);
    }
    let mut report = Report { cluster: &cluster, node: None, findings: Vec::new() };
    promise::check_cluster(&mut report);
    findings.append(&mut report.findings);
    findings
}

/// All nodes, and what is wanted of them.
struct Cluster<'a> {
    wanted: &'a Wanted,
    nodes: &'a [Facts],
}

struct Report<'a> {
    cluster: &'a Cluster<'a>,
    node: Option<usize>,
    findings: Vec<Finding>,
}

// === impl Wanted ===

impl Wanted {
    pub fn of(config: &Config) -> Self {
        Self {
            mode: config.failover.mode,
            durability: config.failover.durability,
            hooks: config.failover.hooks.clone(),
            role: config.monitor.user.clone(),
            database: config.monitor.database.clone(),
        }
    }
}

// === impl Cluster ===

impl<'a> Cluster<'a> {
    fn told(&self) -> impl Iterator<Item = (&'a Facts, &'a Told)> {
        self.nodes.iter().filter_map(|facts| Some((facts, facts.told.as_ref().ok()?)))
    }

    /// The only one that is not in recovery.
    fn primary(&self) -> Option<(&'a Facts, &'a Told)> {
        let mut primaries = self.told().filter(|(_, told)| !told.in_recovery);
        primaries.next().filter(|_| primaries.next().is_none())
    }

    /// Where a grant is to be run: it reaches the others by replication.
    fn primary_name(&self) -> String {
        self.primary().map_or_else(|| "primary".to_owned(), |(facts, _)| facts.name.clone())
    }

    /// As `synchronous_standby_names` would name this node.
    fn sync_name(&self, facts: &'a Facts) -> &'a str {
        let told = facts.told.as_ref().ok().and_then(|told| told.sync_name.as_deref());
        // What nobody has named yet gets the name it has here.
        told.filter(|name| *name != "walreceiver").unwrap_or(&facts.name)
    }

    /// What the primary has promised, if it can be told.
    fn promise(&self) -> Option<Quorum> {
        Quorum::parse(self.primary()?.1.setting("synchronous_standby_names")?)
    }

    fn is_quorum(&self) -> bool {
        self.wanted.durability == Durability::Quorum
    }
}

// === impl Report ===

impl<'a> Report<'a> {
    fn facts(&self) -> Option<&'a Facts> {
        self.node.map(|index| &self.cluster.nodes[index])
    }

    fn name(&self) -> String {
        self.facts().map(|facts| facts.name.clone()).unwrap_or_default()
    }

    fn say(&mut self, verdict: Verdict, requirement: &'static str, why: impl Into<String>, mend: Vec<Mend>) {
        self.findings.push(Finding { node: self.node, requirement, verdict, why: why.into(), mend });
    }

    fn ok(&mut self, requirement: &'static str, why: impl Into<String>) {
        self.say(Verdict::Ok, requirement, why, Vec::new());
    }

    fn advice(&mut self, requirement: &'static str, why: impl Into<String>, mend: Vec<Mend>) {
        self.say(Verdict::Advice, requirement, why, mend);
    }

    fn missing(&mut self, requirement: &'static str, why: impl Into<String>, mend: Vec<Mend>) {
        self.say(Verdict::Missing, requirement, why, mend);
    }

    /// A statement for the primary: the standbys get what it does by replication.
    fn on_primary(&self, sql: String) -> Mend {
        Mend { node: self.cluster.primary_name(), sql, needs_restart: false }
    }

    /// `ALTER SYSTEM` on this node, and what makes it count.
    fn set(&self, name: &str, value: &str) -> Vec<Mend> {
        self.alter(format!("ALTER SYSTEM SET {name} = {value}"), false)
    }

    fn set_and_restart(&self, name: &str, value: &str) -> Vec<Mend> {
        self.alter(format!("ALTER SYSTEM SET {name} = {value}"), true)
    }

    fn alter(&self, sql: String, needs_restart: bool) -> Vec<Mend> {
        let mut mend = vec![Mend { node: self.name(), sql, needs_restart }];
        if !needs_restart {
            mend.push(Mend { node: self.name(), sql: "SELECT pg_reload_conf()".to_owned(), needs_restart });
        }
        mend
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
