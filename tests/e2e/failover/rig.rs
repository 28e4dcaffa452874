//! A cluster that is broken on purpose: pg1 the primary, pg2 and pg3 stream from it, pg4 (on demand) streams from pg2.

use std::sync::Arc;

use pgherd::demo::{Cluster, Node, cluster};

use super::network::{Link, Network};
use crate::harness::{Proxy, private_cluster_with};

pub struct Rig {
    pub cluster: Cluster,
    pub pg4: Option<Arc<Node>>,
    quorum: bool,
    network: Option<Network>,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// `ANY 1` of all others on each node, and `durability = "quorum"`.
    pub quorum: bool,
    /// Everybody reaches a node through its relay, so that links can be cut.
    pub relays: bool,
    /// With pg4.
    pub cascade: bool,
    /// Further lines of each node's postgresql.conf.
    pub settings: Vec<String>,
    /// Rules of pg_hba.conf that come before ours.
    pub hba: Vec<String>,
}

/// Quick to notice, quick to act, as often as it likes.
pub const QUICK: &str = "\
[monitor]
interval = '100ms'
timeout = '250ms'
failures = 2
[failover]
mode = 'automatic'
grace = '0'
pause = '0'
";

/// A standby notices within a second that its upstream says nothing any more, and tries again soon.
const SETTINGS: [&str; 4] = [
    "wal_receiver_timeout = '1s'",
    "wal_sender_timeout = '2s'",
    "wal_retrieve_retry_interval = '200ms'",
    "hot_standby_feedback = on",
];

// === impl Options ===

impl Options {
    pub const QUORUM: Self =
        Self { quorum: true, relays: false, cascade: false, settings: Vec::new(), hba: Vec::new() };
    /// Quorum, and every link can be cut.
    pub const CUTTABLE: Self =
        Self { quorum: true, relays: true, cascade: false, settings: Vec::new(), hba: Vec::new() };
}

// === impl Rig ===

impl Rig {
    pub fn start(options: Options) -> Self {
        let settings = SETTINGS.map(str::to_owned).into_iter().chain(options.settings).collect();
        let cluster =
            private_cluster_with(cluster::Options { settings, hba: options.hba, ..cluster::Options::default() });
        let pg4 = options.cascade.then(|| cluster.add_standby("pg4", &cluster.pg2).unwrap());
        let mut rig = Self { cluster, pg4, quorum: options.quorum, network: None };
        if options.relays {
            let nodes: Vec<_> = rig.nodes().iter().map(|node| (node.name(), node.port())).collect();
            rig.network = Some(Network::before(&nodes));
        }
        for (standby, upstream) in [("pg2", "pg1"), ("pg3", "pg1"), ("pg4", "pg2")] {
            if rig.nodes().iter().any(|node| node.name() == standby) {
                rig.point(standby, upstream);
            }
        }
        if rig.quorum {
            rig.nodes().into_iter().for_each(|node| rig.set_quorum(node));
        }
        rig.wait_streaming("pg1", &["pg2", "pg3"]);
        rig
    }

    pub fn quorum() -> Self {
        Self::start(Options::QUORUM)
    }

    pub fn nodes(&self) -> Vec<&Node> {
        self.cluster.nodes().into_iter().chain(self.pg4.as_deref()).collect()
    }

    pub fn node(&self, name: &str) -> &Node {
        self.nodes().into_iter().find(|node| node.name() == name).unwrap_or_else(|| panic!("a node called {name}"))
    }

    /// The port at which everybody finds this node, on 127.0.0.1.
    pub fn port(&self, name: &str) -> u16 {
        self.network.as_ref().map_or_else(|| self.node(name).port(), |network| network.port(name))
    }

