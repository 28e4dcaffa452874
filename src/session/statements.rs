//! Messages that name a prepared statement: the client's names become the server's, missing statements are prepared on
//! the way, and errors come from PostgreSQL, at their place in the pipeline.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::effects::Traces;
use super::fate::Doing;
use super::intake::Taken;
use super::names::Statement;
use super::replies::{Op, Reply, Undo};
use super::{Close, Session};
use crate::client::registry::Pin;
use crate::route::TxStatus;
use crate::server::Server;
use crate::server::prepared::{NOBODY, PREFIX, push_name};
use crate::sql::{Kind, Told};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::{self, HEADER, Header};
use crate::wire::frontend::{self, Named};

/// The number of what is prepared for the answer only. Those below it stand for names of clients' that no server has.
const ONCE: u64 = u64::MAX;

/// In place of a count: an unnamed statement of which only the server has the text.
const NOT_KEPT: u64 = u64::MAX;

// === impl Session: one message each ===

impl Session {
    pub(super) fn parse(&mut self, server: &mut Server, header: Header, whole: bool) -> Result<Option<Taken>, Close> {
        let from = self.inbox.start;
        if !whole {
            self.parse_large(server, header);
            return Ok(None);
        }
        let ahead = self.told_ahead();
        let frame = self.inbox.range(from, from + header.size);
        let Some(parse) = frontend::parse(frame) else {
            self.raw(header);
            return Ok(None);
        };
        let told = ahead.unwrap_or_else(|| self.tell(parse.text));
        if let Some(error) = self.refusal(told.class, parse.text) {
            if parse.name.is_empty() {
                self.names.drop_unnamed();
            }
            self.refuse_parse(server, header.size, error);
            return Ok(None);
        }
        if parse.name.is_empty() {
            return Ok(self.parse_unnamed(server, header, told));
        }
        if self.is_unsettled(parse.name, true) {
            return Ok(Some(Taken::Wait));
        }
        self.cell().client_parses.add(1);
        self.request_open = true;
        if self.names.get(parse.name).is_some() {
            self.parse_again(server, header);
            return Ok(None);
        }
        self.check_statement_limits(header.size)?;
        self.generation = self.shared.statement_generation.load(Relaxed);
        let mut statement = Statement::new(parse.tail, (told.class, told.version), self.shared.seed, self.generation);
        statement.shape = self.shape_of(&told, parse.text);
        let statement = Arc::new(statement);
        let name: Box<[u8]> = parse.name.into();
        match server.prepared.touch(self.id_on_server(&statement)) {
            Some(_) if self.replies.status_is_current() && self.status != TxStatus::Failed => {
                // The server has it: a Close of a name nobody has gives a reply at the right place.
                self.outbox.push_own(|out| frontend::push_close_statement(out, NOBODY));
                let undo = Undo::Parse { client: Some(name.clone()), server: None };
                self.replies.await_op(Op { reply: Reply::AsParseComplete, undo });
            }
            Some(_) => {
                // In a failed transaction PostgreSQL refuses to prepare it, and this may be one.
                let undo = Undo::Parse { client: Some(name.clone()), server: None };
                match statement.own() {
                    Some(own) => {
                        let tail = self.tail_for(server.node, own, &statement.tail);
                        self.prepare_for_once(&tail, Op { reply: Reply::Forward, undo });
                    }
                    None => drop(self.prepare_for_once(&statement.tail, Op { reply: Reply::Forward, undo })),
                }
            }
            None => drop(self.prepare(server, &statement, Reply::Forward, Some(name.clone()))),
        }
        self.names.insert(&name, statement);
        self.count_names();
        self.inbox.start += header.size;
        Ok(None)
    }

    /// Whether one more statement of so many `bytes` may be kept.
    pub(super) fn check_statement_limits(&self, bytes: usize) -> Result<(), Close> {
        let limits = &self.config.limits;
        if self.names.len() >= limits.max_client_statements {
            return Err(too_much("too many prepared statements", "max_client_statements"));
        }
        if self.names.bytes() + bytes > limits.max_client_statement_bytes {
            return Err(too_much("the prepared statements are too large", "max_client_statement_bytes"));
        }
        Ok(())
    }

