//! What a server answers: header by header, bodies untouched. Knows which ReadyForQuery are still to come, which
//! replies belong to messages the proxy put in and must not reach the client, and what failed on the way. Pure.

use std::collections::VecDeque;

use super::begin::Beginning;
use super::copying::Copying;
use super::ends::{Ends, Round};
use super::fate::Doing;
use super::leftovers::Leftovers;
use super::net::again;
pub use super::ops::{Op, Reply, Undo};
use super::outline::{Outline, Prelude};
use super::read_first::Late;
use super::remarks::{Doubt, Remark, is_refusal, is_waiting_canceled, names_a_statement_of_ours};
use super::resolve::Xid;
use super::told::Told;
use crate::net::buffer::Buffer;
use crate::route::TxStatus;
use crate::wire::error::{PgError, field, is_goodbye};
use crate::wire::frame::{self, HEADER};

/// Why a ReadyForQuery is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    Query,
    Sync,
    FunctionCall,
    /// A message of ours: of its round only notifications and parameters that are news reach the client.
    Injected,
    /// A Query of ours for the transaction's id: nothing of its round reaches the client, nor an error.
    Xid,
    /// A Query of ours for what the session has left behind: as for `Xid`.
    Leftovers,
    /// A Sync of ours behind messages of the client's: all but the ReadyForQuery reaches the client.
    OwnSync,
}

/// Why `walk` stopped.
#[derive(Debug)]
pub enum Walked {
    /// All that was read is dealt with (up to a part of a message).
    NeedMore,
    Ready(Round),
    /// What stands between these positions is not for the client as it is. It is not forwarded yet.
    Remark(Remark, usize, usize),
    /// PostgreSQL said goodbye, which is not forwarded: the server is lost, the session may not be.
    Lost,
    /// Not protocol 3.
    Garbage,
}

#[derive(Default)]
pub struct Replies {
    pub(super) awaited: VecDeque<Waiting>,
    pub(super) ops: VecDeque<(u64, Op)>,
    /// ReadyForQuery asked for so far: the number of the round that is being sent.
    pub(super) round: u64,
    /// What the statements of the round that is being sent do, and whether any of them is run.
    pub(super) doing: Doing,
    pub(super) runs: bool,
    /// Bytes of a message's body still to pass.
    pub(super) rest: usize,
    pub(super) rest_forwarded: bool,
    /// After an error in an extended request: PostgreSQL skips all up to a Sync that is not sent yet.
    pub(super) skips: bool,
    pub copy: Copying,
    /// Of a BEGIN of ours ahead of the client's messages.
    pub beginning: Beginning,
    /// Of the transaction that is being committed.
    pub xid: Xid,
    /// Commits wait for synchronous standbys: one that did not is no commit.
    pub quorum: bool,
    /// A statement that PostgreSQL refuses in the proxy's place is on its way.
    pub refuses: bool,
    doubt: Doubt,
    pub(super) failed: bool,
    pub prelude: Prelude,
    /// What was seen of the answer to the request that comes next.
    pub outline: Outline,
    ends: Ends,
    pub(super) injected_error: Option<Box<PgError>>,
    /// Of a session whose server was asked for them.
    pub leftovers: Option<Box<Leftovers>>,
    pub told: Told,
    /// Of the transaction at hand.
    pub late: Late,
    /// What the client is told ahead of the answer to a round (its number).
    pub notices: VecDeque<(u64, PgError)>,
    /// ParameterStatus seen, to be taken by the session.
    pub reported: Vec<(String, String)>,
    /// Failed operations, to be undone by the session.
    pub undone: Vec<Undo>,
    pub errors: u64,
    pub fatal: bool,
    /// A prepared statement's result is no longer what it was.
    pub stale_statement: bool,
}

#[derive(Clone, Copy)]
pub struct Waiting {
    pub awaited: Awaited,
    pub(super) round: u64,
    pub doing: Doing,
    /// Where the client's request ends (`Buffer::lasting`), if that is known.
    pub end: Option<usize>,
    /// CopyDone and CopyFail sent as part of it, ahead of its Sync; and behind it, before the next request began.
    pub ends_inside: u32,
    pub ends_after: u32,
}

/// Messages on their way whose answers are counted on.
const MAX_UNANSWERED: usize = 8192;

/// Places for them that are kept while there are none.
const KEPT: usize = 64;

