//! Standbys without a home: those that streamed from a lost primary, that were cut off one, or whose upstream died. They are
//! pointed to the primary until they stream again.

use std::time::{Duration, Instant};

use super::chain;
use super::command::{Action, Command, Level, Outcome};
use super::failover::Facts;
use super::node::{Health, NodeId, Role};
use super::topology::Node;

/// First the orders follow one another quickly: it streams within some 50 ms, if at all.
const REPEAT: Duration = Duration::from_secs(2);
const SLOW_REPEAT: Duration = Duration::from_secs(30);
const QUICK_TRIES: u32 = 5;

/// A standby whose replay is paused, or waits for a reader, does not even begin to stream from elsewhere.
const CLEAR: Duration = Duration::from_millis(250);

/// A cascading standby may find its upstream again by itself.
const HOMELESS: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Orphans {
    list: Vec<Orphan>,
    /// Whose upstream, a standby, is gone, since when.
    homeless: Vec<(NodeId, Instant)>,
}

struct Orphan {
    id: NodeId,
    /// Where it must not stay.
    lost: Option<NodeId>,
    tries: u32,
    next: Option<Instant>,
    /// When what may hold it up is ended.
    clear: Option<Instant>,
}

// === impl Orphans ===

impl Orphans {
    /// These streamed from `lost`.
    pub(super) fn adopt(&mut self, ids: impl Iterator<Item = NodeId>, lost: NodeId) {
        for id in ids {
            self.list.retain(|orphan| orphan.id != id);
            self.list.push(Orphan { id, lost: Some(lost), tries: 0, next: None, clear: None });
        }
    }

    /// This one streams from `lost`, where it is of no use; unless it is tended already.
    pub(super) fn adopt_once(&mut self, id: NodeId, lost: NodeId) {
        if self.list.iter().all(|orphan| orphan.id != id) {
            self.list.push(Orphan { id, lost: Some(lost), tries: 0, next: None, clear: None });
        }
    }

    /// Standbys that are still cut off, by an attempt that came to nothing or a process that is no more.
    pub(super) fn find_severed(&mut self, primary: NodeId, facts: &Facts<'_>) {
        for node in &facts.topology.nodes {
            let is_severed =
                node.observation.as_ref().is_some_and(|told| told.in_recovery && told.severed_from.is_some());
            if is_severed && node.id != primary && self.list.iter().all(|orphan| orphan.id != node.id) {
                self.list.push(Orphan { id: node.id, lost: None, tries: 0, next: None, clear: None });
            }
        }
    }

    /// Standbys whose upstream is no fit one any more: a standby that is down, or a primary that was replaced.
    pub(super) fn find_homeless(&mut self, primary: NodeId, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        for node in &facts.topology.nodes {
            let lost = lost_upstream(node, primary, facts);
            let known = self.homeless.iter().position(|(id, _)| *id == node.id);
            match (lost, known) {
                (None, Some(at)) => drop(self.homeless.swap_remove(at)),
                (Some(_), None) => self.homeless.push((node.id, facts.now)),
                (Some(lost), Some(at)) if facts.now >= self.homeless[at].1 + HOMELESS => {
                    if self.list.iter().any(|orphan| orphan.id == node.id) {
                        continue;
                    }
                    let (from, to) = (facts.name(lost), facts.name(primary));
                    let text = format!("{} has lost {from}, which it streamed from; pointing it to {to}", node.name);
                    actions.push(Action::log(Level::Warn, text));
                    self.list.push(Orphan { id: node.id, lost: Some(lost), tries: 0, next: None, clear: None });
                }
                _ => {}
            }
        }
    }

    /// What became of an order.
    pub(super) fn tell(id: NodeId, outcome: &Outcome, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        if let Outcome::NotDone(why) | Outcome::Refused(why) | Outcome::Unknown(why) = outcome {
            let name = facts.name(id);
            actions.push(Action::log(Level::Warn, format!("{name} could not be pointed to the primary: {why}")));
        }
    }