    /// A statement that is not kept: the server knows it by the client's own name, and the client stays there.
    fn parse_large(&mut self, server: &mut Server, header: Header) {
        self.pin(Pin::LargeStatement);
        self.wrote = true;
        let mut undo = Undo::Nothing;
        if self.front(header).get(HEADER).is_none_or(|first| *first == 0) {
            self.names.drop_unnamed();
            server.unnamed = Some((self.entry.id, NOT_KEPT));
            undo = Undo::ParseUnnamed { count: NOT_KEPT, own: false };
        }
        self.replies.await_op(Op { reply: Reply::Forward, undo });
        self.raw(header);
    }

    /// PostgreSQL itself shall say 42P05, at its place in the pipeline, unless it finds worse: it gets a name twice.
    fn parse_again(&mut self, server: &mut Server, header: Header) {
        let from = self.inbox.start;
        let frame = self.inbox.range(from, from + header.size);
        let Some(parse) = frontend::parse(frame) else { return self.raw(header) };
        let (name, tail) = (Box::<[u8]>::from(parse.name), Box::<[u8]>::from(parse.tail));
        let number = self.stand_in(&name);
        server.prepared.add_stray(number);
        self.close_stand_in(number);
        for (tail, reply) in [(&b"\0\0\0"[..], Reply::Swallow), (&tail, Reply::Forward)] {
            self.push_parse(number, tail);
            self.replies.await_op(Op { reply, undo: Undo::Nothing });
        }
        self.inbox.start += header.size;
    }

    /// Prepares what nobody will use again. Returns its number.
    pub(super) fn prepare_for_once(&mut self, tail: &[u8], op: Op) -> u64 {
        self.close_stand_in(ONCE);
        self.push_parse(ONCE, tail);
        self.replies.await_op(op);
        ONCE
    }

    fn close_stand_in(&mut self, number: u64) {
        self.push_named(b'C', number);
        self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
    }

    /// A number no statement has, that PostgreSQL's errors are told by to mean the client's `name`.
    fn stand_in(&mut self, name: &[u8]) -> u64 {
        let number = ONCE - 1 - self.lost_names.len() as u64;
        self.remember_lost(number, name);
        number
    }

    fn parse_unnamed(&mut self, server: &mut Server, header: Header, told: Told) -> Option<Taken> {
        let from = self.inbox.start;
        let frame = self.inbox.range(from, from + header.size);
        let parse = frontend::parse(frame)?;
        self.cell().client_parses.add(1);
        self.cell().server_parses.add(1);
        let shape = self.shape_of(&told, parse.text);
        let count = self.names.set_unnamed(parse.tail, (told.class, told.version));
        self.names.unnamed_shape = shape;
        server.unnamed = Some((self.entry.id, count));
        let undo = Undo::ParseUnnamed { count, own: true };
        match self.rewritten_unnamed(server.node) {
            Some(tail) => {
                self.outbox.push_own(|out| frontend::push_parse(out, b"", &tail));
                self.request_open = true;
                self.inbox.start += header.size;
            }
            None => self.raw(header),
        }
        self.replies.await_op(Op { reply: Reply::Forward, undo });
        None
    }

