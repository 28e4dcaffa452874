//! A standby is told to become the primary; from here on there is no way back to the lost one.

use std::time::{Duration, Instant};

use super::attempt::{Attempt, Cause};
use super::lost::Phase;
use super::{Facts, Failover, Guarded, Happened, NOTICE, POLL, RECHECK, State};
use crate::cluster::command::{Action, Command, Hook, Level, Outcome};
use crate::cluster::election::Elected;
use crate::cluster::node::{Lsn, NodeId};

/// A promotion whose order may have been lost is ordered again.
const REPEAT: Duration = Duration::from_secs(1);
/// What holds up the promotion is ended this often.
const CLEAR: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Promoting {
    pub(super) attempt: Attempt,
    pub(super) elected: Elected,
    /// Who was cut off the lost primary.
    cut_off: Vec<NodeId>,
    since: Instant,
    stage: Stage,
    ordered_at: Instant,
    cleared_at: Instant,
    /// The operator's command is at it.
    is_running: bool,
    /// By an earlier process.
    is_resumed: bool,
    /// The order went out, or may have.
    committed: bool,
    pub(super) is_confirmed: bool,
    said: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The operator's command makes sure that the lost primary writes no more.
    Fencing,
    Ordered,
}

// === impl Failover ===

impl Failover {
    pub(super) fn begin_promoting(
        &mut self,
        attempt: Attempt,
        elected: Elected,
        cut_off: Vec<NodeId>,
        facts: &Facts<'_>,
        actions: &mut Vec<Action>,
    ) {
        let (lost, winner) = (attempt.lost, elected.node);
        let text = format!(
            "promoting {} in place of {}: it is at {}, {}",
            facts.name(winner),
            facts.name(lost.id),
            elected.position,
            self.what_is_lost(&elected, facts.name(lost.id))
        );
        actions.push(Action::log(Level::Warn, text));
        actions.push(Action::Cut(lost.id));
        self.next_ask = None;
        let has_fence = !self.settings.hooks.fence.is_empty();
        let stage = if has_fence { Stage::Fencing } else { Stage::Ordered };
        let variables = self.variables(&attempt, Some(winner), facts);
        self.state = State::Promoting(Promoting { stage, cut_off, ..Promoting::new(attempt, elected, facts.now) });
        match has_fence {
            true => actions.push(Action::Run { hook: Hook::Fence, variables }),
            false => self.order_promotion(facts, actions),
        }
    }

    fn what_is_lost(&self, elected: &Elected, lost: &str) -> String {
        match (elected.behind, self.wants_quorum()) {
            (0, _) => format!("with all that {lost} told to have written"),
            (behind, true) => format!("{behind} bytes behind what {lost} last told, none of it acknowledged"),
            (behind, false) => format!("{behind} bytes behind what {lost} last told: acknowledged writes may be lost"),
        }
    }

    fn order_promotion(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Promoting(promoting) = &mut self.state else { return };
        promoting.stage = Stage::Ordered;
        promoting.ordered_at = facts.now;
        let (lost, winner) = (promoting.attempt.lost, promoting.elected.node);
        let attempt = promoting.attempt.clone();
        self.remember(lost.id, lost.timeline, Some((lost.id, winner)), facts, actions);
        actions.push(self.promotion(&attempt, winner, facts));
        self.ask(std::iter::once(winner), POLL, facts.now, actions);
    }

    fn promotion_ran(&mut self) {
        if let State::Promoting(promoting) = &mut self.state {
            promoting.is_running = false;
        }
    }

    /// By the operator's command, if there is one.
    fn promotion(&mut self, attempt: &Attempt, winner: NodeId, facts: &Facts<'_>) -> Action {
        if self.settings.hooks.promote.is_empty() {
            return Action::Perform { node: winner, command: Command::Promote { timeline: attempt.lost.timeline } };
        }
        if let State::Promoting(promoting) = &mut self.state {
            promoting.is_running = true;
        }
        Action::Run { hook: Hook::Promote, variables: self.variables(attempt, Some(winner), facts) }
    }

    pub(super) fn promote(&mut self, happened: &Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Promoting(promoting) = &self.state else { return };
        let node = promoting.elected.node;
        match happened {
            Happened::Ran { hook: Hook::Fence, result } if promoting.stage == Stage::Fencing => match result {
                Ok(()) => self.order_promotion(facts, actions),
                Err(why) => return self.not_promoted(None, &format!("failover.fence failed: {why}"), facts, actions),
            },
            Happened::Ran { hook: Hook::Promote, result } => {
                self.promotion_ran();
                let outcome = match result {
                    Ok(()) => Outcome::Done,
                    Err(why) => Outcome::Unknown(format!("failover.promote failed: {why}")),
                };
                self.take_outcome(node, &outcome, facts, actions);
            }
            Happened::Performed { node: by, command: Command::Promote { .. }, outcome } if *by == node => {
                self.take_outcome(node, outcome, facts, actions);
            }
            _ => {}
        }
        self.press_on(facts, actions);
    }