    /// Orders what is due; when there is more to do.
    /// Whoever is `detached` is left alone, but for what was done to it before.
    pub(super) fn tend(
        &mut self,
        primary: NodeId,
        detached: &[NodeId],
        facts: &Facts<'_>,
        actions: &mut Vec<Action>,
    ) -> Option<Instant> {
        self.list.retain(|orphan| !orphan.has_a_home(primary, facts, actions));
        for orphan in &mut self.list {
            let node = facts.topology.node(orphan.id);
            let is_severed = node.observation.as_ref().is_some_and(|told| told.severed_from.is_some());
            if detached.contains(&orphan.id) && !is_severed {
                continue;
            }
            let answers = node.health == Health::Up && facts.members[usize::from(orphan.id.0)].failure.is_none();
            if answers && orphan.clear.is_some_and(|clear| facts.now >= clear) {
                orphan.clear = None;
                actions.push(Action::Perform { node: orphan.id, command: Command::Clear });
            }
            if !answers || orphan.next.is_some_and(|next| facts.now < next) {
                continue; // it is asked anyway, and tended when it answers
            }
            if orphan.tries == QUICK_TRIES {
                let text = format!(
                    "{} does not stream from {} though it was told to: see its log (it may have more WAL than {}, or \
                     no access)",
                    node.name,
                    facts.name(primary),
                    facts.name(primary)
                );
                actions.push(Action::log(Level::Error, text));
            }
            orphan.tries += 1;
            let pause = if orphan.tries <= QUICK_TRIES { REPEAT } else { SLOW_REPEAT };
            orphan.next = Some(facts.now + pause);
            orphan.clear = Some(facts.now + CLEAR);
            let upstream = facts.topology.node(primary);
            // One that was cut off the very primary keeps the address that it had for it.
            let command = match node.observation.as_ref().and_then(|told| told.severed_from.as_ref()) {
                Some(from) if chain::named(&facts.topology.nodes, node, from) == Some(primary) => Command::Restore,
                _ => Command::Repoint { host: upstream.host.clone(), port: upstream.port },
            };
            actions.push(Action::Perform { node: orphan.id, command });
            actions.push(Action::Ask(orphan.id));
        }
        let due = self.list.iter().flat_map(|orphan| [orphan.next, orphan.clear]).flatten();
        due.filter(|next| *next > facts.now).min()
    }
}

// === impl Orphan ===

impl Orphan {
    /// It streams again: from the primary, or from where somebody else has put it.
    fn has_a_home(&self, primary: NodeId, facts: &Facts<'_>, actions: &mut Vec<Action>) -> bool {
        let node = facts.topology.node(self.id);
        let Some(told) = &node.observation else { return false };
        if !told.in_recovery || primary == self.id {
            return true; // the judge has a word for it
        }
        if told.severed_from.is_some() {
            return false;
        }
        let newest = facts.topology.node(primary).observation.as_ref().map(|told| told.timeline);
        let home = match node.upstream {
            Some(upstream) if Some(upstream) != self.lost => facts.name(upstream),
            // An address that is no configured node's; on the old timeline it may be the lost primary's.
            None if Some(told.timeline) == newest => "a node that is not configured",
            Some(_) | None => return false,
        };
        if told.has_receiver {
            actions.push(Action::log(Level::Info, format!("{} streams from {home} now", node.name)));
        }
        told.has_receiver
    }
}

/// The upstream that `node` had and that is of no use to it any more.
fn lost_upstream(node: &Node, primary: NodeId, facts: &Facts<'_>) -> Option<NodeId> {
    let member = &facts.members[usize::from(node.id.0)];
    let told = node.observation.as_ref().filter(|told| told.in_recovery && node.health == Health::Up)?;
    let upstream = member.last_upstream.filter(|upstream| *upstream != primary)?;
    let it = facts.topology.node(upstream);
    let is_gone = matches!(it.health, Health::Down(_)) && !told.has_receiver;
    let is_replaced = matches!(it.health, Health::Refused(_)) && it.role == Role::Primary;
    (is_gone || is_replaced).then_some(upstream)
}
