//! What follows from a ReadyForQuery: changes take effect, what failed is undone, the books are kept.

use std::time::Instant;

use super::ends::Round;
use super::replies::{Awaited, Undo};
use super::resolve::Xid;
use super::{Close, Session};
use crate::config::PoolMode;
use crate::route::TxStatus;
use crate::server::Server;
use crate::wire::error::{PgError, sqlstate};

/// No client and no count: nobody's unnamed statement, but there may be one.
const UNKNOWN_UNNAMED: (u64, u64) = (u64::MAX, 0);

impl Session {
    /// A ReadyForQuery came.
    pub(super) fn after_round(&mut self, server: &mut Server, round: Round, sent_at: Instant) -> Result<(), Close> {
        self.status = round.status;
        // The last one first: the names become what they were.
        while let Some(undo) = self.replies.undone.pop() {
            self.undo(server, undo);
        }
        if let Some(error) = round.injected_error {
            server.settings = Default::default();
            self.dirty = true;
            return Err(Close::Error(PgError { severity: "FATAL".into(), ..*error }));
        }
        if self.is_quiet() {
            self.lost_names.clear();
            self.refused.clear();
            self.replies.refuses = false;
        }
        if round.awaited.is_ours() || round.awaited == Awaited::OwnSync {
            // The rest of the client's request belongs to another server, where it must not happen either.
            self.skipping |= round.awaited == Awaited::OwnSync && round.failed;
            if round.awaited == Awaited::Leftovers {
                self.meet_leftovers(server);
            }
            // Who is kept by what was found is not asked about it again before the client has asked for something.
            if round.awaited != Awaited::Leftovers || self.doubts.is_some() {
                self.ask_for_leftovers(server);
            }
            return Ok(());
        }
        self.note_begun();
        self.settle_changes(server, &round);
        if std::mem::take(&mut self.replies.stale_statement) {
            self.meet_stale_statement();
        }
        self.note_writes(server.node);
        if self.changes_catalog && self.status == TxStatus::Idle {
            self.changes_catalog = false;
            self.catalog.invalidate(Instant::now());
        }
        if self.status == TxStatus::Idle {
            self.settle_pin();
            self.commit_bound_in = None;
            self.end_reading();
        }
        if self.replies.is_answered() {
            self.commit_is_answered();
        }
        self.net_is_over(round.failed);
        self.keep_what_follows(round.end);
        self.replies.xid = Xid::Unknown;
        self.count_round(sent_at);
        self.ask_for_leftovers(server);
        if self.config.pool.mode == PoolMode::Statement && self.status != TxStatus::Idle {
            return Err(Close::Error(
                PgError::fatal(
                    sqlstate::PROTOCOL_VIOLATION,
                    "transaction blocks not allowed in statement pooling mode",
                )
                .with_hint("pool.mode = \"transaction\" allows them."),
            ));
        }
        Ok(())
    }

    fn count_round(&mut self, sent_at: Instant) {
        let now = Instant::now();
        let took = now.saturating_duration_since(sent_at);
        let errors = std::mem::take(&mut self.replies.errors);
        let cell = self.cell();
        cell.queries.add(1);
        cell.errors.add(errors);
        cell.server.record(took);
        cell.query_time_us.add(took.as_micros() as u64);
        if self.status == TxStatus::Idle {
            cell.xacts.add(1);
            cell.xact_time_us.add(now.saturating_duration_since(self.transaction_at).as_micros() as u64);
        }
        let limit = self.config.log.slow_statement;
        if !limit.is_zero() && took >= limit {
            self.log_slow(took);
        }
        self.request_at = now;
    }

    pub(super) fn undo(&mut self, server: &mut Server, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::ParseUnnamed { count, own } => {
                if server.unnamed == Some((self.entry.id, count)) {
                    // Skipped or failed: the server may still have the one before, whosever it was.
                    server.unnamed = Some(UNKNOWN_UNNAMED);
                }
                if own {
                    self.names.restore_unnamed(count, None);
                }
            }
            Undo::Parse { client, server: prepared } => {
                if let Some((id, number)) = prepared {
                    server.prepared.remove(id, number);
                }
                if let Some(name) = client {
                    self.names.remove(&name);
                    self.count_names();
                    if let Some((_, number)) = prepared {
                        self.remember_lost(number, &name);
                    }
                }
            }
            Undo::Close { name, statement } => {
                self.names.insert(&name, statement);
                self.count_names();
            }
            Undo::DropUnnamed { dropped, count, on_server } => {
                self.names.restore_unnamed(count, dropped);
                server.unnamed = server.unnamed.or(on_server);
            }
            Undo::Stray { number } => server.prepared.add_stray(number),
        }
    }
}