    pub(super) fn bind(&mut self, server: &mut Server, header: Header) -> Option<Taken> {
        let front = self.front(header);
        let Some(bind) = frontend::bind(front) else {
            self.raw(header);
            return None;
        };
        if bind.statement.is_empty() {
            return self.use_unnamed(server, header);
        }
        if self.is_unsettled(bind.statement, false) {
            return Some(Taken::Wait);
        }
        let Some(statement) = self.names.get(bind.statement).map(Arc::clone) else {
            // PostgreSQL says 26000: it does not know the name either, unless it looks like ours, or was too large to keep.
            let (head, portal_end, name) = (bind.head, HEADER + bind.portal.len(), Box::<[u8]>::from(bind.statement));
            self.replies.does(Doing::ANYTHING);
            if name.starts_with(PREFIX) {
                let number = self.stand_in(&name);
                self.push_bind(header, number, head, portal_end);
            } else {
                self.raw(header);
            }
            return None;
        };
        let (head, portal_end) = (bind.head, HEADER + bind.portal.len());
        self.ask_for_xid(server, statement.class, statement.text());
        let number = match statement.own() {
            Some(own) => self.prepare_own(server.node, own, &statement),
            None => match self.ensure(server, &statement) {
                Some(number) => number,
                None => return Some(Taken::Wait),
            },
        };
        if let Some(error) = self.comes_late(statement.class, statement.text()) {
            self.refuse_ahead(server, error);
        }
        self.binds(statement.class);
        self.count_statement(server.node, statement.class, statement.shape);
        self.remember_statement(&statement);
        if statement.class.leaves_traces() {
            self.note_statement(server, &statement);
        }
        self.push_bind(header, number, head, portal_end);
        None
    }

