//! From an accepted socket to a session: who is it, what does it want, is it who it says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::durability;
use super::parked::Parked;
use super::passthrough::Passthrough;
use super::remarks::weaker_commit;
use super::told::Told;
use super::{Session, WorkerCell};
use crate::client::auth::{Admitted, AuthFailure};
use crate::client::handshake::{Hello, hello};
use crate::client::random::MAX_KEY;
use crate::client::registry::{ClientEntry, NewClient};
use crate::cluster::NodeId;
use crate::config::{AuthMethod, Config};
use crate::credential::{Credential, Verifier};
use crate::net::Stream;
use crate::pool::{Pool, PoolKey};
use crate::server::cancel::cancel;
use crate::server::connect::ConnectError;
use crate::server::params::Settings;
use crate::server::query::query;
use crate::shared::Shared;
use crate::wire::error::{PgError, sqlstate};
use crate::wire::startup::Startup;

/// Databases of the console.
const CONSOLE: [&str; 2] = ["pgherd", "pgbouncer"];

/// What a connection has become.
pub enum Login {
    Application(Box<Session>),
    Replication(Box<Passthrough>),
    /// The console's greeting is still to be sent.
    Console {
        stream: Stream,
        user: String,
        database: String,
        entry: Registered,
    },
}

/// A client in the registry, for as long as this lives.
pub struct Registered {
    pub(super) worker: Arc<WorkerCell>,
    pub entry: Arc<ClientEntry>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.shared.clients.remove(&self.entry);
    }
}

/// `None`: the connection is over (a cancel request, a port check, a refused client that has been told why).
pub async fn login(
    shared: &Arc<Shared>,
    worker: &Arc<WorkerCell>,
    mut stream: Stream,
    peer: SocketAddr,
) -> Option<Login> {
    let config = shared.config.latest();
    let limit = config.limits.login_timeout;
    let outcome = tokio::time::timeout(limit, attempt(shared, worker, &config, &mut stream, peer)).await;
    match outcome {
        Ok(Ok(Some(ready))) => ready.finish(stream).await,
        Ok(Ok(None)) => None,
        Ok(Err(error)) => {
            if let Some(error) = error {
                let _ = stream.write_all(&error.to_bytes()).await;
                let _ = stream.shutdown().await;
            }
            None
        }
        Err(_) => {
            // PostgreSQL closes without a word, too (authentication_timeout).
            shared.counters.login_timeouts.add(1);
            tracing::info!(client = %peer, ?limit, "login timed out (limits.login_timeout)");
            None
        }
    }
}

/// `Err(Some)`: to be told to the client.
type Failed = Option<PgError>;

