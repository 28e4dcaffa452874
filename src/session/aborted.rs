//! A transaction whose server was lost. Nobody is needed to answer for it: the client hears what PostgreSQL says in a failed
//! transaction until it ends it, and then may begin another one.
//!
//! The session's status is `InTransaction` as long as the client has not heard of the loss, `Failed` from then on.

use std::sync::Arc;

use super::lost::{failed, rolled_back};
use super::names::Statement;
use super::unanswered::push_done;
use super::{Close, Session};
use crate::client::registry::ClientState;
use crate::route::TxStatus;
use crate::sql::statements::Statements;
use crate::sql::{Class, Kind};
use crate::wire::auth;
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::{self, HEADER, Header};
use crate::wire::frontend::{self, Check, Named};

const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";
const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";
const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";
const NO_DATA: &[u8] = b"n\0\0\0\x04";
const NO_PARAMETERS: &[u8] = b"t\0\0\0\x06\0\0";
const EMPTY_QUERY: &[u8] = b"I\0\0\0\x04";

/// What a portal would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Bound {
    #[default]
    Nothing,
    Commit,
    Rollback,
}

impl Session {
    /// Answers until the client has ended its transaction.
    pub(super) async fn answer_aborted(&mut self) -> Result<(), Close> {
        self.entry.set_state(ClientState::Idle);
        let mut bound = Bound::Nothing;
        let mut out = Vec::new();
        while self.status != TxStatus::Idle {
            let dropped = self.passing.min(self.inbox.end - self.inbox.start);
            self.inbox.start += dropped;
            self.passing -= dropped;
            match self.whole_message() {
                Ok(Some(header)) => self.answer_message(header, &mut bound, &mut out)?,
                Ok(None) => {
                    if !out.is_empty() {
                        self.send(&out).await?;
                        out.clear();
                    }
                    self.read_client().await?;
                }
                Err(close) => {
                    self.send(&out).await?;
                    return Err(close);
                }
            }
        }
        self.send(&out).await
    }

