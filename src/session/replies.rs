//! What a server answers: header by header, bodies untouched. Knows which ReadyForQuery are still to come, which
//! replies belong to messages the proxy put in and must not reach the client, and what failed on the way. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::names::Statement;
use crate::net::buffer::Buffer;
use crate::route::TxStatus;
use crate::server::prepared::StatementId;
use crate::wire::error::PgError;
use crate::wire::frame::{self, HEADER};

/// Why a ReadyForQuery is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    Query,
    Sync,
    FunctionCall,
    /// A message of ours: nothing of its round reaches the client.
    Injected,
    /// As `Injected`, but the client is told the changed parameters: its own statement made them others before.
    Restored,
    /// A Sync of ours behind messages of the client's: all but the ReadyForQuery reaches the client.
    OwnSync,
}

/// A Parse or Close on its way, acknowledged in order.
#[derive(Debug)]
pub struct Op {
    pub reply: Reply,
    /// What to undo if it never is acknowledged.
    pub undo: Undo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Forward,
    /// The client did not ask for it.
    Swallow,
    /// A Close of a name nobody has, sent in place of a Parse that is not needed: its CloseComplete becomes a
    /// ParseComplete.
    AsParseComplete,
}

#[derive(Debug)]
pub enum Undo {
    Nothing,
    /// The server does not have the statement under this number, the client's name (if any) is free again.
    Parse {
        client: Option<Box<[u8]>>,
        server: Option<(StatementId, u64)>,
    },
    /// The server does not have the client's unnamed statement of this count. `own`: nor has the client.
    Unnamed {
        count: u64,
        own: bool,
    },
    /// The client's statement was not closed.
    Close {
        name: Box<[u8]>,
        statement: Arc<Statement>,
    },
}

/// Ended by a ReadyForQuery.
#[derive(Debug)]
pub struct Round {
    pub awaited: Awaited,
    pub status: TxStatus,
    /// An ErrorResponse came.
    pub failed: bool,
    pub ends: Ends,
    /// The error of an injected round.
    pub injected_error: Option<PgError>,
    /// As `Replies::await_ready` counted.
    pub number: u64,
}

/// The transactions that ended within a round, by the tags of their CommandComplete. (So does ROLLBACK TO count.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    pub commits: u32,
    pub rollbacks: u32,
    /// Nothing was run after the last of them.
    pub last: bool,
}

/// Why `walk` stopped.
#[derive(Debug)]
pub enum Walked {
    /// All that was read is dealt with (up to a part of a message).
    NeedMore,
    Ready(Round),
    /// Not protocol 3.
    Garbage,
}

#[derive(Default)]
pub struct Replies {
    awaited: VecDeque<Waiting>,
    ops: VecDeque<(u64, Op)>,
    /// ReadyForQuery asked for so far: the number of the round that is being sent.
    round: u64,
    /// Bytes of a message's body still to pass.
    rest: usize,
    rest_forwarded: bool,
    /// The client is sending COPY data.
    pub copy_in: bool,
    /// A CopyDone or CopyFail was sent since the last ReadyForQuery was asked for.
    copy_ended: bool,
    /// COPY has made PostgreSQL ignore the last Sync: the request goes on until another one. To be taken by the session.
    pub reopened: bool,
    failed: bool,
    ends: Ends,
    injected_error: Option<PgError>,
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
struct Waiting {
    awaited: Awaited,
    round: u64,
    copy_ended: bool,
}

/// Messages on their way whose answers are counted on.
const MAX_UNANSWERED: usize = 8192;

/// Messages larger than this are never looked into.
const LOOK_INTO: usize = 8192;

// === impl Replies: what is sent ===

impl Replies {
    /// A message that PostgreSQL answers with ReadyForQuery is being sent. A Sync within COPY data is not one.
    #[inline]
    pub fn await_ready(&mut self, awaited: Awaited) {
        if self.copy_in {
            return;
        }
        self.awaited.push_back(Waiting { awaited, round: self.round, copy_ended: self.copy_ended });
        self.copy_ended = false;
        self.round += 1;
    }

    /// A Parse or Close is being sent.
    #[inline]
    pub fn await_op(&mut self, op: Op) {
        self.ops.push_back((self.round, op));
    }

