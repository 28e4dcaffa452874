//! A real cluster of three on this machine: pg1 is the primary, pg2 streams from pg1, pg3 streams from pg2.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::Error;
use super::guard::Guard;
use super::node::Node;
use super::proxy::Ports;
use super::setup::{self, REPLICATION, SUPERUSER};
use super::site::{Passwords, Site};

/// Stopped and removed when it is dropped, and also when the process that has it dies.
pub struct Cluster {
    pub pg1: Node,
    pub pg2: Node,
    pub pg3: Node,
    /// Those of [`Cluster::add_standby`].
    added: Mutex<Vec<Arc<Node>>>,
    site: Arc<Site>,
    options: Options,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Empty or absent; `None`: a new one below the directory for temporary files.
    pub dir: Option<PathBuf>,
    /// Leave the data when all is over (PostgreSQL is stopped all the same).
    pub keep: bool,
    /// `false`: nothing is synced to the disk; quicker, and enough for tests.
    pub durable: bool,
    /// Each node names the others as its synchronous standbys, and the proxy fails over by itself.
    pub quorum: bool,
    /// Further lines of each node's postgresql.conf.
    pub settings: Vec<String>,
    /// Rules of pg_hba.conf that come before ours.
    pub hba: Vec<String>,
}

/// The longest path a Unix socket may have is 103 bytes on some systems; `/.s.PGSQL.65535` is added to this.
const LONGEST_SOCKET_DIR: usize = 103 - 15;

// === impl Cluster ===

impl Cluster {
    /// Returns when all three run and stream. `progress` gets a line for each step.
    pub fn start(options: Options, progress: impl FnMut(&str)) -> Result<Self, Error> {
        let site = Site::prepare(options.dir.as_deref(), options.keep)?;
        Self::start_on(site, options, progress)
    }

    /// As [`Cluster::start`]; who keeps a clone of `site.guard` can end it in the middle.
    pub fn start_on(site: Site, options: Options, mut progress: impl FnMut(&str)) -> Result<Self, Error> {
        let site = Arc::new(site);
        let new = |name| Node::new(&site, name);
        let (pg1, pg2, pg3) = (new("pg1"), new("pg2"), new("pg3"));
        let cluster = Self { pg1, pg2, pg3, added: Mutex::default(), site: Arc::clone(&site), options };
        progress("pg1: initdb");
        cluster.init_primary()?;
        progress(&format!("pg1: primary, runs on port {}; making roles and the database app", cluster.pg1.port()));
        cluster.make_roles()?;
        for (standby, upstream) in [(&cluster.pg2, &cluster.pg1), (&cluster.pg3, &cluster.pg2)] {
            progress(&format!("{}: base backup from {}", standby.name(), upstream.name()));
            cluster.make_standby(standby, upstream)?;
            progress(&format!(
                "{}: standby, streams from {}, runs on port {}",
                standby.name(),
                upstream.name(),
                standby.port()
            ));
        }
        if cluster.options.durable || cluster.options.quorum {
            for node in cluster.nodes() {
                let conf = cluster.conf(node, node.port(), cluster.options.durable);
                node.reconfigure(&(conf + &cluster.quorum_of(node)))?;
            }
        }
        Ok(cluster)
    }

    pub fn nodes(&self) -> [&Node; 3] {
        [&self.pg1, &self.pg2, &self.pg3]
    }

