//! What of all this others may see: who gets no client meanwhile, and what an operator should read.

use super::lost::{Lost, Phase};
use super::{Facts, Failover, State};
use crate::cluster::command::FailureKind;
use crate::cluster::node::{Health, NodeId};
use crate::cluster::status::{self, Status};
use crate::cluster::topology::Topology;
use crate::config::FailoverMode;

impl Failover {
    /// Nobody writes to a primary that is being replaced; the lost one gets no client once its successor was told.
    pub(in crate::cluster) fn fence(&self, facts_members: &[super::Member], topology: &mut Topology) {
        for id in &self.detached {
            topology.standbys.retain(|standby| standby != id);
            let node = &mut topology.nodes[usize::from(id.0)];
            node.warning = Some(format!("detached by order: no client until ATTACH {}", node.name));
        }
        let (lost, why) = match &self.state {
            State::Steady => return,
            State::Lost(_) => {
                let Some(guarded) = self.guarded.filter(|g| topology.primary == Some(g.id)) else { return };
                let failure = facts_members[usize::from(guarded.id.0)].failure.as_ref();
                let Some(failure) = failure.filter(|f| f.kind == FailureKind::Unreachable) else { return };
                return without_primary(
                    topology,
                    format!("{} can't be reached: {}", topology.node(guarded.id).name, failure.text),
                );
            }
            State::Draining(draining) => {
                let name = topology.node(draining.attempt.lost.id).name.clone();
                return without_primary(topology, format!("a switchover from {name} is under way"));
            }
            State::Revoking(revoking) => {
                let name = topology.node(revoking.attempt.lost.id).name.clone();
                return without_primary(topology, format!("{name} is being replaced"));
            }
            State::Promoting(promoting) => {
                let winner = topology.node(promoting.elected.node).name.clone();
                (promoting.attempt.lost, format!("{winner} is being promoted"))
            }
            State::Opening(opening) => {
                let winner = topology.node(opening.winner).name.clone();
                (opening.attempt.lost, format!("{winner} is promoted and about to write for the first time"))
            }
        };
        let told = topology.node(lost.id).observation.as_ref();
        if told.is_some_and(|told| !told.in_recovery && told.timeline == lost.timeline) {
            let node = &mut topology.nodes[usize::from(lost.id.0)];
            if node.health == Health::Up {
                node.health = Health::Refused(format!("{why} in its place"));
            }
        }
        without_primary(topology, why);
    }

    /// Fills in `topology.status`, and says at the lost primary what is known of it.
    pub(in crate::cluster) fn describe(&self, facts: &Facts<'_>) -> Status {
        let state = self.state_word(facts);
        let (waits_for, advice) = self.waits_for(facts);
        Status {
            state,
            since: self.since.map(|(_, at)| at),
            waits_for,
            advice,
            quorum: self.quorum.clone(),
            is_paused: self.is_paused,
            detached: self.detached.clone(),
            opened: self.opened.clone(),
            failovers: self.failovers,
            switchovers: self.switchovers,
        }
    }