    /// The Bind at the front, whose portal's name ends at `portal_end` and statement's at `head`, binds `number`.
    fn push_bind(&mut self, header: Header, number: u64, head: usize, portal_end: usize) {
        let from = self.inbox.start;
        let portal = self.inbox.range(from + HEADER, from + portal_end);
        let rest = header.size - head;
        self.outbox.push_own(|out| {
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

    pub(super) fn describe(&mut self, server: &mut Server, header: Header) -> Option<Taken> {
        let Some(Named::Statement(name)) = frontend::named(self.front(header)) else {
            self.raw(header);
            return None;
        };
        if name.is_empty() {
            return self.use_unnamed(server, header);
        }
        if self.is_unsettled(name, false) {
            return Some(Taken::Wait);
        }
        let number = match self.names.get(name).map(Arc::clone) {
            Some(statement) => match self.ensure(server, &statement) {
                Some(number) => number,
                None => return Some(Taken::Wait),
            },
            None if name.starts_with(PREFIX) => {
                let name = Box::<[u8]>::from(name);
                self.stand_in(&name)
            }
            None => {
                self.raw(header);
                return None;
            }
        };
        self.push_named(b'D', number);
        self.request_open = true;
        self.inbox.start += header.size;
        None
    }

    pub(super) fn close(&mut self, server: &mut Server, header: Header) -> Option<Taken> {
        match frontend::named(self.front(header)) {
            Some(Named::Statement(name)) => {
                if self.is_unsettled(name, false) {
                    return Some(Taken::Wait);
                }
                let name: Box<[u8]> = name.into();
                let is_like_ours = name.starts_with(PREFIX);
                let undo = if name.is_empty() {
                    self.drop_unnamed(server)
                } else {
                    match self.names.remove(&name) {
                        // The server keeps it for others: it closes a name it does not have, and says so.
                        Some(statement) => Undo::Close { name, statement },
                        None => Undo::Nothing,
                    }
                };
                self.count_names();
                self.replies.await_op(Op { reply: Reply::Forward, undo });
                if is_like_ours {
                    // It means nothing to the server, or another client's statement.
                    self.outbox.push_own(|out| frontend::push_close_statement(out, NOBODY));
                    self.request_open = true;
                    self.inbox.start += header.size;
                    return None;
                }
            }
            Some(Named::Portal(_)) => self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::Nothing }),
            None => {}
        }
        self.raw(header);
        None
    }

    /// Whether what `name` means depends on an answer that is to come; `parsing`: whether it may be taken.
    fn is_unsettled(&self, name: &[u8], parsing: bool) -> bool {
        self.replies.has_ops() && self.replies.is_unsettled(name, self.names.get(name).is_some(), parsing)
    }

    /// The number of `statement` on `server`, which is made to prepare it if it has not. `None`: whether it has is not
    /// known before an answer that is to come.
    fn ensure(&mut self, server: &mut Server, statement: &Arc<Statement>) -> Option<u64> {
        let id = self.id_on_server(statement);
        match server.prepared.touch(id) {
            Some(_) if self.replies.has_ops() && self.replies.may_have_skipped(id) => None,
            Some(number) => Some(number),
            // Evicted before it is known to be there at all.
            None if self.replies.has_ops() && self.replies.is_parsing(id) => None,
            None => Some(self.prepare(server, statement, Reply::Swallow, None)),
        }
    }

    fn prepare(&mut self, server: &mut Server, statement: &Statement, reply: Reply, client: Option<Box<[u8]>>) -> u64 {
        let id = self.id_on_server(statement);
        let (number, evicted) = server.prepared.insert(id);
        if let Some(number) = evicted {
            self.push_named(b'C', number);
            self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Stray { number } });
        }
        match statement.own() {
            Some(own) => {
                let tail = self.tail_for(server.node, own, &statement.tail);
                self.push_parse(number, &tail);
            }
            None => self.push_parse(number, &statement.tail),
        }
        self.replies.await_op(Op { reply, undo: Undo::Parse { client, server: Some((id, number)) } });
        self.cell().server_parses.add(1);
        number
    }

    /// A Bind or Describe of the unnamed statement.
    fn use_unnamed(&mut self, server: &mut Server, header: Header) -> Option<Taken> {
        let none = self.names.unnamed().is_none();
        if self.replies.has_ops() && (none && self.is_unsettled(b"", false) || self.replies.is_unsure_of_unnamed()) {
            return Some(Taken::Wait);
        }
        self.ask_for_xid_of_unnamed(server);
        self.ensure_unnamed(server);
        self.raw(header);
        None
    }

    /// The server's unnamed statement becomes this client's.
    fn ensure_unnamed(&mut self, server: &mut Server) {
        match self.names.unnamed() {
            Some(unnamed) => {
                let mine = Some((self.entry.id, unnamed.count));
                let (class, count) = (unnamed.class, unnamed.count);
                if server.unnamed != mine || matches!(class.kind, Kind::Own(_)) {
                    let rewritten = self.rewritten_unnamed(server.node);
                    let Self { names, outbox, .. } = self;
                    let tail = rewritten.as_deref().or_else(|| Some(names.unnamed()?.tail)).unwrap_or_default();
                    outbox.push_own(|out| frontend::push_parse(out, b"", tail));
                    let undo = Undo::ParseUnnamed { count, own: false };
                    self.replies.await_op(Op { reply: Reply::Swallow, undo });
                    server.unnamed = mine;
                }
                if let Some(error) = self.comes_late(class, self.names.unnamed().map_or(b"", |unnamed| unnamed.text()))
                {
                    self.refuse_ahead(server, error);
                }
                self.binds(class);
                self.count_statement(server.node, class, self.names.unnamed_shape);
                self.remember_unnamed();
                if class.leaves_traces() {
                    self.note_unnamed(server);
                }
            }
            // One that was too large to keep.
            None if server.unnamed == Some((self.entry.id, NOT_KEPT)) => self.replies.does(Doing::ANYTHING),
            None => {
                // Maybe another client's: this one has none, and PostgreSQL shall say so.
                self.outbox.push_own(|out| frontend::push_close_statement(out, b""));
                self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
                server.unnamed = None;
            }
        }
    }

    fn push_parse(&mut self, number: u64, tail: &[u8]) {
        self.outbox.push_own(|out| {
            frame::push(out, b'P', |out| {
                push_name(out, number);
                out.push(0);
                out.extend_from_slice(tail);
            });
        });
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

    pub(super) fn count_names(&self) {
        let count = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.entry.prepared_statements.store(count, std::sync::atomic::Ordering::Relaxed);
    }
}

fn too_much(message: &str, limit: &str) -> Close {
    let hint = format!("The limit is limits.{limit}: close statements, or raise it.");
    Close::Error(PgError::fatal(sqlstate::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint))
}
