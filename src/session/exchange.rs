//! The relay: one client, one server, both directions at once, until the server is free again.
//!
//! A byte is read once and written once. What can't be written stops the reading on the other side, so a session
//! never holds more than one buffer in each direction.

use std::io::IoSlice;
use std::pin::Pin as Pinned;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::AsyncWrite;

use super::intake::Taken;
use super::net::Again;
use super::outbox::Outbox;
use super::remarks::Remark;
use super::replies::{Awaited, Op, Reply, Undo, Walked};
use super::{Close, Session, poll_fill};
use crate::client::registry::Pin;
use crate::net::buffer::Buffer;
use crate::pool::Checkout;
use crate::route::TxStatus;
use crate::server::prepared::NOBODY;
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frontend;

/// From here on a result is moved in large pieces: fewer calls, for as long as the result lasts.
const BULK_BYTES: usize = 128 * 1024;

/// Ranges written to the client with one call.
const MAX_SLICES: usize = 16;

#[derive(Default)]
pub(super) struct Exchange {
    /// `None` once it was given back; what it said last may still be on its way to the client.
    pub(super) server: Option<Checkout>,
    pub(super) buffer: Buffer,
    /// Ranges of `buffer` for the client, and how much of the first is written.
    pub(super) forward: Vec<(usize, usize)>,
    pub(super) written: usize,
    /// Ranges of `buffer` that may be for the client or not: their request may yet be asked again.
    pub(super) withheld: Vec<(usize, usize)>,
    /// Up to there the buffer has answers to requests that are answered to their ends.
    pub(super) sure: usize,
    /// Nothing more of the answer is for the client: the request will be asked again.
    pub(super) again: Option<Again>,
    /// … now: that answer has ended, the server is free.
    leaves: bool,
    /// Messages of the client may be there that `take_in` has not seen.
    fresh: bool,
    /// The next request belongs to another server: wait until this one is quiet.
    blocked: bool,
    /// The server is gone, or of no use. What it said before is still to be written.
    pub(super) lost: bool,
    /// … and PostgreSQL has said so.
    pub(super) said_goodbye: bool,
    /// Nothing more is taken from the client. Ends so when all that it asked for is answered; with `ServerGone`, when
    /// PostgreSQL has closed.
    pub(super) leaving: Option<Close>,
    /// Reads that filled the whole buffer.
    full_reads: u32,
    sent_at: Option<Instant>,
}

enum Ended {
    Released,
    /// Quiet, but a cancel request is on its way to it.
    CancelInFlight,
    /// It is no more.
    Lost,
    /// The request is to be asked of another one.
    Again,
}

// === impl Session ===

impl Session {
    /// Relays until the server is given back. On an error, what becomes of the server is seen to.
    pub(super) async fn exchange(&mut self, mut checkout: Checkout) -> Result<(), Close> {
        if self.status == TxStatus::Idle && self.settled_pin == Pin::None && self.passing == 0 {
            self.keep_request();
        }
        self.replies.prelude = Default::default();
        self.carry_settings(&mut checkout);
        let mut exchange =
            Exchange { server: Some(checkout), buffer: Buffer::none(), fresh: true, ..Exchange::default() };
        let ended = std::future::poll_fn(|cx| self.poll_exchange(&mut exchange, cx)).await;
        match ended {
            Ok(Ended::Lost) => return Box::pin(self.survive(exchange)).await,
            Ok(Ended::Again) => return Box::pin(self.ask_elsewhere(exchange)).await,
            _ => {}
        }
        exchange.give_buffer(&self.worker.buffers);
        self.let_request_go();
        match ended {
            Ok(Ended::Released | Ended::Lost | Ended::Again) => Ok(()),
            Ok(Ended::CancelInFlight) => {
                if let Some(server) = exchange.server.take() {
                    Box::pin(self.release_after_cancel(server)).await;
                }
                Ok(())
            }
            Err(close) => {
                if let Some(server) = exchange.server.take() {
                    self.abandon(server, matches!(close, Close::ServerGone));
                }
                Err(close)
            }
        }
    }

