//! Keeps the topology true: asks each node who it is, lets the controller conclude, publishes.
//!
//! One task per node probes it over a connection of the monitor's own, so that a node that hangs delays no other. The
//! loop is one await, then a synchronous apply; what is concluded stands in `cluster`.

mod answer;
mod conninfo;
mod control;
mod failure;
mod perform;
mod probe;
mod session;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use self::perform::{Handle, Performer};
pub use self::probe::Prober;
use crate::cluster::{Controller, Event, NodeId, Record, Settings, Topology};
use crate::config::{self, Config};
use crate::feed::{Feed, Pulse};
use crate::shared::Shared;

/// How often it is said who is waited for, while there is no primary.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// Orders that may wait for a node's prober.
const MAX_ORDERS: usize = 2;

/// Runs until it is dropped. The only writer of `shared.topology`. Takes up changed `monitor` and `failover` settings at
/// once; nodes are those of the start.
pub async fn run(shared: Arc<Shared>) {
    let nodes = shared.config.load().nodes.clone();
    let mut changes = shared.config.watch();
    let cut = |node| shared.pools.cut(node);
    loop {
        let config = shared.config.latest();
        tokio::select! {
            () = keep_true(&nodes, &config.monitor, &config.failover, &shared.topology, &shared.writes, &cut) => {}
            () = async {
                let same = |now: &Config| (&now.monitor, &now.failover) == (&config.monitor, &config.failover);
                while same(&shared.config.load()) {
                    changes.changed().await;
                }
            } => tracing::info!("the monitor's settings have changed"),
        }
    }
}

/// The monitor's loop over these nodes; goes on from what `topology` holds. `cut` closes every server of a node. Returns
/// only if a probe task has died.
pub async fn keep_true(
    nodes: &[config::Node],
    settings: &config::Monitor,
    failover: &config::Failover,
    topology: &Feed<Topology>,
    writes: &Arc<Pulse>,
    cut: &(dyn Fn(NodeId) + Sync),
) {
    let limits = Settings { failures: settings.failures, notice_interval: NOTICE_INTERVAL, failover: failover.clone() };
    let mut controller = Controller::resume(nodes, limits, &topology.latest(), &Record::default());
    let (reports, mut inbox) = mpsc::channel(nodes.len().max(1));
    // Dropping the set ends the tasks.
    let mut probers = JoinSet::new();
    let mut handles = Vec::new();
    for (index, node) in (0u16..).zip(nodes) {
        let (orders, to_do) = mpsc::channel(MAX_ORDERS);
        let handle = Handle { orders, ask: Arc::new(Notify::new()) };
        let prober = Prober::new(NodeId(index), node, settings, failover.mode, Arc::clone(writes));
        probers.spawn(prober.run(reports.clone(), to_do, Arc::clone(&handle.ask)));
        handles.push(handle);
    }
    let performer = Performer { topology, handles, cut };
    while let Some(event) = next_event(&mut inbox, &mut probers, controller.deadline()).await {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in controller.handle(event, Instant::now()) {
                events.extend(performer.perform(action));
            }
        }
    }
    tracing::error!("a probe task has died; all probes start afresh");
    // Whatever killed it must not make this a busy loop.
    tokio::time::sleep(settings.interval).await;
}

/// `None`: a probe task has ended, which none does by itself.
async fn next_event(
    inbox: &mut mpsc::Receiver<Event>,
    probers: &mut JoinSet<()>,
    deadline: Option<(Instant, &'static str)>,
) -> Option<Event> {
    let due = async {
        match deadline {
            Some((at, _)) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        event = inbox.recv() => event,
        () = due => Some(Event::Tick),
        _ = probers.join_next() => None,
    }
}
