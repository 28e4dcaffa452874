//! Servers for clients: one pool per (node, database, user), one budget per pool and per node whichever worker asks.

pub mod checkout;
pub mod doors;
pub mod janitor;
pub mod queue;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

pub use checkout::{Checkout, CheckoutError};
use doors::Doors;
use queue::{Counts, Queue, Slot};

use crate::cluster::NodeId;
use crate::config::{self, Config, FailoverMode, PoolMode};
use crate::feed::Feed;
use crate::server::connect::{ConnectError, Login, connect};
use crate::server::credential::Credential;
use crate::server::params::Settings;
use crate::server::prepared::Prepared;
use crate::server::{Server, ServerEntry, ServerState};
use crate::stats::{PoolCounters, SharedCounter};
use crate::wire::cancel::BackendKey;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    pub node: NodeId,
    pub database: Arc<str>,
    pub user: Arc<str>,
}

/// All pools of the process.
pub struct Pools {
    settings: Arc<Feed<config::Pool>>,
    workers: usize,
    nodes: Vec<Arc<NodePools>>,
    pools: Mutex<BTreeMap<PoolKey, Arc<Pool>>>,
    /// What each user's servers log in with: learned at that user's last login.
    credentials: Mutex<HashMap<Arc<str>, Credential>>,
    servers: Arc<Servers>,
    pub doors: Arc<Doors>,
}

/// The pools of one node share a budget, so they share a queue.
pub struct NodePools {
    pub id: NodeId,
    pub host: String,
    pub port: u16,
    queue: Mutex<Queue<Queued, checkout::Wake>>,
}

type Queued = Box<Server>;

/// Servers for one (node, database, user).
pub struct Pool {
    pub key: PoolKey,
    pub node: Arc<NodePools>,
    settings: Arc<Feed<config::Pool>>,
    slot: Slot,
    /// One per worker.
    pub counters: Vec<PoolCounters>,
    credential: Mutex<Credential>,
    /// A login has succeeded once: the database and the user are real.
    proven: AtomicBool,
    servers: Arc<Servers>,
    doors: Arc<Doors>,
}

/// Every open server, for the console.
#[derive(Default)]
struct Servers {
    last_id: AtomicU64,
    entries: Mutex<Vec<Weak<ServerEntry>>>,
    connected: SharedCounter,
    failed: SharedCounter,
    /// Each entry gets a second handle of its connection.
    can_cut: AtomicBool,
}

/// One pool at a glance, for the console and the metrics.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    pub key: PoolKey,
    pub mode: PoolMode,
    pub size: usize,
    /// Servers lent, idle, being connected.
    pub active: usize,
    pub idle: usize,
    pub connecting: usize,
    /// Clients in the queue, and how long the first of them waits.
    pub waiting: usize,
    pub max_wait: Duration,
}

// === impl Pools ===

impl Pools {
    pub fn new(config: &Config) -> Self {
        let node = |(at, node): (usize, &config::Node)| {
            Arc::new(NodePools {
                id: NodeId(at as u16),
                host: node.host.clone(),
                port: node.port,
                queue: Mutex::new(Queue::new(node.max_servers)),
            })
        };
        Self {
            settings: Arc::new(Feed::new(config.pool.clone())),
            workers: config.workers,
            nodes: config.nodes.iter().enumerate().map(node).collect(),
            pools: Mutex::default(),
            credentials: Mutex::default(),
            servers: Arc::new(Servers { can_cut: can_cut(config).into(), ..Servers::default() }),
            doors: Arc::default(),
        }
    }

    /// The pool of `key`, made if it is not there.
    pub fn pool(&self, key: &PoolKey) -> Arc<Pool> {
        let mut pools = lock(&self.pools);
        if let Some(pool) = pools.get(key) {
            return Arc::clone(pool);
        }
        let node = Arc::clone(self.node(key.node));
        let settings = self.settings.load();
        let slot = lock(&node.queue).add_pool(settings.size, settings.max_waiting);
        let credential = lock(&self.credentials).get(&key.user).cloned().unwrap_or(Credential::None);
        let pool = Arc::new(Pool {
            key: key.clone(),
            node,
            settings: Arc::clone(&self.settings),
            slot,
            counters: (0..self.workers).map(|_| PoolCounters::default()).collect(),
            credential: Mutex::new(credential),
            proven: AtomicBool::new(false),
            servers: Arc::clone(&self.servers),
            doors: Arc::clone(&self.doors),
        });
        pools.insert(key.clone(), Arc::clone(&pool));
        pool
    }