    fn poll_exchange(&mut self, ex: &mut Exchange, cx: &mut Context<'_>) -> Poll<Result<Ended, Close>> {
        loop {
            let mut moved = false;
            // It has been asked for nothing yet and has nothing to say: the request comes first.
            let has_work = ex.sent_at.is_none() && !ex.lost && (ex.fresh || !self.outbox.is_empty());
            if (ex.lost || ex.again.is_some()) && self.inbox.mark.is_some() && !self.replies.outline.is_past {
                // The client need not know of what was begun.
                ex.withhold();
            }
            if !ex.forward.is_empty() {
                moved |= self.poll_to_client(ex, cx)?.is_ready();
            }
            if ex.forward.is_empty() {
                if ex.lost {
                    return Poll::Ready(Ok(Ended::Lost));
                }
                if ex.leaves {
                    return Poll::Ready(Ok(Ended::Again));
                }
                self.let_postgresql_judge(ex);
                if self.has_left(ex)
                    && let Some(close) = ex.leaving.take()
                {
                    return Poll::Ready(Err(close));
                }
                // Before anything was sent it is quiet too, with a request to be taken in.
                if (ex.sent_at.is_some() || ex.blocked) && self.settle(ex) {
                    return Poll::Ready(Ok(Ended::CancelInFlight));
                }
                if ex.server.is_none() {
                    return Poll::Ready(Ok(Ended::Released));
                }
                if self.is_between_transactions() && self.entry.kick.is_set(cx) {
                    return Poll::Ready(Err(Close::Kicked));
                }
                moved |= !has_work && self.poll_from_server(ex, cx)?.is_ready();
            }
            if ex.server.is_some() && !ex.lost && ex.again.is_none() {
                if !self.outbox.is_empty() {
                    moved |= self.poll_to_server(ex, cx)?.is_ready();
                }
                let may_take = !ex.blocked && ex.leaving.is_none() && !self.replies.is_crowded();
                if self.outbox.is_empty() && may_take {
                    moved |= self.poll_from_client(ex, cx)?.is_ready();
                }
            }
            if !moved && has_work && ex.forward.is_empty() {
                moved = self.poll_from_server(ex, cx)?.is_ready();
            }
            if !moved && self.gives_up(ex, cx) {
                ex.lost = true;
            } else if !moved && self.entry.kick.is_set(cx) && self.entry.kick.is_at_once() {
                // Within a message nothing can be said.
                let is_cut = !ex.forward.is_empty() || self.replies.is_cut();
                return Poll::Ready(Err(if is_cut { Close::Cut } else { Close::Kicked }));
            } else if !moved {
                self.rest_buffers(ex);
                self.note_rest(ex);
                return Poll::Pending;
            }
        }
    }

    /// The server has nothing to do for this session, and no other session would notice that it had.
    fn is_free(&self) -> bool {
        self.is_quiet() && self.status == TxStatus::Idle && self.pin == Pin::None
    }

    fn is_between_transactions(&self) -> bool {
        self.is_quiet() && self.status_for_client() == TxStatus::Idle
    }

    /// What was refused has turned out to stand within COPY data: see `unknown_message`.
    fn let_postgresql_judge(&mut self, ex: &mut Exchange) {
        if matches!(ex.leaving, Some(Close::Violation(_))) && self.replies.copy.is_open() {
            ex.leaving = Some(self.pass_header());
        }
    }

    /// Nothing that the client waits for is to come any more.
    fn has_left(&self, ex: &Exchange) -> bool {
        let answered = self.replies.is_answered() || self.replies.copy.is_open();
        match ex.leaving {
            None | Some(Close::ServerGone) => false,
            Some(_) if ex.again.is_some() => false,
            Some(_) => ex.server.is_none() || (answered && self.outbox.is_empty()),
        }
    }

    /// Every request is answered, none is half sent.
    pub(super) fn is_quiet(&self) -> bool {
        self.replies.is_quiet() && self.outbox.is_empty() && !self.request_open && self.passing == 0
    }
}

// === impl Session: client → server ===