    /// A further standby that streams from `upstream`; it is none of [`Cluster::nodes`] and not in the proxy's configuration.
    pub fn add_standby(&self, name: &'static str, upstream: &Node) -> Result<Arc<Node>, Error> {
        let standby = Arc::new(Node::new(&self.site, name));
        self.added.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&standby));
        self.make_standby(&standby, upstream)?;
        Ok(standby)
    }

    pub fn passwords(&self) -> &Passwords {
        &self.site.passwords
    }

    pub fn dir(&self) -> &Path {
        &self.site.dir
    }

    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// For processes that belong to the cluster and must end with it.
    pub fn guard(&self) -> &Arc<Guard> {
        &self.site.guard
    }

    /// Until each standby has replayed all that pg1 (which must be the primary) has written so far.
    pub fn wait_caught_up(&self) -> Result<(), Error> {
        let written = self.pg1.psql("SELECT pg_current_wal_lsn()")?;
        for standby in [&self.pg2, &self.pg3] {
            standby.wait_for(&format!("SELECT pg_last_wal_replay_lsn() >= '{written}'"), "t")?;
        }
        Ok(())
    }

    /// proxy.toml for this cluster.
    pub fn proxy_config(&self, ports: Ports) -> String {
        let nodes = self.nodes().map(|node| (node.name(), node.host(), node.port()));
        setup::proxy_config(nodes, self.passwords(), ports, self.options.quorum)
    }

    fn init_primary(&self) -> Result<(), Error> {
        let site = &self.site;
        let pwfile = site.scratch_file("pwfile", site.passwords.superuser.expose())?;
        site.write(&site.passfile(), &setup::passfile(&site.passwords))?;
        // Not synced: nobody needs what a power failure leaves of a cluster that was not yet ready.
        let mut initdb = site.command("initdb");
        initdb.args([
            "--username",
            SUPERUSER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
            "--no-sync",
        ]);
        initdb.arg("--pwfile").arg(pwfile.path()).arg("--pgdata").arg(self.pg1.data_dir());
        site.run("initialise pg1", &mut initdb)?;

        let conf = self.pg1.data_dir().join("postgresql.conf");
        let text = std::fs::read_to_string(&conf).map_err(Error::at("read", &conf))?;
        site.write(&conf, &format!("{text}\ninclude '{}'\n", setup::CONF_FILE))?;
        site.write(&self.pg1.data_dir().join("pg_hba.conf"), &setup::hba(&self.options.hba))?;
        self.first_start(&self.pg1)
    }

    fn make_roles(&self) -> Result<(), Error> {
        // From a file: on a command line anybody on the machine could read the passwords.
        let file = self.site.scratch_file("roles.sql", &setup::roles(&self.site.passwords))?;
        self.pg1.psql_file(file.path())
    }

    fn make_standby(&self, standby: &Node, upstream: &Node) -> Result<(), Error> {
        let site = &self.site;
        let mut backup = site.command("pg_basebackup");
        // libpq reads the password from the file, and -R writes the file's name into primary_conninfo.
        backup.env("PGPASSFILE", site.passfile());
        backup.arg("--dbname").arg(format!(
            "host={} port={} user={REPLICATION} application_name={}",
            upstream.host(),
            upstream.port(),
            standby.name()
        ));
        backup.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-sync", "--pgdata"]);
        backup.arg(standby.data_dir());
        site.run(&format!("copy {} to {}", upstream.name(), standby.name()), &mut backup)?;
        self.first_start(standby)?;
        let streams = format!("SELECT state FROM pg_stat_replication WHERE application_name = '{}'", standby.name());
        upstream.wait_for(&streams, "streaming")
    }

    /// Not before all stream: a primary that names standbys waits for them.
    fn quorum_of(&self, node: &Node) -> String {
        if !self.options.quorum {
            return String::new();
        }
        let others = self.nodes().map(Node::name).into_iter().filter(|name| *name != node.name());
        setup::quorum(&others.collect::<Vec<_>>())
    }

    /// Not durable yet: the checkpoints of the base backups would sync hundreds of files for nothing.
    fn first_start(&self, node: &Node) -> Result<(), Error> {
        node.first_start(|port| self.conf(node, port, false))
    }

    fn conf(&self, node: &Node, port: u16, durable: bool) -> String {
        let sockets = Some(self.site.dir.as_path()).filter(|dir| dir.as_os_str().len() <= LONGEST_SOCKET_DIR);
        let mut conf = setup::conf(node.name(), port, sockets, &self.options.settings);
        if !durable {
            conf += setup::NOT_DURABLE;
        }
        if !self.options.durable {
            conf += setup::NOTHING_OUTSIDE;
        }
        conf
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let added = std::mem::take(self.added.get_mut().unwrap_or_else(PoisonError::into_inner));
        let all = || self.nodes().into_iter().chain(added.iter().map(Arc::as_ref));
        all().for_each(Node::thaw);
        self.site.guard.end();
        all().for_each(Node::reap);
    }
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { dir: None, keep: false, durable: true, quorum: false, settings: Vec::new(), hba: Vec::new() }
    }
}
