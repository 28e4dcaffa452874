//! The standbys are cut off the lost primary: so it can acknowledge nothing more, and their positions move no more.

use std::time::{Duration, Instant};

use super::attempt::{Attempt, Cause};
use super::lost::Phase;
use super::{Facts, Failover, Guarded, Happened, POLL, State};
use crate::cluster::command::{Action, Command, Hook, Level, Outcome};
use crate::cluster::election::{self, Elected};
use crate::cluster::node::{Health, NodeId};
use crate::cluster::quorum::Quorum;
use crate::cluster::topology::Node;
use crate::cluster::witness::{all_bear, is_of};

/// A standby that is not cut off by then is done without.
const LIMIT: Duration = Duration::from_secs(1);

pub(super) struct Revoking {
    pub(super) attempt: Attempt,
    pub(super) deadline: Instant,
    cuts: Vec<Cut>,
}

struct Cut {
    node: NodeId,
    ordered_at: Instant,
    progress: Progress,
}

enum Progress {
    Ordered,
    /// Since then it gets no WAL; its position must have been asked later.
    Severed(Instant),
    /// It is certain that nothing was changed.
    NotDone(String),
    /// It may have been cut off.
    Unknown(String),
}

// === impl Failover ===

impl Failover {
    pub(super) fn begin_revoking(&mut self, attempt: Attempt, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let lost = attempt.lost;
        let nodes: Vec<NodeId> =
            facts.topology.nodes.iter().filter(|node| is_cut_off(node, lost, facts)).map(|node| node.id).collect();
        let names: Vec<&str> = nodes.iter().map(|id| facts.name(*id)).collect();
        let text = format!("{}: cutting {} off {}", attempt.word(), names.join(", "), facts.name(lost.id));
        actions.push(Action::log(Level::Warn, text));
        if !self.settings.hooks.on_failover.is_empty() {
            let variables = self.variables(&attempt, None, facts);
            actions.push(Action::Run { hook: Hook::OnFailover, variables });
        }
        let cuts = nodes.into_iter().map(|node| Cut { node, ordered_at: facts.now, progress: Progress::Ordered });
        let revoking = Revoking { attempt, deadline: facts.now + LIMIT, cuts: cuts.collect() };
        for cut in &revoking.cuts {
            let command = Command::Sever { timeline: lost.timeline };
            actions.push(Action::Perform { node: cut.node, command });
        }
        self.next_ask = None;
        let is_nobody = revoking.cuts.is_empty();
        self.state = State::Revoking(revoking);
        if is_nobody {
            self.conclude(facts, actions);
        }
    }

    pub(super) fn revoke(&mut self, happened: &Happened, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Revoking(revoking) = &mut self.state else { return };
        let lost = revoking.attempt.lost;
        if let Happened::Performed { node, command: Command::Sever { .. }, outcome } = happened {
            revoking.tell(*node, outcome, facts, actions);
        }
        if revoking.attempt.cause == Cause::Automatic
            && let Some(life) = self.sign_of_life(lost, facts)
        {
            let text = format!("{} {life}; its standbys are let stream again", facts.name(lost.id));
            actions.push(Action::log(Level::Info, text.clone()));
            return self.end_attempt(Err(text), facts, actions);
        }
        let State::Revoking(revoking) = &self.state else { return };
        let mut waits_for: Vec<NodeId> =
            revoking.cuts.iter().filter(|cut| cut.waits_for_an_answer(facts)).map(|cut| cut.node).collect();
        let counts = |id: &NodeId| self.quorum.as_ref().is_some_and(|quorum| is_of(quorum, facts.member(*id)));
        let below = revoking.cascading(facts).filter(counts);
        waits_for.extend(below.filter(|id| !revoking.was_heard_since(*id, facts)));
        let is_cut = revoking.cuts.iter().all(|cut| cut.is_settled(facts));
        // A primary that lives is asked once more: others than our clients may have written meanwhile.
        if revoking.attempt.is_switchover() && !revoking.was_heard_since(lost.id, facts) {
            waits_for.push(lost.id);
        }
        if (is_cut && waits_for.is_empty()) || facts.now >= revoking.deadline {
            return self.conclude(facts, actions);
        }
        if !waits_for.is_empty() {
            self.ask(waits_for.into_iter(), POLL, facts.now, actions);
        }
    }

