//! What a statement leaves behind in its session: settings that travel along, names, and what pins the session to its
//! server. A change counts once PostgreSQL has said so, and is forgotten when its transaction is rolled back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Session;
use super::names::Statement;
use super::replies::{Awaited, Op, Reply, Round, Undo};
use crate::client::registry::Pin;
use crate::route::TxStatus;
use crate::server::Server;
use crate::server::params::{Settings, matters_to_statements};
use crate::server::prepared::{NOBODYS, PREFIX, StatementId};
use crate::sql::statements::Statements;
use crate::sql::{Class, Effects, Kind, set};
use crate::wire::frontend;

/// Bytes of a statement's text that the log of slow statements may show.
const LOGGED_BYTES: usize = 1000;

#[derive(Default)]
pub(super) struct SessionSettings {
    /// What the client asked for when it connected: what RESET goes back to.
    pub startup: Arc<Settings>,
    /// What must hold on whichever server it gets.
    pub wanted: Arc<Settings>,
    /// Made by statements whose outcome is not known yet, or whose transaction is open.
    pending: Vec<Pending>,
    /// One of these is no plain SET. (Meaningless when there are none.)
    resets: bool,
    /// DISCARD ALL is on its way, with nothing behind it that pins the session again.
    pub discards: bool,
}

struct Pending {
    /// `Round::number` of the round that makes it.
    round: u64,
    change: Change,
}

enum Change {
    Set { name: String, value: String },
    Reset { name: String },
    ResetAll,
    DiscardAll,
}

/// What the session's loop asks of a class.
pub(super) trait Traces {
    /// Whether running it may leave something behind, or undo what was left.
    fn leaves_traces(&self) -> bool;
    /// Whether it may change what a later read shows.
    fn may_write(&self) -> bool;
    /// Whether a standby may have it.
    fn fits_standby(&self) -> bool;
}

impl Traces for Class {
    #[inline]
    fn leaves_traces(&self) -> bool {
        !self.effects.is_empty() || self.kind == Kind::RollbackTo
    }

    #[inline]
    fn may_write(&self) -> bool {
        let harmless = self.kind.is_transaction_control() && self.kind != Kind::Mixed;
        !self.is_read() && !harmless && !matches!(self.kind, Kind::Set | Kind::Deallocate { .. } | Kind::DiscardAll)
    }

    #[inline]
    fn fits_standby(&self) -> bool {
        self.is_read() || matches!(self.kind, Kind::Begin(begin) if begin.fits_standby())
    }
}

// === impl SessionSettings ===

impl SessionSettings {
    pub(super) fn new(startup: Arc<Settings>) -> Self {
        Self { wanted: Arc::clone(&startup), startup, pending: Vec::new(), resets: false, discards: false }
    }
}

// === impl Session: settings that travel ===

impl Session {
    /// The server gets this session's settings ahead of its next message, in the same write.
    pub(super) fn carry_settings(&mut self, server: &mut Server) {
        if Arc::ptr_eq(&server.settings, &self.settings.wanted) && !server.prepared.has_strays() {
            return;
        }
        if server.prepared.has_strays() {
            for name in server.prepared.take_strays() {
                self.outbox.push_own(|out| frontend::push_close_statement(out, &name));
                self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
            }
            self.outbox.push_own(frontend::push_sync);
            self.replies.await_ready(Awaited::Injected);
        }
        if !server.settings.same(&self.settings.wanted)
            && let Some(sql) = self.settings.wanted.sql_from(&server.settings)
        {
            self.outbox.push_own(|out| frontend::push_query(out, &sql));
            self.replies.await_ready(Awaited::Injected);
            server.unnamed = None;
        }
        server.settings = Arc::clone(&self.settings.wanted);
    }

