//! A BEGIN that stands alone. It is answered here, kept word by word, and sent in the same write as the request behind it:
//! so that request helps to choose the node of the transaction, a round trip is saved, and a client that begins and idles
//! holds no server. So is a `SET TRANSACTION` behind it: the two are sent as one BEGIN.
//!
//! It goes ahead of the request as extended messages without a Sync: should it fail (a cancel request met it, say), then
//! PostgreSQL skips the request, and nothing runs outside of the transaction that the client believes to be in. Until it is
//! known to have succeeded, no second request is sent.

use super::Session;
use super::fate::Doing;
use super::read_first::Late;
use super::replies::{Awaited, Op, Reply, Undo};
use crate::config::PoolMode;
use crate::route::TxStatus;
use crate::server::Server;
use crate::sql::hint::{self, Hint};
use crate::sql::transaction::{self, Modes};
use crate::sql::{Begin, Class, Effects, Kind, Reason};
use crate::wire::frame::{self, Header};
use crate::wire::frontend;

/// A longer one is sent as any other statement.
const LONGEST: usize = 1024;

const BEGUN: &[u8] = b"C\0\0\0\x0aBEGIN\0Z\0\0\0\x05T";
const STARTED: &[u8] = b"C\0\0\0\x16START TRANSACTION\0Z\0\0\0\x05T";
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I";
const SET: &[u8] = b"C\0\0\0\x08SET\0Z\0\0\0\x05T";
const ROLLED_BACK: &[u8] = b"C\0\0\0\x0dROLLBACK\0Z\0\0\0\x05I";

/// Bind and Execute of the unnamed statement.
const RUN_UNNAMED: &[u8] = b"B\0\0\0\x0c\0\0\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0";

/// Answered, and not known to a server.
#[derive(Default)]
pub(super) struct HeldBegin {
    /// As the client wrote it, or with the modes of a `SET TRANSACTION`.
    text: Vec<u8>,
    modes: Modes,
    hint: Option<Hint>,
    is_held: bool,
    /// The first statement of a transaction that may be on a standby, and what must not come late in it.
    pub(super) first: Option<Box<[u8]>>,
    pub(super) late: Late,
}

/// What the server has said of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing was sent.
    #[default]
    None,
    Sent,
    Begun,
    /// It, and with it the request behind it, is refused.
    Failed {
        /// The request had no Sync of its own, and was skipped: one of ours must end the skipping.
        wants_sync: bool,
    },
}

// === impl HeldBegin ===

impl HeldBegin {
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.is_held
    }

    fn hold(&mut self, text: &[u8], modes: Modes) {
        self.text.clear();
        self.text.extend_from_slice(text);
        (self.modes, self.hint, self.is_held) = (modes, hint::of(text), true);
    }

    /// What a `SET TRANSACTION` adds. In its own words: behind the client's there may be a comment, or a semicolon.
    fn add(&mut self, modes: Modes) {
        self.modes = self.modes.then(modes);
        self.text.clear();
        self.text.extend_from_slice(b"BEGIN");
        self.modes.push(&mut self.text);
    }

    /// It is over, or on a server. Whether there was one.
    pub(super) fn forget(&mut self) -> bool {
        std::mem::take(&mut self.is_held)
    }
}

// === impl Session: before there is a server ===

impl Session {
    /// Of the transaction, as the client knows it while the session has no server.
    pub(super) fn status_for_client(&self) -> TxStatus {
        if self.begin.is_held() { TxStatus::InTransaction } else { self.status }
    }

