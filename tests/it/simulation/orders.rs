//! What a node does with the coordinator's commands, and with its probes: see the docs of `Command`.

use pgherd::cluster::{Command, Event as Heard, Failure, FailureKind, NodeId, Outcome};

use super::postgres::{Life, Ms, Waiting, Writer};
use super::world::{Due, World};

// === impl World ===

impl World {
    pub(super) fn answer_probe(&mut self, process: u32, index: usize, number: u64, asked: Ms) {
        let node = &self.nodes[index];
        if !self.is_linked_to_proxy(index) || node.is_frozen || node.life == Life::Gone {
            return; // it times out
        }
        let id = NodeId(index as u16);
        let fails = |kind| Heard::ProbeFailed { node: id, failure: Failure::new(kind, format!("{kind:?}")) };
        let heard = match node.life {
            Life::Dead | Life::Gone => fails(FailureKind::Unreachable),
            Life::Starts => fails(FailureKind::NotServing),
            Life::Serves if node.is_stopping => fails(FailureKind::Stopping),
            Life::Serves if node.is_full => fails(FailureKind::Full),
            Life::Serves if node.denies => fails(FailureKind::Denied),
            Life::Serves => {
                let at = self.instant(asked);
                Heard::Observed { node: id, observation: node.observe(&self.branches, self.now, at) }
            }
        };
        let delay = self.delay();
        self.after(delay, Due::Hear { process, node: index, number, heard: Box::new(heard) });
    }

    pub(super) fn take_command(&mut self, process: u32, index: usize, number: u64, command: Command) {
        if !self.is_linked_to_proxy(index) {
            return;
        }
        let node = &mut self.nodes[index];
        match node.life {
            Life::Gone => return,
            Life::Dead | Life::Starts => {
                let outcome = Outcome::NotDone("it can't be reached".to_owned());
                return self.answer(process, index, number, &command, outcome);
            }
            Life::Serves => {}
        }
        self.proxy.arrived(process, index, number);
        let node = &mut self.nodes[index];
        if node.is_frozen {
            node.pending.push((process, number, command));
            return;
        }
        let is_anybodys = matches!(command, Command::Sever { .. });
        if process != self.proxy.process {
            return; // only the first statement, the one for the lock, is there; and its session ends
        }
        if !is_anybodys && node.lock.is_some_and(|holder| holder != process) {
            let outcome = Outcome::NotDone("another coordinator has the lock".to_owned());
            return self.answer(process, index, number, &command, outcome);
        }
        node.lock = Some(process);
        let takes = match command {
            Command::Sever { .. } => self.dice.between(5, 80),
            _ => self.dice.between(1, 20),
        };
        self.after(takes, Due::OrderIsDone { process, node: index, number, command });
    }

    pub(super) fn execute(&mut self, process: u32, index: usize, number: u64, command: &Command) {
        let node = &mut self.nodes[index];
        if matches!(node.life, Life::Dead | Life::Gone | Life::Starts) {
            let outcome = Outcome::Unknown("the connection is lost".to_owned());
            return self.answer(process, index, number, command, outcome);
        }
        if node.is_frozen {
            node.pending.push((process, number, command.clone()));
            return;
        }
        if node.lock.is_some_and(|holder| holder != process) {
            let outcome = Outcome::Unknown("its session was ended".to_owned());
            return self.answer(process, index, number, command, outcome);
        }
        if process != self.proxy.process && self.dice.one_in(2) {
            return; // its session has ended a moment earlier
        }
        let outcome = self.obey(process, index, number, command);
        self.tell(|w| format!("    {} did {command:?}: {outcome:?}", w.place(index)));
        if let Some(outcome) = outcome {
            self.answer(process, index, number, command, outcome);
        }
    }

