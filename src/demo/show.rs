//! The demo from the first line to the last: build, explain, watch, judge, remove.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::cluster::{self, Cluster};
use super::error::Error;
use super::guard::Guard;
use super::proxy::{Ports, Proxy, Ready};
use super::sample::{Counts, Sampler};
use super::screen::{Screen, say};
use super::setup::{ADMIN, APP, MONITOR};
use super::site::Site;
use super::talker::Talker;
use super::watch::Watch;
use super::workload::{self, Tally, Workload};
use super::{Options, explain};

/// How a demo that did not go well ended.
#[derive(Debug)]
pub enum Failure {
    Error(Error),
    /// What was expected of it and did not happen.
    Verdict(Vec<String>),
    /// By a signal, before it was due to end.
    Interrupted,
}

const TICK: Duration = Duration::from_secs(1);
/// For the proxy to finish; its clients are gone by then.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// For PostgreSQL to count what was done.
const COUNT_PATIENCE: Duration = Duration::from_secs(3);

pub async fn run(options: Options) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    if let Some(port) = options.port {
        TcpListener::bind(("127.0.0.1", port)).map_err(Error::io(format!("listen on port {port}")))?;
    }
    let site = Site::prepare(options.dir.as_deref(), options.keep)?;
    let dir = site.dir.clone();
    let guard = Arc::clone(&site.guard);
    let shown = stage(site, &guard, &options, &mut signals).await;
    // Whatever happened: nothing is left running.
    let ended = tokio::task::spawn_blocking(move || guard.end()).await;
    ended.map_err(|error| Error::Refused(format!("the end was not reached: {error}")))?;
    match options.keep {
        false if dir.exists() && dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) => {
            Err(Error::Refused(format!("{} could not be removed", dir.display())).into())
        }
        false => {
            say(&format!("Stopped, and the data in {} is removed.", dir.display()));
            shown
        }
        true => shown,
    }
}

async fn stage(site: Site, guard: &Arc<Guard>, options: &Options, signals: &mut Signals) -> Result<(), Failure> {
    explain::site(&site);
    let wanted = options.clone();
    let building = tokio::task::spawn_blocking(move || build(site, &wanted));
    tokio::pin!(building);
    let built = tokio::select! {
        built = &mut building => built,
        name = signals.next() => {
            say(&format!("{name}: stopping"));
            let guard = Arc::clone(guard);
            let _ = tokio::task::spawn_blocking(move || guard.end()).await;
            let _ = building.await;
            return Err(Failure::Interrupted);
        }
    };
    let (cluster, proxy) = built.map_err(|error| Error::Refused(format!("building it panicked: {error}")))??;
    explain::access(&cluster, &proxy, options);
    let shown = perform(&cluster, &proxy, options, signals).await;
    if options.keep {
        explain::restart(&cluster, &proxy);
    }
    // Both wait for processes: not on this thread, where the runtime lives.
    let _ = tokio::task::spawn_blocking(move || drop((proxy, cluster))).await;
    shown
}

fn build(site: Site, options: &Options) -> Result<(Cluster, Proxy), Error> {
    let started = Instant::now();
    let progress = |step: &str| say(&format!("  {:4.1} s  {step}", started.elapsed().as_secs_f64()));
    let cluster_options = cluster::Options { keep: options.keep, quorum: true, ..cluster::Options::default() };
    let cluster = Cluster::start_on(site, cluster_options, progress)?;
    progress("each names the others as its synchronous standbys: ANY 1");
    if options.workload {
        cluster.pg1.psql_as(APP, APP, &workload::schema())?;
        cluster.wait_caught_up()?;
    }
    let program = std::env::current_exe().map_err(Error::io("find the program's own path"))?;
    let ports = Ports::free(options.port)?;
    progress("proxy: pgherd run");
    let proxy = Proxy::start(cluster.guard(), &program, cluster.dir(), "proxy", &cluster.proxy_config(ports), ports)?;
    proxy.wait_ready(Ready::Standbys(2))?;
    progress(&format!("proxy: knows the primary and both standbys, runs on port {}", proxy.port()));
    Ok((cluster, proxy))
}

