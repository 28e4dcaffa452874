//! WAL on its way: a standby connects to its upstream, gets what that has, and tells how far it has flushed.

use super::postgres::{Life, Ms, Receiver, Sender, Writer};
use super::wal::Position;
use super::world::{Due, World};

/// A connection that the other side does not end is given up after that (`wal_sender_timeout`).
const SENDER_TIMEOUT: Ms = 5000;
/// Bytes of a message.
const MESSAGE: u64 = 4000;

// === impl World ===

impl World {
    /// Tries of before are void.
    pub(super) fn connect_soon(&mut self, standby: usize, after: Ms) {
        let attempt = self.number();
        self.nodes[standby].attempt = attempt;
        self.after(after, Due::Connect { standby, attempt });
    }

    pub(super) fn connect(&mut self, standby: usize, attempt: u64) {
        let node = &self.nodes[standby];
        if node.attempt != attempt || node.is_primary || node.receiver.is_some() {
            return;
        }
        if matches!(node.life, Life::Dead | Life::Gone) || node.promotion.is_some() {
            return; // its start, or nobody, begins anew
        }
        let from = node.upstream;
        let upstream = &self.nodes[from];
        let is_ready = node.runs() && !node.is_severed && node.not_replayed(self.now) == 0 && standby != from;
        let fits = self.branches.contains(upstream.at, node.at);
        let at = node.at;
        if !is_ready || !upstream.runs() || !self.is_linked(standby, from) || !fits {
            let pause = if is_ready { self.plan.retry } else { 50 };
            return self.connect_soon(standby, pause);
        }
        let connection = self.number();
        let now = self.now;
        self.nodes[standby].receiver = Some(Receiver { connection, from, heard: now });
        self.nodes[standby].has_streamed = true;
        self.nodes[from].senders.insert(standby, Sender { connection, flushed: 0 });
        self.tell(|w| format!("{} streams from pg{from}", w.place(standby)));
        self.after(1, Due::Acknowledge { standby, connection, upstream: from, lsn: at.lsn });
        self.after(2, Due::Send { standby, connection });
        self.check_who_can_acknowledge();
    }

    /// The upstream's turn: it sends what it has.
    pub(super) fn send(&mut self, standby: usize, connection: u64) {
        let Some(receiver) = self.receiver(standby, connection) else { return };
        let upstream = &self.nodes[receiver.from];
        if self.nodes[standby].runs() && self.now > receiver.heard + self.plan.receiver_timeout {
            self.tell(|_| format!("pg{standby} gives up pg{}, which it hears no more", receiver.from));
            return self.reset(standby, connection);
        }
        let is_known = upstream.senders.get(&standby).is_some_and(|sender| sender.connection == connection);
        let (runs, at) = (upstream.runs(), upstream.at);
        if runs && self.is_linked(standby, receiver.from) {
            let delay = self.delay();
            let due = match is_known {
                true => Due::Arrive { standby, connection, at },
                false => Due::Reset { standby, connection },
            };
            self.after(delay, due);
        }
        let pace = self.dice.between(5, 40);
        self.after(pace, Due::Send { standby, connection });
    }

    pub(super) fn arrive(&mut self, standby: usize, connection: u64, at: Position) {
        let Some(receiver) = self.receiver(standby, connection) else { return };
        let node = &self.nodes[standby];
        if !node.runs() || !self.is_linked(standby, receiver.from) {
            return; // what comes later says it again
        }
        // Messages of one connection keep their order; what a late one says is known.
        let is_news = self.branches.contains(at, node.at);
        let next = if is_news { self.branches.advance(node.at, at, MESSAGE) } else { node.at };
        let now = self.now;
        let node = &mut self.nodes[standby];
        node.at = next;
        if let Some(receiver) = &mut node.receiver {
            receiver.heard = now;
        }
        let delay = self.delay();
        self.after(delay, Due::Acknowledge { standby, connection, upstream: receiver.from, lsn: next.lsn });
    }

    pub(super) fn take_acknowledgement(&mut self, standby: usize, connection: u64, upstream: usize, lsn: u64) {
        if !self.nodes[upstream].runs() || !self.is_linked(standby, upstream) {
            return;
        }
        if let Some(sender) = self.nodes[upstream].senders.get_mut(&standby)
            && sender.connection == connection
        {
            sender.flushed = sender.flushed.max(lsn);
            self.release(upstream);
        }
    }

    /// Commits that enough standbys have are acknowledged.
    pub(super) fn release(&mut self, node: usize) {
        let released = self.nodes[node].released();
        let waiting = std::mem::take(&mut self.nodes[node].waiting);
        let (done, still): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|waiting| waiting.lsn <= released);
        self.nodes[node].waiting = still;
        for waiting in done {
            self.acknowledged(node, waiting.lsn, waiting.writer);
            if let Writer::Opener(process, number) = waiting.writer {
                self.opened(node, process, number);
            }
        }
    }

    /// The standby's connection ends: it tries again.
    pub(super) fn reset(&mut self, standby: usize, connection: u64) {
        if self.receiver(standby, connection).is_none() {
            return;
        }
        if self.nodes[standby].is_frozen {
            return self.after(100, Due::Reset { standby, connection });
        }
        self.end_receiver(standby);
        let soon = self.dice.between(2, 20);
        self.connect_soon(standby, soon);
    }

    pub(super) fn end_receiver(&mut self, standby: usize) {
        let Some(receiver) = self.nodes[standby].receiver.take() else { return };
        let upstream = receiver.from;
        let tells = self.is_linked(standby, upstream) && self.nodes[standby].life != Life::Gone;
        let after = if tells { self.delay() } else { SENDER_TIMEOUT };
        self.after(after, Due::SenderEnds { upstream, standby, connection: receiver.connection });
    }

    pub(super) fn end_sender(&mut self, upstream: usize, standby: usize, connection: u64) {
        let senders = &mut self.nodes[upstream].senders;
        if senders.get(&standby).is_some_and(|sender| sender.connection == connection) {
            senders.remove(&standby);
        }
    }

    /// All who stream from it hear that it is dead, unless it went without a word.
    pub(super) fn hang_up(&mut self, upstream: usize) {
        self.nodes[upstream].senders.clear();
        for standby in 0..self.nodes.len() {
            let receiver = self.nodes[standby].receiver.filter(|receiver| receiver.from == upstream);
            if let Some(receiver) = receiver.filter(|_| self.is_linked(standby, upstream)) {
                let after = self.dice.between(1, 30);
                self.after(after, Due::Reset { standby, connection: receiver.connection });
            }
        }
    }

    fn receiver(&self, standby: usize, connection: u64) -> Option<Receiver> {
        self.nodes[standby].receiver.filter(|receiver| receiver.connection == connection)
    }
}
