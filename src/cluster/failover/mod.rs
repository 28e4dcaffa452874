//! A primary is lost, or to be replaced: is it dead, who takes its place, what is done in which order.
//!
//! ```text
//! up ──probe failed──▶ suspect ─┬─▶ partitioned, blind, refusing … ──it answers──▶ up
//!                               └─▶ dead ─┬─▶ held (paused, manual, no candidate)
//! up ──SWITCHOVER──▶ draining ────────┐   │
//!                                     ▼   ▼
//!                          up ◀──undo── revoking ──elected──▶ promoting ──it is a primary──▶ opening ──▶ up
//! ```
//!
//! Until somebody is told to become the primary all can be undone. From `promoting` there is no way back to the lost
//! primary: it is fenced from the moment its successor is told, and nobody else is ever told, unless that one certainly
//! did not hear it. Every step may be repeated, by another process, too: what must not be forgotten is in the [`Record`].

mod attempt;
mod draining;
mod lost;
mod opening;
mod orders;
mod promoting;
mod revoking;
mod status;

use std::time::{Duration, Instant};

use self::draining::Draining;
use self::lost::Lost;
use self::opening::Opening;
use self::promoting::Promoting;
use self::revoking::Revoking;
use super::command::{Action, Command, Hook, Level, Outcome};
use super::election::Former;
pub(super) use super::judgement::Member;
use super::node::{Lsn, NodeId};
use super::order::{Order, OrderId};
use super::orphans::Orphans;
use super::quorum::Quorum;
use super::record::Record;
use super::status::Opened;
use super::topology::Topology;
use super::witness::Witness;
use crate::config::{self, Durability, FailoverMode};

/// Between two lines that say what is waited for.
const NOTICE: Duration = Duration::from_secs(10);

pub(super) struct Failover {
    settings: config::Failover,
    /// Failed probes in a row until silence counts.
    failures: u32,
    guarded: Option<Guarded>,
    witnesses: Vec<Witness>,
    /// Who must have a write before the guarded primary acknowledges it; known in quorum mode only.
    quorum: Option<Quorum>,
    state: State,
    /// When it began, of its name.
    since: Option<(super::status::State, Instant)>,
    orphans: Orphans,
    /// Who refused to be promoted since the suspicion began.
    excluded: Vec<(NodeId, String)>,
    last_failover: Option<Instant>,
    /// After a try that came to nothing: not again before then, and how long that was.
    not_before: Option<Instant>,
    back_off: Duration,
    opened: Option<Opened>,
    failovers: u64,
    switchovers: u64,
    is_paused: bool,
    detached: Vec<NodeId>,
    /// As written down last, by whatever process.
    record: Record,
    /// The primary that an earlier process has served last.
    known: Option<NodeId>,
    /// A promotion that an earlier process has begun: (lost, winner).
    unfinished: Option<(NodeId, NodeId)>,
    /// Before that nobody is asked again.
    next_ask: Option<Instant>,
    due: Option<Instant>,
}

/// The primary that is watched.
#[derive(Clone, Copy, Debug)]
struct Guarded {
    id: NodeId,
    timeline: u32,
    /// When it was asked for the last time with success.
    heard_at: Instant,
    /// What it last told to have written.
    written: Lsn,
}

enum State {
    Steady,
    Lost(Lost),
    Draining(Draining),
    Revoking(Revoking),
    Promoting(Promoting),
    Opening(Opening),
}

/// What has happened, as far as it matters here.
pub(super) enum Happened {
    Told(NodeId),
    Failed(NodeId),
    Performed { node: NodeId, command: Command, outcome: Outcome },
    Ran { hook: Hook, result: Result<(), String> },
    Ordered { id: OrderId, order: Order },
    Drained(NodeId),
    Nothing,
}

/// What the decisions rest on.
pub(super) struct Facts<'a> {
    pub(super) members: &'a [Member],
    pub(super) topology: &'a Topology,
    pub(super) now: Instant,
}

