//! The new primary writes for the first time: with a quorum that proves that it has one. Then clients may.

use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::promoting::Promoting;
use super::{Facts, Failover, Guarded, Happened, NOTICE, State};
use crate::cluster::command::{Action, Command, Hook, Level, Outcome};
use crate::cluster::node::NodeId;
use crate::cluster::quorum::Quorum;
use crate::cluster::status::Opened;
use crate::cluster::witness::is_of;

const REPEAT: Duration = Duration::from_millis(500);

/// Without a quorum the first write proves nothing: it is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Opening {
    pub(super) attempt: Attempt,
    pub(super) winner: NodeId,
    timeline: u32,
    /// Of all its first writes: another one would be another opening.
    epoch: u64,
    lost_bytes: u64,
    since: Instant,
    is_ordered: bool,
    pub(super) next_try: Instant,
    said: Instant,
    pub(super) waits_for: Option<String>,
}

// === impl Failover ===

impl Failover {
    /// The winner answers as a primary.
    pub(super) fn begin_opening(&mut self, now: Guarded, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Promoting(promoting) = std::mem::replace(&mut self.state, State::Steady) else { return };
        let Promoting { attempt, elected, is_confirmed, .. } = promoting;
        if !is_confirmed {
            // It answers as a primary before the order's own answer has come.
            self.adopt_followers(elected.node, attempt.lost.id, facts);
        }
        self.next_ask = None;
        // Until it is open, so that another process opens it, too.
        self.remember(elected.node, now.timeline, Some((attempt.lost.id, elected.node)), facts, actions);
        let lost_bytes = elected.behind;
        self.state = State::Opening(Opening {
            attempt,
            winner: elected.node,
            timeline: now.timeline,
            epoch: facts.topology.epoch + 1,
            lost_bytes,
            since: facts.now,
            is_ordered: false,
            next_try: facts.now,
            said: facts.now,
            waits_for: None,
        });
        self.order_opening(facts, actions);
    }

    fn order_opening(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Opening(opening) = &mut self.state else { return };
        opening.is_ordered = true;
        opening.next_try = facts.now + PATIENCE;
        let (node, primary) = (opening.winner, facts.name(opening.winner).to_owned());
        let epoch = opening.epoch;
        actions.push(Action::Perform { node, command: Command::Open { epoch, primary } });
    }

    pub(super) fn open(&mut self, happened: &Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let wants_quorum = self.wants_quorum();
        let State::Opening(opening) = &mut self.state else { return };
        if let Happened::Performed { node, command: Command::Open { .. }, outcome } = happened
            && *node == opening.winner
        {
            let why = match outcome {
                Outcome::Opened { xmax } => return self.opened(*xmax, facts, actions),
                Outcome::Done => return self.opened(None, facts, actions),
                Outcome::NotDone(why) | Outcome::Refused(why) | Outcome::Unknown(why) => why.clone(),
            };
            opening.is_ordered = false;
            opening.next_try = facts.now + REPEAT;
            opening.waits_for = Some(why);
            if wants_quorum {
                self.bring_near(facts);
            }
        }
        let State::Opening(opening) = &mut self.state else { return };
        if !wants_quorum && facts.now >= opening.since + PATIENCE {
            let why = opening.waits_for.clone().unwrap_or_else(|| "no answer yet".to_owned());
            let text = format!(
                "the first write of {} is not done ({why}); it is served all the same",
                facts.name(opening.winner)
            );
            actions.push(Action::log(Level::Warn, text));
            return self.opened(None, facts, actions);
        }
        if facts.now >= opening.said + NOTICE {
            opening.said = facts.now;
            let why = opening.waits_for.clone().unwrap_or_else(|| "no answer".to_owned());
            let text = format!(
                "{} is promoted, but its first write is not acknowledged by its synchronous standbys: {why}",
                facts.name(opening.winner)
            );
            actions.push(Action::log(Level::Error, text));
        }
        if facts.now >= opening.next_try {
            match opening.is_ordered {
                // Its answer is on the way, or the shell's own limit comes.
                true => opening.next_try = facts.now + PATIENCE,
                false => self.order_opening(facts, actions),
            }
        }
    }

    /// A standby that the winner names but that streams from another standby acknowledges nothing: it is pointed to the winner.
    fn bring_near(&mut self, facts: &Facts<'_>) {
        let State::Opening(opening) = &self.state else { return };
        let winner = facts.member(opening.winner).observation.as_ref();
        let Some(quorum) = winner.and_then(|told| Quorum::parse(told.sync_names.as_deref()?)) else { return };
        for node in facts.topology.nodes.iter().filter(|node| is_of(&quorum, facts.member(node.id))) {
            if let Some(upstream) = node.upstream.filter(|upstream| *upstream != opening.winner) {
                self.orphans.adopt_once(node.id, upstream);
            }
        }
    }

    fn opened(&mut self, xmax: Option<u64>, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Opening(opening) = &self.state else { return };
        let (winner, attempt) = (opening.winner, opening.attempt.clone());
        let took = facts.now.saturating_duration_since(attempt.begun);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let lost_bytes = opening.lost_bytes;
        self.opened =
            Some(Opened { node: winner, timeline: opening.timeline, at: facts.now, xmax, lost_bytes, took_ms });
        match attempt.is_switchover() {
            true => self.switchovers += 1,
            false => self.failovers += 1,
        }
        if !attempt.is_switchover() {
            self.last_failover = Some(facts.now);
        }
        let (name, lost) = (facts.name(winner), facts.name(attempt.lost.id));
        let text = format!("{name} is the primary in place of {lost}, after {took_ms} ms");
        actions.push(Action::log(Level::Warn, text.clone()));
        if !self.settings.hooks.on_promote.is_empty() {
            let variables = self.variables(&attempt, Some(winner), facts);
            actions.push(Action::Run { hook: Hook::OnPromote, variables });
        }
        (self.not_before, self.back_off) = (None, Duration::ZERO);
        self.end_attempt(Ok(text), facts, actions);
    }

    /// What a command of the operator's gets to know.
    pub(super) fn variables(
        &self,
        attempt: &Attempt,
        winner: Option<NodeId>,
        facts: &Facts<'_>,
    ) -> Vec<(&'static str, String)> {
        let old = facts.topology.node(attempt.lost.id);
        let mut variables = vec![
            ("PGHERD_EVENT", attempt.word().to_owned()),
            ("PGHERD_OLD_PRIMARY", old.name.clone()),
            ("PGHERD_OLD_PRIMARY_HOST", old.host.clone()),
            ("PGHERD_OLD_PRIMARY_PORT", old.port.to_string()),
            ("PGHERD_OLD_TIMELINE", attempt.lost.timeline.to_string()),
            ("PGHERD_EPOCH", facts.topology.epoch.to_string()),
        ];
        if let Some(new) = winner.map(|id| facts.topology.node(id)) {
            variables.extend([
                ("PGHERD_NEW_PRIMARY", new.name.clone()),
                ("PGHERD_NEW_PRIMARY_HOST", new.host.clone()),
                ("PGHERD_NEW_PRIMARY_PORT", new.port.to_string()),
            ]);
        }
        variables
    }
}
