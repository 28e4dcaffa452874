//! What goes wrong, and how it is mended.

use pgherd::cluster::status::State;

use super::postgres::{Life, Ms};
use super::world::{Due, TROUBLE, World};

// === impl World ===

impl World {
    /// The next one.
    pub(super) fn trouble(&mut self) {
        let next = self.dice.between(20, 2 * self.plan.peace);
        self.after(next, Due::Trouble);
        if self.is_mended {
            return self.rebuild_the_diverged();
        }
        let (proxy, node) = (self.nodes.len(), self.whom());
        if self.plan.is_mild {
            return self.mild_trouble(node);
        }
        match self.dice.roll(20) {
            0 | 1 => self.kill(node, Life::Dead),
            2 => self.kill(node, Life::Gone),
            3 => self.kill(node, Life::Starts),
            4..=6 => (0..proxy).for_each(|node| self.restart(node)),
            7 | 8 => {
                let until = self.dice.pick(&[300, 1000, 3000, 8000]);
                self.freeze(node, until);
            }
            9 | 10 => {
                let other = self.dice.index(proxy + 1);
                self.link(node, other, true);
            }
            11 => (0..=proxy).for_each(|other| self.link(node, other, true)),
            12 => (0..=proxy).for_each(|other| self.link(other, proxy, true)),
            13 | 14 => self.mend_links(2),
            15 => self.mend_links(1),
            16 => self.proxy.paused_until = self.now + self.dice.between(50, 2500),
            17 => self.shut_down(node),
            18 => self.mild_trouble(node),
            _ => self.rebuild_the_diverged(),
        }
    }

    /// The primary more often than others.
    fn whom(&mut self) -> usize {
        let any = self.dice.index(self.nodes.len());
        let primary = self.newest_primary().filter(|_| self.dice.one_in(2));
        primary.unwrap_or(any)
    }

    /// For none of it a node may be replaced.
    fn mild_trouble(&mut self, node: usize) {
        let relief = self.dice.between(500, 4000);
        match self.dice.roll(4) {
            0 => {
                self.tell(|_| format!("pg{node} has no connection left"));
                self.nodes[node].is_full = true;
                self.after(relief, Due::Relieve { node });
            }
            1 => {
                self.tell(|_| format!("the password of pg{node} is changed"));
                self.nodes[node].denies = true;
                self.after(relief, Due::Relieve { node });
            }
            2 => self.proxy.paused_until = self.now + self.dice.between(10, 300),
            _ => {
                // Shorter than it takes to be lost.
                let longest = self.plan.timeout * u64::from(self.plan.failures - 1);
                let until = self.dice.between(50, longest);
                self.freeze(node, until);
            }
        }
    }

    pub(super) fn mend(&mut self) {
        self.tell(|_| "all is mended".to_owned());
        self.is_mended = true;
        self.mend_links(1);
        for node in 0..self.nodes.len() {
            self.thaw(node);
            self.nodes[node].is_stopping = false;
            self.restart(node);
            (self.nodes[node].is_full, self.nodes[node].denies) = (false, false);
        }
        self.proxy.paused_until = self.now;
    }

    fn mend_links(&mut self, one_in: u64) {
        for a in 0..self.cut.len() {
            for b in 0..a {
                if self.cut[a][b] && self.dice.one_in(one_in) {
                    self.link(a, b, false);
                }
            }
        }
    }

    fn link(&mut self, a: usize, b: usize, cut: bool) {
        if a != b && self.cut[a][b] != cut {
            self.tell(|w| {
                let name = |x: usize| if x == w.nodes.len() { "the proxy".to_owned() } else { format!("pg{x}") };
                format!("the link {} - {} is {}", name(a), name(b), if cut { "cut" } else { "mended" })
            });
            (self.cut[a][b], self.cut[b][a]) = (cut, cut);
        }
    }

    /// `life`: dead, without power, or restarted at once as after the crash of a session.
    pub(super) fn kill(&mut self, index: usize, life: Life) {
        if matches!(self.nodes[index].life, Life::Dead | Life::Gone) {
            return;
        }
        self.tell(|w| format!("{} is killed: {life:?}", w.place(index)));
        self.end_receiver(index);
        let node = &mut self.nodes[index];
        (node.life, node.is_frozen, node.is_stopping) = (life, false, false);
        (node.promotion, node.lock, node.receiver) = (None, None, None);
        node.waiting.clear();
        node.pending.clear();
        match life {
            Life::Gone => node.senders.clear(),
            _ => self.hang_up(index),
        }
        if life == Life::Starts {
            self.nodes[index].life = Life::Dead;
            self.restart(index);
        } else if life == Life::Dead && self.is_linked_to_proxy(index) {
            self.wake_prober(index);
        }
    }