// === impl Facts ===

impl Facts<'_> {
    fn member(&self, id: NodeId) -> &Member {
        &self.members[usize::from(id.0)]
    }

    pub(super) fn name(&self, id: NodeId) -> &str {
        &self.topology.node(id).name
    }
}

// === impl Guarded ===

impl Guarded {
    fn former(self) -> Former {
        Former { id: self.id, timeline: self.timeline, written: self.written }
    }
}

// === impl Failover ===

impl Failover {
    pub(super) fn new(settings: config::Failover, failures: u32, members: &[Member], record: &Record) -> Self {
        let named = |name: &String| members.iter().find(|m| m.node.name == *name).map(|m| m.node.id);
        let unfinished = record.promotion.as_ref().and_then(|p| Some((named(&p.lost)?, named(&p.winner)?)));
        Self {
            settings,
            failures,
            guarded: None,
            witnesses: vec![Witness::default(); members.len()],
            quorum: None,
            state: State::Steady,
            since: None,
            orphans: Orphans::default(),
            excluded: Vec::new(),
            last_failover: None,
            not_before: None,
            back_off: Duration::ZERO,
            opened: None,
            failovers: 0,
            switchovers: 0,
            is_paused: record.is_paused,
            detached: record.detached.iter().filter_map(named).collect(),
            record: record.clone(),
            known: record.primary.as_ref().and_then(named),
            unfinished,
            next_ask: None,
            due: None,
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.settings.mode != FailoverMode::Off
    }

    pub(super) fn deadline(&self) -> Option<(Instant, &'static str)> {
        self.due.map(|at| (at, "go on with the failover"))
    }

    /// The node whose servers are waited for.
    pub(super) fn drains(&self) -> Option<NodeId> {
        match &self.state {
            State::Draining(draining) => draining.waits_for_clients().then_some(draining.attempt.lost.id),
            _ => None,
        }
    }

    /// Takes note of `happened` and does what follows.
    pub(super) fn step(&mut self, happened: Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        if let Happened::Ordered { id, order } = happened {
            self.take_order(id, order, facts, actions);
        }
        if !self.is_on() {
            return;
        }
        self.finish_what_was_begun(facts, actions);
        self.guard(facts, actions);
        if let Happened::Told(node) = happened {
            self.take_note(node, facts);
        }
        if let Happened::Performed { node, command: Command::Repoint { .. } | Command::Restore, outcome } = &happened {
            Orphans::tell(*node, outcome, facts, actions);
        }
        match &self.state {
            State::Steady => self.suspect(&happened, facts, actions),
            State::Lost(_) => self.judge(&happened, facts, actions),
            State::Draining(_) => self.drain(&happened, facts, actions),
            State::Revoking(_) => self.revoke(&happened, facts, actions),
            State::Promoting(_) => self.promote(&happened, facts, actions),
            State::Opening(_) => self.open(&happened, facts, actions),
        }
        let orphans_due = self.tend_orphans(facts, actions);
        self.remember_the_primary(facts, actions);
        if self.reserve_epochs(facts) {
            actions.push(Action::Remember(self.record.clone()));
        }
        self.note_since(facts);
        self.due = [self.own_deadline(facts.now), orphans_due].into_iter().flatten().min();
    }

    fn own_deadline(&self, now: Instant) -> Option<Instant> {
        let own = match &self.state {
            State::Steady => return None,
            State::Lost(lost) => lost.deadline(self.grace()),
            State::Draining(draining) => draining.deadline(),
            State::Revoking(revoking) => Some(revoking.deadline),
            State::Promoting(_) => None,
            State::Opening(opening) => Some(opening.next_try),
        };
        let own = own.filter(|at| *at > now);
        // Whatever was due and did not come about is looked at again.
        let ask = self.next_ask.map(|at| if at > now { at } else { now + RECHECK });
        [own, ask].into_iter().flatten().min()
    }

    /// From the proof that the primary is dead to the election. With a quorum it can acknowledge nothing more anyway.
    fn grace(&self) -> Duration {
        if self.wants_quorum() { Duration::ZERO } else { self.settings.grace }
    }

    /// Nodes are changed without an order.
    fn acts_by_itself(&self) -> bool {
        self.settings.mode == FailoverMode::Automatic && !self.is_paused
    }

    fn wants_quorum(&self) -> bool {
        self.settings.durability == Durability::Quorum
    }

    // --- who is watched ---

    /// Whoever serves as the primary is watched; a change that was not ours ends what we were at.
    fn guard(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let Some(id) = facts.topology.primary else { return };
        let Some(told) = &facts.member(id).observation else { return };
        let written = told.inserted.max(told.received).unwrap_or_default();
        let now = Guarded { id, timeline: told.timeline, heard_at: told.at, written };
        let is_other = self.guarded.is_some_and(|before| (before.id, before.timeline) != (id, now.timeline));
        match &self.state {
            // Fenced: its answers count no more.
            State::Promoting(Promoting { attempt, .. }) | State::Opening(Opening { attempt, .. })
                if attempt.lost.id == id && attempt.lost.timeline == now.timeline =>
            {
                return;
            }
            State::Promoting(promoting) if promoting.elected.node == id => self.begin_opening(now, facts, actions),
            State::Opening(opening) if opening.winner == id => {}
            State::Steady => {}
            _ if is_other => {
                let text = format!("{} has become the primary; this failover ends", facts.name(id));
                actions.push(Action::log(Level::Info, text.clone()));
                self.end_attempt(Err(text), facts, actions);
            }
            _ => {}
        }
        let is_new = is_other || self.guarded.is_none();
        self.guarded = Some(now);
        if is_new {
            self.witnesses.fill(Witness::default());
            (0..self.witnesses.len()).for_each(|node| self.take_note(NodeId(node as u16), facts));
        }
        if self.wants_quorum() {
            self.quorum = told.sync_names.as_deref().and_then(Quorum::parse);
        }
    }

    fn take_note(&mut self, node: NodeId, facts: &Facts<'_>) {
        let told = facts.member(node).observation.as_ref();
        if let (Some(told), Some(guarded)) = (told, self.guarded.filter(|guarded| guarded.id != node)) {
            self.witnesses[usize::from(node.0)].note(node, told, guarded.id, facts.topology);
        }
    }

    /// An earlier process has told somebody to become the primary, or was about to.
    fn finish_what_was_begun(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let Some(system) = facts.topology.system_identifier else { return };
        if self.record.system_identifier.is_some_and(|recorded| recorded != system) {
            (self.unfinished, self.known) = (None, None);
            return;
        }
        self.watch_the_last_one(facts);
        let Some((lost, winner)) = self.unfinished.take() else { return };
        let (lost_name, name) = (facts.name(lost), facts.name(winner));
        let text =
            format!("{name} was being promoted in place of {lost_name} when the proxy stopped; going on with it");
        actions.push(Action::log(Level::Warn, text));
        let lost = Guarded { id: lost, timeline: self.record.timeline, heard_at: facts.now, written: Lsn::default() };
        self.state = State::Promoting(Promoting::resume(lost, winner, facts.now));
    }

    /// A primary that died while nobody watched is missed all the same.
    fn watch_the_last_one(&mut self, facts: &Facts<'_>) {
        let Some(id) = self.known.take() else { return };
        if self.guarded.is_none() && facts.topology.primary.is_none() {
            let timeline = self.record.timeline;
            self.guarded = Some(Guarded { id, timeline, heard_at: facts.now, written: Lsn::default() });
            if self.wants_quorum() {
                self.quorum = self.record.sync_names.as_deref().and_then(Quorum::parse);
            }
        }
    }

    // --- who is to follow whom ---

    fn tend_orphans(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) -> Option<Instant> {
        let primary = match &self.state {
            State::Steady => self.guarded?.id,
            State::Promoting(promoting) if promoting.is_confirmed => promoting.elected.node,
            State::Opening(opening) => opening.winner,
            _ => return None,
        };
        self.orphans.find_severed(primary, facts);
        if self.acts_by_itself() && matches!(self.state, State::Steady) {
            self.orphans.find_homeless(primary, facts, actions);
        }
        self.orphans.tend(primary, &self.detached, facts, actions)
    }

    // --- what is written down ---

    /// A primary that is served is never forgotten.
    fn remember_the_primary(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let (State::Steady, Some(guarded)) = (&self.state, self.guarded) else { return };
        if facts.topology.primary == Some(guarded.id) {
            self.remember(guarded.id, guarded.timeline, None, facts, actions);
        }
    }

    fn remember(
        &mut self,
        primary: NodeId,
        timeline: u32,
        promotion: Option<(NodeId, NodeId)>,
        facts: &Facts<'_>,
        actions: &mut Vec<Action>,
    ) {
        let name = |id| facts.name(id).to_owned();
        let record = Record {
            system_identifier: facts.topology.system_identifier,
            epoch: self.record.epoch,
            timeline: timeline.max(self.record.timeline),
            primary: Some(name(primary)),
            sync_names: self.sync_names_of(primary, facts),
            promotion: promotion
                .map(|(lost, winner)| super::record::Promotion { lost: name(lost), winner: name(winner) }),
            is_paused: self.is_paused,
            detached: self.detached.iter().map(|id| name(*id)).collect(),
        };
        if record != self.record {
            self.record = record;
            self.reserve_epochs(facts);
            actions.push(Action::Remember(self.record.clone()));
        }
    }

    /// Epochs rise with each change of a health: they are written down ahead, some at a time. Whether they were.
    fn reserve_epochs(&mut self, facts: &Facts<'_>) -> bool {
        let is_due = facts.topology.epoch >= self.record.epoch;
        if is_due {
            self.record.epoch = facts.topology.epoch + EPOCHS_AHEAD;
        }
        is_due
    }

    fn sync_names_of(&self, primary: NodeId, facts: &Facts<'_>) -> Option<String> {
        let told = facts.member(primary).observation.as_ref();
        told.and_then(|told| told.sync_names.clone()).or_else(|| self.record.sync_names.clone())
    }

    // --- small things ---

    /// What was under way is over, one way or the other.
    fn end_attempt(&mut self, result: Result<String, String>, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let state = std::mem::replace(&mut self.state, State::Steady);
        let attempt = match state {
            State::Draining(Draining { attempt, .. })
            | State::Promoting(Promoting { attempt, .. })
            | State::Opening(Opening { attempt, .. }) => attempt,
            State::Revoking(revoking) => {
                revoking.undo(facts, actions);
                revoking.attempt
            }
            State::Steady | State::Lost(_) => return,
        };
        self.next_ask = None;
        if let Some(id) = attempt.order() {
            actions.push(Action::Answer { id, result });
        }
    }

    fn ask(&mut self, nodes: impl Iterator<Item = NodeId>, pace: Duration, now: Instant, actions: &mut Vec<Action>) {
        if self.next_ask.is_none_or(|next| now >= next) {
            self.next_ask = Some(now + pace);
            actions.extend(nodes.map(Action::Ask));
        }
    }

    fn note_since(&mut self, facts: &Facts<'_>) {
        let state = self.state_word(facts);
        if self.since.is_none_or(|(before, _)| before != state) {
            self.since = Some((state, facts.now));
        }
    }
}

const EPOCHS_AHEAD: u64 = 100;

/// While something is open all are asked again this often.
const RECHECK: Duration = Duration::from_millis(100);

/// Is it a primary yet, has it caught up?
const POLL: Duration = Duration::from_millis(10);
