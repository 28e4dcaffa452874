//! Keeps the topology true: asks each node who it is, lets the controller conclude, publishes.
//!
//! One task per node probes it over a connection of the monitor's own, so that a node that hangs delays no other. The
//! loop is one await, then a synchronous apply; what is concluded stands in `cluster`.

mod answer;
mod conninfo;
mod control;
mod failure;
mod hooks;
mod perform;
mod probe;
mod session;
mod state;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::perform::{Handle, Performer};
pub use self::probe::Prober;
pub use self::state::StateFile;
use crate::cluster::{Controller, Event, NodeId, Policy, Settings};
use crate::config::{self, Config};
use crate::orders::Request;
use crate::shared::Shared;

/// How often it is said who is waited for, while there is no primary.
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// Orders that may wait for a node's prober.
const MAX_ORDERS: usize = 4;

/// How often it is looked whether the last transaction on a node has ended.
const DRAIN_ROUND: Duration = Duration::from_millis(5);

/// Runs until it is dropped. The only writer of `shared.topology` and `shared.journal`. Takes up changed `monitor` and
/// `failover` settings at once; nodes and the state file are those of the start.
pub async fn run(shared: Arc<Shared>, mut state: StateFile) {
    let nodes = shared.config.load().nodes.clone();
    let mut changes = shared.config.watch();
    let mut orders = shared.orders.take_inbox();
    loop {
        let config = shared.config.latest();
        tokio::select! {
            () = keep_true(&shared, &nodes, &config, &mut state, &mut orders) => {}
            () = async {
                let same = |now: &Config| (&now.monitor, &now.failover) == (&config.monitor, &config.failover);
                while same(&shared.config.load()) {
                    changes.changed().await;
                }
            } => tracing::info!("the monitor's settings have changed"),
        }
    }
}

/// The loop over these nodes; goes on from what the topology holds. Returns only if a probe task has died.
async fn keep_true(
    shared: &Arc<Shared>,
    nodes: &[config::Node],
    config: &Config,
    state: &mut StateFile,
    orders: &mut Option<mpsc::Receiver<Request>>,
) {
    let (failures, failover) = (config.monitor.failures, config.failover.clone());
    let limits = Settings { failures, notice_interval: NOTICE_INTERVAL, failover };
    let names = || nodes.iter().map(|node| node.name.as_str());
    let mut seen = shared.config.version();
    let mut controller = Controller::resume(nodes, limits, &shared.topology.latest(), state.record())
        .with_policy(Policy::of(&shared.config.load(), names()));
    let (reports, inbox) = mpsc::channel(nodes.len().max(1));
    // Dropping the set ends the tasks.
    let mut probers = JoinSet::new();
    let mut handles = Vec::new();
    for ((index, node), ask) in (0u16..).zip(nodes).zip(&shared.doubts) {
        let (orders, to_do) = mpsc::channel(MAX_ORDERS);
        let handle = Handle { orders, ask: Arc::clone(ask) };
        let prober = Prober::new(NodeId(index), node, &config.monitor, config.failover.mode, Arc::clone(shared));
        probers.spawn(prober.run(reports.clone(), to_do, Arc::clone(&handle.ask)));
        handles.push(handle);
    }
    let (asking, hooks) = (HashMap::new(), config.failover.hooks.clone());
    let mut performer = Performer { shared, handles, state, hooks, reports, asking, last_order: 0 };
    let mut ears = Ears { inbox, probers, orders, drain_seen: Instant::now() };
    while let Some(event) = ears.next(&controller, &mut performer).await {
        let version = shared.config.version();
        if std::mem::replace(&mut seen, version) != version {
            controller.set_policy(Policy::of(&shared.config.load(), names()));
        }
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in controller.handle(event, Instant::now()) {
                events.extend(performer.perform(action).await);
            }
        }
    }
    tracing::error!("a probe task has died; all probes start afresh");
    // Whatever killed it must not make this a busy loop.
    tokio::time::sleep(config.monitor.interval).await;
}

/// All that the loop waits for.
struct Ears<'a> {
    inbox: mpsc::Receiver<Event>,
    probers: JoinSet<()>,
    /// `None`: somebody else takes them.
    orders: &'a mut Option<mpsc::Receiver<Request>>,
    /// When it was looked last whether a node is drained.
    drain_seen: Instant,
}

// === impl Ears ===

impl Ears<'_> {
    /// `None`: a probe task has ended, which none does by itself.
    async fn next(&mut self, controller: &Controller, performer: &mut Performer<'_>) -> Option<Event> {
        let due = async {
            match controller.deadline() {
                Some((at, _)) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let order = async {
            match self.orders {
                Some(orders) => orders.recv().await,
                None => None,
            }
        };
        tokio::select! {
            event = self.inbox.recv() => event,
            Some(request) = order => Some(performer.ordered(request)),
            () = due => Some(Event::Tick),
            node = drained(performer.shared, controller.drains(), &mut self.drain_seen) => Some(Event::Drained(node)),
            _ = self.probers.join_next() => None,
        }
    }
}

/// Returns when nothing runs on the node any more. `seen` bounds how often that is looked at, and said.
async fn drained(shared: &Shared, node: Option<NodeId>, seen: &mut Instant) -> NodeId {
    let Some(node) = node else { return std::future::pending().await };
    loop {
        tokio::time::sleep_until((*seen + DRAIN_ROUND).into()).await;
        *seen = Instant::now();
        if shared.pools.busy(node) == 0 {
            return node;
        }
    }
}