    /// All are cut off that could be: is it enough, and who is it?
    fn conclude(&mut self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let State::Revoking(revoking) = &self.state else { return };
        let attempt = revoking.attempt.clone();
        if !attempt.is_forced()
            && let Err(why) = self.is_revoked(revoking, facts)
        {
            return self.abandon(&attempt, Phase::Blind(why), facts, actions);
        }
        if attempt.is_switchover() && !revoking.was_heard_since(attempt.lost.id, facts) {
            let why = format!("{} does not answer any more", facts.name(attempt.lost.id));
            return self.abandon(&attempt, Phase::Held(why), facts, actions);
        }
        match self.elect(revoking, facts) {
            Ok(elected) if attempt.is_switchover() && lacks_something(&elected, attempt.lost, facts) => {
                self.catch_up_again(attempt, facts, actions);
            }
            Ok(elected) => {
                let cut_off = revoking.changed().collect();
                self.begin_promoting(attempt, elected, cut_off, facts, actions);
            }
            Err(why) => self.abandon(&attempt, Phase::Held(why), facts, actions),
        }
    }

    /// Whether the lost primary can acknowledge nothing more, and those that are cut off have all that it ever did.
    fn is_revoked(&self, revoking: &Revoking, facts: &Facts<'_>) -> Result<(), String> {
        if !self.wants_quorum() {
            return Ok(());
        }
        let quorum: &Quorum = self.quorum.as_ref().ok_or("the quorum is not known")?;
        let below: Vec<NodeId> = revoking.cascading(facts).filter(|id| revoking.is_covered(*id, facts)).collect();
        let is_off =
            |id: NodeId| below.contains(&id) || revoking.cuts.iter().any(|cut| cut.node == id && cut.is_severed(facts));
        let is_name_off = |name: &&String| all_bear(name, facts.members, revoking.attempt.lost.id, &is_off);
        let (count, needed) = (quorum.names.iter().filter(is_name_off).count(), quorum.to_revoke());
        if count >= needed {
            return Ok(());
        }
        let others: Vec<String> = revoking.cuts.iter().filter_map(|cut| cut.words(facts)).collect();
        let more = if others.is_empty() { String::new() } else { format!(": {}", others.join(", ")) };
        Err(format!(
            "{count} of its synchronous standbys ({quorum}) could be cut off, {needed} must be, so that it can acknowledge \
             nothing more{more}"
        ))
    }

    fn elect(&self, revoking: &Revoking, facts: &Facts<'_>) -> Result<Elected, String> {
        let attempt = &revoking.attempt;
        let lost = attempt.lost.former();
        let is_severed = |id: NodeId| match revoking.cuts.iter().find(|cut| cut.node == id) {
            Some(cut) if cut.is_severed(facts) => Ok(()),
            // PostgreSQL 12, or no right to change it: it lost the primary by itself.
            Some(cut) if !self.wants_quorum() && cut.has_lost_it(attempt.begun, facts) => Ok(()),
            Some(cut) => Err(cut.words(facts).unwrap_or_else(|| "could not be cut off".to_owned())),
            None => Err("does not stream from it".to_owned()),
        };
        let best = election::elect(facts.members, lost, &|id| is_severed(id).and_then(|()| self.eligible(id, facts)));
        // Whoever may not be promoted may yet be the only one that has what was acknowledged.
        if let (Ok(best), Ok(furthest)) = (&best, election::elect(facts.members, lost, &is_severed))
            && (self.wants_quorum() && !attempt.is_forced() && furthest.position > best.position)
        {
            let why = self.eligible(furthest.node, facts).err().unwrap_or_default();
            let (name, other) = (facts.name(furthest.node), facts.name(best.node));
            let (at, behind) = (furthest.position, best.position);
            return Err(format!(
                "{name} {why}, but {other} lacks what {name} has ({behind} and {at}): it may be acknowledged"
            ));
        }
        let Some(target) = attempt.target else { return best };
        let only = |id| if id == target { is_severed(id) } else { Err("is not the one you named".to_owned()) };
        let wanted = election::elect(facts.members, lost, &only)?;
        match best {
            Ok(best) if best.position > wanted.position && !attempt.is_forced() => Err(format!(
                "{} has more WAL than {} ({} and {}): FAILOVER TO {} loses nothing, FAILOVER TO {} FORCE loses the difference",
                facts.name(best.node),
                facts.name(target),
                best.position,
                wanted.position,
                facts.name(best.node),
                facts.name(target)
            )),
            _ if attempt.is_forced() => Ok(wanted),
            _ => self.eligible(target, facts).map(|()| wanted).map_err(|why| format!("{} {why}", facts.name(target))),
        }
    }

