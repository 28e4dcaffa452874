//! Is it dead? The primary does not answer, or says that it does not serve: its standbys are asked.

use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::{Facts, Failover, Guarded, Happened, NOTICE, RECHECK, State};
use crate::cluster::command::{Action, Command, FailureKind, Level, Outcome};
use crate::cluster::election;
use crate::cluster::witness::{self, Verdict};
use crate::config::FailoverMode;

/// While it is fresh all are asked this often; after `PATIENCE` more slowly.
const QUICK: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_secs(1);
const FRESH: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(5);

/// So long a primary that says it is starting may take, if nothing acknowledged is lost by waiting (async).
const RESTART: Duration = Duration::from_secs(10);

pub(super) struct Lost {
    pub(super) since: Instant,
    pub(super) phase: Phase,
    /// Since when it answers that it does not serve.
    refusing_since: Option<Instant>,
    said: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Suspect,
    /// It answers that it does not serve: it may be back in a moment.
    Refusing {
        is_stopping: bool,
    },
    Partitioned(String),
    Blind(String),
    /// Dead since.
    Dead(Instant),
    /// Dead, and nobody is promoted; why.
    Held(String),
    /// Somebody else has promoted a node that is not served yet.
    Overtaken(String),
}

// === impl Failover ===

impl Failover {
    pub(super) fn suspect(&mut self, happened: &Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let Some(guarded) = self.guarded else { return };
        let Some(failure) = facts.member(guarded.id).failure.as_ref() else { return };
        if !matches!(happened, Happened::Failed(node) if *node == guarded.id) || failure.is_no_death() {
            return;
        }
        let text =
            format!("{}, the primary, is suspect: {}; asking its standbys", facts.name(guarded.id), failure.text);
        actions.push(Action::log(Level::Info, text));
        self.excluded.clear();
        self.begin_suspicion(facts, actions);
    }

    pub(super) fn begin_suspicion(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        self.witnesses.iter_mut().for_each(witness::Witness::forget_check);
        self.state =
            State::Lost(Lost { since: facts.now, phase: Phase::Suspect, refusing_since: None, said: facts.now });
        self.next_ask = None;
        self.ask(facts.members.iter().map(|member| member.node.id), QUICK, facts.now, actions);
    }

    /// Why the guarded primary lives, if it does.
    pub(super) fn sign_of_life(&self, guarded: Guarded, facts: &Facts<'_>) -> Option<String> {
        match &facts.member(guarded.id).failure {
            None => Some("answers again".to_owned()),
            Some(failure) if failure.is_no_death() => Some(format!("lives, if it only says: {}", failure.text)),
            Some(_) => None,
        }
    }

    pub(super) fn judge(&mut self, happened: &Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let (State::Lost(lost), Some(guarded)) = (&mut self.state, self.guarded) else { return };
        let kind = facts.member(guarded.id).failure.as_ref().map(|failure| failure.kind);
        let is_refusing = matches!(kind, Some(FailureKind::NotServing | FailureKind::Stopping));
        lost.refusing_since = is_refusing.then(|| lost.refusing_since.unwrap_or(facts.now));
        let (since, before, said, refusing_since) = (lost.since, lost.phase.clone(), lost.said, lost.refusing_since);
        let name = facts.name(guarded.id);
        if let Some(life) = self.sign_of_life(guarded, facts) {
            actions.push(Action::log(Level::Info, format!("{name} {life}; nothing is promoted")));
            self.state = State::Steady;
            self.next_ask = None;
            self.not_before = None;
            return;
        }
        if let Happened::Performed { node, command: Command::Reconnect, outcome } = happened {
            let is_done = *outcome == Outcome::Done;
            self.witnesses[usize::from(node.0)].checked(is_done.then_some(facts.now));
        }
        let phase = self.next_phase(&before, since, refusing_since, guarded, facts, actions);
        let is_new = std::mem::discriminant(&phase) != std::mem::discriminant(&before);
        // `hold` has its own words.
        let is_told = !matches!(phase, Phase::Suspect | Phase::Held(_));
        let say = is_told && (is_new || facts.now >= said + NOTICE);
        if say {
            let level = if matches!(phase, Phase::Dead(_)) { Level::Warn } else { Level::Error };
            actions.push(Action::log(level, format!("{name} is lost: {}", phase.words())));
        }
        let said = if say { facts.now } else { said };
        self.state = State::Lost(Lost { since, phase: phase.clone(), refusing_since, said });
        match phase {
            Phase::Dead(dead_since) if facts.now < dead_since + self.grace() => {}
            Phase::Dead(_) | Phase::Held(_) => self.decide(guarded, facts, actions),
            _ => {}
        }
        if let State::Lost(Lost { since, .. }) = &self.state {
            let pace = match facts.now.saturating_duration_since(*since) {
                age if age < FRESH => QUICK,
                age if age < PATIENCE => RECHECK,
                _ => SLOW,
            };
            self.ask(facts.members.iter().map(|member| member.node.id), pace, facts.now, actions);
        }
    }

    fn next_phase(
        &mut self,
        before: &Phase,
        since: Instant,
        refusing_since: Option<Instant>,
        guarded: Guarded,
        facts: &Facts<'_>,
        actions: &mut Vec<Action>,
    ) -> Phase {
        let primary = facts.member(guarded.id);
        let kind = primary.failure.as_ref().map(|failure| failure.kind);
        if let Some(newer) = newer_than(guarded, facts) {
            return Phase::Overtaken(format!("{newer} is on a newer timeline: somebody else has promoted a node"));
        }
        if let Some(refusing_since) = refusing_since {
            let patience = if self.wants_quorum() { self.settings.grace } else { self.settings.grace.max(RESTART) };
            if facts.now < refusing_since + patience {
                let was_stopping = matches!(before, Phase::Refusing { is_stopping: true });
                return Phase::Refusing { is_stopping: was_stopping || kind == Some(FailureKind::Stopping) };
            }
        } else if kind != Some(FailureKind::Unreachable) && primary.failures() < self.failures {
            return Phase::Suspect;
        }
        self.hear_the_witnesses(before, since, guarded, facts, actions)
    }