    /// The message at the front, if enough of it is there to be answered. What is behind its beginning may come later.
    fn whole_message(&mut self) -> Result<Option<Header>, Close> {
        let header = match frame::header(self.inbox.filled()) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(None),
            Err(_) => return Err(Close::BadLength),
        };
        match frontend::check(header) {
            Check::Fine => {}
            Check::TooLong => return Err(Close::BadLength),
            Check::UnknownTag => {
                let message = format!("invalid frontend message type {}", header.tag);
                return Err(Close::Violation(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, message)));
            }
        }
        let wanted = match header.tag {
            b'Q' | b'P' | b'B' if !self.skipping => header.size.min(self.largest_looked_into()),
            b'D' | b'C' | b'S' | b'H' => header.size,
            _ => HEADER,
        };
        if self.inbox.end - self.inbox.start >= wanted {
            return Ok(Some(header));
        }
        self.inbox.grow(wanted);
        Ok(None)
    }

    fn answer_message(&mut self, header: Header, bound: &mut Bound, out: &mut Vec<u8>) -> Result<(), Close> {
        match header.tag {
            b'X' => return Err(Close::ByClient),
            b'S' => {
                self.skipping = false;
                auth::push_ready_for_query(out, self.status.as_byte());
            }
            _ if self.skipping => {}
            b'Q' => {
                self.answer_query(header, out);
                return Ok(());
            }
            b'P' => self.answer_parse(header, out)?,
            b'B' => self.answer_bind(header, bound, out),
            b'D' => self.answer_describe(header, *bound, out),
            b'E' => match std::mem::take(bound) {
                Bound::Nothing => self.fail(out),
                ends => self.end_aborted(ends, out),
            },
            b'C' => {
                if let Some(Named::Statement(name)) = frontend::named(self.front(header)) {
                    let name: Box<[u8]> = name.into();
                    if name.is_empty() {
                        self.names.drop_unnamed();
                    }
                    self.names.remove(&name);
                    self.count_names();
                }
                out.extend_from_slice(CLOSE_COMPLETE);
            }
            b'F' => {
                self.fail(out);
                self.skipping = false;
                auth::push_ready_for_query(out, self.status.as_byte());
            }
            // Flush, and what is left of a COPY.
            _ => {}
        }
        self.passing = header.size;
        Ok(())
    }

    fn answer_query(&mut self, header: Header, out: &mut Vec<u8>) {
        let text = frontend::query_text(self.front(header));
        let class = text.map(|text| self.classify(text));
        if class.is_some_and(|class| class.kind == Kind::Mixed) && text.is_some_and(|text| self.begins_anew(text)) {
            // What stands behind its ROLLBACK is for a server, for which there is nothing to roll back.
            self.status = TxStatus::Idle;
            return;
        }
        self.names.drop_unnamed();
        match class.map(|class| class.kind) {
            Some(Kind::Empty) => out.extend_from_slice(EMPTY_QUERY),
            Some(Kind::Commit) => self.end_aborted(Bound::Commit, out),
            Some(Kind::Rollback) => self.end_aborted(Bound::Rollback, out),
            // A savepoint is gone with the transaction: it is not enough to return there.
            Some(Kind::RollbackTo) => {
                self.status = TxStatus::InTransaction;
                self.fail(out);
            }
            _ => self.fail(out),
        }
        self.skipping = false;
        auth::push_ready_for_query(out, self.status.as_byte());
        self.passing = header.size;
    }

    fn begins_anew(&self, text: &[u8]) -> bool {
        let mut kinds = Statements::new(text).map(|statement| self.classify(statement).kind);
        kinds.find(|kind| *kind != Kind::Empty) == Some(Kind::Rollback)
    }

    fn answer_parse(&mut self, header: Header, out: &mut Vec<u8>) -> Result<(), Close> {
        let front = self.front(header);
        let Some(parse) = frontend::parse(front).filter(|_| front.len() == header.size) else {
            self.fail(out);
            return Ok(());
        };
        let by = self.classify_by(parse.text);
        let class = by.0;
        if !matches!(class.kind, Kind::Empty | Kind::Commit | Kind::Rollback) {
            self.fail(out);
            return Ok(());
        }
        let (name, tail) = (Box::<[u8]>::from(parse.name), Box::<[u8]>::from(parse.tail));
        if name.is_empty() {
            self.names.set_unnamed(&tail, by);
        } else if self.names.get(&name).is_some() {
            let name = String::from_utf8_lossy(&name);
            let message = format!("prepared statement \"{name}\" already exists");
            self.say(&PgError::error(sqlstate::DUPLICATE_STATEMENT, message), out);
            return Ok(());
        } else {
            self.check_statement_limits(header.size)?;
            let statement = Statement::new(&tail, by, self.shared.seed, self.generation);
            self.names.insert(&name, Arc::new(statement));
            self.count_names();
        }
        out.extend_from_slice(PARSE_COMPLETE);
        Ok(())
    }

    fn answer_bind(&mut self, header: Header, bound: &mut Bound, out: &mut Vec<u8>) {
        let Some(bind) = frontend::bind(self.front(header)) else { return self.fail(out) };
        match self.class_named(bind.statement).map(|class| class.kind) {
            Some(Kind::Commit) => *bound = Bound::Commit,
            Some(Kind::Rollback) => *bound = Bound::Rollback,
            Some(_) => return self.fail(out),
            None => {
                let error = unknown_statement(bind.statement);
                return self.say(&error, out);
            }
        }
        out.extend_from_slice(BIND_COMPLETE);
    }

    fn answer_describe(&mut self, header: Header, bound: Bound, out: &mut Vec<u8>) {
        match frontend::named(self.front(header)) {
            Some(Named::Statement(name)) => match self.class_named(name).map(|class| class.kind) {
                Some(Kind::Empty | Kind::Commit | Kind::Rollback) => {
                    out.extend_from_slice(NO_PARAMETERS);
                    out.extend_from_slice(NO_DATA);
                }
                Some(_) => self.fail(out),
                None => {
                    let error = unknown_statement(name);
                    self.say(&error, out);
                }
            },
            Some(Named::Portal(_)) if bound != Bound::Nothing => out.extend_from_slice(NO_DATA),
            Some(Named::Portal(name)) => {
                let message = format!("portal \"{}\" does not exist", String::from_utf8_lossy(name));
                self.say(&PgError::error(sqlstate::UNDEFINED_CURSOR, message), out);
            }
            None => self.fail(out),
        }
    }

    fn class_named(&self, name: &[u8]) -> Option<Class> {
        match name {
            b"" => self.names.unnamed().map(|unnamed| unnamed.class),
            name => self.names.get(name).map(|statement| statement.class),
        }
    }

    /// The client ends its transaction. Who would commit and has not heard yet must hear it now.
    fn end_aborted(&mut self, how: Bound, out: &mut Vec<u8>) {
        if how == Bound::Commit && self.status == TxStatus::InTransaction {
            self.say(&rolled_back(), out);
        } else {
            push_done(out, "ROLLBACK");
        }
        self.status = TxStatus::Idle;
    }

    /// A statement that does not end the transaction.
    fn fail(&mut self, out: &mut Vec<u8>) {
        let error = if self.status == TxStatus::InTransaction { rolled_back() } else { failed() };
        self.status = TxStatus::Failed;
        self.say(&error, out);
    }

    /// An error: up to the next Sync nothing is listened to.
    fn say(&mut self, error: &PgError, out: &mut Vec<u8>) {
        self.cell().errors.add(1);
        error.encode(out);
        self.skipping = true;
    }
}

fn unknown_statement(name: &[u8]) -> PgError {
    let message = match name {
        b"" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{}\" does not exist", String::from_utf8_lossy(name)),
    };
    PgError::error(sqlstate::UNDEFINED_STATEMENT, message)
}