    /// The number of the round that is being sent.
    #[inline]
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Whether the Parse of `id` is on its way in an earlier round, and may yet be skipped.
    #[inline]
    pub fn is_unsure_of(&self, id: StatementId) -> bool {
        let parses = |op: &Op| matches!(op.undo, Undo::Parse { server: Some((parsed, _)), .. } if parsed == id);
        self.ops.iter().any(|(round, op)| *round < self.round && parses(op))
    }

    /// As `is_unsure_of`, for the last Parse of the unnamed statement.
    #[inline]
    pub fn is_unsure_of_unnamed(&self) -> bool {
        let last = self.ops.iter().rev().find(|(_, op)| matches!(op.undo, Undo::Unnamed { .. }));
        last.is_some_and(|(round, _)| *round < self.round)
    }

    /// A CopyDone or CopyFail is being sent.
    pub fn copy_ends(&mut self) {
        self.copy_in = false;
        self.copy_ended = true;
    }

    /// So much is unanswered that no more should be asked: PostgreSQL will answer without, since it holds back no more
    /// than 8 kB of acknowledgements (1638 of them).
    #[inline]
    pub fn is_crowded(&self) -> bool {
        (self.ops.len() >= MAX_UNANSWERED || self.awaited.len() >= MAX_UNANSWERED) && !self.is_skipping()
    }

    /// PostgreSQL has answered with an error and ignores all up to the Sync that is not sent yet.
    #[inline]
    pub fn is_skipping(&self) -> bool {
        self.failed && self.awaited.is_empty()
    }

    /// No ReadyForQuery is to come, and no COPY data to go.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.awaited.is_empty() && self.rest == 0 && !self.copy_in
    }
}

// === impl Replies: what comes ===

impl Replies {
    /// Passes over what `buffer` holds, up to the next ReadyForQuery. `forward` gets the ranges that go to the client.
    pub fn walk(&mut self, buffer: &mut Buffer, forward: &mut Vec<(usize, usize)>) -> Walked {
        loop {
            if self.rest > 0 {
                let count = self.rest.min(buffer.end - buffer.start);
                if self.rest_forwarded {
                    push(forward, buffer.start, buffer.start + count);
                }
                buffer.start += count;
                self.rest -= count;
                if self.rest > 0 {
                    return Walked::NeedMore;
                }
            }
            let header = match frame::header(buffer.filled()) {
                Ok(Some(header)) => header,
                Ok(None) => return Walked::NeedMore,
                Err(_) => return Walked::Garbage,
            };
            let have = buffer.end - buffer.start;
            let awaited = self.awaited.front().map(|w| w.awaited);
            let swallow = awaited.is_some_and(|awaited| awaited.swallows(header.tag));
            if looks_into(header.tag) && header.size <= LOOK_INTO.min(buffer.capacity()) {
                if have < header.size {
                    return Walked::NeedMore;
                }
                let (from, to) = (buffer.start, buffer.start + header.size);
                buffer.start = to;
                let kept = self.look(header.tag, buffer, from, to);
                if kept && !swallow {
                    push(forward, from, to);
                }
                if header.tag == b'Z' {
                    return self.ready(buffer.range(from, to));
                }
            } else {
                if header.tag == b'E' {
                    self.error(b"");
                }
                self.rest = header.size;
                self.rest_forwarded = !swallow;
            }
        }
    }

    /// A whole message of those that change state. Whether it goes to the client.
    #[inline]
    fn look(&mut self, tag: u8, buffer: &mut Buffer, from: usize, to: usize) -> bool {
        match tag {
            b'1' | b'3' => return self.acknowledged(tag, buffer, from),
            b'C' => self.ends.note(buffer.range(from + HEADER, to)),
            b'E' => self.error(buffer.range(from + HEADER, to)),
            b'S' => self.parameter(buffer.range(from + HEADER, to)),
            b'G' => self.copy_in_begins(),
            _ => {}
        }
        true
    }

    fn acknowledged(&mut self, tag: u8, buffer: &mut Buffer, from: usize) -> bool {
        match self.ops.pop_front() {
            Some((_, Op { reply: Reply::Swallow, .. })) => false,
            Some((_, Op { reply: Reply::AsParseComplete, .. })) if tag == b'3' => {
                *buffer.byte_mut(from) = b'1';
                true
            }
            _ => true,
        }
    }