    /// Whether it may be promoted, whatever its position.
    pub(super) fn eligible(&self, id: NodeId, facts: &Facts<'_>) -> Result<(), String> {
        if let Some((_, why)) = self.excluded.iter().find(|(node, _)| *node == id) {
            return Err(why.clone());
        }
        if self.detached.contains(&id) {
            return Err("is detached".to_owned());
        }
        if !self.wants_quorum() {
            return Ok(());
        }
        let told = facts.member(id).observation.as_ref();
        match told.and_then(|told| told.sync_names.as_deref()).map(Quorum::parse) {
            Some(Some(names)) if !self.has_a_second(&names, id, facts) => {
                Err(format!("would wait for ever for its standbys: {names}, and no other node is one"))
            }
            Some(None) => Err("would acknowledge writes alone: its synchronous_standby_names names nobody".to_owned()),
            Some(Some(_)) | None => Ok(()),
        }
    }

    /// Whether a node besides the lost one could acknowledge the writes of `id`.
    fn has_a_second(&self, names: &Quorum, id: NodeId, facts: &Facts<'_>) -> bool {
        let lost = self.guarded.map(|guarded| guarded.id);
        facts.members.iter().any(|member| member.node.id != id && Some(member.node.id) != lost && is_of(names, member))
    }

    /// Nobody was told anything that can't be taken back.
    pub(super) fn abandon(&mut self, attempt: &Attempt, phase: Phase, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let why = match &phase {
            Phase::Held(why) | Phase::Blind(why) => why.clone(),
            other => other.words(),
        };
        actions.push(Action::log(Level::Error, format!("nothing is promoted: {why}")));
        self.end_attempt(Err(why), facts, actions);
        if self.sign_of_life(attempt.lost, facts).is_none() {
            self.give_up(phase, facts, actions);
        }
    }
}

// === impl Revoking ===

impl Revoking {
    fn tell(&mut self, node: NodeId, outcome: &Outcome, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let Some(cut) = self.cuts.iter_mut().find(|cut| cut.node == node) else { return };
        cut.progress = match outcome {
            Outcome::Done | Outcome::Opened { .. } => Progress::Severed(facts.now),
            Outcome::Refused(why) | Outcome::NotDone(why) => Progress::NotDone(why.clone()),
            Outcome::Unknown(why) => Progress::Unknown(why.clone()),
        };
        if let Progress::NotDone(why) | Progress::Unknown(why) = &cut.progress {
            let text = format!("{} could not be cut off: {why}", facts.name(node));
            actions.push(Action::log(Level::Warn, text));
        }
        actions.push(Action::Ask(node));
    }

    /// Standbys that stream from one that is cut off: the lost primary does not hear them.
    fn cascading(&self, facts: &Facts<'_>) -> impl Iterator<Item = NodeId> {
        let is_cut = |id: NodeId| self.cuts.iter().any(|cut| cut.node == id && cut.is_severed(facts));
        let below = facts.topology.nodes.iter().filter(move |node| {
            node.streams() && facts.member(node.id).failure.is_none() && node.upstream.is_some_and(is_cut)
        });
        below.map(|node| node.id)
    }

    /// Whatever this cascading standby has, one that is cut off has, too.
    fn is_covered(&self, id: NodeId, facts: &Facts<'_>) -> bool {
        let received = |id| facts.member(id).observation.as_ref().and_then(|told| told.received);
        let best = self.cuts.iter().filter(|cut| cut.is_severed(facts)).filter_map(|cut| received(cut.node)).max();
        self.was_heard_since(id, facts) && received(id).is_some() && received(id) <= best
    }