    fn hear_the_witnesses(
        &mut self,
        before: &Phase,
        since: Instant,
        guarded: Guarded,
        facts: &Facts<'_>,
        actions: &mut Vec<Action>,
    ) -> Phase {
        let is_silent = facts.member(guarded.id).failure.as_ref().is_some_and(|f| f.kind == FailureKind::TimedOut);
        let question = witness::Question {
            since,
            primary_at: guarded.heard_at,
            wanted: self.settings.witnesses,
            quorum: self.quorum.as_ref(),
            will_check: self.acts_by_itself(),
            // A killed primary's standbys notice by themselves, in milliseconds.
            may_check: self.acts_by_itself() && (is_silent || facts.now >= since + FRESH),
            now: facts.now,
        };
        match witness::verdict(facts.members, &self.witnesses, &question) {
            Verdict::Awaited => before.clone(),
            Verdict::Check(nodes) => {
                for node in nodes {
                    self.witnesses[usize::from(node.0)].begin_check(facts.now);
                    actions.push(Action::Perform { node, command: Command::Reconnect });
                }
                before.clone()
            }
            Verdict::Partitioned(names) => Phase::Partitioned(names),
            Verdict::Blind(why) => Phase::Blind(why),
            Verdict::Dead => match before {
                // What holds it may be over: it is decided afresh each time.
                Phase::Dead(_) | Phase::Held(_) => before.clone(),
                _ => Phase::Dead(facts.now),
            },
        }
    }

    fn decide(&mut self, guarded: Guarded, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let now = facts.now;
        if self.wants_quorum() && self.quorum.is_none() {
            let text = format!(
                "failover.durability is \"quorum\", but {} names no synchronous standbys (ANY k (names)), so any of them \
                 may lack acknowledged writes",
                facts.name(guarded.id)
            );
            return self.hold(text, facts, actions);
        }
        let fittest = election::preview(facts.members, guarded.former(), &|id| self.eligible(id, facts));
        let fittest = match fittest {
            Ok(elected) => elected,
            Err(reasons) => return self.hold(format!("no standby can be promoted: {reasons}"), facts, actions),
        };
        let name = facts.name(fittest.node);
        if self.settings.mode == FailoverMode::Manual {
            let text =
                format!("failover.mode is \"manual\": FAILOVER TO {name} promotes it (it is at {})", fittest.position);
            return self.hold(text, facts, actions);
        }
        if self.is_paused {
            let text = format!("automatic failover is paused: RESUME FAILOVER, or FAILOVER TO {name}");
            return self.hold(text, facts, actions);
        }
        if self.last_failover.is_some_and(|last| now < last + self.settings.pause) {
            let text = format!("failover.pause ({:?}) is not over since the last one", self.settings.pause);
            return self.hold(text, facts, actions);
        }
        if self.not_before.is_none_or(|at| now >= at) {
            self.begin_revoking(Attempt::automatic(guarded, now), facts, actions);
        }
    }

    fn hold(&mut self, why: String, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Lost(Lost { phase, said, .. }) = &mut self.state else { return };
        // `judge` has been here a moment ago with the same: then it is not said again before its time.
        if facts.now >= *said + NOTICE || !matches!(phase, Phase::Held(before) if *before == why) {
            *said = facts.now;
            actions.push(Action::log(Level::Error, format!("nothing is promoted: {why}")));
        }
        *phase = Phase::Held(why);
    }

    /// Back to the question whether it is dead, with an answer to begin with.
    pub(super) fn give_up(&mut self, phase: Phase, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        self.begin_suspicion(facts, actions);
        if let State::Lost(lost) = &mut self.state {
            lost.phase = phase;
        }
        self.back_off = (self.back_off * 2).clamp(SLOW, NOTICE);
        self.not_before = Some(facts.now + self.back_off);
        self.next_ask = Some(facts.now + SLOW);
    }
}

// === impl Lost ===

impl Lost {
    /// When something ends by itself.
    pub(super) fn deadline(&self, grace: Duration) -> Option<Instant> {
        match &self.phase {
            Phase::Dead(since) => Some(*since + grace),
            _ => None,
        }
    }
}

// === impl Phase ===

impl Phase {
    pub(super) fn words(&self) -> String {
        match self {
            Phase::Suspect => "it does not answer; its standbys are asked".to_owned(),
            Phase::Refusing { is_stopping: true } => "it is shutting down".to_owned(),
            Phase::Refusing { is_stopping: false } => "it answers that it does not serve".to_owned(),
            Phase::Partitioned(names) => {
                format!("only we can't reach it: {names} still streams from it; nothing is promoted")
            }
            Phase::Blind(why) => format!("whether it is dead can't be known, nothing is promoted: {why}"),
            Phase::Dead(_) => "its standbys have lost it too, it is dead".to_owned(),
            Phase::Held(why) | Phase::Overtaken(why) => format!("nothing is promoted: {why}"),
        }
    }
}

fn newer_than<'a>(guarded: Guarded, facts: &Facts<'a>) -> Option<&'a str> {
    let newer = facts.topology.nodes.iter().find(|node| {
        let told = node.observation.as_ref();
        told.is_some_and(|told| {
            Some(told.system_identifier) == facts.topology.system_identifier && told.timeline > guarded.timeline
        })
    });
    newer.map(|node| node.name.as_str())
}