    /// What an operator should read beside the lost primary.
    pub(in crate::cluster) fn explain(&self, topology: &mut Topology) {
        let State::Lost(lost) = &self.state else { return };
        let Some(guarded) = self.guarded else { return };
        let words = lost.phase.words();
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

    pub(super) fn state_word(&self, facts: &Facts<'_>) -> status::State {
        match &self.state {
            State::Steady => steady_word(facts),
            State::Lost(Lost { phase, .. }) => match phase {
                Phase::Suspect => status::State::Suspect,
                Phase::Refusing { is_stopping: true } => status::State::ShuttingDown,
                Phase::Refusing { .. } => status::State::Refusing,
                Phase::Partitioned(_) => status::State::Partitioned,
                Phase::Blind(_) => status::State::Blind,
                Phase::Dead(_) => status::State::Dead,
                Phase::Held(_) | Phase::Overtaken(_) => status::State::Held,
            },
            State::Draining(_) => status::State::Draining,
            State::Revoking(_) => status::State::Revoking,
            State::Promoting(_) => status::State::Promoting,
            State::Opening(_) => status::State::Opening,
        }
    }

    /// What is waited for, and what the operator can do.
    fn waits_for(&self, facts: &Facts<'_>) -> (Option<String>, Option<String>) {
        match &self.state {
            State::Steady => self.steady_needs(facts),
            State::Lost(Lost { phase, .. }) => (Some(phase.words()), self.advice(phase, facts)),
            State::Draining(draining) => (Some(draining.words(facts)), None),
            State::Revoking(_) => (Some("the standbys to be cut off the old primary".to_owned()), None),
            State::Promoting(promoting) => {
                let name = facts.name(promoting.elected.node);
                let advice = format!(
                    "if {name} is lost for good: FAILOVER TO another standby FORCE, and never start {name} again as it is"
                );
                (Some(format!("{name} to become the primary")), Some(advice))
            }
            State::Opening(opening) => {
                let why = opening.waits_for.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                let name = facts.name(opening.winner);
                let advice = format!("a synchronous standby must stream from {name}: see SHOW NODES");
                (Some(format!("the first write of {name} to be acknowledged{why}")), Some(advice))
            }
        }
    }

    fn steady_needs(&self, facts: &Facts<'_>) -> (Option<String>, Option<String>) {
        let Some(guarded) = self.guarded else { return (facts.topology.no_primary_because.clone(), None) };
        if facts.topology.primary.is_none() {
            return (facts.topology.no_primary_because.clone(), None);
        }
        let Some(quorum) = &self.quorum else {
            let lacks = self.wants_quorum().then(|| {
                let name = facts.name(guarded.id);
                let text = format!("{name} to name synchronous standbys: failover.durability is \"quorum\"");
                (Some(text), Some("pgherd check --cluster".to_owned()))
            });
            return lacks.unwrap_or_default();
        };
        let streaming = facts.members.iter().filter(|member| {
            let told = member.observation.as_ref();
            crate::cluster::witness::is_of(quorum, member) && told.is_some_and(|told| told.has_receiver)
        });
        let count = streaming.count();
        if count >= quorum.needed {
            return (None, None);
        }
        let text = format!("a synchronous standby: {count} of {quorum} streams, so writes wait to be acknowledged");
        (Some(text), Some("bring a standby back, or shorten synchronous_standby_names".to_owned()))
    }

    fn advice(&self, phase: &Phase, facts: &Facts<'_>) -> Option<String> {
        let standby = facts.topology.standbys.first().map_or("NODE", |id| facts.name(*id));
        match phase {
            Phase::Suspect | Phase::Dead(_) | Phase::Refusing { .. } => None,
            Phase::Partitioned(_) => Some("mend the network between the proxy and the primary".to_owned()),
            Phase::Blind(_) => {
                Some(format!("bring the standbys back; if the primary is dead for sure: FAILOVER TO {standby} FORCE"))
            }
            Phase::Held(_) if self.settings.mode == FailoverMode::Manual => Some(format!("FAILOVER TO {standby}")),
            Phase::Held(_) if self.is_paused => Some(format!("RESUME FAILOVER, or FAILOVER TO {standby}")),
            Phase::Held(_) => {
                Some(format!("mend what is named; or FAILOVER TO {standby} FORCE, which may lose writes"))
            }
            Phase::Overtaken(_) => Some("wait for the new primary, or find out who promoted it".to_owned()),
        }
    }
}

fn steady_word(facts: &Facts<'_>) -> status::State {
    let kind = |id: NodeId| facts.member(id).failure.as_ref().map(|failure| failure.kind);
    match facts.topology.primary {
        Some(id) if kind(id) == Some(FailureKind::Full) => status::State::Full,
        Some(_) => status::State::Up,
        None => status::State::Unknown,
    }
}

fn without_primary(topology: &mut Topology, why: String) {
    if topology.primary.take().is_some() || topology.no_primary_because.is_none() {
        topology.no_primary_because = Some(why);
    }
}