    /// By what a server knows `statement` as this session would prepare it now.
    pub(super) fn id_on_server(&self, statement: &Statement) -> StatementId {
        let mut settings = self.settings.wanted.reading();
        let matters = |change: &Change| match change {
            Change::Set { name, .. } | Change::Reset { name } => matters_to_statements(name),
            Change::ResetAll | Change::DiscardAll => true,
        };
        if let Some(open) = self.settings.pending.iter().rfind(|pending| matters(&pending.change)) {
            // A SET of this transaction holds already, and may not tomorrow: nobody else shares what is prepared now, nor
            // does another transaction of this session.
            settings ^= self.entry.id.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            settings ^= open.round.wrapping_add(1).wrapping_mul(0xd6e8_feb8_6659_fd93);
        }
        statement.id.under(settings)
    }

    /// PostgreSQL found a statement stale. Unless somebody met that since this session last prepared one, whatever is
    /// prepared from now on is prepared anew on each server.
    pub(super) fn meet_stale_statement(&self) {
        let known = self.generation;
        let current = &self.shared.statement_generation;
        let _ = current.compare_exchange(known, known.wrapping_add(1), Relaxed, Relaxed);
    }

    /// After each round: what was pending takes effect, or does not.
    pub(super) fn settle_changes(&mut self, server: &mut Server, round: &Round) {
        // Those of later rounds are on their way.
        let over = self.settings.pending.iter().take_while(|pending| pending.round <= round.number).count();
        if over == 0 {
            return;
        }
        let (failed, ends) = (round.failed, round.ends);
        let idle = self.status == TxStatus::Idle;
        let apply = match () {
            () if ends.none() && !idle => return, // the transaction decides
            () if ends.none() => !failed,
            // COMMIT, also AND CHAIN
            () if ends.rollbacks == 0 && !failed && (idle || ends.last) => true,
            // ROLLBACK, also AND CHAIN (what was pending at a ROLLBACK TO has pinned the session)
            () if ends.commits == 0 && ends.rollbacks == 1 && !failed && ends.last => false,
            // Several ends in one round: which change was before which can't be told, only PostgreSQL knows.
            () => {
                self.pin(Pin::Setting);
                false
            }
        };
        let later = self.settings.pending.split_off(over);
        let settled = std::mem::replace(&mut self.settings.pending, later);
        if apply {
            for pending in settled {
                self.apply(server, pending.change);
            }
            self.restore(server);
        }
    }

    /// RESET went to the server's defaults, where PostgreSQL would have gone to what the client asked for at its start:
    /// that is put right at once, and the client is told what it would have been told.
    fn restore(&mut self, server: &mut Server) {
        let between_messages = self.passing == 0 && !self.request_open && self.replies.is_quiet();
        if between_messages
            && !server.settings.same(&self.settings.wanted)
            && let Some(sql) = self.settings.wanted.sql_from(&server.settings)
        {
            self.outbox.push_own(|out| frontend::push_query(out, &sql));
            self.replies.await_ready(Awaited::Restored);
            server.unnamed = None;
            server.settings = Arc::clone(&self.settings.wanted);
        }
    }

    fn apply(&mut self, server: &mut Server, change: Change) {
        let settings = &mut self.settings;
        match change {
            Change::Set { name, value } => {
                let same = Arc::ptr_eq(&server.settings, &settings.wanted);
                settings.wanted = Arc::new(settings.wanted.with(&name, &value));
                server.settings = match same {
                    true => Arc::clone(&settings.wanted),
                    false => Arc::new(server.settings.with(&name, &value)),
                };
            }
            Change::Reset { name } => {
                server.settings = Arc::new(server.settings.without(&name));
                settings.wanted = Arc::new(match settings.startup.get(&name) {
                    Some(value) => settings.wanted.with(&name, value),
                    None => settings.wanted.without(&name),
                });
            }
            Change::ResetAll => {
                server.settings = Arc::default();
                settings.wanted = Arc::clone(&settings.startup);
            }
            Change::DiscardAll => {
                self.names.clear();
                server.prepared.clear();
                server.unnamed = None;
                server.settings = Arc::default();
                settings.wanted = Arc::clone(&settings.startup);
                self.unpin();
            }
        }
    }

    /// DISCARD ALL was done: nothing is left that keeps the session on its server.
    fn unpin(&mut self) {
        if std::mem::take(&mut self.settings.discards) && self.pin != Pin::SessionMode && self.is_quiet() {
            self.pin = Pin::None;
            self.entry.set_pin(Pin::None);
            self.dirty = false;
        }
    }

