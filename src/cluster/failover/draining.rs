//! The first half of a switchover: new transactions wait, running ones end, the standby gets all of it.

use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::{Facts, Failover, Happened, POLL, State};
use crate::cluster::command::{Action, Level};
use crate::cluster::node::{Lsn, NodeId};

/// For the standby to receive what the primary has written.
const CATCH_UP: Duration = Duration::from_secs(5);

/// So often others than our clients may have written meanwhile (a checkpoint, autovacuum, a session past the proxy).
const TRIES: u32 = 5;

pub(super) struct Draining {
    pub(super) attempt: Attempt,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Clients may finish their transactions until then.
    Clients(Instant),
    /// All have; the primary's position is asked for, not before.
    Position { since: Instant },
    /// The standby must get there.
    CatchUp { bound: Lsn, until: Instant },
}

// === impl Failover ===

impl Failover {
    pub(super) fn begin_draining(&mut self, attempt: Attempt, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let target = attempt.target.map_or("the fittest standby", |id| facts.name(id));
        let text = format!(
            "switchover from {} to {target}: new transactions wait, running ones have {:?} to end",
            facts.name(attempt.lost.id),
            self.settings.drain
        );
        actions.push(Action::log(Level::Warn, text));
        self.next_ask = None;
        self.state = State::Draining(Draining { stage: Stage::Clients(facts.now + self.settings.drain), attempt });
    }

    pub(super) fn catch_up_again(&mut self, mut attempt: Attempt, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        if let State::Revoking(revoking) = &self.state {
            revoking.undo(facts, actions);
        }
        attempt.tries += 1;
        let name = facts.name(attempt.lost.id);
        if attempt.tries > TRIES {
            let text =
                format!("{name} is written to all the time, by others than the proxy's clients: stop them first");
            self.state = State::Draining(Draining { attempt, stage: Stage::Position { since: facts.now } });
            actions.push(Action::log(Level::Error, format!("no switchover: {text}")));
            return self.end_attempt(Err(text), facts, actions);
        }
        actions.push(Action::log(
            Level::Info,
            format!("{name} was written to meanwhile; its standbys catch up once more"),
        ));
        self.next_ask = None;
        self.state = State::Draining(Draining { attempt, stage: Stage::Position { since: facts.now } });
    }

    pub(super) fn drain(&mut self, happened: &Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Draining(draining) = &self.state else { return };
        let (lost, stage) = (draining.attempt.lost, draining.stage);
        let name = facts.name(lost.id);
        if let Some(failure) = facts.member(lost.id).failure.as_ref().filter(|failure| !failure.proves_life()) {
            let text = format!("{name} failed in the middle of the switchover: {}", failure.text);
            actions.push(Action::log(Level::Error, text.clone()));
            self.end_attempt(Err(text), facts, actions);
            return self.begin_suspicion(facts, actions);
        }
        match stage {
            Stage::Clients(until) => {
                let is_drained = matches!(happened, Happened::Drained(node) if *node == lost.id);
                if !is_drained && facts.now < until {
                    return;
                }
                if !is_drained {
                    let text = format!("transactions on {name} did not end in time (failover.drain): they are ended");
                    actions.push(Action::log(Level::Warn, text));
                }
                // Idle sessions with something on the server, too: it would be gone unnoticed.
                actions.push(Action::Cut(lost.id));
                self.set_stage(Stage::Position { since: facts.now });
                self.ask(std::iter::once(lost.id), POLL, facts.now, actions);
            }
            Stage::Position { since } => match facts.member(lost.id).observation.as_ref() {
                Some(told) if told.at >= since => {
                    let bound = told.inserted.max(told.received).unwrap_or_default();
                    self.set_stage(Stage::CatchUp { bound, until: facts.now + CATCH_UP });
                    self.catch_up(bound, facts.now + CATCH_UP, facts, actions);
                }
                _ if facts.now >= since + CATCH_UP => {
                    let text = format!("{name} does not tell where its WAL ends");
                    actions.push(Action::log(Level::Error, format!("no switchover: {text}")));
                    self.end_attempt(Err(text), facts, actions);
                }
                _ => self.ask(std::iter::once(lost.id), POLL, facts.now, actions),
            },
            Stage::CatchUp { bound, until } => self.catch_up(bound, until, facts, actions),
        }
    }

    fn catch_up(&mut self, bound: Lsn, until: Instant, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Draining(draining) = &self.state else { return };
        let attempt = draining.attempt.clone();
        let has_all = |id: NodeId| {
            let told = facts.member(id).observation.as_ref();
            told.and_then(|told| told.received).is_some_and(|received| received >= bound)
        };
        let candidates: Vec<NodeId> = match attempt.target {
            Some(target) => vec![target],
            None => facts.topology.nodes.iter().map(|node| node.id).filter(|id| *id != attempt.lost.id).collect(),
        };
        if candidates.iter().any(|id| has_all(*id)) {
            return self.begin_revoking(attempt, facts, actions);
        }
        if facts.now < until {
            return self.ask(candidates.into_iter(), POLL, facts.now, actions);
        }
        let who = attempt.target.map_or("no standby", |id| facts.name(id));
        let text =
            format!("{who} did not get to {bound}, where {} is, within {CATCH_UP:?}", facts.name(attempt.lost.id));
        actions.push(Action::log(Level::Error, format!("no switchover: {text}")));
        self.end_attempt(Err(text), facts, actions);
    }

    fn set_stage(&mut self, stage: Stage) {
        if let State::Draining(draining) = &mut self.state {
            draining.stage = stage;
        }
        self.next_ask = None;
    }
}

// === impl Draining ===

impl Draining {
    pub(super) fn waits_for_clients(&self) -> bool {
        matches!(self.stage, Stage::Clients(_))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Clients(until) | Stage::CatchUp { until, .. } => Some(until),
            Stage::Position { since } => Some(since + CATCH_UP),
        }
    }

    pub(super) fn words(&self, facts: &Facts<'_>) -> String {
        let name = facts.name(self.attempt.lost.id);
        match self.stage {
            Stage::Clients(_) => format!("the transactions on {name} to end"),
            Stage::Position { .. } => format!("the position of {name}"),
            Stage::CatchUp { bound, .. } => format!("the standby to get to {bound}"),
        }
    }
}
