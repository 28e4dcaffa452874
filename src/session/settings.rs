//! The settings that travel with a session from server to server. A change counts once PostgreSQL has said so, and is
//! forgotten when its transaction is rolled back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Session;
use super::ends::Round;
use super::names::Statement;
use super::replies::{Awaited, Op, Reply, Undo};
use crate::client::registry::Pin;
use crate::route::TxStatus;
use crate::route::wishes::Wishes;
use crate::server::Server;
use crate::server::params::{Settings, matters_to_statements};
use crate::server::prepared::StatementId;
use crate::sql::set;
use crate::wire::frontend;

pub(super) struct SessionSettings {
    /// What the client asked for when it connected: what RESET goes back to.
    pub startup: Arc<Settings>,
    /// What must hold on whichever server it gets.
    pub wanted: Arc<Settings>,
    /// What holds where nothing is wanted, by `ALTER ROLE` and `ALTER DATABASE`, and the catalog's version that says so.
    defaults: (u64, Vec<(String, String)>),
    /// What of them is for the proxy.
    pub wishes: Wishes,
    /// Made by statements whose outcome is not known yet, or whose transaction is open.
    pending: Vec<Pending>,
    /// DISCARD ALL is on its way, with nothing behind it that pins the session again.
    pub discards: bool,
}

struct Pending {
    change: Change,
    /// The round of the statement; its ReadyForQuery has come.
    round: u64,
    answered: bool,
}

pub(super) enum Change {
    Set {
        name: String,
        value: String,
    },
    Reset {
        name: String,
    },
    ResetAll,
    /// A statement prepared by protocol, by the client's name.
    Deallocate {
        name: String,
    },
    DeallocateAll,
    DiscardAll,
}

// === impl SessionSettings ===

impl SessionSettings {
    pub(super) fn new(startup: Arc<Settings>, wanted: Arc<Settings>) -> Self {
        let (defaults, pending, wishes) = ((0, Vec::new()), Vec::new(), Wishes::default());
        let mut settings = Self { startup, wanted, defaults, wishes, pending, discards: false };
        settings.heed();
        settings
    }

    /// What the client asked for when it connected, but for its name, as SQL.
    pub(super) fn startup_but_name(&self) -> String {
        if self.startup.iter().all(|(name, _)| name == "application_name") {
            return String::new();
        }
        self.startup.without("application_name").sql_from(&Settings::default()).unwrap_or_default()
    }

    /// What the catalog's `version` says of the session's user.
    #[inline]
    pub(super) fn meet_defaults(&mut self, version: u64, defaults: impl FnOnce() -> Vec<(String, String)>) {
        if self.defaults.0 != version {
            self.defaults = (version, defaults());
            self.heed();
        }
    }

    /// What the server has now, whoever made it so.
    pub(super) fn want(&mut self, settings: Arc<Settings>) {
        self.wanted = settings;
        self.heed();
    }

    fn heed(&mut self) {
        self.wishes = Wishes::of(|name| self.wanted.get(name).or_else(|| self.by_default(name)));
    }

