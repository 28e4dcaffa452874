//! What an operator orders on the console: taken, or refused with the reason.

use super::attempt::{Attempt, Cause};
use super::{Facts, Failover, Guarded, State};
use crate::cluster::command::{Action, Level};
use crate::cluster::node::{Health, NodeId};
use crate::cluster::order::{Order, OrderId};
use crate::config::FailoverMode;

impl Failover {
    pub(super) fn take_order(&mut self, id: OrderId, order: Order, facts: &Facts<'_>, actions: &mut Vec<Action>) {
        let taken = match order {
            Order::Switchover { to } => self.order_switchover(id, to, facts, actions).map(|()| None),
            Order::Failover { to, force } => self.order_failover(id, to, force, facts, actions).map(|()| None),
            Order::Detach(node) => self.detach(node, facts).map(Some),
            Order::Attach(node) => self.attach(node, facts).map(Some),
            Order::Pause => self.set_paused(true).map(Some),
            Order::Resume => self.set_paused(false).map(Some),
        };
        let result = match taken {
            Ok(None) => return, // answered when it is over
            Ok(Some(text)) => Ok(text),
            Err(why) => Err(why),
        };
        if let Ok(text) = &result {
            actions.push(Action::log(Level::Info, format!("by order: {text}")));
            let (primary, timeline) = self.guarded.map_or((None, 0), |g| (Some(g.id), g.timeline));
            if let Some(primary) = primary.or(facts.topology.primary) {
                self.remember(primary, timeline, self.under_way(), facts, actions);
            }
        }
        actions.push(Action::Answer { id, result });
    }

    fn order_switchover(
        &mut self,
        id: OrderId,
        to: Option<NodeId>,
        facts: &Facts<'_>,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let guarded = self.nothing_is_under_way()?;
        let name = facts.name(guarded.id);
        if facts.topology.primary != Some(guarded.id) || !matches!(self.state, State::Steady) {
            return Err(format!("{name} does not answer: FAILOVER TO a standby is what is left"));
        }
        if let Some(failure) = &facts.member(guarded.id).failure {
            return Err(format!("{name} does not answer the monitor: {}", failure.text));
        }
        if to == Some(guarded.id) {
            return Err(format!("{name} is the primary already"));
        }
        if self.wants_quorum() && self.quorum.is_none() {
            return Err(format!("failover.durability is \"quorum\", but {name} names no synchronous standbys"));
        }
        let fit = |node: NodeId| self.is_fit_for_switchover(node, guarded, facts);
        match to {
            Some(node) => fit(node).map_err(|why| format!("{} {why}", facts.name(node)))?,
            None => {
                let others = facts.topology.nodes.iter().filter(|node| node.id != guarded.id);
                let reasons: Vec<String> = others
                    .map(|node| fit(node.id).err().map(|why| format!("{} {why}", node.name)).unwrap_or_default())
                    .collect();
                if reasons.iter().all(|reason| !reason.is_empty()) {
                    return Err(format!("no standby can take over: {}", reasons.join(", ")));
                }
            }
        }
        self.excluded.clear();
        let attempt = Attempt { cause: Cause::Switchover(id), target: to, ..Attempt::automatic(guarded, facts.now) };
        self.begin_draining(attempt, facts, actions);
        Ok(())
    }

    fn is_fit_for_switchover(&self, node: NodeId, primary: Guarded, facts: &Facts<'_>) -> Result<(), String> {
        let known = facts.topology.node(node);
        if known.health != Health::Up || facts.member(node).failure.is_some() {
            return Err(format!("is {}", known.health.as_str()));
        }
        if known.upstream != Some(primary.id) {
            return Err(format!("does not stream from {}", facts.name(primary.id)));
        }
        self.eligible(node, facts)
    }

    fn order_failover(
        &mut self,
        id: OrderId,
        to: NodeId,
        force: bool,
        facts: &Facts<'_>,
        actions: &mut Vec<Action>,
    ) -> Result<(), String> {
        let guarded = if force { self.may_interrupt(to, facts)? } else { self.nothing_is_under_way()? };
        let (name, target) = (facts.name(guarded.id), facts.name(to));
        if to == guarded.id {
            return Err(format!("{name} is the primary, as far as is known"));
        }
        let life = match &self.state {
            State::Lost(lost) => match &lost.phase {
                super::lost::Phase::Partitioned(names) => Some(format!("{names} still streams from it")),
                _ => None,
            },
            _ => Some("it answers".to_owned()),
        };
        if let Some(life) = life.filter(|_| !force) {
            return Err(format!(
                "{name} lives, {life}: SWITCHOVER TO {target} loses nothing; FAILOVER TO {target} FORCE may lose what it \
                 acknowledges until it is stopped"
            ));
        }
        let instead = format!("FAILOVER TO {target} FORCE was ordered instead");
        self.end_attempt(Err(instead), facts, actions);
        self.excluded.clear();
        let text = format!("failover to {target} by order{}", if force { ", by force" } else { "" });
        actions.push(Action::log(Level::Warn, text));
        let cause = Cause::Failover { id, force };
        let attempt = Attempt { cause, target: Some(to), ..Attempt::automatic(guarded, facts.now) };
        self.begin_revoking(attempt, facts, actions);
        Ok(())
    }

    fn nothing_is_under_way(&self) -> Result<Guarded, String> {
        if self.settings.mode == FailoverMode::Off {
            return Err("failover.mode is \"off\": with \"manual\", nodes are changed by your order only".to_owned());
        }
        match &self.state {
            State::Steady | State::Lost(_) => {}
            _ => return Err("a failover or switchover is under way: see SHOW CLUSTER".to_owned()),
        }
        self.guarded.ok_or_else(|| "no primary was ever seen".to_owned())
    }

    /// A promotion that does not come about may be given up by force: for another node.
    fn may_interrupt(&self, to: NodeId, facts: &Facts<'_>) -> Result<Guarded, String> {
        match &self.state {
            State::Promoting(promoting) if promoting.elected.node != to => Ok(promoting.attempt.lost),
            State::Opening(opening) if opening.winner != to => {
                self.guarded.ok_or_else(|| "no primary was ever seen".to_owned())
            }
            State::Promoting(_) | State::Opening(_) => Err(format!("{} is being promoted already", facts.name(to))),
            _ => self.nothing_is_under_way(),
        }
    }

    fn under_way(&self) -> Option<(NodeId, NodeId)> {
        match &self.state {
            State::Promoting(promoting) => Some((promoting.attempt.lost.id, promoting.elected.node)),
            _ => None,
        }
    }

    fn detach(&mut self, node: NodeId, facts: &Facts<'_>) -> Result<String, String> {
        let name = facts.name(node);
        if facts.topology.primary == Some(node) {
            return Err(format!("{name} is the primary: SWITCHOVER first"));
        }
        if !self.detached.contains(&node) {
            self.detached.push(node);
        }
        Ok(format!("{name} is detached: it gets no client and is never promoted, until ATTACH {name}"))
    }

    fn attach(&mut self, node: NodeId, facts: &Facts<'_>) -> Result<String, String> {
        let name = facts.name(node);
        if !self.detached.contains(&node) {
            return Err(format!("{name} is not detached"));
        }
        self.detached.retain(|id| *id != node);
        Ok(format!("{name} is attached"))
    }

    fn set_paused(&mut self, is_paused: bool) -> Result<String, String> {
        self.is_paused = is_paused;
        Ok(match is_paused {
            true => "automatic failover is paused, until RESUME FAILOVER".to_owned(),
            false => "automatic failover goes on".to_owned(),
        })
    }
}
