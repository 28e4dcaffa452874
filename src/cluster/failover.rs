//! A primary is lost: is it dead, who takes its place, what is done in which order.
//!
//! ```text
//! steady ──probe failed──▶ suspect ──▶ partitioned | blind | grace ──▶ promoting ──▶ steady (orphans are re-pointed)
//!    ▲                        │              │           └──▶ held (pause, manual, no candidate)
//!    └────it answers──────────┴──────────────┘
//! ```
//!
//! Every step asks again, so each may be repeated. From `promoting` there is no way back to the lost primary: it is
//! fenced from the moment its successor is told. Nobody else is ever told, unless that one certainly did not hear it.

use std::time::{Duration, Instant};

use super::command::{Action, Command, FailureKind, Level, Outcome};
use super::election::{Elected, elect};
use super::judgement::Member;
use super::node::{Health, NodeId};
use super::orphans::Orphans;
use super::topology::Topology;
use super::witness::{Verdict, Witness, verdict};
use crate::config::{self, FailoverMode};

/// While something is open all are asked again this often; after `PATIENCE` more slowly.
const RECHECK: Duration = Duration::from_millis(100);
const SLOW_RECHECK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// Is it a primary yet?
const POLL: Duration = Duration::from_millis(20);
/// A promotion whose order may have been lost is ordered again.
const REPEAT: Duration = Duration::from_secs(1);
/// Between two lines that say what is waited for.
const NOTICE: Duration = Duration::from_secs(10);

pub(super) struct Failover {
    settings: config::Failover,
    /// Failed probes in a row until silence counts.
    failures: u32,
    guarded: Option<Guarded>,
    witnesses: Vec<Witness>,
    state: State,
    orphans: Orphans,
    /// Who refused to be promoted since the suspicion began.
    excluded: Vec<(NodeId, String)>,
    last_failover: Option<Instant>,
    /// Before that nobody is asked again.
    next_ask: Option<Instant>,
    due: Option<Instant>,
}

/// The primary that is watched.
#[derive(Clone, Copy)]
struct Guarded {
    id: NodeId,
    timeline: u32,
    /// When it was asked for the last time with success.
    heard_at: Instant,
}

enum State {
    Steady,
    Lost { since: Instant, phase: Phase, said: Instant },
    Promoting(Promotion),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Suspect,
    Partitioned(String),
    Blind(String),
    /// Dead since.
    Grace(Instant),
    /// Dead, and nobody is promoted; why.
    Held(String),
    /// Somebody else has promoted a node that is not served yet.
    Overtaken(String),
}

struct Promotion {
    lost: NodeId,
    elected: Elected,
    since: Instant,
    ordered_at: Instant,
    /// The order went out, or may have.
    committed: bool,
    confirmed: bool,
    said: Instant,
}

/// What has happened, as far as it matters here.
pub(super) enum Happened {
    Told(NodeId),
    Failed(NodeId),
    Performed { node: NodeId, command: Command, outcome: Outcome },
    Nothing,
}

/// What the decisions rest on.
pub(super) struct Facts<'a> {
    pub(super) members: &'a [Member],
    pub(super) topology: &'a Topology,
    pub(super) now: Instant,
}

// === impl Failover ===