    pub(super) fn by_default(&self, name: &str) -> Option<&str> {
        self.defaults.1.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The server is lost: what it had not confirmed never took effect.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
        self.discards = false;
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
            for number in server.prepared.take_strays() {
                self.push_named(b'C', number);
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
        if let Some(open) = self.settings.pending.iter().rfind(|pending| pending.change.matters_to_statements()) {
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
        if !self.settings.pending.is_empty() {
            let is_answered = |pending: &Pending| pending.answered || pending.round <= round.number;
            let verdict = self.verdict(round);
            for mut pending in std::mem::take(&mut self.settings.pending) {
                let verdict = if pending.change.is_transactional() { verdict } else { Some(!round.failed) };
                match verdict.filter(|_| is_answered(&pending)) {
                    Some(true) => self.apply(server, pending.change),
                    Some(false) => {}
                    None => {
                        pending.answered = is_answered(&pending);
                        self.settings.pending.push(pending);
                    }
                }
            }
        }
        self.restore(server);
    }

    /// Whether changes of this round, or of the transaction it is in, take effect. `None`: the transaction decides.
    fn verdict(&mut self, round: &Round) -> Option<bool> {
        let (idle, failed, ends) = (self.status == TxStatus::Idle, round.failed, round.ends);
        match () {
            () if ends.none() && !idle => None,
            () if ends.none() => Some(!failed),
            // COMMIT, also AND CHAIN
            () if ends.rollbacks == 0 && !failed && (idle || ends.last) => Some(true),
            // ROLLBACK, also AND CHAIN (what was pending at a ROLLBACK TO has pinned the session)
            () if ends.commits == 0 && ends.rollbacks == 1 && !failed && ends.last => Some(false),
            // Several ends in one round: which change was before which can't be told, only PostgreSQL knows.
            () => {
                self.pin(Pin::Setting);
                Some(false)
            }
        }
    }

    /// RESET went to the server's defaults, where PostgreSQL would have gone to what the client asked for at its start:
    /// that is put right at once, and the client is told what it would have been told.
    #[inline]
    fn restore(&mut self, server: &mut Server) {
        if !Arc::ptr_eq(&server.settings, &self.settings.wanted)
            && self.status == TxStatus::Idle
            && self.passing == 0
            && !self.request_open
            && self.replies.is_quiet()
        {
            self.carry_settings(server);
        }
    }

    /// Whether a statement on its way decides what the messages behind it mean: names go, or settings return to what
    /// the client began with.
    pub(super) fn must_settle_first(&self) -> bool {
        let round = self.replies.round();
        let is_ahead = |pending: &Pending| !pending.change.is_set() && (pending.answered || pending.round < round);
        self.settings.pending.iter().any(is_ahead) && !self.replies.is_answered()
    }

    pub(super) fn pend(&mut self, change: Change) {
        let round = self.replies.round();
        self.settings.pending.push(Pending { change, round, answered: false });
    }

    fn apply(&mut self, server: &mut Server, change: Change) {
        let settings = &mut self.settings;
        match change {
            Change::Set { name, value } => {
                let was_carried = Arc::ptr_eq(&server.settings, &settings.wanted);
                settings.wanted = Arc::new(settings.wanted.with(&name, &value));
                server.settings = match was_carried {
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
            // The server's own goes by another name, and others may want it.
            Change::Deallocate { name } => {
                self.names.remove(name.as_bytes());
                self.count_names();
            }
            Change::DeallocateAll => {
                self.names.clear();
                self.count_names();
            }
            Change::DiscardAll => {
                server.settings = Arc::default();
                settings.wanted = Arc::clone(&settings.startup);
                self.names.clear();
                self.count_names();
                self.unpin();
            }
        }
        self.settings.heed();
    }

    /// DISCARD ALL was done: nothing is left that keeps the session on its server.
    fn unpin(&mut self) {
        if std::mem::take(&mut self.settings.discards) && self.pin != Pin::SessionMode && self.is_quiet() {
            self.pin = Pin::None;
            self.entry.set_pin(Pin::None);
            (self.dirty, self.resets, self.doubts) = (false, false, None);
            (self.pin_may_be_over, self.is_pinned_for_good) = (false, false);
        }
    }
}

// === impl Change ===

impl Change {
    /// What a SET or RESET changes, if it can be carried to another server.
    pub(super) fn of(text: &str) -> Option<impl Iterator<Item = Self>> {
        let changes = set::parse(text.as_bytes())?;
        Some(changes.into_iter().map(|change| match change {
            set::Change::Set { name, value } => Change::Set { name, value },
            set::Change::Reset { name } => Change::Reset { name },
            set::Change::ResetAll => Change::ResetAll,
        }))
    }

    /// Undone with its transaction. Statements are not.
    fn is_transactional(&self) -> bool {
        match self {
            Change::Set { .. } | Change::Reset { .. } | Change::ResetAll => true,
            Change::Deallocate { .. } | Change::DeallocateAll | Change::DiscardAll => false,
        }
    }

    fn matters_to_statements(&self) -> bool {
        match self {
            Change::Set { name, .. } | Change::Reset { name } => matters_to_statements(name),
            Change::ResetAll | Change::DiscardAll => true,
            Change::Deallocate { .. } | Change::DeallocateAll => false,
        }
    }

    fn is_set(&self) -> bool {
        matches!(self, Change::Set { .. })
    }
}