    /// Forgets pools that nobody uses and that never had a server: whoever may connect can name any database.
    fn forget_unproven(&self) {
        lock(&self.pools).retain(|_, pool| {
            let unused = Arc::strong_count(pool) == 1 && !pool.proven.load(Relaxed);
            !(unused && pool.lock().remove_pool(pool.slot))
        });
    }

    pub fn node(&self, id: NodeId) -> &Arc<NodePools> {
        &self.nodes[usize::from(id.0)]
    }

    /// What `user`'s servers log in with from now on.
    pub fn set_credential(&self, user: &str, credential: &Credential) {
        let mut credentials = lock(&self.credentials);
        if credentials.get(user) == Some(credential) {
            return;
        }
        credentials.insert(user.into(), credential.clone());
        drop(credentials);
        for pool in lock(&self.pools).values().filter(|pool| *pool.key.user == *user) {
            lock(&pool.credential).clone_from(credential);
        }
    }

    /// In the order of the keys.
    pub fn snapshot(&self) -> Vec<PoolSnapshot> {
        self.all().iter().map(|pool| pool.snapshot()).collect()
    }

    pub fn all(&self) -> Vec<Arc<Pool>> {
        lock(&self.pools).values().map(Arc::clone).collect()
    }

    /// All open servers, by id.
    pub fn servers(&self) -> Vec<Arc<ServerEntry>> {
        let mut entries = lock(&self.servers.entries);
        entries.retain(|entry| entry.strong_count() > 0);
        entries.iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes every server of the node at once, in whatever it is: its sessions see the connection end.
    pub fn cut(&self, node: NodeId) {
        let servers = self.servers();
        let cut = servers.iter().filter(|server| server.node == node && server.cut()).count();
        if cut > 0 {
            let node = self.node(node);
            tracing::warn!(
                host = node.host,
                port = node.port,
                cut,
                "closed the servers of a node that is no primary any more"
            );
        }
    }

    /// The node does not answer any more. Its servers are left alone: it may be slow, or on the way back.
    pub fn alarm(&self, node: NodeId) {
        self.servers().iter().filter(|server| server.node == node).for_each(|server| server.alarm.ring());
    }

    /// Servers of the node that are in a transaction, or have an answer to give.
    pub fn busy(&self, node: NodeId) -> usize {
        self.servers().iter().filter(|server| server.node == node && server.is_busy()).count()
    }

    /// What another configuration says of pools and of nodes that it has, too. What is too much closes as it comes free.
    pub fn apply(&self, config: &Config) {
        self.settings.publish(config.pool.clone());
        for (node, settings) in self.nodes.iter().zip(&config.nodes) {
            let surplus = lock(&node.queue).set_max_servers(settings.max_servers);
            drop(surplus);
        }
        for pool in self.all() {
            let surplus = pool.lock().resize(pool.slot, config.pool.size, config.pool.max_waiting);
            drop(surplus);
        }
        if self.servers.can_cut.swap(can_cut(config), Relaxed) != can_cut(config) {
            // Those that are open were opened without the handle.
            self.renew(None);
        }
    }

    /// Idle servers of the database are closed, those that are lent when they come back. Without a name: of all.
    pub fn renew(&self, database: Option<&str>) {
        let is_meant = |name: &str| database.is_none_or(|database| database == name);
        self.servers().iter().filter(|server| is_meant(&server.database)).for_each(|server| server.make_stale());
        for pool in self.all().iter().filter(|pool| is_meant(&pool.key.database)) {
            pool.close_stale();
        }
    }

    /// Servers of the database, whatever they do; those that are being opened as well.
    pub fn open(&self, database: Option<&str>) -> usize {
        let is_meant = |pool: &&Arc<Pool>| database.is_none_or(|database| *database == *pool.key.database);
        let open = |pool: &Arc<Pool>| {
            let counts = pool.counts();
            counts.lent + counts.idle + counts.connecting
        };
        self.all().iter().filter(is_meant).map(open).sum()
    }

    /// Servers of the database that [`Self::renew`] could not close yet.
    pub fn stale(&self, database: Option<&str>) -> usize {
        let is_meant = |server: &ServerEntry| database.is_none_or(|database| database == server.database);
        self.servers().iter().filter(|server| server.is_stale() && is_meant(server)).count()
    }

    /// Requests that the node has answered since the start.
    pub fn answered(&self, node: NodeId) -> u64 {
        let pools = lock(&self.pools);
        let counters = pools.values().filter(|pool| pool.key.node == node).flat_map(|pool| &pool.counters);
        counters.map(|cell| cell.queries.get()).sum()
    }

    /// Logins to PostgreSQL since the start: done, failed.
    pub fn logins(&self) -> (u64, u64) {
        (self.servers.connected.get(), self.servers.failed.get())
    }

    /// Calls `visit` with each pool's counters, one entry per worker.
    pub fn for_each_counters(&self, visit: &mut dyn FnMut(&PoolKey, &[PoolCounters])) {
        for pool in self.all() {
            visit(&pool.key, &pool.counters);
        }
    }
}

// === impl NodePools ===

impl NodePools {
    /// Servers at work: what "least active" compares.
    pub fn load(&self) -> usize {
        lock(&self.queue).lent()
    }
}

// === impl Pool ===

impl Pool {
    pub fn counts(&self) -> Counts {
        self.lock().counts(self.slot)
    }