/// Messages larger than this are never looked into.
const LOOK_INTO: usize = 8192;

// === impl Awaited ===

impl Awaited {
    /// All of its round is the proxy's.
    #[inline]
    pub fn is_ours(self) -> bool {
        matches!(self, Awaited::Injected | Awaited::Xid | Awaited::Leftovers)
    }
}

// === impl Replies: what is sent ===

impl Replies {
    /// A message that PostgreSQL answers with ReadyForQuery is being sent, unless it skips or ignores it.
    #[inline]
    pub fn await_ready(&mut self, awaited: Awaited) {
        self.await_ready_to(awaited, None);
    }

    /// The same for a request of the client's that ends there (`Buffer::lasting`).
    #[inline]
    pub fn await_ready_to(&mut self, awaited: Awaited, end: Option<usize>) {
        if matches!(awaited, Awaited::Query | Awaited::FunctionCall) {
            if self.skips || self.copy.is_open() {
                return;
            }
        } else if self.copy.ignores_sync() {
            return;
        } else {
            self.skips = false;
        }
        self.prelude.is_bound &= awaited.is_ours();
        let ends_inside = self.copy.request_sent();
        let doing = if awaited.is_ours() { Doing::NOTHING } else { self.take_doing() };
        self.awaited.push_back(Waiting { awaited, round: self.round, doing, end, ends_inside, ends_after: 0 });
        self.round += 1;
    }

    /// A statement is being sent, or bound to a portal.
    #[inline]
    pub fn does(&mut self, doing: Doing) {
        self.doing = self.doing.then(doing);
    }

    /// What was bound is being run.
    #[inline]
    pub fn executes(&mut self) {
        self.runs = true;
    }

    #[inline]
    fn take_doing(&mut self) -> Doing {
        let doing = std::mem::replace(&mut self.doing, Doing::NOTHING);
        if std::mem::take(&mut self.runs) { doing } else { Doing::NOTHING }
    }

    /// A Parse or Close is being sent.
    #[inline]
    pub fn await_op(&mut self, op: Op) {
        self.ops.push_back((self.round, op));
    }

    /// Nothing is to come, and the server is in the middle of nothing.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.awaited.is_empty() && self.rest == 0 && !self.skips && self.copy.is_over()
    }

    /// As far as the client has asked, all is answered.
    pub fn is_answered(&self) -> bool {
        self.awaited.is_empty() && self.rest == 0
    }

    /// So much is unanswered that no more should be asked: PostgreSQL will answer without, since it holds back no more
    /// than 8 kB of acknowledgements (1638 of them).
    #[inline]
    pub fn is_crowded(&self) -> bool {
        (self.ops.len() >= MAX_UNANSWERED || self.awaited.len() >= MAX_UNANSWERED) && !self.skips
    }

    /// PostgreSQL has answered with an error and ignores all up to the Sync that is not sent yet.
    #[inline]
    pub fn is_skipping(&self) -> bool {
        self.skips
    }

    /// Whether the messages to come can't be in a failed transaction unless `status` says so.
    pub fn status_is_current(&self) -> bool {
        !self.awaited.iter().any(|waiting| !waiting.awaited.is_ours())
    }

    /// A CopyDone or CopyFail is being sent; `request_open`: within an extended request.
    pub fn copy_ends(&mut self, request_open: bool) {
        self.copy.ends(&mut self.awaited, request_open);
    }

    /// The number of the round that is being sent.
    pub fn round(&self) -> u64 {
        self.round
    }

    pub fn has_ops(&self) -> bool {
        !self.ops.is_empty()
    }
}

// === impl Replies: what comes ===

