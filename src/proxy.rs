//! The running proxy: assembled, announced, drained.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::monitor::StateFile;
use crate::orders::Asked;
use crate::pool::janitor;
use crate::reload::{Reloader, SetLevel};
use crate::shared::{Shared, Stop};
use crate::worker::{STACK_BYTES, Workers};
use crate::{admin, catalog, monitor, net};

/// What was asked for can't be done as it is configured; as for a configuration with errors.
const MISCONFIGURED: u8 = 2;

/// Whoever is ended by `SHUTDOWN` has so long to be told.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Runs until it is told to stop (SIGTERM, SIGINT, the console's SHUTDOWN); SIGHUP and RELOAD read the file again. Exit code 0 after a drain, 1 if it can't start, 2 if its state file
/// is broken or can't be written.
pub fn run(config: Config, path: PathBuf, set_level: SetLevel) -> ExitCode {
    let runtime =
        match tokio::runtime::Builder::new_current_thread().thread_stack_size(STACK_BYTES).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(%error, "can't start");
                return ExitCode::FAILURE;
            }
        };
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    let state = match StateFile::open(&directory, &config.failover) {
        Ok(state) => state,
        Err(error) => {
            tracing::error!("can't start: {error}");
            return ExitCode::from(MISCONFIGURED);
        }
    };
    match runtime.block_on(supervise(config, path, state, set_level)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("can't start: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn supervise(config: Config, path: PathBuf, state: StateFile, set_level: SetLevel) -> Result<(), String> {
    check_file_limit(&config);
    let mut signals = Signals::new().map_err(|error| format!("signals: {error}"))?;
    let addr = (config.listen.host, config.listen.port).into();
    let listener =
        net::listen(addr, config.listen.backlog).map_err(|error| format!("can't listen on {addr}: {error}"))?;
    let local = listener.local_addr().map_err(|error| error.to_string())?;
    let listener = listener.into_std().map_err(|error| error.to_string())?;
    let http = match &config.http {
        http if http.enabled => {
            let addr = (http.host, http.port).into();
            Some(net::listen(addr, 128).map_err(|error| format!("can't listen on {addr} (http): {error}"))?)
        }
        _ => None,
    };
    let shared = Arc::new(Shared::new(config).map_err(|error| error.to_string())?);

    tokio::spawn(monitor::run(Arc::clone(&shared), state));
    tokio::spawn(catalog::run(Arc::clone(&shared)));
    tokio::spawn(admin::sample(Arc::clone(&shared)));
    let pools = Arc::clone(&shared);
    tokio::spawn(async move { janitor::run(&pools.pools).await });
    let http_addr = http.as_ref().and_then(|http| http.local_addr().ok());
    if let Some(http) = http {
        tokio::spawn(admin::http::serve_http(http, Arc::clone(&shared)));
    }
    let workers = Workers::start(&shared, listener).map_err(|error| error.to_string())?;
    let config = shared.config.latest();
    tracing::info!(listen = %local, http = ?http_addr, config = %path.display(), workers = config.workers,
        nodes = config.nodes.len(), mode = config.pool.mode.as_str(), split = config.routing.split, "pgherd is listening");

    let mut stop = shared.stop.subscribe();
    let mut reloads = shared.reloads.take_inbox();
    let reloader = Reloader { path, shared: Arc::clone(&shared), set_level };
    let (told, how) = loop {
        tokio::select! {
            signal = signals.next() => match signal {
                Told::Reload => drop(reloader.reload()),
                Told::Stop(name) => break (name, Stop::AfterTransactions),
            },
            asked = next(&mut reloads) => drop(asked.send(reloader.reload())),
            how = until_stopped(&mut stop) => break ("SHUTDOWN", how),
        }
    };
    let config = shared.config.latest();
    tracing::info!(told, clients = shared.clients.len(), limit = ?config.limits.drain_timeout, "draining");
    workers.stop_accepting();
    match how {
        Stop::AfterClients => {
            wait_for_clients(&shared, &mut signals, &mut stop).await;
            drain(&shared, &mut signals, config.limits.drain_timeout).await;
        }
        Stop::AtOnce => {
            shared.clients.all().iter().for_each(|client| client.kick.set_at_once());
            drain(&shared, &mut signals, config.limits.drain_timeout.min(AT_ONCE)).await;
        }
        Stop::AfterTransactions => drain(&shared, &mut signals, config.limits.drain_timeout).await,
    }
    workers.join();
    tracing::info!("stopped");
    Ok(())
}

/// The next of them; never, once there is nobody to ask.
async fn next(reloads: &mut Option<mpsc::Receiver<Asked>>) -> Asked {
    if let Some(inbox) = reloads
        && let Some(asked) = inbox.recv().await
    {
        return asked;
    }
    std::future::pending().await
}

/// The first word, or the next.
async fn until_stopped(stop: &mut watch::Receiver<Option<Stop>>) -> Stop {
    loop {
        if let Some(how) = *stop.borrow_and_update() {
            return how;
        }
        if stop.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Ends nobody. A signal, or another word of the console, ends the wait and whoever is left.
async fn wait_for_clients(shared: &Shared, signals: &mut Signals, stop: &mut watch::Receiver<Option<Stop>>) {
    const ROUND: Duration = Duration::from_millis(50);
    // The console's own sessions are not waited for.
    let is_left = || shared.clients.all().iter().any(|client| !admin::Dialect::is_console(&client.database));
    while is_left() {
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            _ = signals.until_stop() => return,
            _ = stop.changed() => return,
        }
    }
}

fn check_file_limit(config: &Config) {
    const OTHERS: u64 = 64;
    let servers: usize = config.nodes.iter().map(|node| node.max_servers).sum();
    let wanted = (config.limits.max_clients + servers) as u64 + OTHERS;
    let allowed = net::raise_file_limit();
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "too few open files for limits.max_clients and the nodes' max_servers: raise the \
            limit (ulimit -n, LimitNOFILE=), or lower these"
        );
    }
}

/// Idle sessions end at once, others after their transaction; a second signal or the time limit ends the rest.
async fn drain(shared: &Shared, signals: &mut Signals, limit: Duration) {
    const ROUND: Duration = Duration::from_millis(50);
    let started = Instant::now();
    while !shared.clients.is_empty() {
        // Again and again: a login may have been under way.
        for client in shared.clients.all() {
            client.kick.set();
        }
        if started.elapsed() > limit {
            tracing::warn!(
                clients = shared.clients.len(),
                ?limit,
                "clients did not finish in time (limits.drain_timeout)"
            );
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            name = signals.until_stop() => {
                tracing::warn!(signal = name, clients = shared.clients.len(), "stopping at once");
                return;
            }
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

enum Told {
    Reload,
    /// By the signal of this name.
    Stop(&'static str),
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Told::Stop("SIGINT"),
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// While it stops, nothing is reloaded.
    async fn until_stop(&mut self) -> &'static str {
        loop {
            if let Told::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
