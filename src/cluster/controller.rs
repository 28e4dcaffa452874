//! The heart of the monitor: events in, actions out; no socket, no clock.
//!
//! The shell (`monitor`) awaits one event or the deadline, calls [`Controller::handle`] and performs the actions in
//! their order. What follows from what is known stands in `judgement`.

use std::time::{Duration, Instant};

use super::command::{Action, Event, Level};
use super::failover::{Facts, Failover, Happened};
use super::judgement::{Judge, Member};
use super::node::{Health, NodeId};
use super::policy::Policy;
use super::reads;
use super::record::Record;
use super::story;
use super::tide::Tide;
use super::topology::{Node, Topology};
use crate::config;

pub struct Controller {
    settings: Settings,
    members: Vec<Member>,
    judge: Judge,
    tide: Tide,
    failover: Failover,
    policy: Policy,
    /// When the share of a node that has come back is to be told anew.
    next_step: Option<Instant>,
    /// As published last.
    topology: Topology,
    /// When it is to be said again who is waited for; `None` while there is a primary, or nothing was said yet.
    next_notice: Option<Instant>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// Failed probes in a row until a node counts as down. At least 1.
    pub failures: u32,
    /// Between two notices of who is waited for while there is no primary.
    pub notice_interval: Duration,
    pub failover: config::Failover,
}

/// From a share that a node begins with to its weight.
const STEPS: u32 = 20;

// === impl Controller ===

impl Controller {
    /// Begins with nothing known.
    pub fn new(nodes: &[config::Node], settings: Settings) -> Self {
        Self::resume(nodes, settings, &Topology::unknown(nodes), &Record::default())
    }

    /// Begins with what `known`, a topology of the same nodes in the same order, tells, and with what an earlier process has
    /// written down; the epoch goes on from the higher one.
    pub fn resume(nodes: &[config::Node], settings: Settings, known: &Topology, record: &Record) -> Self {
        let unknown = Topology::unknown(nodes);
        let is_same = |(known, node): (&Node, &Node)| (&known.host, known.port) == (&node.host, node.port);
        let same = known.nodes.len() == nodes.len() && known.nodes.iter().zip(&unknown.nodes).all(is_same);
        let mut known = if same { known.clone() } else { Topology { epoch: known.epoch, ..unknown.clone() } };
        known.epoch = known.epoch.max(record.epoch);
        let resume = |(node, known)| Member::resume(node, known, settings.failures);
        let members: Vec<Member> = unknown.nodes.into_iter().zip(&known.nodes).map(resume).collect();
        let failover = Failover::new(settings.failover.clone(), settings.failures, &members, record);
        Self {
            settings,
            members,
            judge: Judge::resume(&known, record),
            tide: Tide::default(),
            failover,
            policy: Policy::default(),
            next_step: None,
            topology: known,
            next_notice: None,
        }
    }

    /// Who gets reads, from now on.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The same in the middle of things: the next event applies it.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let happened = match event {
            Event::Observed { node, observation } => {
                let member = &mut self.members[usize::from(node.0)];
                actions.extend(story::answered(member));
                member.answered(observation);
                Happened::Told(node)
            }
            Event::ProbeFailed { node, failure } => {
                let member = &mut self.members[usize::from(node.0)];
                actions.extend(story::failed(member, &failure));
                member.failed(failure, self.settings.failures);
                Happened::Failed(node)
            }
            Event::Performed { node, command, outcome } => Happened::Performed { node, command, outcome },
            Event::Ran { hook, result } => Happened::Ran { hook, result },
            Event::Ordered { id, order } => Happened::Ordered { id, order },
            Event::Drained(node) => Happened::Drained(node),
            Event::Tick => Happened::Nothing,
        };
        self.settle(happened, &mut actions, now);
        actions
    }

    /// When [`Event::Tick`] is due, and what for.
    pub fn deadline(&self) -> Option<(Instant, &'static str)> {
        let notice = self.next_notice.map(|at| (at, "say who is waited for"));
        let step = self.next_step.map(|at| (at, "let the share of a node that came back grow"));
        [notice, step, self.failover.deadline()].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The node whose servers are given back one after the other: [`Event::Drained`] when none is lent any more.
    pub fn drains(&self) -> Option<NodeId> {
        self.failover.drains()
    }

    /// Draws the conclusions: a new topology, and what to tell the operator.
    fn settle(&mut self, happened: Happened, actions: &mut Vec<Action>, now: Instant) {
        let mut topology = self.judge.judge(&mut self.members, self.settings.failures);
        self.tide.sample(&topology);
        reads::choose(&mut topology, &self.topology, &mut self.members, &self.tide, &self.policy, now);
        // So that whatever is ordered bears an epoch that was never used.
        topology.epoch = self.topology.epoch;
        let told = if let Happened::Told(node) = happened { Some(node) } else { None };
        let facts = Facts { members: &self.members, topology: &topology, now };
        self.failover.step(happened, &facts, actions);
        topology.status = self.failover.describe(&Facts { members: &self.members, topology: &topology, now });
        self.failover.fence(&self.members, &mut topology);
        self.failover.explain(&mut topology);
        // A server that was being connected when it was cut, or thawed with it.
        let is_refused = |node: &NodeId| matches!(topology.node(*node).health, Health::Refused(_));
        actions.extend(told.filter(|_| self.failover.is_on()).filter(is_refused).map(Action::Cut));
        topology.epoch = self.topology.epoch + u64::from(differs(&self.topology, &topology));
        self.tide.note_at_each(&mut topology);
        let is_growing = self.members.iter().any(|member| member.rotation.grows(&self.policy, now));
        self.next_step = is_growing.then(|| now + self.policy.slow_start / STEPS);
        story::changes(&self.topology, &topology, actions);
        self.notice(&topology, actions, now);
        self.topology = topology.clone();
        actions.push(Action::Publish(topology));
    }

    /// Says who is waited for: once everybody was asked, then at a bounded rate.
    fn notice(&mut self, topology: &Topology, actions: &mut Vec<Action>, now: Instant) {
        let Some(because) = &topology.no_primary_because else {
            self.next_notice = None;
            return;
        };
        let lost_just_now = self.topology.primary.is_some(); // `story::changes` has said so
        let due = self.next_notice.is_none_or(|at| now >= at);
        if lost_just_now || (due && self.members.iter().all(Member::was_heard)) {
            self.next_notice = Some(now + self.settings.notice_interval);
            if !lost_just_now {
                actions.push(Action::log(Level::Warn, format!("waiting for a primary: {because}")));
            }
        }
    }
}

/// Whether the epoch has to rise: a role, a health, a node's fitness or the primary changed; positions do not count.
fn differs(before: &Topology, after: &Topology) -> bool {
    before.system_identifier != after.system_identifier
        || before.primary != after.primary
        || before.standbys != after.standbys
        || before
            .nodes
            .iter()
            .zip(&after.nodes)
            .any(|(before, after)| before.role != after.role || before.health.as_str() != after.health.as_str())
}