async fn attempt(
    shared: &Arc<Shared>,
    worker: &Arc<WorkerCell>,
    config: &Arc<Config>,
    stream: &mut Stream,
    peer: SocketAddr,
) -> Result<Option<Ready>, Failed> {
    let startup = match hello(stream, &config.limits).await {
        Ok(Hello::Startup(startup)) => startup,
        Ok(Hello::Cancel { process_id, key }) => {
            forward_cancel(shared, config, process_id, &key).await;
            return Ok(None);
        }
        Ok(Hello::Gone) => return Ok(None),
        Err(refusal) => {
            if refusal.is_violation() {
                shared.counters.protocol_violations.add(1);
            }
            tracing::debug!(client = %peer, reason = %refusal, "not a login");
            return Ok(None);
        }
    };
    let limit = config.limits.max_clients;
    if shared.clients.len() >= limit {
        shared.counters.clients_refused.add(1);
        tracing::warn!(client = %peer, limit, "too many clients");
        return Err(Some(
            PgError::fatal(sqlstate::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
                .with_hint("The limit is limits.max_clients."),
        ));
    }
    let is_console = CONSOLE.contains(&startup.database.as_str());
    let Admitted { credential, unsent } = authenticate(shared, config, stream, &startup, is_console, peer).await?;
    match admit(shared, worker, config, stream, peer, &startup, is_console) {
        Ok((entry, pool, settings)) => {
            let config = Arc::clone(config);
            if !is_console {
                shared.pools.set_credential(&startup.user, &credential);
            }
            Ok(Some(Ready { pool, config, entry, startup, settings, credential, unsent, is_console }))
        }
        Err(failed) => {
            let _ = stream.write_all(&unsent).await;
            Err(failed)
        }
    }
}

/// Whether a client that is who it says may have what it asks for.
fn admit(
    shared: &Arc<Shared>,
    worker: &Arc<WorkerCell>,
    config: &Config,
    stream: &Stream,
    peer: SocketAddr,
    startup: &Startup,
    is_console: bool,
) -> Result<(Registered, Option<Arc<Pool>>, Settings), Failed> {
    let settings = Settings::from_startup(&startup.parameters)
        .map_err(|reason| Some(PgError::fatal(sqlstate::SYNTAX_ERROR, reason)))?;
    if durability::refuses_settings(config, &settings) {
        return Err(Some(PgError { severity: "FATAL".into(), ..weaker_commit() }));
    }
    if let Some(error) = super::wishes::invalid_startup(&settings) {
        return Err(Some(error));
    }
    if let Some(error) = refusal(shared, config, startup, is_console) {
        return Err(Some(error));
    }
    let (pool, names) = pool_of(shared, startup, is_console);
    let entry = register(worker, stream, peer, startup, names)?;
    Ok((entry, pool, settings))
}

/// Logged in; what is left happens without the login's time limit, since waiting for a server has its own.
struct Ready {
    /// None: of the console, or of replication.
    pool: Option<Arc<Pool>>,
    config: Arc<Config>,
    entry: Registered,
    startup: Startup,
    settings: Settings,
    credential: Credential,
    unsent: Vec<u8>,
    is_console: bool,
}

impl Ready {
    async fn finish(self, mut stream: Stream) -> Option<Login> {
        let mut unsent = self.unsent;
        let Some(pool) = self.pool else {
            stream.write_all(&unsent).await.ok()?;
            let Self { entry, startup, credential, .. } = self;
            return Some(match self.is_console {
                true => Login::Console { stream, user: startup.user, database: startup.database, entry },
                false => {
                    let shared = Arc::clone(&entry.worker.shared);
                    Login::Replication(Box::new(Passthrough { shared, stream, entry, startup, credential }))
                }
            });
        };
        let Self { config, entry, settings, .. } = self;
        let settings = Arc::new(settings);
        let parked = Parked {
            client: stream,
            catalog: entry.worker.shared.catalogs.of(&pool.key.database),
            generation: entry.worker.shared.statement_generation.load(Relaxed),
            reads: config.reads_of(&pool.key.database, &pool.key.user),
            pool,
            registered: entry,
            config,
            startup: Arc::clone(&settings),
            wanted: settings,
            told: Told::default(),
            names: None,
            last_write: None,
        };
        let mut session = parked.wake();
        if session.replies.quorum && durability::is_weaker(&session.settings.startup) {
            session.opt_out();
        }
        match session.welcome(&mut unsent).await {
            Ok(()) => Some(Login::Application(session)),
            Err(close) => {
                let _ = session.send(&unsent).await;
                session.say_goodbye(close).await;
                None
            }
        }
    }
}

async fn authenticate(
    shared: &Arc<Shared>,
    config: &Config,
    stream: &mut Stream,
    startup: &Startup,
    is_console: bool,
    peer: SocketAddr,
) -> Result<Admitted, Failed> {
    let user = &startup.user;
    let verifier = find_verifier(shared, config, user, is_console).await?;
    match shared.authenticator.authenticate(stream, user, config.auth.method, &verifier, &config.limits).await {
        Ok(admitted) => Ok(admitted),
        Err(failure) => {
            if let AuthFailure::Refused { reason, .. } = &failure {
                shared.counters.logins_failed.add(1);
                shared.logins.forget_verifier(user);
                tracing::warn!(client = %peer, user, reason, "login refused");
            }
            Err(None)
        }
    }
}

/// From the configuration, from an earlier login, or asked of the database as the monitor's role.
async fn find_verifier(shared: &Shared, config: &Config, user: &str, is_console: bool) -> Result<Verifier, Failed> {
    let is_trusted = config.auth.method == AuthMethod::Trust;
    let mut known = config.users.iter().filter(|known| known.name == user);
    if let Some(known) = known.find(|known| is_trusted || !known.password.is_empty()) {
        return Ok(Verifier::parse(known.password.expose()));
    }
    if is_trusted || !config.auth.lookup {
        return Ok(Verifier::Unknown);
    }
    if let Some(verifier) = shared.logins.verifier(user, config.auth.cache_ttl) {
        return Ok(verifier);
    }
    match look_up(shared, config, user).await {
        Ok(verifier) => {
            shared.logins.keep_verifier(user, &verifier);
            Ok(verifier)
        }
        // The console must be there when no node is.
        Err(_) if is_console => Ok(Verifier::Unknown),
        Err(reason) => {
            tracing::warn!(user, reason, "the verifier of a user can't be looked up");
            Err(Some(
                PgError::fatal(sqlstate::CANNOT_CONNECT_NOW, "the proxy can't check passwords now")
                    .with_detail("No node answers the lookup of the user's verifier (auth.query)."),
            ))
        }
    }
}

async fn look_up(shared: &Shared, config: &Config, user: &str) -> Result<Verifier, String> {
    let role: Arc<str> = config.monitor.user.as_str().into();
    shared.pools.set_credential(&role, &Credential::Password(config.monitor.password.clone()));
    let nodes = {
        let topology = shared.topology.load();
        topology.primary.into_iter().chain(topology.standbys.iter().copied()).collect::<Vec<_>>()
    };
    let mut reason = "no node is up".to_owned();
    for node in nodes {
        let pool =
            shared.pools.pool(&PoolKey { node, database: config.auth.database.as_str().into(), user: role.clone() });
        let mut checkout = match pool.checkout(usize::MAX).await {
            Ok(checkout) => checkout,
            Err(error) => {
                reason = format!("{error:?}");
                continue;
            }
        };
        let literal = format!("'{}'", user.replace('\'', "''"));
        let literal = if user.contains('\\') { format!(" E{}", literal.replace('\\', "\\\\")) } else { literal };
        let sql = config.auth.query.replace("$1", &literal);
        match query(&mut checkout.stream, &sql, config.monitor.timeout, 64 * 1024).await {
            Ok(rows) => {
                checkout.unnamed = None;
                checkout.give_back(Instant::now());
                let stored = rows.into_iter().next().and_then(|mut row| row.pop().flatten());
                return Ok(stored.map_or(Verifier::Unknown, |stored| Verifier::parse(&stored)));
            }
            Err(error @ ConnectError::Postgres(_)) => {
                checkout.unnamed = None;
                checkout.give_back(Instant::now());
                reason = error.to_string();
            }
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// Why this user can't have this database.
fn refusal(shared: &Shared, config: &Config, startup: &Startup, is_console: bool) -> Option<PgError> {
    if is_console && !config.admin.users.contains(&startup.user) {
        shared.counters.logins_failed.add(1);
        let message = format!("user \"{}\" may not use the console", startup.user);
        let error = PgError::fatal(sqlstate::INVALID_AUTHORIZATION, message);
        return Some(error.with_hint("Users of the console are listed in admin.users."));
    }
    if !is_console && shared.pools.doors.closed().is_disabled(&startup.database) {
        let error =
            PgError::fatal(sqlstate::CANNOT_CONNECT_NOW, format!("database \"{}\" is disabled", startup.database));
        return Some(error.with_hint("ENABLE on the console ends that."));
    }
    None
}

/// Database and user.
type Names = (Arc<str>, Arc<str>);

/// Its pool, for who gets a server; and its database and user, which all of a pool share.
fn pool_of(shared: &Shared, startup: &Startup, is_console: bool) -> (Option<Arc<Pool>>, Names) {
    let node = shared.topology.load().primary.unwrap_or(NodeId(0));
    let key = PoolKey { node, database: startup.database.as_str().into(), user: startup.user.as_str().into() };
    let pool = (!is_console && startup.replication.is_none()).then(|| shared.pools.pool(&key));
    let PoolKey { database, user, .. } = pool.as_ref().map_or(&key, |pool| &pool.key);
    let names = (Arc::clone(database), Arc::clone(user));
    (pool, names)
}

fn register(
    worker: &Arc<WorkerCell>,
    stream: &Stream,
    peer: SocketAddr,
    startup: &Startup,
    (database, user): Names,
) -> Result<Registered, Failed> {
    let internal = |_| Some(PgError::fatal(sqlstate::INTERNAL_ERROR, "the system gives no random bytes"));
    let length = if startup.minor >= 2 { MAX_KEY } else { 4 };
    let shared = &worker.shared;
    let cancel_key = worker.random().cancel_key(length).map_err(internal)?;
    let local_addr = match worker.listens {
        any if any.ip().is_unspecified() => stream.local_addr().map_err(|_| None)?,
        listens => listens,
    };
    let entry = shared.clients.add(NewClient {
        cancel_key,
        user,
        database,
        replication: startup.replication.as_deref().map(Into::into),
        addr: peer,
        local_addr,
        worker: worker.index as u32,
        application_name: startup.parameter("application_name").unwrap_or_default().into(),
    });
    Ok(Registered { worker: Arc::clone(worker), entry })
}

/// Sends a client's cancel request to wherever that client's statement runs, if one runs. The asking connection is
/// closed only after PostgreSQL has the request: what the client sends next can't be hit.
async fn forward_cancel(shared: &Shared, config: &Config, process_id: i32, key: &[u8]) {
    use crate::client::registry::Running;

    struct Arrived(Arc<ClientEntry>);
    impl Drop for Arrived {
        fn drop(&mut self) {
            self.0.lock_cancel().has_arrived();
        }
    }

    shared.counters.cancels.add(1);
    let Some(entry) = shared.clients.find(process_id, key) else {
        shared.counters.cancels_unknown.add(1);
        return;
    };
    let running = {
        let mut target = entry.lock_cancel();
        match target.what.clone() {
            Running::Nothing => return,
            Running::InQueue => {
                target.cancel_in_queue();
                return;
            }
            Running::On { .. } if entry.is_committing.load(Relaxed) => return,
            Running::On { node, key } => {
                target.in_flight += 1;
                (node, key)
            }
        }
    };
    let _arrived = Arrived(entry);
    let node = shared.pools.node(running.0);
    let limit: Duration = config.pool.connect_timeout;
    if let Err(error) = cancel(&node.host, node.port, &running.1, limit).await {
        tracing::warn!(host = node.host, port = node.port, %error, "a cancel request can't be forwarded");
    }
}