impl Failover {
    pub(super) fn new(settings: config::Failover, failures: u32, nodes: usize) -> Self {
        Self {
            settings,
            failures,
            guarded: None,
            witnesses: vec![Witness::default(); nodes],
            state: State::Steady,
            orphans: Orphans::default(),
            excluded: Vec::new(),
            last_failover: None,
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

    /// Takes note of `happened` and does what follows.
    pub(super) fn step(&mut self, happened: Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        if self.settings.mode == FailoverMode::Off {
            return;
        }
        self.guard(facts, actions);
        if let Happened::Told(node) = happened {
            self.take_note(node, facts);
        }
        if let Happened::Performed { node, command: Command::Repoint { .. }, outcome } = &happened {
            Orphans::tell(*node, outcome, facts, actions);
        }
        match &self.state {
            State::Steady => self.suspect(&happened, facts, actions),
            State::Lost { .. } => self.judge(facts, actions),
            State::Promoting(_) => self.promote(happened, facts, actions),
        }
        let orphans_due = match &self.state {
            State::Steady => self.guarded.and_then(|primary| self.orphans.tend(primary.id, facts, actions)),
            State::Promoting(promotion) if promotion.confirmed => {
                self.orphans.tend(promotion.elected.node, facts, actions)
            }
            State::Lost { .. } | State::Promoting(_) => None,
        };
        self.due = [self.own_deadline(facts.now), orphans_due].into_iter().flatten().min();
    }

    /// The lost primary gets no client once its successor was told, whatever it says.
    pub(super) fn fence(&self, topology: &mut Topology) {
        let State::Promoting(promotion) = &self.state else { return };
        let successor = topology.node(promotion.elected.node).name.clone();
        if topology.primary == Some(promotion.lost) {
            topology.primary = None;
            topology.no_primary_because = Some(format!("{successor} is being promoted"));
            let lost = &mut topology.nodes[usize::from(promotion.lost.0)];
            lost.health = Health::Refused(format!("{successor} is being promoted in its place"));
        }
    }

    /// What an operator should read beside the lost primary.
    pub(super) fn explain(&self, topology: &mut Topology) {
        let (Some(guarded), Some(words)) = (self.guarded, self.words(topology)) else { return };
        if let Some(because) = &mut topology.no_primary_because {
            *because = format!("{because}; failover: {words}");
        }
        let node = &mut topology.nodes[usize::from(guarded.id.0)];
        match &mut node.health {
            Health::Down(reason) => *reason = format!("{reason}; failover: {words}"),
            Health::Up | Health::Starting => node.warning = Some(format!("failover: {words}")),
            Health::Refused(_) => {}
        }
    }

    fn words(&self, topology: &Topology) -> Option<String> {
        match &self.state {
            State::Steady => None,
            State::Lost { phase, .. } => Some(phase.words()),
            State::Promoting(promotion) => {
                Some(format!("{} is being promoted", topology.node(promotion.elected.node).name))
            }
        }
    }

    fn own_deadline(&self, now: Instant) -> Option<Instant> {
        let grace_ends = match &self.state {
            State::Steady => return None,
            State::Lost { phase: Phase::Grace(dead_since), .. } => Some(*dead_since + self.settings.grace),
            State::Lost { .. } | State::Promoting(_) => None,
        };
        [self.next_ask, grace_ends.filter(|end| *end > now)].into_iter().flatten().min()
    }

    /// Whoever serves as the primary is watched; a change that was not ours ends what we were at.
    fn guard(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let Some(id) = facts.topology.primary else { return };
        let Some(told) = &facts.members[usize::from(id.0)].observation else { return };
        let now = Guarded { id, timeline: told.timeline, heard_at: told.at };
        let is_other = self.guarded.is_some_and(|before| (before.id, before.timeline) != (id, now.timeline));
        match &self.state {
            // Fenced: its answers count no more.
            State::Promoting(promotion) if promotion.lost == id => return,
            State::Promoting(promotion) if promotion.elected.node == id => self.promoted(facts, actions),
            State::Lost { .. } | State::Promoting(_) if is_other => {
                let text = format!("{} has become the primary; this failover ends", facts.topology.node(id).name);
                actions.push(Action::log(Level::Info, text));
                self.state = State::Steady;
            }
            State::Steady | State::Lost { .. } | State::Promoting(_) => {}
        }
        let is_new = is_other || self.guarded.is_none();
        self.guarded = Some(now);
        if is_new {
            self.witnesses.fill(Witness::default());
            (0..self.witnesses.len()).for_each(|node| self.take_note(NodeId(node as u16), facts));
        }
    }

    fn take_note(&mut self, node: NodeId, facts: &Facts<'_>) {
        let told = facts.members[usize::from(node.0)].observation.as_ref();
        if let (Some(told), Some(guarded)) = (told, self.guarded.filter(|guarded| guarded.id != node)) {
            self.witnesses[usize::from(node.0)].note(node, told, guarded.id, facts.topology);
        }
    }

    // --- is it dead? ---

    fn suspect(&mut self, happened: &Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let Some(guarded) = self.guarded else { return };
        let Some(failure) = facts.members[usize::from(guarded.id.0)].failure.as_ref() else { return };
        if !matches!(happened, Happened::Failed(node) if *node == guarded.id) || !may_be_death(failure.kind) {
            return;
        }
        let name = &facts.topology.node(guarded.id).name;
        let text = format!("{name}, the primary, is suspect: {}; asking its standbys", failure.text);
        actions.push(Action::log(Level::Info, text));
        self.excluded.clear();
        self.state = State::Lost { since: facts.now, phase: Phase::Suspect, said: facts.now };
        self.next_ask = None;
        self.ask_all(facts, actions);
    }

    fn judge(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let (State::Lost { since, phase, said }, Some(guarded)) = (&self.state, self.guarded) else { return };
        let (since, before, said) = (*since, phase.clone(), *said);
        let primary = &facts.members[usize::from(guarded.id.0)];
        let name = &primary.node.name;
        let life = match &primary.failure {
            None => Some("answers again".to_owned()),
            Some(failure) if !may_be_death(failure.kind) => Some(format!("lives, if it only says: {}", failure.text)),
            Some(_) => None,
        };
        if let Some(life) = life {
            actions.push(Action::log(Level::Info, format!("{name} {life}; nothing is promoted")));
            self.state = State::Steady;
            return;
        }
        let phase = self.next_phase(&before, since, guarded, facts);
        let is_new = std::mem::discriminant(&phase) != std::mem::discriminant(&before);
        // `hold` has its own words.
        let is_told = !matches!(phase, Phase::Suspect | Phase::Held(_));
        let say = is_told && (is_new || facts.now >= said + NOTICE);
        if say {
            let level = if matches!(phase, Phase::Grace(_)) { Level::Warn } else { Level::Error };
            actions.push(Action::log(level, format!("{name} is lost: {}", phase.words())));
        }
        let said = if say { facts.now } else { said };
        self.state = State::Lost { since, phase: phase.clone(), said };
        match phase {
            Phase::Grace(dead_since) if facts.now < dead_since + self.settings.grace => {}
            Phase::Grace(_) | Phase::Held(_) => self.decide(guarded, facts, actions),
            Phase::Suspect | Phase::Partitioned(_) | Phase::Blind(_) | Phase::Overtaken(_) => {}
        }
        self.ask_all(facts, actions);
    }

    fn next_phase(&self, before: &Phase, since: Instant, guarded: Guarded, facts: &Facts<'_>) -> Phase {
        let primary = &facts.members[usize::from(guarded.id.0)];
        let refused = primary.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Unreachable);
        let newer = facts.topology.nodes.iter().find(|node| {
            let told = node.observation.as_ref();
            told.is_some_and(|told| {
                Some(told.system_identifier) == facts.topology.system_identifier && told.timeline > guarded.timeline
            })
        });
        if let Some(newer) = newer {
            return Phase::Overtaken(format!(
                "{} is on a newer timeline: somebody else has promoted a node",
                newer.name
            ));
        }
        if !refused && primary.failures() < self.failures {
            return Phase::Suspect;
        }
        match verdict(facts.members, &self.witnesses, self.settings.witnesses, since, guarded.heard_at) {
            Verdict::Awaited => before.clone(),
            Verdict::Partitioned(names) => Phase::Partitioned(names),
            Verdict::Blind(why) => Phase::Blind(why),
            Verdict::Dead(_) => match before {
                // What holds it may be over: it is decided afresh each time.
                Phase::Grace(_) | Phase::Held(_) => before.clone(),
                _ => Phase::Grace(facts.now),
            },
        }
    }

    // --- who takes its place ---

    fn decide(&mut self, guarded: Guarded, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let now = facts.now;
        let lost = &facts.topology.node(guarded.id).name;
        let elected = match elect(facts.members, guarded.id, &self.excluded) {
            Ok(elected) => elected,
            Err(reasons) => return self.hold(format!("no standby can be promoted: {reasons}"), facts, actions),
        };
        let name = facts.topology.node(elected.node).name.clone();
        if self.settings.mode == FailoverMode::Manual {
            let text = format!("failover.mode is \"manual\": promote {name} by hand (it is at {})", elected.position);
            return self.hold(text, facts, actions);
        }
        if self.last_failover.is_some_and(|last| now < last + self.settings.pause) {
            let text = format!("failover.pause ({:?}) is not over since the last one", self.settings.pause);
            return self.hold(text, facts, actions);
        }
        let text = format!(
            "promoting {name} in place of {lost}: it is at {}, {} bytes behind what {lost} last told",
            elected.position, elected.behind
        );
        actions.push(Action::log(Level::Warn, text));
        actions.push(Action::Cut(guarded.id));
        actions.push(Action::Perform { node: elected.node, command: Command::Promote { timeline: guarded.timeline } });
        self.state = State::Promoting(Promotion {
            lost: guarded.id,
            elected,
            since: now,
            ordered_at: now,
            committed: false,
            confirmed: false,
            said: now,
        });
        self.next_ask = Some(now + POLL);
    }

    fn hold(&mut self, why: String, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Lost { phase, said, .. } = &mut self.state else { return };
        // `judge` has been here a moment ago with the same: then it is not said again before its time.
        if facts.now >= *said + NOTICE || !matches!(phase, Phase::Held(before) if *before == why) {
            *said = facts.now;
            actions.push(Action::log(Level::Error, format!("nothing is promoted: {why}")));
        }
        *phase = Phase::Held(why);
    }

    // --- the promotion ---

    fn promote(&mut self, happened: Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Promoting(promotion) = &mut self.state else { return };
        let (node, now) = (promotion.elected.node, facts.now);
        let name = &facts.topology.node(node).name;
        match happened {
            Happened::Performed { node: by, command: Command::Promote { .. }, outcome } if by == node => {
                match outcome {
                    Outcome::Opened { .. } => {}
                    Outcome::Done if promotion.confirmed => {}
                    Outcome::Done => {
                        (promotion.committed, promotion.confirmed) = (true, true);
                        let followers = self.witnesses.iter().zip(facts.members).filter(|(witness, _)| witness.follows);
                        self.orphans.adopt(
                            followers.map(|(_, member)| member.node.id).filter(|id| *id != node),
                            promotion.lost,
                        );
                    }
                    Outcome::Refused(why) => return self.not_promoted(node, &why, facts, actions),
                    Outcome::NotDone(why) if !promotion.committed => {
                        return self.not_promoted(node, &why, facts, actions);
                    }
                    Outcome::NotDone(why) | Outcome::Unknown(why) => {
                        promotion.committed = true;
                        let text = format!("{name} may or may not have heard that it is promoted: {why}");
                        actions.push(Action::log(Level::Warn, text));
                    }
                }
            }
            _ => {}
        }
        if promotion.committed && !promotion.confirmed && now >= promotion.ordered_at + REPEAT {
            promotion.ordered_at = now;
            let timeline = self.guarded.map_or(0, |guarded| guarded.timeline);
            actions.push(Action::Perform { node, command: Command::Promote { timeline } });
        }
        if now >= promotion.said + NOTICE {
            promotion.said = now;
            let waited = now.saturating_duration_since(promotion.since).as_secs();
            let text = format!(
                "{name} was told {waited} s ago to become the primary and is none yet; nobody else is promoted meanwhile. \
                 If it is lost, promote another one by hand"
            );
            actions.push(Action::log(Level::Error, text));
        }
        if self.next_ask.is_none_or(|next| now >= next) {
            let pace = if now < promotion.since + PATIENCE { POLL } else { RECHECK };
            self.next_ask = Some(now + pace);
            actions.push(Action::Ask(node));
        }
    }

    /// Nobody was told, or nobody heard: all is open again.
    fn not_promoted(&mut self, node: NodeId, why: &str, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let name = &facts.topology.node(node).name;
        actions.push(Action::log(Level::Error, format!("{name} was not promoted: {why}")));
        self.excluded.push((node, format!("was not promoted ({why})")));
        self.state = State::Lost { since: facts.now, phase: Phase::Suspect, said: facts.now };
        self.ask_all(facts, actions);
    }

    fn ask_all(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Lost { since, .. } = &self.state else { return };
        if self.next_ask.is_none_or(|next| facts.now >= next) {
            let pace = if facts.now < *since + PATIENCE { RECHECK } else { SLOW_RECHECK };
            self.next_ask = Some(facts.now + pace);
            actions.extend(facts.members.iter().map(|member| Action::Ask(member.node.id)));
        }
    }

    fn promoted(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Promoting(promotion) = std::mem::replace(&mut self.state, State::Steady) else { return };
        // It answers as a primary before the order's own answer has come.
        if !promotion.confirmed {
            let followers = self.witnesses.iter().zip(facts.members).filter(|(witness, _)| witness.follows);
            let followers = followers.map(|(_, member)| member.node.id).filter(|id| *id != promotion.elected.node);
            self.orphans.adopt(followers, promotion.lost);
        }
        self.last_failover = Some(facts.now);
        let took = facts.now.saturating_duration_since(promotion.since).as_millis();
        let (name, lost) =
            (&facts.topology.node(promotion.elected.node).name, &facts.topology.node(promotion.lost).name);
        actions.push(Action::log(Level::Warn, format!("{name} was promoted in {took} ms in place of {lost}")));
    }
}

// === impl Phase ===

impl Phase {
    fn words(&self) -> String {
        match self {
            Phase::Suspect => "it does not answer; its standbys are asked".to_owned(),
            Phase::Partitioned(names) => {
                format!("only we can't reach it: {names} still streams from it; nothing is promoted")
            }
            Phase::Blind(why) => format!("whether it is dead can't be known, nothing is promoted: {why}"),
            Phase::Grace(_) => "its standbys have lost it too, it is dead".to_owned(),
            Phase::Held(why) | Phase::Overtaken(why) => format!("nothing is promoted: {why}"),
        }
    }
}

/// Overload, a login refused, a restart: whoever says so lives.
fn may_be_death(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Unreachable | FailureKind::TimedOut)
}
