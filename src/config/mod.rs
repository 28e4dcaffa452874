//! The configuration, resolved: every key has a value, every value was checked. What the file looks like is `raw`.

mod defaults;
mod entries;
mod error;
mod excerpt;
mod layer;
mod load;
mod overrides;
mod raw;
mod reader;
mod reload;
mod resolve;
mod settings;
mod source;
mod units;
mod unknown;
mod users;

pub use error::ConfigError;
pub use load::{environment, load};
pub use overrides::{Database, Overrides, Reads};
pub use reload::Change;
pub use settings::Setting;
pub use units::parse_time;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub listen: Listen,
    /// Threads that serve clients (`workers`, 0 in the file = a measured default).
    pub workers: usize,
    /// `[[node]]`, in the order of the file. At least one.
    pub nodes: Vec<Node>,
    pub pool: Pool,
    pub routing: Routing,
    pub monitor: Monitor,
    pub failover: Failover,
    pub auth: Auth,
    /// `[[user]]`: users known by the configuration; they win over the lookup.
    pub users: Vec<User>,
    /// `[[database]]`: those for which other words hold than `[routing]`'s.
    pub databases: Vec<Database>,
    pub admin: Admin,
    pub limits: Limits,
    pub http: Http,
    pub log: Log,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Default 127.0.0.1.
    pub host: IpAddr,
    /// Default 6432. 0 = any free port (tests, demo).
    pub port: u16,
    pub backlog: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub name: String,
    /// A host name or an address.
    pub host: String,
    pub port: u16,
    /// Servers to this node over all pools.
    pub max_servers: usize,
    /// Its share of the reads beside the other standbys'; 0 = none.
    pub weight: u32,
    /// Where it stands, to be compared with `routing.zone`. Empty: nowhere in particular.
    pub zone: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    Transaction,
    Statement,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    pub mode: PoolMode,
    /// Servers per (node, database, user).
    pub size: usize,
    /// Servers kept open per (node, database, user) once it was used.
    pub min_size: usize,
    /// Clients that may wait in one pool's queue.
    pub max_waiting: usize,
    pub wait_timeout: Duration,
    pub connect_timeout: Duration,
    /// An idle server is closed after this (0 = never).
    pub idle_timeout: Duration,
    /// A server is not lent again after this age (0 = never).
    pub lifetime: Duration,
    /// Prepared statements a server keeps (least recently used goes first).
    pub prepared_statements: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// Read-only statements go to standbys.
    pub split: bool,
    pub transactions: Transactions,
    pub consistency: Consistency,
    /// A standby that is further behind gets no reads. Zero: no limit.
    pub max_lag: Duration,
    /// The same in bytes of WAL.
    pub max_lag_bytes: usize,
    /// How long the share of a standby that has come back grows to its weight.
    pub slow_start: Duration,
    /// The share of reads that the primary takes beside the standbys, as a node's weight.
    pub primary_weight: u32,
    /// Standbys of this zone come first. Empty: all are alike.
    pub zone: String,
    /// Ask each database what its functions, operators, types and relations are. `false`: only what every PostgreSQL has is
    /// known, and a relation counts as a table.
    pub catalog: bool,
    /// From one look whether a catalog has changed to the next.
    pub catalog_refresh: Duration,
    /// For each of the questions.
    pub catalog_timeout: Duration,
    /// For the answer to each of them.
    pub max_catalog_bytes: usize,
    /// How long a read may be asked again, of other nodes, before its client hears the error.
    pub retry_deadline: Duration,
    /// A NOTICE with each statement: where it ran, and why.
    pub notice: bool,
    /// A longer statement is not parsed: it goes to the primary.
    pub max_classified_bytes: usize,
    /// Statement texts each worker remembers the class of.
    pub cache_entries: usize,
    /// Shapes of statements that each worker counts by themselves (`SHOW ROUTES`); 0: none.
    pub max_shapes: usize,
}

/// What a read on a standby must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// All that its own session has written.
    #[default]
    Session,
    /// All that any session has written through this proxy.
    Global,
    /// Whatever the standby has replayed.
    Eventual,
    /// Everything: reads stay on the primary.
    Primary,
}

/// Where a transaction may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transactions {
    /// On a standby only if it says that it is read-only.
    Strict,
    /// On a standby too if its first statement reads; it fails there when it writes.
    ReadFirst,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    pub user: String,
    pub password: Secret,
    pub database: String,
    /// Between two probes of a node.
    pub interval: Duration,
    /// The same, after a client wrote: how soon its reads return to the standbys.
    pub write_interval: Duration,
    /// For connecting and for each answer.
    pub timeout: Duration,
    /// Failed probes in a row until a node counts as down.
    pub failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverMode {
    /// A promotion is followed, never made.
    Off,
    /// It is said who would be promoted; no node is changed.
    Manual,
    Automatic,
}

/// What an acknowledged write is worth when the primary dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// What no standby had received is lost.
    Async,
    /// Nothing is lost: synchronous standbys had it, and the old primary can acknowledge no more.
    Quorum,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Failover {
    pub mode: FailoverMode,
    pub durability: Durability,
    /// From the proof that the primary is dead to the election: it may still come back.
    pub grace: Duration,
    /// Standbys that must say that they lost the primary; 0 = more than half of those that streamed from it.
    pub witnesses: u32,
    /// From one automatic failover to the next.
    pub pause: Duration,
    /// How long a switchover waits for running transactions before it ends them.
    pub drain: Duration,
    /// Where the epoch and what is under way are written down; relative to the configuration's directory.
    pub state_file: String,
    /// How long a request waits for a primary.
    pub hold_timeout: Duration,
    /// Clients that wait so at a time, and their requests together, bytes.
    pub max_held: usize,
    pub max_held_bytes: usize,
    pub outcome: Outcome,
    pub weaker_commit: WeakerCommit,
    pub hooks: Hooks,
}

