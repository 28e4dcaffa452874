//! What must hold after every step, and in the end.

use std::collections::BTreeSet;

use pgherd::cluster::{Command, Order, Record, Topology, status::State};

use super::postgres::{Life, Ms, Writer};
use super::wal::Position;
use super::world::World;

/// What was seen before.
#[derive(Default)]
pub(super) struct Books {
    /// Of all processes' topologies.
    epoch: u64,
    /// The highest that was served.
    timeline: u32,
    /// Of the last `Open`: (epoch, who).
    opened: (u64, usize),
    state: State,
    /// The branches whose first write was acknowledged.
    first_writes: BTreeSet<usize>,
    /// Who was told to be promoted last, from which branch, and when: the proxy's own decision.
    automatic: Option<(usize, Ms)>,
    /// Where the primary was when its standbys were to be cut off, last.
    written: Option<Position>,
    /// Since when the primary of the newest timeline could be reached by the proxy, without a break.
    reachable: Option<(usize, Ms)>,
}

// === impl World ===

impl World {
    /// `node` tells `writer` that its commit at `lsn` is safe.
    pub(super) fn acknowledged(&mut self, node: usize, lsn: u64, writer: Writer) {
        let at = Position { branch: self.nodes[node].at.branch, lsn };
        if matches!(writer, Writer::Opener(..)) {
            self.proxy.books.first_writes.insert(at.branch);
        }
        if writer == Writer::Client {
            self.coverage.acknowledged += 1;
        }
        if !self.plan.wants_quorum && writer != Writer::Client {
            return; // what others are told is not the proxy's to promise
        }
        if self.branches.contains(self.acknowledged, at) {
            return;
        }
        if !self.branches.contains(at, self.acknowledged) && self.plan.wants_quorum && !self.is_forced {
            let why = format!(
                "{} acknowledges {lsn} to {writer:?}, but lacks {:?}, which was acknowledged",
                self.place(node),
                self.acknowledged
            );
            self.fail(&why);
        }
        self.acknowledged = at;
    }

    pub(super) fn publish(&mut self, topology: Topology) {
        if topology.epoch < self.proxy.books.epoch {
            let why = format!("the epoch falls from {} to {}", self.proxy.books.epoch, topology.epoch);
            self.fail(&why);
        }
        self.proxy.books.epoch = topology.epoch;
        let state = topology.status.state;
        if state != self.proxy.books.state {
            if self.proxy.books.state == State::Revoking && !matches!(state, State::Promoting) {
                self.coverage.count("revocation undone");
            }
            self.proxy.books.state = state;
            self.coverage.count(state.as_str());
            self.tell(|_| format!("  state: {}, epoch {}", state.as_str(), topology.epoch));
        }
        let (before, after) = (&self.proxy.topology.status, &topology.status);
        if after.opened != before.opened
            && let Some(opened) = &after.opened
        {
            self.check_the_opened(usize::from(opened.node.0));
        }
        if after.failovers > before.failovers {
            self.coverage.count("failover done");
        }
        if after.switchovers > before.switchovers {
            self.coverage.count("switchover done");
        }
        let before = self.proxy.topology.primary;
        self.proxy.topology = topology;
        self.check_the_served(before.is_none());
        self.watch_the_primary();
    }

    /// Clients are let write there now.
    fn check_the_opened(&self, index: usize) {
        let branch = self.nodes[index].at.branch;
        if self.plan.wants_quorum && self.nodes[index].is_primary && !self.proxy.books.first_writes.contains(&branch) {
            self.fail(&format!("{} is opened before its first write was acknowledged", self.place(index)));
        }
    }

    fn check_the_served(&mut self, is_new: bool) {
        let Some(id) = self.proxy.topology.primary else { return };
        let timeline = self.proxy.topology.node(id).observation.as_ref().map_or(0, |told| told.timeline);
        if timeline < self.proxy.books.timeline {
            self.fail(&format!("timeline {timeline} is served after {}", self.proxy.books.timeline));
        }
        self.proxy.books.timeline = timeline;
        let index = usize::from(id.0);
        let node = &self.nodes[index];
        if !node.is_primary || self.branches.contains(node.at, self.acknowledged) {
            return;
        }
        if self.plan.wants_quorum && !self.is_forced {
            let why =
                format!("{} is served, but lacks {:?}, which was acknowledged", self.place(index), self.acknowledged);
            self.fail(&why);
        }
        if is_new {
            self.coverage.count("acknowledged writes lost (allowed)");
            self.acknowledged = node.at;
        }
    }

    /// With a quorum: how many could acknowledge a write now.
    pub(super) fn check_who_can_acknowledge(&self) {
        if !self.plan.wants_quorum || self.is_forced {
            return;
        }
        let can = |index: &usize| {
            let node = &self.nodes[*index];
            let streams = |standby: &&usize| {
                let standby = &self.nodes[**standby];
                standby.runs() && standby.receiver.is_some_and(|receiver| receiver.from == *index)
            };
            let enough = node.names.list.iter().filter(streams).count() >= node.names.needed;
            node.is_primary && node.life == Life::Serves && enough
        };
        let who: Vec<String> = (0..self.nodes.len()).filter(can).map(|index| self.place(index)).collect();
        if who.len() > 1 {
            self.fail(&format!("{} can acknowledge writes, all of them", who.join(", ")));
        }
    }

    /// A node becomes a primary.
    pub(super) fn check_promotion(&mut self, index: usize) {
        let branch = self.nodes[index].at.branch;
        if let Some(first) = self.promoted.insert(branch, index)
            && !self.is_forced
        {
            self.fail(&format!(
                "pg{first} was promoted from timeline {}, and now pg{index}",
                self.branches.timeline(branch)
            ));
        }
        if self.plan.is_mild {
            self.fail("nothing has happened that a node is replaced for");
        }
    }