    fn take_outcome(&mut self, node: NodeId, outcome: &Outcome, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Promoting(promoting) = &mut self.state else { return };
        match outcome {
            Outcome::Done | Outcome::Opened { .. } if promoting.is_confirmed => {}
            Outcome::Done | Outcome::Opened { .. } => {
                (promoting.committed, promoting.is_confirmed) = (true, true);
                promoting.cleared_at = facts.now;
                let lost = promoting.attempt.lost.id;
                self.adopt_followers(node, lost, facts);
            }
            Outcome::Refused(why) => self.not_promoted(Some(node), why, facts, actions),
            Outcome::NotDone(why) if !promoting.committed => self.not_promoted(Some(node), why, facts, actions),
            Outcome::NotDone(why) | Outcome::Unknown(why) => {
                if !promoting.committed || facts.now >= promoting.said + NOTICE {
                    promoting.said = facts.now;
                    let text = format!("{} may or may not have heard that it is promoted: {why}", facts.name(node));
                    actions.push(Action::log(Level::Warn, text));
                }
                promoting.committed = true;
            }
        }
    }

    /// Whoever streamed from the lost primary is to follow its successor.
    pub(super) fn adopt_followers(&mut self, winner: NodeId, lost: NodeId, facts: &Facts<'_>) {
        let followers = self.witnesses.iter().zip(facts.members).filter(|(witness, _)| witness.follows);
        let ids = followers.map(|(_, member)| member.node.id).filter(|id| *id != winner && *id != lost);
        self.orphans.adopt(ids, lost);
    }

    fn press_on(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Promoting(promoting) = &mut self.state else { return };
        let (node, now) = (promoting.elected.node, facts.now);
        // Also what was confirmed: a node forgets it when it is restarted before it is done.
        let pause = if promoting.is_confirmed { PATIENCE } else { REPEAT };
        // A record may be old: whoever streams from the lost primary may let it acknowledge again.
        let is_streamed_from = promoting.is_resumed && streams_from(promoting.attempt.lost.id, facts);
        if !is_streamed_from && !promoting.is_running && promoting.committed && now >= promoting.ordered_at + pause {
            promoting.ordered_at = now;
            let attempt = promoting.attempt.clone();
            actions.push(self.promotion(&attempt, node, facts));
        }
        let State::Promoting(promoting) = &mut self.state else { return };
        if promoting.is_confirmed && now >= promoting.cleared_at + CLEAR {
            promoting.cleared_at = now;
            actions.push(Action::Perform { node, command: Command::Clear });
        }
        if now >= promoting.said + NOTICE {
            promoting.said = now;
            let waited = now.saturating_duration_since(promoting.since).as_secs();
            let text = if promoting.stage == Stage::Fencing {
                format!("failover.fence has been running for {waited} s; {} is not promoted before", facts.name(node))
            } else if is_streamed_from {
                format!(
                    "{} was to take the place of {}, which standbys stream from again: nobody is promoted, nobody is served. \
                     FAILOVER TO a node FORCE, or stop the proxy, remove its state file and start it again",
                    facts.name(node),
                    facts.name(promoting.attempt.lost.id)
                )
            } else {
                format!(
                    "{} was told {waited} s ago to become the primary and is none yet; nobody else is promoted meanwhile. \
                 If it is lost for good: FAILOVER TO another one FORCE",
                    facts.name(node)
                )
            };
            actions.push(Action::log(Level::Error, text));
        }
        let pace = if now < promoting.since + PATIENCE { POLL } else { RECHECK };
        self.ask(std::iter::once(node), pace, now, actions);
    }

    /// Nobody was told, or nobody heard: all is open again.
    fn not_promoted(&mut self, node: Option<NodeId>, why: &str, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Promoting(promoting) = &self.state else { return };
        let attempt = promoting.attempt.clone();
        let undone = promoting.cut_off.iter().map(|id| Action::Perform { node: *id, command: Command::Restore });
        actions.extend(undone);
        let text = match node {
            Some(node) => format!("{} was not promoted: {why}", facts.name(node)),
            None => format!("nothing is promoted: {why}"),
        };
        actions.push(Action::log(Level::Error, text.clone()));
        self.excluded.extend(node.map(|node| (node, format!("was not promoted ({why})"))));
        self.remember(attempt.lost.id, attempt.lost.timeline, None, facts, actions);
        self.end_attempt(Err(text.clone()), facts, actions);
        match (attempt.cause, node) {
            // The next one is told, without waiting.
            (Cause::Automatic, Some(_)) => self.begin_suspicion(facts, actions),
            _ if self.sign_of_life(attempt.lost, facts).is_none() => self.give_up(Phase::Held(text), facts, actions),
            _ => {}
        }
    }
}

// === impl Promoting ===

impl Promoting {
    fn new(attempt: Attempt, elected: Elected, now: Instant) -> Self {
        Self {
            attempt,
            elected,
            cut_off: Vec::new(),
            since: now,
            stage: Stage::Ordered,
            ordered_at: now,
            cleared_at: now,
            is_running: false,
            is_resumed: false,
            committed: false,
            is_confirmed: false,
            said: now,
        }
    }

    /// An earlier process has told `winner`, or was about to.
    pub(super) fn resume(lost: Guarded, winner: NodeId, now: Instant) -> Self {
        let elected = Elected { node: winner, position: Lsn::default(), behind: 0 };
        let ordered_at = now.checked_sub(REPEAT).unwrap_or(now);
        Self { committed: true, is_resumed: true, ordered_at, ..Self::new(Attempt::automatic(lost, now), elected, now) }
    }
}

fn streams_from(lost: NodeId, facts: &Facts<'_>) -> bool {
    facts.topology.nodes.iter().any(|node| node.upstream == Some(lost) && node.streams())
}