    pub(super) fn restart(&mut self, index: usize) {
        if !matches!(self.nodes[index].life, Life::Dead | Life::Gone) {
            return;
        }
        self.tell(|w| format!("{} is started", w.place(index)));
        let takes = self.dice.between(200, 2500);
        let attempt = self.number();
        let most = self.nodes[index].at.lsn - self.branches.start(self.nodes[index].at.branch);
        let (bytes, replay) = (self.dice.between(0, most.min(20_000)), self.dice.between(10, 3000));
        let began = self.now + takes;
        let node = &mut self.nodes[index];
        (node.life, node.has_streamed, node.attempt) = (Life::Starts, false, attempt);
        node.replay = if node.is_primary { (0, 0, 1) } else { (bytes, began, replay) };
        self.after(takes, Due::Started { node: index, attempt });
    }

    pub(super) fn started(&mut self, index: usize, attempt: u64) {
        if self.nodes[index].life != Life::Starts || self.nodes[index].attempt != attempt {
            return;
        }
        self.nodes[index].life = Life::Serves;
        self.tell(|w| format!("{} serves", w.place(index)));
        self.connect_soon(index, 10);
        self.check_who_can_acknowledge();
    }

    fn freeze(&mut self, index: usize, until: Ms) {
        if self.nodes[index].life == Life::Serves && !self.nodes[index].is_frozen {
            self.tell(|w| format!("{} freezes for {until} ms", w.place(index)));
            self.nodes[index].is_frozen = true;
            self.after(until, Due::Thaw { node: index });
        }
    }

    pub(super) fn thaw(&mut self, index: usize) {
        if !std::mem::take(&mut self.nodes[index].is_frozen) {
            return;
        }
        self.tell(|w| format!("{} thaws", w.place(index)));
        for (process, number, command) in std::mem::take(&mut self.nodes[index].pending) {
            // What it was about to do comes true, unless only the question for the lock had arrived.
            if self.nodes[index].lock == Some(process) && self.dice.one_in(2) {
                self.execute(process, index, number, &command);
            }
        }
        self.check_who_can_acknowledge();
    }

    fn shut_down(&mut self, index: usize) {
        if self.nodes[index].runs() {
            self.tell(|w| format!("{} shuts down", w.place(index)));
            self.nodes[index].is_stopping = true;
            let takes = self.dice.between(50, 800);
            self.after(takes, Due::Stopped { node: index });
        }
    }

    /// An operator copies the served primary over what can't follow it any more.
    fn rebuild_the_diverged(&mut self) {
        let served = self.proxy.topology.primary.map(|id| usize::from(id.0));
        let opens = self.proxy.topology.status.state == State::Opening;
        let Some(primary) = self.newest_primary().filter(|newest| opens || served == Some(*newest)) else { return };
        let timeline = |index: usize| self.branches.timeline(self.nodes[index].at.branch);
        if !self.nodes[primary].runs() || (0..self.nodes.len()).any(|index| timeline(index) > timeline(primary)) {
            return; // a newer one is only dead
        }
        for index in (0..self.nodes.len()).filter(|index| *index != primary) {
            if self.branches.contains(self.nodes[primary].at, self.nodes[index].at) && !self.nodes[index].is_primary {
                continue;
            }
            self.kill(index, Life::Dead);
            self.tell(|w| format!("{} is rebuilt from {}", w.place(index), w.place(primary)));
            let at = self.nodes[primary].at;
            let node = &mut self.nodes[index];
            (node.at, node.is_primary, node.upstream, node.is_severed) = (at, false, primary, false);
            node.senders.clear();
            self.restart(index);
        }
    }

    /// Of those that are not dead.
    pub(super) fn newest_primary(&self) -> Option<usize> {
        let alive = |index: &usize| {
            self.nodes[*index].is_primary && !matches!(self.nodes[*index].life, Life::Dead | Life::Gone)
        };
        (0..self.nodes.len()).filter(alive).max_by_key(|index| self.branches.timeline(self.nodes[*index].at.branch))
    }

    pub(super) fn is_over(&self) -> bool {
        self.now >= TROUBLE
    }
}