impl Replies {
    /// Passes over what `buffer` holds, up to the next ReadyForQuery. `forward` gets the ranges that go to the client.
    pub fn walk(&mut self, buffer: &mut Buffer, forward: &mut Vec<(usize, usize)>) -> Walked {
        loop {
            if self.rest > 0 && !self.pass_rest(buffer, forward) {
                return Walked::NeedMore;
            }
            let header = match frame::header(buffer.filled()) {
                Ok(Some(header)) => header,
                Ok(None) => return Walked::NeedMore,
                Err(_) => return Walked::Garbage,
            };
            let have = buffer.end - buffer.start;
            let injected = self.is_injected();
            if self.beginning == Beginning::Sent && !injected && self.is_of_begin(header, have) {
                buffer.start += header.size;
                continue;
            }
            if !injected && self.has_notice() {
                return Walked::Remark(Remark::Announced, buffer.start, buffer.start);
            }
            let is_looked_into = looks_into(header.tag) || (injected && header.tag == b'D');
            if is_looked_into && header.size <= LOOK_INTO.min(buffer.capacity()) {
                if have < header.size {
                    return Walked::NeedMore;
                }
                let (from, to) = (buffer.start, buffer.start + header.size);
                buffer.start = to;
                if header.tag == b'Z' {
                    if self.doubt == Doubt::Raised && !injected {
                        // What committed was only PostgreSQL's answer to Sync: its OK is gone already.
                        (self.doubt, buffer.start) = (Doubt::Told, from);
                        return Walked::Remark(Remark::Doubtful, from, from);
                    }
                    return self.ready(buffer, forward, from, to);
                }
                if header.tag == b'E' && is_goodbye(buffer.range(from + HEADER, to)) {
                    return Walked::Lost;
                }
                let kept = self.look(header.tag, buffer, from, to);
                if !injected
                    && matches!(header.tag, b'E' | b'C')
                    && self.doubt != Doubt::Told
                    && !self.outline.is_muted
                    && let Some(remark) = self.remark(header.tag, buffer.range(from + HEADER, to))
                {
                    return Walked::Remark(remark, from, to);
                }
                let muted = (self.doubt == Doubt::Told && !matches!(header.tag, b'S' | b'N'))
                    || (self.outline.is_muted && header.tag != b'S');
                if kept && !muted && (!injected || header.tag == b'S') {
                    self.outline.forwarded(header.tag);
                    push(forward, from, to);
                }
            } else {
                if header.tag == b'E' {
                    self.error(&[]);
                }
                self.rest = header.size;
                let muted = self.doubt == Doubt::Told || self.outline.is_muted;
                self.rest_forwarded = header.tag == b'A' || (!injected && !muted);
                if self.rest_forwarded {
                    self.forwards(header.tag);
                    if matches!(header.tag, b'D' | b'd') {
                        self.rest = frame::run_length(buffer.filled(), header.tag);
                    }
                }
            }
        }
    }

    /// Of a message that is not looked into. Whether its end is there.
    /// The client has a part of a message.
    pub(super) fn is_cut(&self) -> bool {
        self.rest > 0 && self.rest_forwarded
    }

    fn pass_rest(&mut self, buffer: &mut Buffer, forward: &mut Vec<(usize, usize)>) -> bool {
        let count = self.rest.min(buffer.end - buffer.start);
        if self.rest_forwarded {
            push(forward, buffer.start, buffer.start + count);
        }
        buffer.start += count;
        self.rest -= count;
        self.rest == 0
    }

    /// Whether the client is to be told something before what stands next.
    #[inline]
    fn has_notice(&self) -> bool {
        let Some((round, _)) = self.notices.front() else { return false };
        let answered = self.awaited.front().map_or(self.round, |waiting| waiting.round);
        answered >= *round && !self.outline.is_muted && self.doubt != Doubt::Told
    }

    /// A message that is not looked into goes to the client.
    #[inline]
    fn forwards(&mut self, tag: u8) {
        self.outline.forwarded(tag);
        if self.awaited.front().is_none_or(|waiting| waiting.awaited != Awaited::Query) {
            self.prelude.meet(tag);
        }
    }

    /// A whole message of those that change state. Whether it goes to the client.
    #[inline]
    fn look(&mut self, tag: u8, buffer: &mut Buffer, from: usize, to: usize) -> bool {
        match tag {
            b'1' | b'3' => return self.acknowledged(tag, buffer, from),
            b'C' => {
                self.ends.note(buffer.range(from + HEADER, to));
                self.copy.completed();
            }
            b'E' => self.error(buffer.range(from + HEADER, to)),
            b'S' => {
                let is_news = self.parameter(buffer.range(from + HEADER, to));
                return is_news || !self.is_injected();
            }
            b'D' => self.row_of_ours(buffer.range(from + HEADER, to)),
            b'G' => self.copy_begins(),
            // On its way down PostgreSQL warns everybody; a session that goes on need not know.
            b'N' => {
                let body = buffer.range(from + HEADER, to);
                if self.quorum && is_waiting_canceled(body) {
                    self.doubt = Doubt::Raised;
                }
                return field(body, b'C') != Some(b"57P02");
            }
            _ => {}
        }
        true
    }

