//! A session that has nothing to move: what it keeps while it waits.

use super::Session;
use super::exchange::Exchange;
use crate::net::buffer::Buffers;
use crate::route::TxStatus;

// === impl Session ===

impl Session {
    /// A switchover waits for transactions, not for sessions that only keep their server.
    pub(super) fn note_rest(&self, ex: &Exchange) {
        if let Some(server) = &ex.server {
            server.entry.set_at_rest(self.status == TxStatus::Idle && self.is_quiet() && ex.forward.is_empty());
        }
    }

    /// A session that waits for its client in the middle of a transaction holds no buffers.
    pub(super) fn rest_buffers(&mut self, ex: &mut Exchange) {
        if self.replies.is_quiet() {
            // What a slow client has not got yet still lies in it.
            if ex.forward.is_empty() && ex.withheld.is_empty() && ex.buffer.is_empty() && !ex.buffer.is_none() {
                ex.give_buffer(&self.worker.buffers);
            }
            if self.inbox.is_empty() && self.outbox.is_empty() && !self.inbox.is_none() {
                self.worker.buffers.give(&mut self.inbox);
            }
        }
    }
}

// === impl Exchange ===

impl Exchange {
    /// A buffer, and what `forward` is kept in.
    pub(super) fn take_buffer(&mut self, buffers: &Buffers) {
        self.buffer = buffers.take();
        std::mem::swap(&mut self.forward, &mut self.buffer.ranges);
    }

    pub(super) fn give_buffer(&mut self, buffers: &Buffers) {
        std::mem::swap(&mut self.forward, &mut self.buffer.ranges);
        buffers.give(&mut self.buffer);
    }
}
