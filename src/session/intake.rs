//! From the client's messages to what the server gets: statement names become the server's, effects on the
//! session are noted. Everything else goes as it lies.

use std::sync::Arc;

use super::effects::Traces;
use super::replies::{Awaited, Op, Reply, Undo};
use super::survey::{Ends, Survey};
use super::{Close, Session};
use crate::server::Server;
use crate::server::prepared::{PREFIX, push_name};
use crate::sql::classify_prefix;
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::{self, HEADER, Header};
use crate::wire::frontend::{self, Check, Named};

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
    /// The next request is this server's, but must wait until the ones before are answered.
    Wait,
    /// Terminate.
    Goodbye,
}

impl Session {
    /// Takes in all messages that are whole (and the beginnings of those that need not be).
    pub(super) fn take_in(&mut self, server: &mut Server) -> Result<Taken, Close> {
        loop {
            if self.passing > 0 {
                let from = self.inbox.start;
                let count = self.passing.min(self.inbox.end - from);
                self.outbox.push_client(from, from + count);
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
                Err(_) => return Err(violation("invalid message length")),
            };
            match frontend::check(header) {
                Check::Fine => {}
                Check::TooLong => return Err(violation("invalid message length")),
                Check::UnknownTag => {
                    return Err(violation(&format!("invalid frontend message type {}", header.tag)));
                }
            }
            if header.tag == b'X' {
                return Ok(Taken::Goodbye);
            }
            if !self.replies.copy_in && (!self.request_open || self.flushed) {
                if let Some(stop) = self.belongs_elsewhere(server) {
                    return Ok(stop);
                }
                if self.is_resetting() {
                    return Ok(Taken::Wait);
                }
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
            b'P' if !self.renames => self.raw(header),
            b'P' => {
                if !whole && header.size <= self.config.limits.max_statement_bytes {
                    return Ok(Some(Taken::NeedRoom(header.size)));
                }
                self.parse(server, header, whole)?;
            }
            b'B' => {
                self.cell().binds.add(1);
                if !self.renames {
                    self.raw(header);
                } else if frontend::bind(self.front(header)).is_none() && !whole {
                    if have >= self.largest_looked_into() {
                        return Err(violation("statement or portal name is too long"));
                    }
                    return Ok(Some(Taken::NeedRoom((have * 2).max(HEADER + 256).min(header.size))));
                } else {
                    self.bind(server, header);
                }
            }
            b'D' | b'C' if !whole => return Ok(Some(Taken::NeedRoom(header.size))),
            b'D' if self.renames => self.describe(server, header),
            b'C' if self.renames => self.close(server, header),
            b'S' => {
                self.raw(header);
                self.request_open = self.replies.copy_in && self.request_open;
                self.replies.await_ready(Awaited::Sync);
            }
            b'F' => {
                self.raw(header);
                self.wrote = true;
                self.replies.await_ready(Awaited::FunctionCall);
            }
            b'c' | b'f' => {
                self.raw(header);
                // Else it comes late, after its COPY has failed.
                if self.request_open || !self.replies.is_quiet() {
                    self.replies.copy_ends();
                }
            }
            // PostgreSQL ignores stray COPY data as well.
            b'd' => self.raw(header),
            _ => {
                self.raw(header);
                self.request_open |= header.tag != b'H';
            }
        }
        Ok(None)
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
        if self.replies.copy_in {
            // PostgreSQL ends the COPY with an error for this message, and answers nothing more for it.
            return self.raw(header);
        }
        self.names.drop_unnamed();
        server.unnamed = None;
        self.request_open = false;
        if whole {
            let from = self.inbox.start;
            let frame = self.inbox.range(from, from + header.size);
            if let Some(text) = frontend::query_text(frame) {
                let class = self.worker.classify(text);
                self.wrote |= class.may_write();
                self.remember_text(from + HEADER, from + header.size - 1);
                if class.leaves_traces() && self.note(server, class, from + HEADER, from + header.size - 1) {
                    // What goes instead was put in the outbox.
                    self.inbox.start += header.size;
                    self.replies.await_ready(Awaited::Query);
                    return;
                }
            }
        } else {
            self.wrote = true;
            self.dirty |= classify_prefix(&self.front(header)[HEADER..]).leaves_traces();
        }
        self.raw(header);
        self.replies.await_ready(Awaited::Query);
    }

    fn bind(&mut self, server: &mut Server, header: Header) {
        let from = self.inbox.start;
        let front = self.front(header);
        let Some(bind) = frontend::bind(front) else { return self.raw(header) };
        if bind.statement.is_empty() {
            self.ensure_unnamed(server);
            return self.raw(header);
        }
        let Some(statement) = self.names.get(bind.statement).map(Arc::clone) else {
            // PostgreSQL says 26000: it does not know the name either.
            return self.raw_unknown(header, bind.statement.starts_with(PREFIX));
        };
        let (head, portal_end) = (bind.head, HEADER + bind.portal.len());
        let number = self.ensure(server, &statement);
        self.wrote |= statement.class.may_write();
        self.remember_statement(&statement);
        if statement.class.leaves_traces() {
            self.note_statement(server, &statement);
        }
        let portal = self.inbox.range(from + HEADER, from + portal_end);
        let rest = header.size - head;
        self.outbox.push_own(|out| {
            // Portal, then the server's own name for the statement.
            let at = out.len();
            frontend::push_bind_head(out, portal, b"", rest);
            out.pop();
            push_name(out, number);
            out.push(0);
            let length = (out.len() - at - 1 + rest) as u32;
            out[at + 1..at + HEADER].copy_from_slice(&length.to_be_bytes());
        });
        self.request_open = true;
        self.inbox.start += head;
        self.passing = rest;
    }

    fn describe(&mut self, server: &mut Server, header: Header) {
        let Some(Named::Statement(name)) = frontend::named(self.front(header)) else { return self.raw(header) };
        if name.is_empty() {
            self.ensure_unnamed(server);
            return self.raw(header);
        }
        let Some(statement) = self.names.get(name).map(Arc::clone) else {
            return self.raw_unknown(header, name.starts_with(PREFIX));
        };
        let number = self.ensure(server, &statement);
        self.push_named(b'D', number);
        self.request_open = true;
        self.inbox.start += header.size;
    }

    fn close(&mut self, server: &mut Server, header: Header) {
        let mut looks_like_ours = false;
        match frontend::named(self.front(header)) {
            Some(Named::Statement(name)) => {
                let name: Box<[u8]> = name.into();
                looks_like_ours = name.starts_with(PREFIX);
                let undo = if name.is_empty() {
                    self.names.drop_unnamed();
                    server.unnamed = None;
                    Undo::Nothing
                } else {
                    match self.names.remove(&name) {
                        // The server keeps it for others: it closes a name it does not have, and says so.
                        Some(statement) => Undo::Close { name, statement },
                        None => Undo::Nothing,
                    }
                };
                self.count_names();
                self.replies.await_op(Op { reply: Reply::Forward, undo });
            }
            Some(Named::Portal(_)) => self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::Nothing }),
            None => {}
        }
        self.raw_unknown(header, looks_like_ours);
    }

    pub(super) fn push_named(&mut self, tag: u8, number: u64) {
        self.outbox.push_own(|out| {
            frame::push(out, tag, |out| {
                out.push(b'S');
                push_name(out, number);
                out.push(0);
            });
        });
    }

    /// A name the client never prepared. One that looks like ours must not reach a server that has it.
    fn raw_unknown(&mut self, header: Header, looks_like_ours: bool) {
        if looks_like_ours {
            let at = self.inbox.start + HEADER + usize::from(header.tag != b'B');
            // `pgherd.…` → `Pgherd.…`; for Bind the portal comes first.
            let at = if header.tag == b'B' {
                at + frontend::bind(self.front(header)).map_or(0, |bind| bind.portal.len() + 1)
            } else {
                at
            };
            *self.inbox.byte_mut(at) = b'P';
        }
        self.raw(header);
    }

    /// The frame at the front, or as much of it as is there.
    pub(super) fn front(&self, header: Header) -> &[u8] {
        let filled = self.inbox.filled();
        &filled[..header.size.min(filled.len())]
    }

    fn largest_looked_into(&self) -> usize {
        self.config.routing.max_classified_bytes + HEADER + 1
    }

    pub(super) fn count_names(&self) {
        let count = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.entry.prepared_statements.store(count, std::sync::atomic::Ordering::Relaxed);
    }

    /// Whether the request at the front must not go to `server`, or can't be told to yet.
    fn belongs_elsewhere(&mut self, server: &Server) -> Option<Taken> {
        if std::mem::take(&mut self.routed) || self.may_stay(server) {
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

fn violation(message: &str) -> Close {
    Close::Violation(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, message))
}