    fn remark(&mut self, tag: u8, body: &[u8]) -> Option<Remark> {
        if tag == b'C' {
            let raised = self.doubt == Doubt::Raised;
            return raised.then(|| {
                self.doubt = Doubt::Told;
                Remark::Doubtful
            });
        }
        match () {
            () if names_a_statement_of_ours(body) => Some(Remark::Misnamed),
            () if self.refuses && is_refusal(body) => Some(Remark::Refused),
            () if self.beginning == Beginning::None && self.late.meets(body) => Some(Remark::Late),
            () if self.outline.may_be_dropped() => again(body).map(Remark::Elsewhere),
            () => None,
        }
    }

    fn copy_begins(&mut self) {
        let (rounds, doing) =
            (self.awaited.len(), self.awaited.iter().fold(Doing::NOTHING, |all, w| all.then(w.doing)));
        self.copy.begins(&mut self.awaited);
        if self.awaited.len() < rounds {
            // A Sync is ignored: what stood before it goes on.
            (self.doing, self.runs) = (doing.then(self.doing), true);
        }
    }

    fn acknowledged(&mut self, tag: u8, buffer: &mut Buffer, from: usize) -> bool {
        let Some((_, op)) = self.ops.pop_front() else { return true };
        self.outline.acknowledged(op.undo);
        match op.reply {
            Reply::Swallow => return false,
            Reply::AsParseComplete if tag == b'3' => *buffer.byte_mut(from) = b'1',
            Reply::AsParseComplete | Reply::Forward => {}
        }
        true
    }

    fn error(&mut self, body: &[u8]) {
        self.failed = true;
        self.errors += 1;
        self.copy.failed();
        if self.is_injected() {
            self.injected_error = Some(Box::new(PgError::parse(body)));
        }
        self.prelude.meet(b'E');
        self.skip_rest_of_request();
        self.fatal |= field(body, b'V').is_some_and(|severity| severity == b"FATAL" || severity == b"PANIC");
        self.stale_statement |=
            field(body, b'C') == Some(b"0A000") && field(body, b'R') == Some(b"RevalidateCachedQuery");
    }

    /// Whether it is news to the client.
    fn parameter(&mut self, body: &[u8]) -> bool {
        let mut parts = body.split(|b| *b == 0);
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return true };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (name, value) = (text(name), text(value));
        let is_news = self.told.tell(&name, &value);
        self.reported.push((name, value));
        is_news
    }

    pub(super) fn is_injected(&self) -> bool {
        self.awaited.front().is_some_and(|w| w.awaited.is_ours())
    }

    fn ready(&mut self, buffer: &mut Buffer, forward: &mut Vec<(usize, usize)>, from: usize, to: usize) -> Walked {
        let status = match buffer.range(from + HEADER, to) {
            [b'I'] => TxStatus::Idle,
            [b'T'] => TxStatus::InTransaction,
            [b'E'] => TxStatus::Failed,
            _ => return Walked::Garbage,
        };
        let next = self.awaited.front().copied();
        let is_next = next.is_some_and(|w| w.awaited != Awaited::OwnSync || !self.has_unanswered_ops(w.round));
        let (awaited, number, end) = if !is_next && self.copy.had_another_sync() {
            (Awaited::Sync, 0, None)
        } else {
            let Some(waiting) = self.awaited.pop_front() else { return Walked::Garbage };
            while self.has_unanswered_ops(waiting.round) {
                if let Some((_, op)) = self.ops.pop_front() {
                    self.undone.push(op.undo);
                }
            }
            while self.notices.front().is_some_and(|(round, _)| *round <= waiting.round) {
                self.notices.pop_front();
            }
            self.copy.round_ended(waiting.awaited == Awaited::OwnSync);
            (waiting.awaited, waiting.round, waiting.end)
        };
        if self.awaited.is_empty() {
            self.skips = false;
            self.awaited.shrink_to(KEPT);
        }
        if self.ops.is_empty() {
            self.ops.shrink_to(KEPT);
        }
        if matches!(awaited, Awaited::Query | Awaited::Sync | Awaited::FunctionCall) {
            if matches!(self.beginning, Beginning::Failed { .. }) {
                *buffer.byte_mut(to - 1) = TxStatus::Failed.as_byte();
            }
            self.doubt = Doubt::None;
            if !self.outline.is_muted {
                self.outline.forwarded(b'Z');
                push(forward, from, to);
            }
        }
        self.forgive(awaited);
        Walked::Ready(Round {
            awaited,
            number,
            end,
            status,
            failed: std::mem::take(&mut self.failed),
            ends: std::mem::take(&mut self.ends),
            injected_error: self.injected_error.take(),
        })
    }
}