/// Until the time is over or a signal comes.
async fn perform(cluster: &Cluster, proxy: &Proxy, options: &Options, signals: &mut Signals) -> Result<(), Failure> {
    let mut sampler = sampler(cluster, proxy);
    let before = sampler.counts().await;
    let started = Instant::now();
    let password = &cluster.passwords().app;
    let workload =
        options.workload.then(|| Workload::start(|| Talker::new("127.0.0.1", proxy.port(), APP, APP, Some(password))));
    let mut watch = Watch::new(Talker::new("127.0.0.1", proxy.port(), APP, APP, Some(password)));
    let mut screen = Screen::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let interrupted = loop {
        tokio::select! {
            name = signals.next() => {
                say(&format!("\n{name}: stopping"));
                break true;
            }
            _ = ticks.tick() => {}
        }
        if let Some(status) = proxy.ended() {
            let doing = "keep the proxy running; its log says".to_owned();
            return Err(Error::Command { doing, status: status.to_string(), output: proxy.log_text() }.into());
        }
        let rows = sampler.rows().await;
        let notes = match (&rows, &workload) {
            (Ok(rows), Some(workload)) => watch.look(rows, started.elapsed(), &workload.tally().ledger).await,
            _ => Vec::new(),
        };
        screen.draw(started.elapsed(), &rows, workload.as_ref().map(Workload::tally), &notes);
        if options.duration.is_some_and(|duration| started.elapsed() >= duration) {
            break false;
        }
    };
    let verdict = match workload {
        Some(workload) => {
            let tally = workload.stop().await;
            let lost = watch.count_lost(&tally.ledger).await;
            // A server that ends reports its last counts: what is shown below is complete.
            proxy.stop(STOP_PATIENCE)?;
            let after = final_counts(&mut sampler, &tally, &before).await;
            let mut wrong = judge(cluster, &tally, &before, &after, watch.changes);
            wrong.extend(judge_losses(lost));
            wrong
        }
        None => Vec::new(),
    };
    match options.duration {
        // Ctrl-C is how a demo without a time ends, and whoever watched it may have promoted or killed what he liked.
        None => {
            verdict.iter().for_each(|wrong| say(&format!("  {wrong}")));
            Ok(())
        }
        Some(_) if !verdict.is_empty() => Err(Failure::Verdict(verdict)),
        Some(_) if interrupted => Err(Failure::Interrupted),
        Some(_) => Ok(()),
    }
}

/// Who is asked: the console through the proxy, and each node itself as the monitor role.
fn sampler(cluster: &Cluster, proxy: &Proxy) -> Sampler {
    let passwords = cluster.passwords();
    let console = Talker::new("127.0.0.1", proxy.port(), "pgherd", ADMIN, Some(&passwords.admin));
    let nodes = cluster.nodes().map(|node| {
        let talker = Talker::new(node.host(), node.port(), APP, MONITOR, Some(&passwords.monitor));
        (node.name().to_owned(), talker)
    });
    Sampler::new(console, nodes.into())
}

/// The servers' processes end at their own pace: asks until the nodes have counted all that was done, or for so long.
async fn final_counts(sampler: &mut Sampler, tally: &Tally, before: &[Option<Counts>]) -> Vec<Option<Counts>> {
    let done = tally.reads.load(Relaxed) + tally.writes.load(Relaxed);
    let total = |counts: &[Option<Counts>]| counts.iter().flatten().map(|c| c.reads + c.writes).sum::<u64>();
    let started = Instant::now();
    loop {
        let counts = sampler.counts().await;
        if total(&counts).saturating_sub(total(before)) >= done || started.elapsed() > COUNT_PATIENCE {
            return counts;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Tells what was done where, and what is wrong with it.
fn judge(
    cluster: &Cluster,
    tally: &Tally,
    before: &[Option<Counts>],
    after: &[Option<Counts>],
    changes: u64,
) -> Vec<String> {
    let (reads, writes, errors) = (tally.reads.load(Relaxed), tally.writes.load(Relaxed), tally.errors.load(Relaxed));
    say(&format!("\nThrough the proxy: {reads} reads, {writes} writes, {errors} errors. By PostgreSQL's own count:"));
    let mut wrong = Vec::new();
    // A write whose answer was lost with the primary is an error; who was killed can't be asked.
    let is_calm = changes == 0;
    if errors > 0 && is_calm {
        wrong.push(format!("{errors} statements failed; the last: {}", tally.error_text()));
    }
    for (at, node) in cluster.nodes().into_iter().enumerate() {
        let counts = |all: &[Option<Counts>]| all.get(at).copied().flatten();
        let (Some(old), Some(new)) = (counts(before), counts(after)) else {
            say(&format!("  {}  does not answer", node.name()));
            wrong.extend(is_calm.then(|| format!("{} does not answer", node.name())));
            continue;
        };
        let (reads, writes) = (new.reads.saturating_sub(old.reads), new.writes.saturating_sub(old.writes));
        say(&format!("  {}  {reads:>7} reads  {writes:>7} writes", node.name()));
        match at {
            _ if !is_calm => {}
            0 if writes == 0 => wrong.push(format!("no write was seen on {}", node.name())),
            1.. if reads == 0 => wrong.push(format!("no read was seen on {}", node.name())),
            _ => {}
        }
    }
    wrong
}

/// Whether what was acknowledged is there.
fn judge_losses(lost: Result<(u64, u64), String>) -> Option<String> {
    match lost {
        Ok((acknowledged, 0)) => {
            say(&format!("  0 of {acknowledged} acknowledged rows lost"));
            None
        }
        Ok((acknowledged, lost)) => Some(format!("{lost} of {acknowledged} acknowledged rows are lost")),
        Err(error) => Some(format!("what is lost could not be counted: {error}")),
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

// === impl Signals ===

impl Signals {
    fn new() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::io("listen to signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

// === impl Failure ===

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}
