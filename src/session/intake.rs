//! From the client's messages to what the server gets, one by one: whose turn it is, what is to be answered, what
//! goes as it lies. (`statements` has those that name a prepared statement.)

use super::effects::Traces;
use super::fate::Doing;
use super::replies::{Awaited, Op, Reply, Undo};
use super::survey::{Ends, Survey};
use super::{Close, Session};
use crate::server::Server;
use crate::server::prepared::NOBODY;
use crate::sql::{Class, Kind, Reason, classify_prefix};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::{self, HEADER, Header};
use crate::wire::frontend::{self, Check};

/// How far the client's messages were taken in.
#[derive(Debug)]
pub(super) enum Taken {
    /// All that is there; more must be read first.
    NeedMore,
    /// The frame at the front needs so many bytes in the buffer.
    NeedRoom(usize),
    /// The next request belongs to another server.
    Elsewhere,
    /// So does the rest of this one, of which nothing was executed yet.
    Switch,
    /// Enough for one write; there is more.
    Full,
    /// What the message at the front means is decided by an answer that is to come.
    Wait,
    /// No further message will be taken in.
    Leave(Close),
}

impl Session {
    /// Takes in all messages that are whole (and the beginnings of those that need not be).
    pub(super) fn take_in(&mut self, server: &mut Server) -> Result<Taken, Close> {
        loop {
            if self.passing > 0 {
                let from = self.inbox.start;
                let count = self.passing.min(self.inbox.end - from);
                self.outbox.push_client(&self.inbox, from, from + count);
                self.inbox.start += count;
                self.passing -= count;
                if self.passing > 0 {
                    return Ok(Taken::NeedMore);
                }
            }
            if self.outbox.is_full() || self.replies.is_crowded() {
                return Ok(Taken::Full);
            }
            let header = match frame::header(self.inbox.filled()) {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(Taken::NeedMore),
                Err(_) => return Ok(Taken::Leave(Close::BadLength)),
            };
            match frontend::check(header) {
                Check::Fine => {}
                Check::TooLong => return Ok(Taken::Leave(Close::BadLength)),
                Check::UnknownTag => return Ok(Taken::Leave(self.unknown_message(header.tag))),
            }
            if header.tag == b'X' {
                return Ok(Taken::Leave(Close::ByClient));
            }
            // What code has left behind decides where the session may go.
            if !self.replies.copy.is_open() && (self.must_settle_first() || self.replies.leftovers.is_some()) {
                return Ok(Taken::Wait);
            }
            if !self.replies.copy.is_open()
                && !self.replies.is_skipping()
                && (!self.request_open || self.flushed)
                && let Some(stop) = self.belongs_elsewhere(server)
            {
                return Ok(stop);
            }
            if self.begin.is_held() && self.begin_first(server) {
                return Ok(Taken::Wait);
            }
            if self.flushed && header.tag != b'H' {
                self.keep_rest_of_request();
            }
            self.flushed = header.tag == b'H';
            if let Some(stop) = self.take_frame(server, header)? {
                return Ok(stop);
            }
        }
    }

    /// One message. `Some`: it can't be taken in yet.
    fn take_frame(&mut self, server: &mut Server, header: Header) -> Result<Option<Taken>, Close> {
        let have = self.inbox.end - self.inbox.start;
        let whole = have >= header.size;
        if self.replies.is_skipping() && matches!(header.tag, b'P' | b'B' | b'D' | b'E' | b'C' | b'Q' | b'F') {
            self.raw(header);
            return Ok(None);
        }
        match header.tag {
            b'Q' => {
                if !whole && header.size <= self.largest_looked_into() {
                    return Ok(Some(Taken::NeedRoom(header.size)));
                }
                self.query(server, header, whole);
            }
            b'P' | b'C' if !self.renames => self.take_untranslated(server, header, whole),
            b'P' => {
                if !whole && header.size <= self.config.limits.max_statement_bytes {
                    return Ok(Some(Taken::NeedRoom(header.size)));
                }
                if whole {
                    self.ask_ahead_of_text(server, header);
                }
                return self.parse(server, header, whole);
            }
            b'E' => {
                if self.commit_bound_in.is_some_and(|round| round < self.replies.round()) {
                    self.replies.does(Doing::ANYTHING);
                }
                self.replies.executes();
                self.raw(header);
            }
            b'B' => return self.take_bind(server, header),
            b'D' | b'C' if !whole => return Ok(Some(Taken::NeedRoom(header.size))),
            b'D' if self.renames => {
                let stop = self.describe(server, header);
                if stop.is_none() {
                    self.replies.prelude.ask();
                }
                return Ok(stop);
            }
            b'C' => return Ok(self.close(server, header)),
            b'S' => {
                self.raw(header);
                self.request_open = self.replies.copy.is_open() && self.request_open;
                self.await_answer(Awaited::Sync);
            }
            b'F' => self.take_function_call(header),
            b'c' | b'f' => {
                self.raw(header);
                self.replies.copy_ends(self.request_open);
            }
            // PostgreSQL ignores stray COPY data as well.
            b'd' => self.raw(header),
            _ => {
                self.raw(header);
                // A Flush with a body is answered with an error.
                self.request_open |= header.tag != b'H' || header.size != HEADER;
            }
        }
        Ok(None)
    }