#[inline]
fn looks_into(tag: u8) -> bool {
    matches!(tag, b'Z' | b'C' | b'1' | b'3' | b'E' | b'S' | b'G' | b'N')
}

#[inline]
fn push(ranges: &mut Vec<(usize, usize)>, from: usize, to: usize) {
    match ranges.last_mut() {
        Some((_, end)) if *end == from => *end = to,
        _ => ranges.push((from, to)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::buffer::Buffers;

    const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";
    const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";
    const READY: &[u8] = b"Z\0\0\0\x05I";
    const COMMIT: &[u8] = b"C\0\0\0\x0bCOMMIT\0";
    const ERROR: &[u8] = b"E\0\0\0\x13VERROR\0C42601\0\0";
    const ROW: &[u8] = b"D\0\0\0\x0aabcdef";

    /// Feeds `input` in pieces of `piece` bytes; returns what the client gets, and the rounds.
    fn run(replies: &mut Replies, input: &[u8], piece: usize) -> (Vec<u8>, Vec<Round>) {
        let (mut sent, mut rounds) = (Vec::new(), Vec::new());
        let mut buffer = Buffers::new(256).take();
        for piece in input.chunks(piece) {
            buffer.compact();
            buffer.room()[..piece.len()].copy_from_slice(piece);
            buffer.end += piece.len();
            loop {
                let mut ranges = Vec::new();
                let walked = replies.walk(&mut buffer, &mut ranges);
                for (from, to) in ranges {
                    sent.extend_from_slice(buffer.range(from, to));
                }
                match walked {
                    Walked::Ready(round) => rounds.push(round),
                    Walked::NeedMore => break,
                    Walked::Remark(..) | Walked::Lost | Walked::Garbage => panic!("{input:?}"),
                }
            }
        }
        (sent, rounds)
    }

    fn op(reply: Reply) -> Op {
        Op { reply, undo: Undo::Nothing }
    }

    #[test]
    fn replies_pass_unchanged_however_they_are_cut() {
        let input = [ROW, ROW, COMMIT, READY, ERROR, READY].concat();
        for piece in 1..input.len() {
            let mut replies = Replies::default();
            replies.await_ready(Awaited::Query);
            replies.await_ready(Awaited::Sync);
            let (sent, rounds) = run(&mut replies, &input, piece);
            assert_eq!(sent, input);
            assert_eq!(rounds.iter().map(|r| r.failed).collect::<Vec<_>>(), [false, true]);
            assert!(replies.is_quiet());
        }
    }

    #[test]
    fn acknowledgements_of_ours_are_cut_out_or_turned_into_the_client_s() {
        let mut replies = Replies::default();
        replies.await_op(op(Reply::Swallow));
        replies.await_op(op(Reply::Forward));
        replies.await_op(op(Reply::AsParseComplete));
        replies.await_ready(Awaited::Sync);
        let input = [PARSE_COMPLETE, PARSE_COMPLETE, CLOSE_COMPLETE, ROW, READY].concat();
        let (sent, _) = run(&mut replies, &input, 7);
        assert_eq!(sent, [PARSE_COMPLETE, PARSE_COMPLETE, ROW, READY].concat());
        assert!(replies.undone.is_empty());
    }

    #[test]
    fn what_was_not_acknowledged_before_ready_is_undone_and_the_next_round_s_is_not() {
        let mut replies = Replies::default();
        replies.await_op(op(Reply::Forward));
        replies.await_op(op(Reply::Forward));
        replies.await_ready(Awaited::Sync);
        replies.await_op(op(Reply::Forward));
        replies.await_ready(Awaited::Sync);
        run(&mut replies, &[PARSE_COMPLETE, ERROR, READY].concat(), 100);
        assert_eq!(replies.undone.len(), 1);
        run(&mut replies, &[PARSE_COMPLETE, READY].concat(), 100);
        assert_eq!(replies.undone.len(), 1);
    }

    #[test]
    fn an_injected_round_is_swallowed_with_its_parameters_kept() {
        let mut replies = Replies::default();
        replies.await_ready(Awaited::Injected);
        replies.await_ready(Awaited::Query);
        replies.told = Told::new(Arc::new(vec![("TimeZone".to_owned(), "UTC".to_owned())]));
        let parameter = b"S\0\0\0\x10TimeZone\0UTC\0";
        let mut parameter = parameter.to_vec();
        parameter[4] = (parameter.len() - 1) as u8;
        let input = [ROW, &parameter, COMMIT, READY, ROW, READY].concat();
        let (sent, rounds) = run(&mut replies, &input, 11);
        assert_eq!(sent, [ROW, READY].concat());
        assert_eq!(rounds[0].awaited, Awaited::Injected);
        assert_eq!(replies.reported, [("TimeZone".to_owned(), "UTC".to_owned())]);
    }

    #[test]
    fn a_sync_sent_ahead_of_copy_data_gets_no_ready() {
        let copy_in = b"G\0\0\0\x07\0\0\0";
        let mut replies = Replies::default();
        replies.await_ready(Awaited::Sync);
        run(&mut replies, copy_in, 100);
        assert!(replies.copy.is_open() && replies.copy.take_reopened() && !replies.is_quiet());
        replies.await_ready(Awaited::Sync);
        replies.copy_ends(false);
        replies.await_ready(Awaited::Sync);
        let (_, rounds) = run(&mut replies, &[COMMIT, READY].concat(), 100);
        assert_eq!(rounds.len(), 1);
        assert!(replies.is_quiet());
    }

    #[test]
    fn an_ok_behind_a_canceled_wait_is_remarked_and_nothing_but_the_end_follows() {
        let mut notice = PgError { severity: "WARNING".into(), ..PgError::error("01000", "canceling") }.to_bytes();
        notice[0] = b'N';
        notice.splice(notice.len() - 1.., *b"RSyncRepWaitForLSN\0\0");
        let length = (notice.len() - 1) as u32;
        notice[1..5].copy_from_slice(&length.to_be_bytes());
        let walk = |replies: &mut Replies, input: &[u8]| {
            let mut buffer = Buffers::new(1024).take();
            buffer.room()[..input.len()].copy_from_slice(input);
            buffer.end = input.len();
            let (mut sent, mut ranges) = (Vec::new(), Vec::new());
            loop {
                match replies.walk(&mut buffer, &mut ranges) {
                    Walked::Remark(remark, from, to) => {
                        assert_eq!(remark, Remark::Doubtful);
                        buffer.replace(from, to, b"E");
                        ranges.push((from, from + 1));
                    }
                    Walked::Ready(_) => {}
                    _ => break,
                }
            }
            ranges.into_iter().for_each(|(from, to)| sent.extend_from_slice(buffer.range(from, to)));
            sent
        };
        for quorum in [true, false] {
            let mut replies = Replies { quorum, ..Replies::default() };
            for _ in 0..3 {
                replies.await_ready(Awaited::Query);
            }
            // Ahead of its CommandComplete, with more behind it; ahead of ReadyForQuery alone; and one without.
            let input = [&notice[..], COMMIT, ROW, COMMIT, READY, COMMIT, &notice, READY, COMMIT, READY].concat();
            let wanted = [&notice[..], b"E", READY, COMMIT, &notice, b"E", READY, COMMIT, READY].concat();
            assert_eq!(walk(&mut replies, &input), if quorum { wanted } else { input });
        }
    }

    #[test]
    fn an_error_that_no_buffer_holds_is_an_error() {
        let mut error = vec![b'E', 0, 0, 1, 4];
        error.extend_from_slice(&[b'x'; 256]);
        let mut replies = Replies::default();
        replies.await_ready(Awaited::Query);
        let (sent, rounds) = run(&mut replies, &[&error, READY].concat(), 100);
        assert_eq!(sent, [&error, READY].concat());
        assert!(rounds[0].failed);
    }

    #[test]
    fn an_unasked_ready_is_garbage() {
        let mut buffer = Buffers::new(64).take();
        buffer.room()[..READY.len()].copy_from_slice(READY);
        buffer.end = READY.len();
        assert!(matches!(Replies::default().walk(&mut buffer, &mut Vec::new()), Walked::Garbage));
    }
}