    /// The answer to the Query at the front, if no server is needed for it: it begins a transaction, or ends one in which
    /// nothing was asked. `class`: if it is known.
    pub(super) fn answer_alone(&mut self, class: Option<&Class>) -> Option<&'static [u8]> {
        if self.config.pool.mode != PoolMode::Transaction {
            return None;
        }
        let header = frame::header(self.inbox.filled()).ok()??;
        let frame = self.inbox.filled().get(..header.size).filter(|_| header.tag == b'Q')?;
        let text = frontend::query_text(frame).filter(|text| text.len() <= LONGEST)?;
        let kind = match class {
            Some(class) => class.kind,
            None if self.begin.is_held() || looks_like_begin(text) => self.classify(text).kind,
            None => return None,
        };
        let answer = match kind {
            Kind::Begin(_) if !self.begin.is_held() => {
                let (tag, modes) = transaction::begin(text)?;
                self.begin.hold(text, modes);
                if tag == "BEGIN" { BEGUN } else { STARTED }
            }
            Kind::Other if self.begin.is_held() => {
                self.begin.add(transaction::set_transaction(text)?);
                SET
            }
            Kind::Commit | Kind::Rollback if self.begin.is_held() && !transaction::chains(text) => {
                self.begin.forget();
                self.cell().xacts.add(1);
                if kind == Kind::Commit { COMMITTED } else { ROLLED_BACK }
            }
            _ => return None,
        };
        self.cell().queries.add(1);
        self.names.drop_unnamed();
        self.inbox.start += header.size;
        Some(answer)
    }

    /// What the request at the front, of class `first`, is routed by: behind a held BEGIN it decides for the whole
    /// transaction.
    pub(super) fn class_to_route(&mut self, first: Option<Class>) -> Option<Class> {
        if !self.begin.is_held() {
            return first;
        }
        let said = self.begin.modes.then(self.modes_at_front(first).unwrap_or_default());
        let (settings, told) = (&self.settings, &self.replies.told);
        // What the client did not ask for, its role's or database's defaults may. PostgreSQL 14 and later report one of them.
        let modes = said.or_defaults(|name| {
            settings.wanted.get(name).or_else(|| told.get(name)).or_else(|| settings.by_default(name))
        });
        let kind = Kind::Begin(Begin { read_only: Some(true), serializable: false });
        Some(match first {
            _ if self.begin.hint == Some(Hint::Primary) => TO_PRIMARY,
            Some(first) if first.reason == Reason::Hint && !first.is_read() => TO_PRIMARY,
            // The other transaction may be on the primary alone: one that exports its snapshot is.
            Some(_) if self.text_at_front().is_some_and(transaction::takes_snapshot) => TO_PRIMARY,
            // What keeps the session where it is shall not keep it on a standby.
            Some(first) if !first.effects.without(MAY_TRAVEL).is_empty() => TO_PRIMARY,
            // A lock or the like that no other node would know of.
            Some(first) if matches!(first.reason, Reason::WritingFunction | Reason::Procedure) => TO_PRIMARY,
            // No standby can do it, read-only or not.
            Some(first) if matches!(first.reason, Reason::RefusedByStandby | Reason::Unlogged) => TO_PRIMARY,
            _ if modes.fits_standby()
                && self.begin.modes.can_begin_on_standby()
                && self.begins_on_standby(Late::Primarys) =>
            {
                Class::write(Reason::ReadOnlyTransaction).with_kind(kind)
            }
            Some(first)
                if first.is_read()
                    && said.read_only.is_none()
                    && modes.is_plain()
                    && self.begins_on_standby(Late::Writes) =>
            {
                first
            }
            _ => TO_PRIMARY,
        })
    }

    /// Of `SET TRANSACTION` as the request at the front.
    fn modes_at_front(&self, first: Option<Class>) -> Option<Modes> {
        first.filter(|class| class.kind == Kind::Other && class.reason == Reason::SessionCommand)?;
        transaction::set_transaction(self.text_at_front()?)
    }

    /// Of the statement that the request at the front brings.
    pub(super) fn text_at_front(&self) -> Option<&[u8]> {
        let header = frame::header(self.inbox.filled()).ok()??;
        let frame = self.inbox.filled().get(..header.size)?;
        match header.tag {
            b'Q' => frontend::query_text(frame),
            b'P' => Some(frontend::parse(frame)?.text),
            _ => None,
        }
    }
}

const MAY_TRAVEL: Effects = Effects::SET_SESSION.and(Effects::SET_CONFIG).and(Effects::CODE);

const TO_PRIMARY: Class = Class::write(Reason::TransactionControl);

/// The first word, where nobody has looked at the text yet.
fn looks_like_begin(text: &[u8]) -> bool {
    let word = text.get(..5).unwrap_or_default();
    word.eq_ignore_ascii_case(b"begin") || word.eq_ignore_ascii_case(b"start")
}

// === impl Session: to the server ===

impl Session {
    /// Ahead of the first request of its transaction the held BEGIN is sent. `true`: what comes behind that request must
    /// wait until the server has begun.
    pub(super) fn begin_first(&mut self, server: &mut Server) -> bool {
        if self.replies.beginning != Beginning::None {
            return self.replies.beginning != Beginning::Begun && !self.request_open;
        }
        let Self { begin, outbox, .. } = self;
        outbox.push_own(|out| {
            frame::push(out, b'P', |out| {
                out.push(0);
                out.extend_from_slice(&begin.text);
                out.extend_from_slice(&[0; 3]);
            });
            out.extend_from_slice(RUN_UNNAMED);
        });
        server.unnamed = None;
        self.begin_reading(server);
        self.replies.begins(Doing::of(TO_PRIMARY.with_kind(Kind::Begin(Begin::default()))));
        self.request_open = true;
        false
    }

