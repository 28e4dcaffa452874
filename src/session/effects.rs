//! What a statement leaves behind in its session: settings that travel along (`settings`), names, and what pins the session to
//! its server.

use std::borrow::Cow;

use super::Session;
use super::leftovers::{names_its_settings, runs_code};
use super::names::Statement;
use super::replies::{Op, Reply, Undo};
use super::settings::Change;
use crate::client::registry::Pin;
use crate::cluster::NodeId;
use crate::server::Server;
use crate::server::prepared::PREFIX;
use crate::sql::statements::Statements;
use crate::sql::{Class, Effects, Kind, Reason};
use crate::wire::frontend;

/// What the session's loop asks of a class.
pub(super) trait Traces {
    /// Whether running it may leave something behind, or undo what was left.
    fn leaves_traces(&self) -> bool;
    /// Whether it may change what a later read shows.
    fn may_write(&self) -> bool;
}

impl Traces for Class {
    #[inline]
    fn leaves_traces(&self) -> bool {
        !self.effects.is_empty() || matches!(self.kind, Kind::RollbackTo | Kind::Mixed) || runs_code(*self)
    }

    #[inline]
    fn may_write(&self) -> bool {
        let harmless = self.kind.is_transaction_control() && self.kind != Kind::Mixed;
        let harmless =
            harmless || matches!(self.kind, Kind::Own(_) | Kind::Set | Kind::Deallocate { .. } | Kind::DiscardAll);
        match self.reason {
            Reason::Hint => false,
            Reason::Claimed => true,
            _ => !self.is_read() && !harmless,
        }
    }
}

// === impl Session: what statements do ===

impl Session {
    /// A simple Query whose text stands at these positions of the inbox. `true`: something else was sent for it.
    pub(super) fn note(&mut self, server: &mut Server, class: Class, from: usize, to: usize) -> bool {
        let text = String::from_utf8_lossy(self.inbox.range(from, to)).into_owned();
        if let Some(name) = self.deallocated(class, &text) {
            self.prepare_gone();
            self.outbox.push_own(|out| frontend::push_query(out, DEALLOCATE_GONE));
            self.pend(Change::Deallocate { name });
            return true;
        }
        self.note_text(server, class, &text);
        false
    }

    /// A statement is bound.
    pub(super) fn note_statement(&mut self, server: &mut Server, statement: &Statement) {
        let text = String::from_utf8_lossy(statement.text()).into_owned();
        self.note_text(server, statement.class, &text);
    }

    /// The unnamed statement is bound.
    pub(super) fn note_unnamed(&mut self, server: &mut Server) {
        let Some(unnamed) = self.names.unnamed() else { return };
        let text = unnamed.text();
        let (class, text) = (unnamed.class, String::from_utf8_lossy(text).into_owned());
        match self.deallocated(class, &text) {
            Some(name) => self.pend(Change::Deallocate { name }),
            None => self.note_text(server, class, &text),
        }
    }

    fn note_text(&mut self, server: &mut Server, class: Class, text: &str) {
        if class.kind == Kind::Several {
            // One transaction: each does what it would do alone.
            for statement in Statements::new(text.as_bytes()) {
                let class = self.classify(statement);
                if class.leaves_traces() && class.kind != Kind::Several {
                    self.note_text(server, class, &String::from_utf8_lossy(statement));
                }
            }
            return;
        }
        if class.kind == Kind::Mixed {
            self.doubt_each(text);
        }
        self.note_deallocated(server, class, text);
        self.changes_catalog |= class.effects.intersects(Effects::DDL);
        match class.kind {
            Kind::Deallocate { all: true } => return self.pend(Change::DeallocateAll),
            Kind::DiscardAll => {
                self.settings.discards = true;
                return self.pend(Change::DiscardAll);
            }
            Kind::RollbackTo if self.settings.has_pending() => return self.pin(Pin::Setting),
            Kind::Set if !class.effects.intersects(Effects::SET_ROLE) => {
                match Change::of(text) {
                    Some(changes) => changes.for_each(|change| self.pend(change)),
                    None => self.pin(Pin::Setting),
                }
                return;
            }
            _ => {}
        }
        let mut effects = class.effects;
        if effects.intersects(Effects::SET_CONFIG) && names_its_settings(text) {
            self.doubt(text, true);
            effects = effects.without(Effects::SET_CONFIG);
        }
        if let Some(pin) = pin_for(effects) {
            self.pin(pin);
        } else if class.reason == Reason::Procedure && !names_its_settings(text) {
            self.pin(Pin::Setting);
        } else if runs_code(class) {
            self.doubt(text, class.effects.intersects(Effects::UNKNOWN));
        } else if class.effects.intersects(Effects::UNKNOWN) && class.kind != Kind::Mixed {
            // It may have left anything behind; nobody else shall find it.
            self.dirty = true;
            self.settings.discards = false;
        }
    }

