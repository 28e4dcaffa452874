//! What one node told about itself: all that the requirements are judged by. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// One `[[node]]`.
#[derive(Clone, Debug)]
pub struct Facts {
    pub name: String,
    pub host: String,
    pub port: u16,
    /// What the host's name stands for, as seen from here; empty: it can't be resolved.
    pub addresses: Vec<IpAddr>,
    /// `Err`: nothing, and why.
    pub told: Result<Told, Silence>,
}

/// Why a node told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// PostgreSQL's, if it was PostgreSQL that refused.
    pub sqlstate: Option<String>,
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub struct Told {
    pub version_num: u32,
    pub version: String,
    pub in_recovery: bool,
    pub system_identifier: u64,
    /// A `replication=database` session was not to be had, and why.
    pub no_replication: Option<Silence>,
    pub rights: Rights,
    /// `pg_settings.setting`, in its base unit; without those the role may not see.
    pub settings: BTreeMap<String, String>,
    /// `application_name`s of `pg_stat_replication`: who streams from here.
    pub senders: Vec<String>,
    /// Names of physical slots.
    pub slots: Vec<String>,
    pub receiver: Option<Receiver>,
    /// What it calls itself to its upstream; `None`: the role may not see it.
    pub sync_name: Option<String>,
    /// Roles and databases with a `synchronous_commit` of their own.
    pub commit_overrides: Vec<CommitOverride>,
    /// `None`: the role may not see it.
    pub hba: Option<Vec<HbaRule>>,
}

/// What the role may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub superuser: bool,
    pub monitor: bool,
    pub signal: bool,
    pub promote: bool,
    pub reload: bool,
    pub resume: bool,
    pub alter_upstream: bool,
    pub epoch: Epoch,
}

/// The table `pgherd.epoch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Epoch {
    #[default]
    Absent,
    /// There is one, and the role may not write it.
    Locked,
    Writable,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    pub status: String,
    /// `None`: the role may not see it.
    pub upstream: Option<(String, u16)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOverride {
    pub role: Option<String>,
    pub database: Option<String>,
    pub value: String,
}

/// A line of `pg_hba_file_rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HbaRule {
    pub line: u32,
    pub kind: String,
    pub databases: String,
    pub users: String,
    pub address: String,
    pub netmask: String,
    pub method: String,
}

// === impl Facts ===

impl Facts {
    pub fn is_loopback(&self) -> bool {
        !self.addresses.is_empty() && self.addresses.iter().all(|address| address.to_canonical().is_loopback())
    }

    /// Is this where the node listens?
    pub fn is_at(&self, host: &str, port: u16) -> bool {
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let has = |own: &IpAddr| Some(own.to_canonical()) == address;
        port == self.port && (host.eq_ignore_ascii_case(&self.host) || self.addresses.iter().any(has))
    }
}

// === impl Told ===

impl Told {
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<i64> {
        self.setting(name)?.parse().ok()
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.setting(name) == Some("on")
    }
}

// === impl HbaRule ===

impl HbaRule {
    /// Lets in anybody who knows a password, from anywhere.
    pub fn admits_all(&self) -> bool {
        let all = |list: &str| list.split(',').any(|name| name == "all");
        let anywhere = self.address == "all" || matches!(self.netmask.as_str(), "0.0.0.0" | "::");
        self.kind.starts_with("host") && self.method != "reject" && all(&self.databases) && all(&self.users) && anywhere
    }
}