    /// The first round of the transaction is over.
    pub(super) fn note_begun(&mut self) {
        if self.begin.forget() && matches!(std::mem::take(&mut self.replies.beginning), Beginning::Failed { .. }) {
            // The client is in a failed transaction, of which no server knows.
            self.begin_failed = true;
            self.pin = self.settled_pin;
            self.entry.set_pin(self.pin);
        }
    }

    /// The session has no server any more. Whether what it began failed before it was begun.
    #[inline]
    pub(super) fn meet_failed_begin(&mut self) {
        if std::mem::take(&mut self.begin_failed) {
            self.status = TxStatus::Failed;
        }
    }

    /// No server was to be had for the first request of a held transaction: it has failed.
    pub(super) fn fail_held(&mut self) {
        if self.begin.forget() {
            self.status = TxStatus::Failed;
        }
    }

    /// Ends the skipping behind a BEGIN that failed, if nothing of the client's will.
    pub(super) fn end_failed_begin(&mut self) {
        if self.replies.beginning == (Beginning::Failed { wants_sync: true }) && self.passing == 0 {
            self.replies.beginning = Beginning::Failed { wants_sync: false };
            self.outbox.push_own(frontend::push_sync);
            self.replies.await_ready(Awaited::Sync);
        }
    }
}

// === impl Replies ===

impl super::replies::Replies {
    /// A held BEGIN is being sent.
    fn begins(&mut self, doing: Doing) {
        self.does(doing);
        self.executes();
        self.beginning = Beginning::Sent;
        self.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
    }

    /// Whether a message, of which so much is there, is the BindComplete or CommandComplete of our BEGIN.
    pub(super) fn is_of_begin(&mut self, header: Header, have: usize) -> bool {
        let is_whole = have >= header.size;
        if header.tag == b'C' && is_whole {
            self.beginning = Beginning::Begun;
        }
        is_whole && matches!(header.tag, b'2' | b'C')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::buffer::Buffers;
    use crate::session::replies::{Replies, Walked};

    const ANSWERS: &[u8] = b"1\0\0\0\x042\0\0\0\x04C\0\0\0\x0aBEGIN\0";
    const ERROR: &[u8] = b"E\0\0\0\x13VERROR\0C57014\0\0";
    const SELECTED: &[u8] = b"C\0\0\0\x0dSELECT 1\0";

    /// What the client gets of `input`, however it is cut.
    fn run(replies: &mut Replies, input: &[u8], piece: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut buffer = Buffers::new(256).take();
        for piece in input.chunks(piece) {
            buffer.compact();
            buffer.room()[..piece.len()].copy_from_slice(piece);
            buffer.end += piece.len();
            loop {
                let mut ranges = Vec::new();
                let walked = replies.walk(&mut buffer, &mut ranges);
                ranges.iter().for_each(|(from, to)| sent.extend_from_slice(buffer.range(*from, *to)));
                if !matches!(walked, Walked::Ready(_)) {
                    break;
                }
            }
        }
        sent
    }

    #[test]
    fn answers_to_our_begin_are_not_the_clients() {
        for piece in 1..20 {
            let mut replies = Replies::default();
            replies.begins(Doing::NOTHING);
            replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
            replies.await_ready(Awaited::Query);
            let rest = [SELECTED, b"Z\0\0\0\x05T"].concat();
            let input = [ANSWERS, b"3\0\0\0\x04", &rest].concat();
            assert_eq!(run(&mut replies, &input, piece), rest);
            assert_eq!(replies.beginning, Beginning::Begun);
            assert!(replies.is_quiet());
        }
    }

    #[test]
    fn a_request_behind_a_begin_that_failed_has_failed_within_a_transaction() {
        // A Query is skipped without a word: its end is that of a Sync of ours.
        let mut replies = Replies::default();
        replies.begins(Doing::NOTHING);
        replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
        replies.await_ready(Awaited::Query);
        assert_eq!(run(&mut replies, ERROR, 7), ERROR);
        assert_eq!(replies.beginning, Beginning::Failed { wants_sync: true });
        assert!(!replies.is_quiet());
        replies.await_ready(Awaited::Sync);
        assert_eq!(run(&mut replies, b"Z\0\0\0\x05I", 6), b"Z\0\0\0\x05E");
        assert!(replies.is_quiet());
        // An extended request has a Sync.
        let mut replies = Replies::default();
        replies.begins(Doing::NOTHING);
        replies.await_ready(Awaited::Sync);
        let all = [ERROR, b"Z\0\0\0\x05I"].concat();
        assert_eq!(run(&mut replies, &all, 9), [ERROR, b"Z\0\0\0\x05E"].concat());
        assert_eq!(replies.beginning, Beginning::Failed { wants_sync: false });
    }
}