    /// `None`: it is answered later.
    fn obey(&mut self, process: u32, index: usize, number: u64, command: &Command) -> Option<Outcome> {
        let is_standby = self.nodes[index].is_standby();
        let own = self.branches.timeline(self.nodes[index].at.branch);
        Some(match command {
            Command::Clear => Outcome::Done,
            Command::Open { .. } if is_standby => Outcome::NotDone("it is not promoted yet".to_owned()),
            Command::Open { .. } => {
                let node = &mut self.nodes[index];
                node.at.lsn += 100;
                let writer = Writer::Opener(process, number);
                node.waiting.push(Waiting { lsn: node.at.lsn, writer });
                self.release(index);
                return None;
            }
            Command::Promote { .. } if !is_standby => Outcome::Done,
            _ if !is_standby => Outcome::Refused("it is no standby".to_owned()),
            Command::Sever { timeline } | Command::Promote { timeline } if *timeline != own => {
                Outcome::Refused(format!("it is on timeline {own}"))
            }
            Command::Sever { .. } => self.sever(index),
            Command::Promote { .. } => self.promote(index),
            Command::Restore => {
                if std::mem::take(&mut self.nodes[index].is_severed) {
                    self.reconnect(index);
                }
                Outcome::Done
            }
            Command::Reconnect => {
                self.reconnect(index);
                Outcome::Done
            }
            Command::Repoint { host, .. } => {
                self.nodes[index].upstream = host[2..].parse().unwrap();
                self.nodes[index].is_severed = false;
                if self.nodes[index].upstream == index {
                    self.fail("a node is to follow itself");
                }
                self.reconnect(index);
                Outcome::Done
            }
        })
    }

    fn sever(&mut self, index: usize) -> Outcome {
        self.nodes[index].is_severed = true;
        let Some(receiver) = self.nodes[index].receiver else { return Outcome::Done };
        if self.dice.one_in(40) {
            // The replay hangs, so the receiver is not ended yet.
            self.after(1500, Due::Reset { standby: index, connection: receiver.connection });
            return Outcome::NotDone("its WAL receiver does not end".to_owned());
        }
        self.end_receiver(index);
        Outcome::Done
    }

    fn promote(&mut self, index: usize) -> Outcome {
        if self.nodes[index].receiver.is_some() {
            return Outcome::Refused("it streams again".to_owned());
        }
        if self.nodes[index].promotion.is_none() {
            let promotion = self.number();
            self.nodes[index].promotion = Some(promotion);
            let takes = self.dice.between(30, 130) + self.nodes[index].not_replayed(self.now) / 20;
            self.after(takes, Due::Promoted { node: index, promotion });
        }
        Outcome::Done
    }

    fn reconnect(&mut self, index: usize) {
        self.end_receiver(index);
        let soon = self.dice.between(5, 30);
        self.connect_soon(index, soon);
    }

    pub(super) fn become_primary(&mut self, index: usize, promotion: u64) {
        if self.nodes[index].promotion != Some(promotion) {
            return;
        }
        if self.nodes[index].is_frozen {
            return self.after(100, Due::Promoted { node: index, promotion });
        }
        let from = self.nodes[index].at;
        self.coverage.count("promoted");
        self.check_promotion(index);
        let at = self.branches.fork(from);
        let node = &mut self.nodes[index];
        (node.at, node.is_primary, node.promotion, node.is_severed) = (at, true, None, false);
        self.tell(|w| format!("pg{index} is promoted: {}", w.place(index)));
        self.check_who_can_acknowledge();
    }

    pub(super) fn opened(&mut self, index: usize, process: u32, number: u64) {
        let xmax = Some(self.nodes[index].at.lsn);
        let command = Command::Open { epoch: 0, primary: String::new() };
        self.answer(process, index, number, &command, Outcome::Opened { xmax });
    }

    fn answer(&mut self, process: u32, index: usize, number: u64, command: &Command, outcome: Outcome) {
        if self.is_linked_to_proxy(index) {
            let node = NodeId(index as u16);
            let heard = Box::new(Heard::Performed { node, command: command.clone(), outcome });
            let delay = self.delay();
            self.after(delay, Due::Hear { process, node: index, number, heard });
        }
    }

    /// The process that had it is no more.
    pub(super) fn end_session(&mut self, process: u32, index: usize) {
        if self.nodes[index].is_frozen || !self.is_linked_to_proxy(index) {
            return self.after(200, Due::SessionEnds { process, node: index });
        }
        if self.nodes[index].lock == Some(process) {
            self.nodes[index].lock = None;
        }
    }
}
