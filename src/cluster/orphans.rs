//! Standbys that streamed from a lost primary: they are pointed to its successor until they stream from it.

use std::time::{Duration, Instant};

use super::command::{Action, Command, Level, Outcome};
use super::failover::Facts;
use super::node::{Health, NodeId};

/// First the orders follow one another quickly: it streams within some 50 ms, if at all.
const REPEAT: Duration = Duration::from_secs(2);
const SLOW_REPEAT: Duration = Duration::from_secs(30);
const QUICK_TRIES: u32 = 5;

#[derive(Default)]
pub(super) struct Orphans {
    list: Vec<Orphan>,
}

struct Orphan {
    id: NodeId,
    lost: NodeId,
    tries: u32,
    next: Option<Instant>,
}

// === impl Orphans ===

impl Orphans {
    /// These streamed from `lost`.
    pub(super) fn adopt(&mut self, ids: impl Iterator<Item = NodeId>, lost: NodeId) {
        for id in ids {
            self.list.retain(|orphan| orphan.id != id);
            self.list.push(Orphan { id, lost, tries: 0, next: None });
        }
    }

    /// What became of an order.
    pub(super) fn tell(id: NodeId, outcome: &Outcome, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        if let Outcome::NotDone(why) | Outcome::Refused(why) | Outcome::Unknown(why) = outcome {
            let name = &facts.topology.node(id).name;
            actions.push(Action::log(Level::Warn, format!("{name} could not be pointed to the new primary: {why}")));
        }
    }

    /// Orders what is due; when there is more to do.
    pub(super) fn tend(&mut self, primary: NodeId, facts: &Facts<'_>, actions: &mut Vec<Action>) -> Option<Instant> {
        self.list.retain(|orphan| !orphan.has_a_home(primary, facts, actions));
        for orphan in &mut self.list {
            let node = facts.topology.node(orphan.id);
            let answers = node.health == Health::Up && facts.members[usize::from(orphan.id.0)].failure.is_none();
            if !answers || orphan.next.is_some_and(|next| facts.now < next) {
                continue; // it is asked anyway, and tended when it answers
            }
            if orphan.tries == QUICK_TRIES {
                let text = format!(
                    "{} does not stream from {} though it was told to: see its log (it may have more WAL than {}, or \
                     no access)",
                    node.name,
                    facts.topology.node(primary).name,
                    facts.topology.node(primary).name
                );
                actions.push(Action::log(Level::Error, text));
            }
            orphan.tries += 1;
            let pause = if orphan.tries <= QUICK_TRIES { REPEAT } else { SLOW_REPEAT };
            orphan.next = Some(facts.now + pause);
            let upstream = facts.topology.node(primary);
            let command = Command::Repoint { host: upstream.host.clone(), port: upstream.port };
            actions.push(Action::Perform { node: orphan.id, command });
        }
        self.list.iter().filter_map(|orphan| orphan.next).filter(|next| *next > facts.now).min()
    }
}

// === impl Orphan ===

impl Orphan {
    /// It streams again: from the new primary, or from where somebody else has put it.
    fn has_a_home(&self, primary: NodeId, facts: &Facts<'_>, actions: &mut Vec<Action>) -> bool {
        let node = facts.topology.node(self.id);
        let Some(told) = &node.observation else { return false };
        if !told.in_recovery {
            return true; // the judge has a word for it
        }
        let newest = facts.topology.node(primary).observation.as_ref().map(|told| told.timeline);
        let home = match node.upstream {
            Some(upstream) if upstream != self.lost => facts.topology.node(upstream).name.as_str(),
            // An address that is no configured node's; on the old timeline it may be the lost primary's.
            None if Some(told.timeline) == newest => "a node that is not configured",
            Some(_) | None => return primary == self.id,
        };
        if told.has_receiver {
            actions.push(Action::log(Level::Info, format!("{} streams from {home} now", node.name)));
        }
        told.has_receiver || primary == self.id
    }
}
