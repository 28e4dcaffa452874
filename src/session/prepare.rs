//! Prepared statements on their way: what a client prepares is kept under its own name, and prepared on whichever server
//! it is wanted, once.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::effects::Traces;
use super::names::Statement;
use super::replies::{Op, Reply, Undo};
use super::{Close, Session};
use crate::client::registry::Pin;
use crate::server::Server;
use crate::server::prepared::{NOBODYS, PREFIX, StatementId, push_name};
use crate::sql::{Class, Kind};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::{self, HEADER, Header};
use crate::wire::frontend;

impl Session {
    pub(super) fn parse(&mut self, server: &mut Server, header: Header, whole: bool) -> Result<(), Close> {
        self.cell().client_parses.add(1);
        let from = self.inbox.start;
        if !whole {
            self.parse_large(server, header);
            return Ok(());
        }
        let frame = self.inbox.range(from, from + header.size);
        let Some(parse) = frontend::parse(frame) else {
            self.raw(header);
            return Ok(());
        };
        let class = self.worker.classify(parse.text);
        if parse.name.is_empty() {
            self.parse_unnamed(server, header, class);
            return Ok(());
        }
        self.request_open = true;
        if self.names.get(parse.name).is_some() {
            // PostgreSQL itself shall say 42P05, at its place in the pipeline: make it know the name.
            let mut name = parse.name.to_vec();
            if name.starts_with(PREFIX) {
                // As for `raw_unknown`.
                name[0] = b'P';
                *self.inbox.byte_mut(from + HEADER) = b'P';
            }
            self.outbox.push_own(|out| frontend::push_parse(out, &name, b"\0\0\0"));
            self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
            self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::Nothing });
            server.prepared.add_stray(&name);
            self.raw(header);
            return Ok(());
        }
        let limits = &self.config.limits;
        if self.names.len() >= limits.max_client_statements {
            return Err(too_much("too many prepared statements", "max_client_statements"));
        }
        if self.names.bytes() + header.size > limits.max_client_statement_bytes {
            return Err(too_much("the prepared statements are too large", "max_client_statement_bytes"));
        }
        self.generation = self.shared.statement_generation.load(Relaxed);
        let statement = Arc::new(Statement::new(parse.tail, class, self.shared.seed, self.generation));
        let name: Box<[u8]> = parse.name.into();
        let id = self.id_on_server(&statement);
        if self.prepared(server, id).is_some() {
            // The server has it: a Close of a name nobody has gives a reply at the right place.
            self.outbox.push_own(|out| frontend::push_close_statement(out, NOBODYS));
            let undo = Undo::Parse { client: Some(name.clone()), server: None };
            self.replies.await_op(Op { reply: Reply::AsParseComplete, undo });
        } else {
            self.prepare(server, id, &statement, Reply::Forward, Some(name.clone()));
        }
        self.names.insert(&name, statement);
        self.count_names();
        self.inbox.start += header.size;
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
            undo = Undo::Unnamed { count: NOT_KEPT, own: false };
        }
        self.replies.await_op(Op { reply: Reply::Forward, undo });
        self.raw(header);
    }

    pub(super) fn parse_unnamed(&mut self, server: &mut Server, header: Header, class: Class) {
        let (from, to) = (self.inbox.start + HEADER + 1, self.inbox.start + header.size);
        self.cell().server_parses.add(1);
        if class.kind == (Kind::Deallocate { all: false }) {
            let text = self.inbox.range(from, to).split(|b| *b == 0).next().unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            if let Some(sql) = self.deallocate(&text) {
                let tail = [sql.as_bytes(), b"\0\0\0"].concat();
                let count = self.names.set_unnamed(&tail, class);
                server.unnamed = Some((self.entry.id, count));
                self.outbox.push_own(|out| frontend::push_parse(out, b"", &tail));
                self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::Unnamed { count, own: true } });
                self.request_open = true;
                self.inbox.start += header.size;
                return;
            }
        }
        let count = self.names.set_unnamed(self.inbox.range(from, to), class);
        server.unnamed = Some((self.entry.id, count));
        self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::Unnamed { count, own: true } });
        self.raw(header);
    }

    /// The number of `statement` on `server`, which is made to prepare it if it has not.
    pub(super) fn ensure(&mut self, server: &mut Server, statement: &Arc<Statement>) -> u64 {
        let id = self.id_on_server(statement);
        match self.prepared(server, id) {
            Some(number) => number,
            None => self.prepare(server, id, statement, Reply::Swallow, None),
        }
    }

    /// The number of the statement on `server`, if it surely has it by now.
    fn prepared(&mut self, server: &mut Server, id: StatementId) -> Option<u64> {
        let number = server.prepared.touch(id)?;
        if !self.replies.is_unsure_of(id) {
            return Some(number);
        }
        // An error before its Parse would make PostgreSQL skip that, but not what comes now.
        server.prepared.remove(id, number);
        self.push_named(b'C', number);
        self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
        None
    }

    fn prepare(
        &mut self,
        server: &mut Server,
        id: StatementId,
        statement: &Statement,
        reply: Reply,
        client: Option<Box<[u8]>>,
    ) -> u64 {
        let (number, evicted) = server.prepared.insert(id);
        if let Some(evicted) = evicted {
            self.push_named(b'C', evicted);
            self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
        }
        self.outbox.push_own(|out| {
            frame::push(out, b'P', |out| {
                push_name(out, number);
                out.push(0);
                out.extend_from_slice(&statement.tail);
            });
        });
        self.replies.await_op(Op { reply, undo: Undo::Parse { client, server: Some((id, number)) } });
        self.cell().server_parses.add(1);
        number
    }

    /// The server's unnamed statement becomes this client's.
    pub(super) fn ensure_unnamed(&mut self, server: &mut Server) {
        match self.names.unnamed() {
            Some(unnamed) => {
                let mine = Some((self.entry.id, unnamed.count));
                if server.unnamed != mine || self.replies.is_unsure_of_unnamed() {
                    self.outbox.push_own(|out| frontend::push_parse(out, b"", unnamed.tail));
                    let undo = Undo::Unnamed { count: unnamed.count, own: false };
                    self.replies.await_op(Op { reply: Reply::Swallow, undo });
                    server.unnamed = mine;
                }
                let class = unnamed.class;
                self.wrote |= class.may_write();
                self.remember_unnamed();
                if class.leaves_traces() {
                    self.note_unnamed(server);
                }
            }
            // One that was too large to keep.
            None if server.unnamed == Some((self.entry.id, NOT_KEPT)) => {}
            None => {
                // Maybe another client's: this one has none, and PostgreSQL shall say so.
                self.outbox.push_own(|out| frontend::push_close_statement(out, b""));
                self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
                server.unnamed = None;
            }
        }
    }
}

/// In place of a count: an unnamed statement of which only the server has the text.
const NOT_KEPT: u64 = u64::MAX;

fn too_much(message: &str, limit: &str) -> Close {
    let hint = format!("The limit is limits.{limit}: close statements, or raise it.");
    Close::Error(PgError::fatal(sqlstate::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint))
}