    /// A RESET is on its way: what comes behind it must wait, lest it run before the client's own values are back.
    #[inline]
    pub(super) fn is_resetting(&self) -> bool {
        self.settings.resets && !self.settings.pending.is_empty() && !self.replies.is_quiet()
    }
}

// === impl Session: what statements do ===

impl Session {
    /// A simple Query whose text stands at these positions of the inbox. `true`: something else was sent for it.
    pub(super) fn note(&mut self, server: &mut Server, class: Class, from: usize, to: usize) -> bool {
        let text = String::from_utf8_lossy(self.inbox.range(from, to)).into_owned();
        if class.kind == (Kind::Deallocate { all: false })
            && self.renames
            && let Some(sql) = self.deallocate(&text)
        {
            self.outbox.push_own(|out| frontend::push_query(out, &sql));
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
        let text = unnamed.tail.split(|b| *b == 0).next().unwrap_or_default();
        let (class, text) = (unnamed.class, String::from_utf8_lossy(text).into_owned());
        self.note_text(server, class, &text);
    }

    fn note_text(&mut self, server: &mut Server, class: Class, text: &str) {
        if class.kind == Kind::Several {
            // One transaction: each does what it would do alone.
            for statement in Statements::new(text.as_bytes()) {
                let class = self.worker.classify(statement);
                if class.leaves_traces() && class.kind != Kind::Several {
                    self.note_text(server, class, &String::from_utf8_lossy(statement));
                }
            }
            return;
        }
        self.note_deallocated(server, class, text);
        match class.kind {
            Kind::DiscardAll => {
                self.settings.discards = true;
                return self.await_change(Change::DiscardAll);
            }
            Kind::RollbackTo if !self.settings.pending.is_empty() => return self.pin(Pin::Setting),
            Kind::Set if !class.effects.intersects(Effects::SET_ROLE) => {
                match settings(text) {
                    Some(changes) => changes.for_each(|change| self.await_change(change)),
                    None => self.pin(Pin::Setting),
                }
                return;
            }
            _ => {}
        }
        if let Some(pin) = pin_for(class.effects) {
            self.pin(pin);
        } else if class.effects.intersects(Effects::UNKNOWN) {
            // It may have left anything behind; nobody else shall find it.
            self.dirty = true;
            self.settings.discards = false;
        }
    }

    fn await_change(&mut self, change: Change) {
        let resets = !matches!(change, Change::Set { .. });
        self.settings.resets = resets || (self.settings.resets && !self.settings.pending.is_empty());
        self.settings.pending.push(Pending { round: self.replies.round(), change });
    }

    /// What the server has prepared for others may be gone, whatever becomes of the transaction.
    fn note_deallocated(&mut self, server: &mut Server, class: Class, text: &str) {
        match class.kind {
            Kind::Deallocate { all: true } => {
                server.prepared.forget();
                if self.status != TxStatus::Failed {
                    self.names.clear();
                }
            }
            Kind::Deallocate { all: false } => {
                let ours = |name: String| name.as_bytes().starts_with(PREFIX) && name.as_bytes() != NOBODYS;
                let ours = deallocated_name(text).is_none_or(ours);
                if ours {
                    server.prepared.forget();
                }
            }
            Kind::DiscardAll => server.prepared.forget(),
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

    /// `DEALLOCATE name` of a statement prepared by protocol: the client's name is the proxy's to translate. What goes to
    /// the server instead; `None` if the name is not one of these.
    pub(super) fn deallocate(&mut self, text: &str) -> Option<String> {
        if self.status == TxStatus::Failed {
            // PostgreSQL refuses, and keeps it.
            return None;
        }
        let name = deallocated_name(text)?.into_bytes().into_boxed_slice();
        let statement = self.names.remove(&name)?;
        self.count_names();
        // The server keeps it for others, or never had it: an empty statement goes instead, the tag is PostgreSQL's own.
        self.outbox.push_own(|out| frontend::push_close_statement(out, NOBODYS));
        self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Close { name, statement } });
        self.outbox.push_own(|out| frontend::push_parse(out, NOBODYS, b"\0\0\0"));
        self.replies.await_op(Op { reply: Reply::Swallow, undo: Undo::Nothing });
        Some(DEALLOCATE_NOBODYS.to_owned())
    }
}

/// [`NOBODYS`].
const DEALLOCATE_NOBODYS: &str = "DEALLOCATE \"pgherd.none\"";

/// What a SET or RESET changes, if it can be carried to another server.
fn settings(text: &str) -> Option<impl Iterator<Item = Change>> {
    let changes = set::parse(text.as_bytes())?;
    Some(changes.into_iter().map(|change| match change {
        set::Change::Set { name, value } => Change::Set { name, value },
        set::Change::Reset { name } => Change::Reset { name },
        set::Change::ResetAll => Change::ResetAll,
    }))
}

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

// === impl Session: the log of slow statements ===

impl Session {
    /// Keeps the beginning of the text at these positions of the inbox.
    #[inline]
    pub(super) fn remember_text(&mut self, from: usize, to: usize) {
        if !self.config.log.slow_statement.is_zero() {
            self.last_text.clear();
            self.last_text.extend_from_slice(self.inbox.range(from, to.min(from + LOGGED_BYTES)));
        }
    }