    fn snapshot(&self) -> PoolSnapshot {
        let queue = self.lock();
        let counts = queue.counts(self.slot);
        PoolSnapshot {
            key: self.key.clone(),
            mode: self.settings.load().mode,
            size: self.settings.load().size,
            active: counts.lent,
            idle: counts.idle,
            connecting: counts.connecting,
            waiting: counts.waiting,
            max_wait: queue.waiting_since(self.slot).map_or(Duration::ZERO, |since| since.elapsed()),
        }
    }

    /// Closes the idle ones.
    fn close_stale(&self) {
        let gone = self.lock().sweep(self.slot, |server, _, _| server.entry.is_stale());
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Queue<Queued, checkout::Wake>> {
        lock(&self.node.queue)
    }

    /// Logs in to the node. The books are the caller's.
    async fn open_server(&self, worker: usize) -> Result<Box<Server>, ConnectError> {
        let credential = lock(&self.credential).clone();
        let login = Login {
            host: &self.node.host,
            port: self.node.port,
            user: &self.key.user,
            database: &self.key.database,
            parameters: &[],
            credential: &credential,
            timeout: self.settings.load().connect_timeout,
        };
        let logged_in = match connect(login).await {
            Ok(logged_in) => logged_in,
            Err(error) => {
                self.servers.failed.add(1);
                return Err(error);
            }
        };
        let addr = logged_in.stream.peer_addr().map_err(ConnectError::Io)?;
        let local_addr = logged_in.stream.local_addr().map_err(ConnectError::Io)?;
        let socket = match self.servers.can_cut.load(Relaxed) {
            true => Some(socket2::SockRef::from(&logged_in.stream).try_clone().map_err(ConnectError::Io)?),
            false => None,
        };
        self.servers.connected.add(1);
        self.proven.store(true, Relaxed);
        let entry = Arc::new(ServerEntry {
            id: self.servers.last_id.fetch_add(1, Relaxed) + 1,
            node: self.key.node,
            database: self.key.database.as_ref().into(),
            user: self.key.user.as_ref().into(),
            addr,
            local_addr,
            process_id: logged_in.process_id,
            connected_at: SystemTime::now(),
            state: (ServerState::Active as u8).into(),
            request_at_us: 0.into(),
            client_id: 0.into(),
            prepared_statements: 0.into(),
            at_rest: false.into(),
            stale: false.into(),
            alarm: Default::default(),
            socket,
        });
        let mut entries = lock(&self.servers.entries);
        if entries.len() == entries.capacity() {
            entries.retain(|entry| entry.strong_count() > 0);
        }
        entries.push(Arc::downgrade(&entry));
        drop(entries);
        Ok(Box::new(Server {
            stream: logged_in.stream,
            node: self.key.node,
            entry,
            key: Arc::new(BackendKey {
                process_id: logged_in.process_id,
                secret: logged_in.cancel_key.into_boxed_slice(),
            }),
            reported: logged_in.parameters,
            settings: Arc::new(Settings::default()),
            prepared: Prepared::new(self.settings.load().prepared_statements),
            unnamed: None,
            worker,
            connected_at: Instant::now(),
        }))
    }
}

fn can_cut(config: &Config) -> bool {
    config.failover.mode != FailoverMode::Off
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
