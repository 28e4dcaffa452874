//! Who writes: clients through the proxy, only while there is a primary for them; and some that do not ask it.

use super::postgres::{Waiting, Writer};
use super::world::{Due, World};

/// Writes that wait on one node at a time.
const MOST: usize = 20;

// === impl World ===

impl World {
    pub(super) fn write(&mut self) {
        let pace = self.dice.between(5, 40);
        self.after(pace, Due::Write);
        let (writer, node) = if self.dice.one_in(5) {
            (Writer::Stranger, Some(self.dice.index(self.nodes.len())))
        } else {
            let is_up = self.proxy.controller.is_some() && self.now >= self.proxy.paused_until;
            let served = self.proxy.topology.primary.filter(|_| is_up).map(|id| usize::from(id.0));
            (Writer::Client, served.filter(|node| self.is_linked_to_proxy(*node)))
        };
        if let Some(node) = node {
            let cuts = self.proxy.cuts[node];
            let delay = self.delay();
            self.after(delay, Due::ClientWrite { node, writer, cuts });
        }
    }

    pub(super) fn take_write(&mut self, index: usize, writer: Writer, cuts: u64) {
        let is_cut = writer == Writer::Client && (self.proxy.cuts[index] != cuts || !self.is_linked_to_proxy(index));
        let grows = self.dice.between(50, 400);
        let is_commit = writer == Writer::Client || self.dice.one_in(2);
        let node = &mut self.nodes[index];
        if is_cut || !node.runs() || !node.is_primary || node.is_stopping || node.waiting.len() >= MOST {
            return;
        }
        node.at.lsn += grows;
        let lsn = node.at.lsn;
        if is_commit {
            node.waiting.push(Waiting { lsn, writer });
            self.release(index);
        }
    }

    /// Their servers are closed: nobody hears what becomes of their commits.
    pub(super) fn cut_clients(&mut self, index: usize) {
        self.proxy.cuts[index] += 1;
        if self.is_linked_to_proxy(index) && self.nodes[index].runs() {
            self.nodes[index].waiting.retain(|waiting| waiting.writer != Writer::Client);
        }
    }

    /// Whether a client still has a server of the node.
    pub(super) fn is_lent(&self, index: usize) -> bool {
        self.nodes[index].waiting.iter().any(|waiting| waiting.writer == Writer::Client)
    }
}