    fn error(&mut self, body: &[u8]) {
        self.failed = true;
        self.errors += 1;
        self.copy_in = false;
        if self.awaited.front().is_some_and(|w| matches!(w.awaited, Awaited::Injected | Awaited::Restored)) {
            self.injected_error = Some(PgError::parse(body));
        }
        self.fatal |= field(body, b'V').is_some_and(|severity| severity == b"FATAL" || severity == b"PANIC");
        self.stale_statement |=
            field(body, b'C') == Some(b"0A000") && field(body, b'R') == Some(b"RevalidateCachedQuery");
    }

    fn parameter(&mut self, body: &[u8]) {
        let mut parts = body.split(|b| *b == 0);
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            self.reported.push((text(name), text(value)));
        }
    }

    /// From here to CopyDone PostgreSQL ignores Sync: those sent ahead of the data get no ReadyForQuery.
    fn copy_in_begins(&mut self) {
        self.copy_in = true;
        while let Some(waiting) = self.awaited.front() {
            if waiting.awaited == Awaited::Query {
                break;
            }
            if waiting.copy_ended {
                self.copy_in = false;
                break;
            }
            self.awaited.pop_front();
            self.reopened = self.awaited.is_empty();
        }
        if self.copy_ended {
            self.copy_in = false;
        }
    }

    fn ready(&mut self, frame: &[u8]) -> Walked {
        let status = match frame.get(HEADER) {
            Some(b'I') => TxStatus::Idle,
            Some(b'T') => TxStatus::InTransaction,
            Some(b'E') => TxStatus::Failed,
            _ => return Walked::Garbage,
        };
        let Some(waiting) = self.awaited.pop_front() else { return Walked::Garbage };
        if self.awaited.is_empty() {
            self.awaited.shrink_to(64);
        }
        while self.ops.front().is_some_and(|(round, _)| *round <= waiting.round) {
            if let Some((_, op)) = self.ops.pop_front() {
                self.undone.push(op.undo);
            }
        }
        if self.ops.is_empty() {
            self.ops.shrink_to(64);
        }
        self.copy_in = false;
        let round = Round {
            awaited: waiting.awaited,
            status,
            failed: std::mem::take(&mut self.failed),
            ends: std::mem::take(&mut self.ends),
            injected_error: self.injected_error.take(),
            number: waiting.round,
        };
        Walked::Ready(round)
    }
}

// === impl Awaited, Ends ===

impl Awaited {
    /// Whether the client never sees a message of this kind in the round.
    #[inline]
    fn swallows(self, tag: u8) -> bool {
        match self {
            Awaited::Query | Awaited::Sync | Awaited::FunctionCall => false,
            Awaited::OwnSync => tag == b'Z',
            // Notifications are the client's whenever they come.
            Awaited::Injected => tag != b'A',
            Awaited::Restored => tag != b'A' && tag != b'S',
        }
    }
}

impl Ends {
    #[inline]
    fn note(&mut self, tag: &[u8]) {
        let (commit, rollback) = (tag == b"COMMIT\0", tag == b"ROLLBACK\0");
        self.commits += u32::from(commit);
        self.rollbacks += u32::from(rollback);
        self.last = commit || rollback;
    }

    pub fn none(self) -> bool {
        self.commits + self.rollbacks == 0
    }
}

#[inline]
fn looks_into(tag: u8) -> bool {
    matches!(tag, b'Z' | b'C' | b'1' | b'3' | b'E' | b'S' | b'G')
}

#[inline]
fn push(ranges: &mut Vec<(usize, usize)>, from: usize, to: usize) {
    match ranges.last_mut() {
        Some((_, end)) if *end == from => *end = to,
        _ => ranges.push((from, to)),
    }
}

fn field(body: &[u8], wanted: u8) -> Option<&[u8]> {
    crate::wire::error::fields(body).find(|(code, _)| *code == wanted).map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
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
                    Walked::Garbage => panic!("garbage"),
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
        assert!(replies.copy_in && replies.reopened && !replies.is_quiet());
        replies.await_ready(Awaited::Sync);
        replies.copy_ends();
        replies.await_ready(Awaited::Sync);
        let (_, rounds) = run(&mut replies, &[COMMIT, READY].concat(), 100);
        assert_eq!(rounds.len(), 1);
        assert!(replies.is_quiet());
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
