//! The server is lost while a session has it. The session goes on: its client hears what became of what it had asked, and
//! what can be asked again is.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::exchange::Exchange;
use super::fate::Fate;
use super::net::Again;
use super::resolve::Resolved;
use super::unanswered::{Unanswered, Words};
use super::{Close, Session};
use crate::client::registry::{Pin, Running};
use crate::cluster::NodeId;
use crate::net::Stream;
use crate::pool::Checkout;
use crate::route::TxStatus;
use crate::wire::error::{PgError, sqlstate};

/// Before it is asked for the third time, and twice, three times … as long after that.
const REPEAT_PAUSE: Duration = Duration::from_millis(30);

/// A node that does not answer a greeting within this is not alive.
const KNOCK_TIMEOUT: Duration = Duration::from_millis(250);

impl Session {
    /// The server of this exchange is gone.
    pub(super) async fn survive(&mut self, mut ex: Exchange) -> Result<(), Close> {
        let unanswered = self.replies.abandon(std::mem::take(&mut self.request_open));
        let Some(server) = ex.server.take() else { return Err(Close::ServerGone) };
        let node = server.node;
        let mark = self.inbox.mark.take();
        let mut unanswered = self.bury(server, unanswered, ex.again.is_none());
        let fates = unanswered.fates(self.status);
        let mut unknown = fates.rounds.iter().any(|(fate, _)| *fate == Fate::Unknown);
        if std::mem::take(&mut self.wrote) && unknown {
            // It may be there: a read that follows must show it then.
            self.has_written();
        }
        let goes_on = ex.leaving.is_none() && self.settled_pin == Pin::None && !unanswered.is_over;
        if let Some(mark) = mark
            && let Some(bytes) = self.goes_back(mark, node, &mut ex, &mut unanswered, goes_on && fates.repeats).await
        {
            self.worker.buffers.give(&mut ex.buffer);
            return self.send(&bytes).await;
        }
        self.net_is_over(true);
        ex.unwithhold();
        let (is_over, goes_on) = (unanswered.is_over || unanswered.is_cut, goes_on && !unanswered.is_cut);
        let was_held = self.begin.forget();
        let mut words = words();
        if let Some(mark) = mark
            && goes_on
            && !unanswered.outline.is_past
            && unanswered.is_one_commit()
        {
            match self.resolve(node, unanswered.xid).await {
                Resolved::Committed => {
                    if let Some(answer) = self.answer_to_commit(mark, self.inbox.start) {
                        self.worker.buffers.give(&mut ex.buffer);
                        self.status = TxStatus::Idle;
                        return self.send(&answer).await;
                    }
                }
                Resolved::RolledBack => (words.unknown, unknown) = (rolled_back(), false),
                Resolved::Unknown => {}
            }
        }
        self.count_loss(unknown);
        let mut bytes = ex.take_forward();
        self.worker.buffers.give(&mut ex.buffer);
        if goes_on && !unanswered.is_nothing() {
            let told = unanswered.obituary(self.status, &words);
            self.cell().errors.add(told.errors);
            (self.status, self.skipping) = (told.status, told.skips);
            bytes.extend_from_slice(&told.bytes);
        } else if was_held {
            // Nothing was asked of it yet: its next request hears of it.
            self.status = TxStatus::InTransaction;
        }
        self.send(&bytes).await?;
        match ex.leaving.take() {
            Some(close) => Err(close),
            None if is_over => Err(Close::ServerGone),
            None if self.settled_pin != Pin::None => Err(Close::Error(state_is_lost(self.settled_pin, unknown))),
            None => Ok(()),
        }
    }

    /// Whether what was asked, from `mark` on, is asked of another server. What is for the client meanwhile. `all_again`: it
    /// can be, all of it.
    async fn goes_back(
        &mut self,
        mark: usize,
        node: NodeId,
        ex: &mut Exchange,
        unanswered: &mut Unanswered,
        all_again: bool,
    ) -> Option<Vec<u8>> {
        if !unanswered.outline.is_past {
            if ex.again.is_none() && !(all_again && self.may_repeat(node, ex.said_goodbye).await) {
                return None;
            }
            let outline = std::mem::take(&mut unanswered.outline);
            self.go_back(mark, node, ex.again.unwrap_or(Again::Lost), outline.kept, outline.completed);
            return Some(ex.withheld_parameters());
        }
        // Of the first one the client has a part already.
        let goes_on = ex.leaving.is_none() && !unanswered.is_over && !unanswered.is_cut;
        if !goes_on || !unanswered.rest_repeats() || !self.may_repeat(node, ex.said_goodbye).await {
            return None;
        }
        self.net_is_over(true);
        self.go_back(mark, node, Again::Lost, Vec::new(), 0);
        unanswered.keep_first();
        self.count_loss(unanswered.fates(self.status).rounds.iter().any(|(fate, _)| *fate == Fate::Unknown));
        let told = unanswered.obituary(self.status, &words());
        self.cell().errors.add(told.errors);
        let mut bytes = ex.take_forward();
        bytes.extend_from_slice(&told.bytes);
        Some(bytes)
    }