impl Session {
    fn poll_from_client(&mut self, ex: &mut Exchange, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        let Some(server) = ex.server.as_mut() else { return Poll::Pending };
        if std::mem::take(&mut ex.fresh) && (!self.inbox.is_empty() || self.passing > 0) {
            match self.take_in(server)? {
                Taken::NeedMore => {}
                Taken::NeedRoom(size) => {
                    // Growing moves bytes: only when none of them waits to be sent.
                    if self.outbox.is_empty() {
                        self.inbox.grow(size);
                    } else {
                        ex.fresh = true;
                    }
                }
                Taken::Full => {
                    ex.fresh = true;
                    if self.outbox.is_empty() {
                        return Poll::Pending;
                    }
                }
                Taken::Elsewhere | Taken::Wait => ex.blocked = true,
                Taken::Switch => {
                    self.outbox.push_own(frontend::push_sync);
                    self.replies.await_ready(Awaited::OwnSync);
                    self.request_open = false;
                    ex.blocked = true;
                }
                Taken::Leave(close) => ex.leaving = Some(close),
            }
            self.fence();
            if !self.outbox.is_empty() || ex.blocked || ex.leaving.is_some() {
                self.settle(ex);
                return Poll::Ready(Ok(()));
            }
        }
        if self.inbox.is_none() {
            match self.client.poll_read_ready(cx) {
                Poll::Ready(_) => self.inbox = self.worker.buffers.take(),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.inbox.compact();
        if self.inbox.room().is_empty() {
            // What is kept fills it. More is asked than one buffer holds: that can't be asked again.
            let _ = std::task::ready!(self.client.poll_read_ready(cx));
            self.let_request_go();
            self.inbox.compact();
        }
        let read = match std::task::ready!(poll_fill(&mut self.client, &mut self.inbox, cx)) {
            Ok(read) if read > 0 => read,
            _ => return Poll::Ready(Err(Close::ByClient)),
        };
        self.cell().received.add(read as u64);
        self.ahead = None;
        ex.fresh = true;
        if self.replies.is_quiet() {
            self.request_at = Instant::now();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_to_server(&mut self, ex: &mut Exchange, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        let Some(server) = ex.server.as_mut() else { return Poll::Pending };
        let mut slices = Outbox::no_slices();
        let count = self.outbox.slices(&self.inbox, &mut slices);
        let written = match &slices[..count] {
            [one] => server.stream_mut().poll_write(cx, one),
            many => server.stream_mut().poll_write_vectored(cx, many),
        };
        match std::task::ready!(written) {
            Ok(written) if written > 0 => {
                self.outbox.advance(written);
                if self.outbox.is_empty() {
                    let now = Instant::now();
                    if ex.sent_at.replace(now).is_none() {
                        self.cell().proxy.record(now.saturating_duration_since(self.request_at));
                    }
                }
                Poll::Ready(Ok(()))
            }
            // What it said last (a FATAL) may still be there to read: the reading side ends the exchange.
            _ => {
                self.outbox.clear();
                ex.blocked = true;
                Poll::Ready(Ok(()))
            }
        }
    }
}

// === impl Session: server → client ===

impl Session {
    fn poll_from_server(&mut self, ex: &mut Exchange, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        let Some(server) = ex.server.as_mut() else { return Poll::Pending };
        if ex.buffer.is_none() {
            match server.stream.poll_read_ready(cx) {
                Poll::Ready(_) => ex.take_buffer(&self.worker.buffers),
                Poll::Pending => return Poll::Pending,
            }
        }
        ex.make_room();
        if ex.full_reads >= 2 {
            ex.buffer.grow(BULK_BYTES);
        }
        let room = ex.buffer.room().len();
        if room == 0 {
            // More was begun than one buffer holds.
            self.let_request_go();
            ex.unwithhold();
            return Poll::Ready(Ok(()));
        }
        let Some(server) = ex.server.as_mut() else { return Poll::Pending };
        match std::task::ready!(poll_fill(&mut server.stream, &mut ex.buffer, cx)) {
            Ok(0) | Err(_) => {
                ex.lost = true;
                return Poll::Ready(Ok(()));
            }
            Ok(read) => {
                ex.full_reads = if read == room { ex.full_reads + 1 } else { ex.full_reads };
                self.cell().sent.add(read as u64);
            }
        }
        ex.unwithhold();
        self.walk_replies(ex)?;
        self.sift(ex);
        self.settle(ex);
        Poll::Ready(Ok(()))
    }

    fn walk_replies(&mut self, ex: &mut Exchange) -> Result<(), Close> {
        loop {
            let Some(server) = ex.server.as_mut() else { return Ok(()) };
            match self.replies.walk(&mut ex.buffer, &mut ex.forward) {
                Walked::NeedMore => break,
                Walked::Lost => {
                    (ex.lost, ex.said_goodbye) = (true, true);
                    break;
                }
                Walked::Remark(Remark::Elsewhere(why), from, to) => {
                    let node = server.node;
                    if !self.asks_again(ex, node, why) {
                        let remark =
                            match self.replies.late.meets(ex.buffer.range(from + crate::wire::frame::HEADER, to)) {
                                true => Remark::Late,
                                false => Remark::Elsewhere(why),
                            };
                        let Some(server) = ex.server.as_mut() else { return Ok(()) };
                        self.replies.outline.forwarded(b'E');
                        let to = self.reword(server, &mut ex.buffer, remark, from, to);
                        ex.forward.push((from, to));
                    } else if ex.lost {
                        break;
                    }
                }
                Walked::Remark(Remark::Announced, from, to) => {
                    let to = self.reword(server, &mut ex.buffer, Remark::Announced, from, to);
                    ex.forward.push((from, to));
                }
                Walked::Remark(remark, from, to) => {
                    self.replies.outline.forwarded(b'E');
                    let to = self.reword(server, &mut ex.buffer, remark, from, to);
                    ex.forward.push((from, to));
                }
                Walked::Garbage => {
                    let error = PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "the server sent what is not protocol 3");
                    return Err(Close::Error(error));
                }
                Walked::Ready(round) if ex.again.is_some() => {
                    self.status = round.status;
                    ex.leaves = true;
                    break;
                }
                Walked::Ready(round) => {
                    ex.sure = ex.buffer.start;
                    self.after_round(server, round, ex.sent_at.unwrap_or(self.request_at))?;
                    ex.blocked = false;
                    ex.fresh = true;
                }
            }
        }
        for (name, value) in self.replies.reported.drain(..) {
            if let Some(server) = ex.server.as_mut() {
                server.set_reported(&name, &value);
            }
        }
        self.note_answers();
        self.request_open |= self.replies.copy.take_reopened();
        if self.replies.is_skipping() || self.replies.copy.is_open() {
            // What was waited for may not come: it is skipped, or data must come first.
            ex.blocked = false;
            ex.fresh = true;
        }
        self.fence();
        Ok(())
    }

    /// Sends what tells the answers to Syncs of a failed COPY from later ones, where that must be told.
    fn fence(&mut self) {
        self.end_failed_begin();
        if self.replies.copy.wants_fence() && self.passing == 0 && !self.request_open && !self.replies.is_skipping() {
            self.outbox.push_own(|out| {
                frontend::push_close_statement(out, NOBODY);
                frontend::push_sync(out);
            });
            self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
            self.replies.await_ready(Awaited::OwnSync);
            self.replies.copy.fence_sent();
        }
    }

    /// Gives the server back as soon as it is free, ahead of writing its last words to a client that may be slow.
    /// `true`: it is free, but a cancel request is on its way to it.
    fn settle(&mut self, ex: &mut Exchange) -> bool {
        if ex.lost || ex.again.is_some() || ex.server.is_none() || !self.is_free() || !ex.buffer.is_empty() {
            return false;
        }
        let mut target = self.entry.lock_cancel();
        if target.in_flight > 0 {
            return true;
        }
        target.what = crate::client::registry::Running::Nothing;
        drop(target);
        if let Some(server) = ex.server.take() {
            self.release(server);
        }
        false
    }

    fn poll_to_client(&mut self, ex: &mut Exchange, cx: &mut Context<'_>) -> Poll<Result<(), Close>> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut skip = ex.written;
        let mut count = 0;
        for (slot, (from, to)) in slices.iter_mut().zip(&ex.forward) {
            *slot = IoSlice::new(ex.buffer.range(from + skip, *to));
            skip = 0;
            count += 1;
        }
        let client = Pinned::new(&mut self.client);
        let written = match &slices[..count] {
            [one] => client.poll_write(cx, one),
            many => client.poll_write_vectored(cx, many),
        };
        match std::task::ready!(written) {
            Ok(written) if written > 0 => {
                ex.advance(written);
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Err(Close::ByClient)),
        }
    }
}