    /// The node has told something since all were cut off.
    fn was_heard_since(&self, node: NodeId, facts: &Facts<'_>) -> bool {
        let severed = self.cuts.iter().filter_map(|cut| match cut.progress {
            Progress::Severed(at) => Some(at),
            _ => None,
        });
        let last = severed.max();
        facts.member(node).observation.as_ref().is_some_and(|told| last.is_none_or(|last| told.at >= last))
    }

    /// Who may have been cut off.
    fn changed(&self) -> impl Iterator<Item = NodeId> {
        self.cuts.iter().filter(|cut| !matches!(cut.progress, Progress::NotDone(_))).map(|cut| cut.node)
    }

    /// All that may have been cut off streams again from where it did.
    pub(super) fn undo(&self, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        actions.extend(self.changed().map(|node| Action::Perform { node, command: Command::Restore }));
        if !self.cuts.is_empty() {
            let text = format!("what was cut off {} is let stream from it again", facts.name(self.attempt.lost.id));
            actions.push(Action::log(Level::Info, text));
        }
    }
}

// === impl Cut ===

impl Cut {
    /// Cut off, and its position was asked since, and is known: after a restart it is not before all its WAL is replayed.
    fn is_severed(&self, facts: &Facts<'_>) -> bool {
        let Progress::Severed(at) = self.progress else { return false };
        let member = facts.member(self.node);
        let told =
            member.observation.as_ref().filter(|told| told.at >= at && !told.has_receiver && told.received.is_some());
        member.failure.is_none() && told.is_some()
    }

    /// It was left as it is, and gets no WAL all the same.
    fn has_lost_it(&self, since: Instant, facts: &Facts<'_>) -> bool {
        let told = facts.member(self.node).observation.as_ref();
        let is_asked = told.is_some_and(|told| told.at >= since && !told.has_receiver && told.received.is_some());
        is_asked && facts.member(self.node).failure.is_none() && matches!(self.progress, Progress::NotDone(_))
    }

    fn is_settled(&self, facts: &Facts<'_>) -> bool {
        self.is_severed(facts) || matches!(self.progress, Progress::NotDone(_) | Progress::Unknown(_))
    }

    fn waits_for_an_answer(&self, facts: &Facts<'_>) -> bool {
        let is_asked = match self.progress {
            Progress::Severed(_) => self.is_severed(facts),
            Progress::NotDone(_) => {
                facts.member(self.node).observation.as_ref().is_some_and(|told| told.at >= self.ordered_at)
            }
            Progress::Ordered | Progress::Unknown(_) => true,
        };
        !is_asked
    }

    /// Why it is not cut off.
    fn words(&self, facts: &Facts<'_>) -> Option<String> {
        let name = facts.name(self.node);
        match &self.progress {
            Progress::Ordered => Some(format!("{name} does not answer")),
            Progress::Severed(_) if self.is_severed(facts) => None,
            Progress::Severed(_) => Some(format!("{name} does not tell its position")),
            Progress::NotDone(why) | Progress::Unknown(why) => Some(format!("{name}: {why}")),
        }
    }
}

/// The old primary has WAL that the new one would not have.
fn lacks_something(elected: &Elected, lost: Guarded, facts: &Facts<'_>) -> bool {
    let told = facts.member(lost.id).observation.as_ref();
    told.and_then(|told| told.inserted).is_some_and(|inserted| inserted > elected.position)
}

/// It answers, and streams from the lost primary, or from nobody. One that streams from another standby keeps it.
fn is_cut_off(node: &Node, lost: Guarded, facts: &Facts<'_>) -> bool {
    if node.id == lost.id || node.health != Health::Up || facts.member(node.id).failure.is_some() {
        return false;
    }
    let Some(told) = node.observation.as_ref().filter(|told| told.in_recovery) else { return false };
    let keeps = told.has_receiver && node.upstream.is_some_and(|upstream| upstream != lost.id);
    told.timeline == lost.timeline && !keeps
}
