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
use crate::server::prepared::push_name;
use crate::sql::{Class, Kind};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::{self, HEADER, Header};
use crate::wire::frontend;

impl Session {
    pub(super) fn parse(&mut self, server: &mut Server, header: Header, whole: bool) -> Result<(), Close> {
        self.cell().client_parses.add(1);
        let from = self.inbox.start;
        if !whole {
            self.pin(Pin::LargeStatement);
            self.wrote = true;
            self.raw(header);
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
            let name = parse.name.to_vec();
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
        let statement = Arc::new(Statement::new(parse.tail, class, self.generation));
        let name: Box<[u8]> = parse.name.into();
        if server.prepared.touch(self.id_on_server(&statement)).is_some() {
            // The server has it: a Close of a name nobody has gives a reply at the right place.
            self.outbox.push_own(|out| frontend::push_close_statement(out, b"pgherd.none"));
            let undo = Undo::Parse { client: Some(name.clone()), server: None };
            self.replies.await_op(Op { reply: Reply::AsParseComplete, undo });
        } else {
            self.prepare(server, &statement, Reply::Forward, Some(name.clone()));
        }
        self.names.insert(&name, statement);
        self.count_names();
        self.inbox.start += header.size;
        Ok(())
    }

    pub(super) fn parse_unnamed(&mut self, server: &mut Server, header: Header, class: Class) {
        let (from, to) = (self.inbox.start + HEADER + 1, self.inbox.start + header.size);
        self.cell().server_parses.add(1);
        if class.kind == (Kind::Deallocate { all: false }) {
            let text = self.inbox.range(from, to).split(|b| *b == 0).next().unwrap_or_default();
            let text = String::from_utf8_lossy(text).into_owned();
            if let Some(sql) = self.deallocate(server, &text) {
                let tail = [sql.as_bytes(), b"\0\0\0"].concat();
                server.unnamed = Some((self.entry.id, self.names.set_unnamed(&tail, class)));
                self.outbox.push_own(|out| frontend::push_parse(out, b"", &tail));
                self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::ParseUnnamed });
                self.request_open = true;
                self.inbox.start += header.size;
                return;
            }
        }
        let count = self.names.set_unnamed(self.inbox.range(from, to), class);
        server.unnamed = Some((self.entry.id, count));
        self.replies.await_op(Op { reply: Reply::Forward, undo: Undo::ParseUnnamed });
        self.raw(header);
    }

    /// The number of `statement` on `server`, which is made to prepare it if it has not.
    pub(super) fn ensure(&mut self, server: &mut Server, statement: &Arc<Statement>) -> u64 {
        match server.prepared.touch(self.id_on_server(statement)) {
            Some(number) => number,
            None => self.prepare(server, statement, Reply::Swallow, None),
        }
    }

    pub(super) fn prepare(
        &mut self,
        server: &mut Server,
        statement: &Statement,
        reply: Reply,
        client: Option<Box<[u8]>>,
    ) -> u64 {
        let id = self.id_on_server(statement);
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
        self.replies.await_op(Op { reply, undo: Undo::Parse { client, server: Some(id) } });
        self.cell().server_parses.add(1);
        number
    }

    /// The server's unnamed statement becomes this client's.
    pub(super) fn ensure_unnamed(&mut self, server: &mut Server) {
        match self.names.unnamed() {
            Some(unnamed) => {
                let mine = Some((self.entry.id, unnamed.count));
                if server.unnamed != mine {
                    self.outbox.push_own(|out| frontend::push_parse(out, b"", unnamed.tail));
                    self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::ParseUnnamed });
                    server.unnamed = mine;
                }
                let class = unnamed.class;
                self.wrote |= class.may_write();
                self.remember_unnamed();
                if class.leaves_traces() {
                    self.note_unnamed(server);
                }
            }
            None if server.unnamed.is_some() => {
                // Another client's: this one has none, and PostgreSQL shall say so.
                self.outbox.push_own(|out| frontend::push_close_statement(out, b""));
                self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
                server.unnamed = None;
            }
            None => {}
        }
    }
}

fn too_much(message: &str, limit: &str) -> Close {
    let hint = format!("The limit is limits.{limit}: close statements, or raise it.");
    Close::Error(PgError::fatal(sqlstate::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint))
}