    /// The proxy before it, with [`QUICK`] and `more`, which wins. Returns when all standbys are fit for reads.
    pub fn proxy(&self, more: &str) -> Proxy<'_> {
        Proxy::start_until(
            &self.cluster,
            &self.config(more),
            pgherd::demo::proxy::Ready::Standbys(self.nodes().len() - 1),
        )
    }

    /// TOML for [`Proxy::start`].
    pub fn config(&self, more: &str) -> String {
        let mut config = QUICK.to_owned();
        if self.quorum {
            config += "durability = 'quorum'\n";
        }
        for node in self.nodes() {
            config += &format!(
                "[[node]]\nname = '{}'\nhost = '{}'\nport = {}\n",
                node.name(),
                node.host(),
                self.port(node.name())
            );
        }
        crate::harness::proxy::merged(&config, more)
    }

    // --- links ---

    /// `one` and `other`: nodes, or [`PROXY`](super::network::PROXY).
    pub fn link(&self, one: &str, other: &str, link: Link) {
        self.network().set(one, other, link);
    }

    /// All links of this one.
    pub fn links_of(&self, of: &str, link: Link) {
        self.network().set_all(of, link);
    }

    fn network(&self) -> &Network {
        self.network.as_ref().expect("a rig with relays")
    }

    // --- replication ---

    /// Has the standby stream from there.
    pub fn point(&self, standby: &str, upstream: &str) {
        let conninfo = self.conninfo(standby, upstream).replace('\'', "''");
        let node = self.node(standby);
        node.psql(&format!("ALTER SYSTEM SET primary_conninfo = '{conninfo}'")).unwrap();
        node.psql("SELECT pg_reload_conf()").unwrap();
        let sender = format!("{}|streaming", self.port(upstream));
        node.wait_for("SELECT sender_port, status FROM pg_stat_wal_receiver", &sender).unwrap();
    }

    pub fn conninfo(&self, standby: &str, upstream: &str) -> String {
        let passfile = self.cluster.site().passfile();
        let (host, port) = (self.node(upstream).host(), self.port(upstream));
        format!("host={host} port={port} user=replicator passfile='{}' application_name={standby}", passfile.display())
    }

    /// Any one of the standbys that stream from the primary must have a commit; the cascading one never votes.
    pub fn quorum_names(&self, node: &str) -> String {
        let others = ["pg1", "pg2", "pg3"].into_iter().filter(|other| *other != node);
        format!("ANY 1 ({})", others.collect::<Vec<_>>().join(", "))
    }

    fn set_quorum(&self, node: &Node) {
        let names = self.quorum_names(node.name());
        node.psql(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'")).unwrap();
        node.psql("SELECT pg_reload_conf()").unwrap();
    }

    pub fn is_quorum(&self) -> bool {
        self.quorum
    }

    /// Until these stream from `upstream`, and count for its quorum if it has one.
    pub fn wait_streaming(&self, upstream: &str, standbys: &[&str]) {
        let how = if self.quorum { "quorum" } else { "async" };
        let names: Vec<_> = standbys.iter().map(|name| format!("'{name}'")).collect();
        let streaming = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '{how}' \
             AND application_name IN ({})",
            names.join(", ")
        );
        self.node(upstream).wait_for(&streaming, &standbys.len().to_string()).unwrap();
    }

    /// The node that is a primary and has the highest timeline.
    pub fn primary(&self) -> &Node {
        self.primary_but("")
    }

    /// The same without looking at `lost`, which may be frozen.
    pub fn primary_but(&self, lost: &str) -> &Node {
        let timeline = |node: &Node| -> Option<u64> {
            let sql = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int";
            node.pid().filter(|_| node.name() != lost)?;
            node.psql(sql).ok()?.parse().ok()
        };
        let primaries = self.nodes().into_iter().filter_map(|node| Some((timeline(node)?, node)));
        primaries.max_by_key(|(timeline, _)| *timeline).map(|(_, node)| node).expect("a primary")
    }
}

/// What a failed test needs to be understood.
impl Drop for Rig {
    fn drop(&mut self) {
        for node in self.nodes().into_iter().filter(|_| std::thread::panicking()) {
            let log = std::fs::read_to_string(node.log()).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(25)..].join("\n");
            eprintln!("--- end of the log of {} ---\n{end}", node.name());
        }
    }
}