    #[inline]
    pub(super) fn remember_statement(&mut self, statement: &Statement) {
        if !self.config.log.slow_statement.is_zero() {
            self.last_text.clear();
            let tail = &statement.tail;
            self.last_text.extend_from_slice(&tail[..tail.len().min(LOGGED_BYTES)]);
        }
    }

    #[inline]
    pub(super) fn remember_unnamed(&mut self) {
        if let Some(unnamed) = self.names.unnamed()
            && !self.config.log.slow_statement.is_zero()
        {
            self.last_text.clear();
            let tail = unnamed.tail;
            self.last_text.extend_from_slice(&tail[..tail.len().min(LOGGED_BYTES)]);
        }
    }

    pub(super) fn log_slow(&self, took: Duration) {
        self.shared.counters.slow_statements.add(1);
        let text = self.last_text.split(|b| *b == 0).next().unwrap_or_default();
        tracing::warn!(
            took_ms = took.as_millis() as u64,
            client = %self.entry.addr,
            user = %self.user,
            database = %self.database,
            node = self.pool.node.host,
            port = self.pool.node.port,
            statement = %without_literals(text),
            "slow statement"
        );
    }
}

/// Numbers and quoted texts become `?`: what a client put into its statement stays out of the log.
fn without_literals(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut in_word = false;
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\'' if chars.peek() == Some(&'\'') => drop(chars.next()),
                        '\'' => break,
                        '\\' => drop(chars.next()),
                        _ => {}
                    }
                }
                out.push('?');
            }
            // A dollar quote, or a parameter: the rest of a text with the former is not worth the risk.
            '$' if !chars.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("$…");
                break;
            }
            '$' => {
                out.push('$');
                in_word = true;
                continue;
            }
            c if c.is_ascii_digit() && !in_word => {
                while chars.peek().is_some_and(|c| c.is_ascii_alphanumeric() || *c == '.') {
                    chars.next();
                }
                out.push('?');
            }
            c => out.push(c),
        }
        in_word = c.is_alphanumeric() || c == '_';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_stay_out_of_the_log() {
        let cases = [
            (
                "SELECT * FROM t2 WHERE a = 12 AND b = 'it''s' AND c = $1",
                "SELECT * FROM t2 WHERE a = ? AND b = ? AND c = $1",
            ),
            (r"SELECT E'a\'b', 1.5e3", "SELECT E?, ?"),
            ("SELECT $$secret$$", "SELECT $…"),
        ];
        for (text, logged) in cases {
            assert_eq!(without_literals(text.as_bytes()), logged);
        }
    }

    #[test]
    fn deallocate_names_are_folded_unless_quoted() {
        assert_eq!(deallocated_name("DEALLOCATE Foo;").as_deref(), Some("foo"));
        assert_eq!(deallocated_name("deallocate prepare \"Foo\"").as_deref(), Some("Foo"));
        assert_eq!(deallocated_name("select 1"), None);
    }
}