/// What a client hears whose COMMIT was on its way when the primary was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// That nobody knows (08007).
    Unknown,
    /// What became of it: the new primary is asked.
    Resolve,
}

/// What becomes of a client's wish for a `synchronous_commit` below `on`, where durability is `Quorum`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeakerCommit {
    Refuse,
    Allow,
}

/// Commands of the operator's: program and arguments; empty = none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hooks {
    pub on_failover: Vec<String>,
    pub fence: Vec<String>,
    pub promote: Vec<String>,
    pub on_promote: Vec<String>,
    /// One that runs longer is killed, and has failed.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    ScramSha256,
    Md5,
    Trust,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    pub method: AuthMethod,
    /// Ask the database for the verifier of a user that the configuration does not name.
    pub lookup: bool,
    /// The SQL that answers (user name, verifier) for `$1`; run as the monitor role.
    pub query: String,
    pub database: String,
    /// How long a fetched verifier serves before it is asked again.
    pub cache_ttl: Duration,
}

/// How a configured user proves itself, and with what the proxy logs in for it.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub name: String,
    /// A password, a SCRAM verifier (`SCRAM-SHA-256$…`) or an md5 hash (`md5…`). Empty with `trust`, and where the database
    /// is asked.
    pub password: Secret,
    pub reads: Overrides,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Admin {
    /// Users of `[[user]]` (or of the database) that may use the console.
    pub users: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub max_clients: usize,
    /// From accept to a finished login.
    pub login_timeout: Duration,
    /// Startup packet, bytes.
    pub max_startup_bytes: usize,
    /// A message during login, bytes.
    pub max_login_message_bytes: usize,
    /// A Parse that is kept for other servers, bytes; a larger one pins the session.
    pub max_statement_bytes: usize,
    /// Prepared statements a client may have in transaction mode.
    pub max_client_statements: usize,
    /// Their names and texts together, bytes.
    pub max_client_statement_bytes: usize,
    /// Buffer of a session in each direction, bytes.
    pub buffer_bytes: usize,
    /// How long a drain waits for running transactions.
    pub drain_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    pub enabled: bool,
    pub host: IpAddr,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, or a filter as `pgherd::monitor=debug,info`.
    pub level: String,
    /// Statements slower than this are logged without their parameters (0 = none).
    pub slow_statement: Duration,
}

/// A text that is never printed: `Debug` and `Display` mask it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

// === impl Secret ===

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself: to prove or to check an identity, never to print.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"********\"" })
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { "********" })
    }
}

// === impl Consistency, PoolMode ===

impl Transactions {
    pub(crate) const ALL: [Self; 2] = [Transactions::Strict, Transactions::ReadFirst];

    pub fn as_str(self) -> &'static str {
        match self {
            Transactions::Strict => "strict",
            Transactions::ReadFirst => "read_first",
        }
    }
}

impl Consistency {
    pub(crate) const ALL: [Self; 4] =
        [Consistency::Session, Consistency::Global, Consistency::Eventual, Consistency::Primary];

    pub fn as_str(self) -> &'static str {
        match self {
            Consistency::Session => "session",
            Consistency::Global => "global",
            Consistency::Eventual => "eventual",
            Consistency::Primary => "primary",
        }
    }
}

impl PoolMode {
    pub(crate) const ALL: [Self; 3] = [PoolMode::Session, PoolMode::Transaction, PoolMode::Statement];

    pub fn as_str(self) -> &'static str {
        match self {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        }
    }
}

// === impl FailoverMode ===

impl FailoverMode {
    pub(crate) const ALL: [Self; 3] = [FailoverMode::Off, FailoverMode::Manual, FailoverMode::Automatic];

    pub fn as_str(self) -> &'static str {
        match self {
            FailoverMode::Off => "off",
            FailoverMode::Manual => "manual",
            FailoverMode::Automatic => "automatic",
        }
    }
}

// === impl Durability ===

impl Durability {
    pub(crate) const ALL: [Self; 2] = [Durability::Async, Durability::Quorum];

    pub fn as_str(self) -> &'static str {
        match self {
            Durability::Async => "async",
            Durability::Quorum => "quorum",
        }
    }
}

// === impl Outcome, WeakerCommit ===

impl Outcome {
    pub(crate) const ALL: [Self; 2] = [Outcome::Unknown, Outcome::Resolve];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Unknown => "unknown",
            Outcome::Resolve => "resolve",
        }
    }
}

impl WeakerCommit {
    pub(crate) const ALL: [Self; 2] = [WeakerCommit::Refuse, WeakerCommit::Allow];

    pub fn as_str(self) -> &'static str {
        match self {
            WeakerCommit::Refuse => "refuse",
            WeakerCommit::Allow => "allow",
        }
    }
}

// === impl AuthMethod ===

impl AuthMethod {
    pub(crate) const ALL: [Self; 3] = [AuthMethod::ScramSha256, AuthMethod::Md5, AuthMethod::Trust];

    pub fn as_str(self) -> &'static str {
        match self {
            AuthMethod::ScramSha256 => "scram-sha-256",
            AuthMethod::Md5 => "md5",
            AuthMethod::Trust => "trust",
        }
    }
}

// === impl LogFormat ===

impl LogFormat {
    pub(crate) const ALL: [Self; 2] = [LogFormat::Text, LogFormat::Json];

    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}