    /// What the server has prepared for others may be gone, whatever becomes of the transaction.
    fn note_deallocated(&mut self, server: &mut Server, class: Class, text: &str) {
        match class.kind {
            Kind::Deallocate { all: true } | Kind::DiscardAll => server.prepared.forget(),
            Kind::Deallocate { all: false } => {
                let ours = deallocated_name(text).is_none_or(|name| name.as_bytes().starts_with(PREFIX));
                if ours {
                    server.prepared.forget();
                }
            }
            // Within several statements.
            _ if class.effects.intersects(Effects::SQL_DEALLOCATE) => {
                server.prepared.forget();
                self.dirty = true;
                if text.split(';').any(|statement| deallocated_name(statement).as_deref() == Some("all")) {
                    self.names.clear();
                }
            }
            _ => {}
        }
    }

    /// The name in `DEALLOCATE name`, if it is that of a statement prepared by protocol: the proxy's to translate.
    fn deallocated(&self, class: Class, text: &str) -> Option<String> {
        let is_one = class.kind == (Kind::Deallocate { all: false }) && self.renames;
        let name = is_one.then(|| deallocated_name(text)).flatten()?;
        self.names.get(name.as_bytes()).map(|_| name)
    }

    /// The unnamed statement as the server must know it, if that is not how the client put it.
    pub(super) fn rewritten_unnamed(&mut self, node: NodeId) -> Option<Cow<'static, [u8]>> {
        let unnamed = self.names.unnamed()?;
        if let Kind::Own(own) = unnamed.class.kind {
            return Some(self.tail_for(node, own, unnamed.tail).into());
        }
        if !unnamed.class.leaves_traces() {
            return None;
        }
        let text = String::from_utf8_lossy(unnamed.text());
        self.deallocated(unnamed.class, &text)?;
        self.prepare_gone();
        Some(DEALLOCATE_GONE_TAIL.into())
    }

    /// The server gets a statement that can be deallocated in place of the client's. It has no text, so that it can be
    /// prepared even in a failed transaction.
    fn prepare_gone(&mut self) {
        self.outbox.push_own(|out| {
            frontend::push_close_statement(out, GONE);
            frontend::push_parse(out, GONE, b"\0\0\0");
        });
        for _ in 0..2 {
            self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
        }
    }
}

const GONE: &[u8] = b"pgherd.gone";
const DEALLOCATE_GONE: &str = "DEALLOCATE \"pgherd.gone\"";
const DEALLOCATE_GONE_TAIL: &[u8] = b"DEALLOCATE \"pgherd.gone\"\0\0\0";

fn pin_for(effects: Effects) -> Option<Pin> {
    const PINS: [(Effects, Pin); 9] = [
        (Effects::SET_CONFIG, Pin::Setting),
        (Effects::SET_ROLE, Pin::Setting),
        (Effects::SET_SESSION, Pin::Setting),
        (Effects::TEMP_TABLE, Pin::TemporaryTable),
        (Effects::HOLD_CURSOR, Pin::HoldCursor),
        (Effects::LISTEN, Pin::Listen),
        (Effects::ADVISORY_LOCK, Pin::AdvisoryLock),
        (Effects::SQL_PREPARE, Pin::SqlPrepare),
        (Effects::LOAD, Pin::Load),
    ];
    PINS.into_iter().find(|(effect, _)| effects.intersects(*effect)).map(|(_, pin)| pin)
}

/// `DEALLOCATE [PREPARE] name`, quoted or folded.
fn deallocated_name(text: &str) -> Option<String> {
    let rest = text.trim().trim_end_matches(';').trim_end();
    let mut words = rest.split_ascii_whitespace();
    words.next().filter(|word| word.eq_ignore_ascii_case("deallocate"))?;
    let mut name = words.next()?;
    if name.eq_ignore_ascii_case("prepare") {
        name = words.next()?;
    }
    if words.next().is_some() {
        return None;
    }
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => Some(quoted.replace("\"\"", "\"")),
        None => Some(name.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deallocate_names_are_folded_unless_quoted() {
        assert_eq!(deallocated_name("DEALLOCATE Foo;").as_deref(), Some("foo"));
        assert_eq!(deallocated_name("deallocate prepare \"Foo\"").as_deref(), Some("Foo"));
        assert_eq!(deallocated_name("select 1"), None);
    }
}