    fn count_loss(&self, unknown: bool) {
        let counters = &self.shared.counters;
        match unknown {
            true => counters.outcomes_unknown.add(1),
            false if self.status == TxStatus::InTransaction => counters.transactions_lost.add(1),
            false => {}
        }
    }

    /// The first time always. Then not if it looks as if the request itself made its server crash: it would do so on every
    /// node. A node that is gone as a whole did not die of it, nor did a server that PostgreSQL ended in good order.
    async fn may_repeat(&self, node: NodeId, said_goodbye: bool) -> bool {
        match self.net.repeats {
            _ if !self.has_time() => false,
            0 => true,
            repeats => {
                // A node that has just died leaves many dead servers in its pool: not one after the other in a millisecond.
                tokio::time::sleep(REPEAT_PAUSE * u32::from(repeats)).await;
                let topology = self.shared.topology.latest();
                let serves = topology.primary == Some(node) || topology.standbys.contains(&node);
                let node = self.shared.pools.node(node);
                said_goodbye || !serves || !answers((node.host.as_str(), node.port)).await
            }
        }
    }

    /// The session has no server any more; what the server had not confirmed is as it was before.
    /// `lost`: and so has its node, for all we know.
    fn bury(&mut self, mut server: Checkout, mut unanswered: Unanswered, lost: bool) -> Unanswered {
        if lost {
            tracing::warn!(node = %self.pool.node.host, port = self.pool.node.port, client = %self.entry.addr,
                process_id = server.key.process_id, "a server was lost while a client had it");
            self.shared.doubt(server.node);
        }
        while let Some(op) = unanswered.ops.pop() {
            self.undo(&mut server, op.undo);
        }
        if std::mem::take(&mut self.changes_catalog) {
            self.catalog.invalidate(std::time::Instant::now());
        }
        server.discard();
        self.entry.server_id.store(0, Relaxed);
        self.entry.lock_cancel().what = Running::Nothing;
        self.outbox.clear();
        self.dirty = false;
        self.forget_request();
        unanswered
    }
}

/// Whether a PostgreSQL is there. One that is frozen, or about to be gone, may still accept connections.
async fn answers(address: (&str, u16)) -> bool {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
    let asked = async {
        let mut stream = Stream::connect(address).await.ok()?;
        stream.write_all(&SSL_REQUEST).await.ok()?;
        stream.read_u8().await.ok()
    };
    matches!(tokio::time::timeout(KNOCK_TIMEOUT, asked).await, Ok(Some(b'S' | b'N')))
}

fn words() -> Words {
    Words {
        unknown: PgError::error(
            sqlstate::TRANSACTION_RESOLUTION_UNKNOWN,
            "the server was lost before it answered; whether the transaction was committed is not known",
        )
        .with_hint("Check whether it was before you repeat it."),
        rolled_back: rolled_back(),
        not_done: PgError::error(
            sqlstate::CONNECTION_FAILURE,
            "the server was lost before it answered; the statement changed nothing",
        )
        .with_hint("It can be repeated."),
        failed: failed(),
    }
}

/// To whom has a transaction open.
pub(super) fn rolled_back() -> PgError {
    PgError::error(sqlstate::SERIALIZATION_FAILURE, "the transaction was rolled back: the server was lost (failover)")
        .with_hint("Repeat the transaction from its beginning.")
}

/// As PostgreSQL puts it.
pub(super) fn failed() -> PgError {
    PgError::error(
        sqlstate::IN_FAILED_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

/// To whom had something that only the lost server had.
fn state_is_lost(pin: Pin, unknown: bool) -> PgError {
    let what = match pin {
        Pin::SessionMode => "the session's own state (pool.mode = \"session\")",
        Pin::Setting => "settings",
        Pin::TemporaryTable => "temporary tables",
        Pin::HoldCursor => "cursors WITH HOLD",
        Pin::Listen => "LISTEN",
        Pin::AdvisoryLock => "advisory locks",
        Pin::SqlPrepare => "statements of SQL's PREPARE",
        Pin::Load => "libraries it had loaded",
        Pin::LargeStatement => "a prepared statement too large to keep (limits.max_statement_bytes)",
        Pin::None | Pin::Unknown => "the session's state",
    };
    if unknown {
        let message = "the server was lost before it answered; whether the transaction was committed is not known";
        return PgError::fatal(sqlstate::TRANSACTION_RESOLUTION_UNKNOWN, message)
            .with_detail(format!("Lost with the server: {what}."))
            .with_hint("Connect again, and check whether it was before you repeat it.");
    }
    PgError::fatal(sqlstate::ADMIN_SHUTDOWN, format!("the server was lost, and with it {what}"))
        .with_hint("Connect again.")
}