    fn take_function_call(&mut self, header: Header) {
        if !self.replies.copy.is_open() {
            self.mark_request(Undo::Nothing);
        }
        self.raw(header);
        self.wrote = true;
        self.runs(Doing::of(Class::write(Reason::WritingFunction)));
        // Only its number is known.
        self.doubt("", true);
        self.await_answer(Awaited::FunctionCall);
    }

    /// A Parse or Close where names mean what they say.
    fn take_untranslated(&mut self, server: &mut Server, header: Header, whole: bool) {
        if header.tag == b'P'
            && whole
            && self.replies.quorum
            && let Some(parse) = frontend::parse(self.front(header))
            && self.refuses_weaker_commit(self.classify(parse.text), parse.text)
        {
            return self.refuse_parse(server, header.size, super::remarks::weaker_commit());
        }
        self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::Nothing });
        self.raw(header);
    }

    fn take_bind(&mut self, server: &mut Server, header: Header) -> Result<Option<Taken>, Close> {
        self.cell().binds.add(1);
        self.replies.prelude.is_bound = true;
        let have = self.inbox.end - self.inbox.start;
        if !self.renames {
            self.replies.does(Doing::ANYTHING);
            self.raw(header);
            return Ok(None);
        }
        if frontend::bind(self.front(header)).is_some() || have >= header.size {
            return Ok(self.bind(server, header));
        }
        if have >= self.largest_looked_into() {
            let message = "statement or portal name is too long";
            return Err(Close::Violation(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, message)));
        }
        Ok(Some(Taken::NeedRoom((have * 2).max(HEADER + 256).min(header.size))))
    }

    /// A Query or FunctionCall is next. Behind other messages of an extended request PostgreSQL skips it if one of them
    /// failed: a Close of ours ahead of it is answered only if none did.
    fn mark_request(&mut self, undo: Undo) {
        if std::mem::take(&mut self.request_open) {
            self.outbox.push_own(|out| frontend::push_close_statement(out, NOBODY));
            self.replies.await_op(Op { reply: Reply::Swallow, undo });
        }
    }

    /// Once everything is answered the proxy refuses it, and the server can serve others. In the middle of a request
    /// the server is of no use to them any more: PostgreSQL may say itself what it thinks of the client.
    fn unknown_message(&mut self, tag: u8) -> Close {
        if self.request_open || self.replies.copy.is_open() {
            return self.pass_header();
        }
        let message = format!("invalid frontend message type {tag}");
        Close::Violation(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, message))
    }

    /// The header at the front is all that PostgreSQL needs to say goodbye.
    pub(super) fn pass_header(&mut self) -> Close {
        self.shared.counters.protocol_violations.add(1);
        self.outbox.push_client(&self.inbox, self.inbox.start, self.inbox.start + HEADER);
        self.inbox.start += HEADER;
        Close::ServerGone
    }

    /// The frame goes as it lies, whether it is whole or not.
    pub(super) fn raw(&mut self, header: Header) {
        if matches!(header.tag, b'P' | b'B' | b'D' | b'C' | b'E') {
            self.request_open = true;
        }
        self.passing = header.size;
        // The loop in `take_in` moves what is there.
    }

    fn query(&mut self, server: &mut Server, header: Header, whole: bool) {
        if self.replies.copy.is_open() {
            // PostgreSQL ends the COPY with an error for this message, and answers nothing more for it.
            return self.raw(header);
        }
        if whole {
            self.ask_ahead_of_text(server, header);
        }
        let undo = self.drop_unnamed(server);
        self.mark_request(undo);
        if whole {
            let from = self.inbox.start;
            let ahead = self.told_ahead();
            let frame = self.inbox.range(from, from + header.size);
            if let Some(text) = frontend::query_text(frame) {
                let told = ahead.unwrap_or_else(|| self.tell(text));
                let class = told.class;
                if let Some(error) = self.refusal(class, text).or_else(|| self.comes_late(class, text)) {
                    return self.refuse_query(header.size, error);
                }
                self.wrote |= class.may_write();
                self.note_commit(class);
                self.note_end_of_pin(class);
                self.runs(Doing::of(class));
                let shape = self.shape_of(&told, self.inbox.range(from + HEADER, from + header.size - 1));
                self.count_statement(server.node, class, shape);
                self.remember_text(from + HEADER, from + header.size - 1);
                if let Kind::Own(own) = class.kind {
                    return self.query_own(server.node, own, header.size);
                }
                if class.leaves_traces() && self.note(server, class, from + HEADER, from + header.size - 1) {
                    // What goes instead was put in the outbox.
                    self.inbox.start += header.size;
                    self.await_answer(Awaited::Query);
                    return;
                }
            }
        } else {
            self.wrote = true;
            self.runs(Doing::ANYTHING);
            self.dirty |= classify_prefix(&self.front(header)[HEADER..]).leaves_traces();
        }
        self.raw(header);
        self.await_answer(Awaited::Query);
    }

    /// The message of which nothing but `passing` is left to be sent ends a request.
    #[inline]
    pub(super) fn await_answer(&mut self, awaited: Awaited) {
        let end = self.inbox.lasting(self.inbox.start + self.passing);
        self.replies.await_ready_to(awaited, Some(end));
    }

    fn runs(&mut self, doing: Doing) {
        self.replies.does(doing);
        self.replies.executes();
    }

    /// A statement of `class` is bound to a portal, to be run by an Execute, in this round or a later one.
    #[inline]
    pub(super) fn binds(&mut self, class: Class) {
        self.wrote |= class.may_write();
        self.note_commit(class);
        self.note_end_of_pin(class);
        let doing = Doing::of(class);
        if doing.may_commit_block() {
            self.commit_bound_in = Some(self.replies.round());
        }
        self.replies.does(doing);
    }

    /// The client's unnamed statement is dropped. What undoes that.
    pub(super) fn drop_unnamed(&mut self, server: &mut Server) -> Undo {
        let dropped = self.names.unnamed().map(|unnamed| unnamed.class);
        self.names.drop_unnamed();
        Undo::DropUnnamed { dropped, count: self.names.unnamed_count(), on_server: server.unnamed.take() }
    }

    /// The frame at the front, or as much of it as is there.
    pub(super) fn front(&self, header: Header) -> &[u8] {
        let filled = self.inbox.filled();
        &filled[..header.size.min(filled.len())]
    }

    pub(super) fn largest_looked_into(&self) -> usize {
        self.config.routing.max_classified_bytes + HEADER + 1
    }

    /// Whether the request at the front must not go to `server`, or can't be told to yet.
    fn belongs_elsewhere(&mut self, server: &Server) -> Option<Taken> {
        if self.begin_failed {
            return Some(Taken::Elsewhere);
        }
        if std::mem::take(&mut self.routed) {
            return None;
        }
        self.goes_along();
        if self.may_stay(server) {
            return None;
        }
        match self.survey() {
            Survey::Whole { class: None, .. } => None,
            Survey::Whole { class: Some(class), ends }
                if class.fits_standby() && ends != (Ends::Flush { executes: true }) =>
            {
                None
            }
            Survey::Unfinished { at_least } if at_least <= self.largest_looked_into() => {
                Some(Taken::NeedRoom(at_least))
            }
            Survey::Whole { .. } | Survey::Unfinished { .. } | Survey::Opaque if self.request_open => {
                Some(Taken::Switch)
            }
            Survey::Whole { .. } | Survey::Unfinished { .. } | Survey::Opaque => Some(Taken::Elsewhere),
        }
    }
}