    pub(super) fn check_command(&mut self, index: usize, command: &Command) {
        if matches!(command, Command::Sever { .. }) {
            self.proxy.books.written = self.newest_primary().map(|primary| self.nodes[primary].at);
        }
        match command {
            Command::Open { epoch, .. } => {
                let (before, who) = self.proxy.books.opened;
                if *epoch < before || (*epoch == before && who != index) {
                    self.fail(&format!("epoch {epoch} is opened after {before}"));
                }
                self.proxy.books.opened = (*epoch, index);
            }
            Command::Sever { .. } if !self.is_by_order() => {
                if self.plan.is_manual {
                    self.fail("the operator decides, and was not asked");
                }
                let long_ago = self.now.saturating_sub(self.plan.timeout * u64::from(self.plan.failures) + 400);
                if let Some((primary, since)) = self.proxy.books.reachable
                    && since < long_ago
                {
                    self.fail(&format!("pg{primary} works and can be reached, and its standbys are cut off"));
                }
            }
            Command::Promote { timeline } if !self.nodes[index].is_primary => self.check_order(index, *timeline),
            _ => {}
        }
    }

    fn check_order(&mut self, index: usize, timeline: u32) {
        let branch = self.nodes[index].at.branch;
        if self.branches.timeline(branch) != timeline || self.is_forced || self.promoted.contains_key(&branch) {
            return;
        }
        let is_switchover = self.proxy.orders.values().any(|(order, _)| matches!(order, Order::Switchover { .. }));
        if let Some(written) = self.proxy.books.written.filter(|at| is_switchover && at.branch == branch)
            && self.nodes[index].at.lsn < written.lsn
        {
            self.fail(&format!("a switchover to {}, which lacks {written:?}", self.place(index)));
        }
        let is_repeated = self.proxy.books.automatic.is_some_and(|(before, _)| before == branch);
        if !self.is_by_order() && !is_repeated {
            let last = self.proxy.books.automatic.replace((branch, self.now));
            let too_soon = last.is_some_and(|(_, at)| self.now < at + self.plan.pause);
            if too_soon && self.proxy.process == 1 {
                self.fail("failover.pause is not over");
            }
        }
        if !self.plan.wants_quorum {
            return;
        }
        let lost = (0..self.nodes.len()).find(|lost| {
            let node = &self.nodes[*lost];
            node.is_primary && node.at.branch == branch
        });
        let Some(lost) = lost else { return };
        let names = &self.nodes[lost].names;
        let is_revoked = |name: &&usize| {
            let node = &self.nodes[**name];
            node.is_severed || node.upstream != lost || node.is_primary
        };
        let revoked = names.list.iter().filter(is_revoked).count();
        if revoked < names.to_revoke() {
            self.fail(&format!("pg{index} is promoted, but of {names} only {revoked} are cut off pg{lost}"));
        }
    }

    fn is_by_order(&self) -> bool {
        self.proxy.orders.values().any(|(order, _)| matches!(order, Order::Switchover { .. } | Order::Failover { .. }))
    }

    /// Keeps the books for `check_command`.
    fn watch_the_primary(&mut self) {
        let newest = self.nodes.iter().map(|node| self.branches.timeline(node.at.branch)).max();
        let primary = self.newest_primary().filter(|index| {
            let node = &self.nodes[*index];
            let is_current = Some(self.branches.timeline(node.at.branch)) == newest;
            is_current && node.runs() && !node.is_stopping && self.is_linked_to_proxy(*index)
        });
        let before = self.proxy.books.reachable;
        self.proxy.books.reachable = primary.map(|index| match before {
            Some((known, since)) if known == index && self.now >= self.proxy.paused_until => (index, since),
            _ => (index, self.now),
        });
    }

    /// The state file is written.
    pub(super) fn remember(&mut self, record: Record) {
        let before = &self.proxy.record;
        if record.epoch < before.epoch || record.timeline < before.timeline {
            self.fail(&format!("what is written down falls behind: {before:?}, now {record:?}"));
        }
        self.proxy.record = record;
    }

    /// All was mended long ago.
    pub(super) fn check_the_end(&mut self) {
        let topology = &self.proxy.topology;
        let Some(served) = topology.primary.map(|id| usize::from(id.0)) else {
            let (because, status) = (&topology.no_primary_because, &topology.status);
            self.fail(&format!("nobody is served: {because:?}; {status:?}"));
        };
        if Some(served) != self.newest_primary() {
            self.fail(&format!("{} is served, and is not the newest primary", self.place(served)));
        }
        if !matches!(topology.status.state, State::Up) {
            self.fail(&format!("it is still not over: {:?}", topology.status));
        }
        for index in (0..self.nodes.len()).filter(|index| *index != served) {
            let mut at = index;
            for _ in 0..self.nodes.len() {
                let node = &self.nodes[at];
                at = node.receiver.map_or(at, |receiver| receiver.from);
            }
            if at != served {
                let node = &self.nodes[index];
                let (up, severed) = (node.upstream, node.is_severed);
                self.fail(&format!(
                    "{} does not stream from pg{served}, by whatever way (upstream pg{up}, severed: {severed})",
                    self.place(index)
                ));
            }
        }
        if let Some((order, at)) = self.proxy.orders.values().next().filter(|(_, at)| self.now > at + 15_000) {
            self.fail(&format!("{order:?} of {at} was never answered"));
        }
        if self.proxy.topology.status.is_paused {
            self.fail("it is still paused");
        }
        self.coverage.plays += 1;
    }
}
