//! The safety net of reads: what a standby refuses, or is kept from by what it replays, is asked again elsewhere as long as
//! its client has seen no row of it.

use std::task::Context;
use std::time::Instant;

use super::begin::Beginning;
use super::exchange::Exchange;
use super::lesson::Lesson;
use super::replies::Undo;
use super::{Close, Session};
use crate::cluster::{Health, NodeId};
use crate::route::{Avoid, TxStatus};
use crate::wire::error::field;

/// Why a request is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// A standby can't do it.
    Refused,
    /// What a standby replays was in its way.
    Conflict,
    /// Its server was lost.
    Lost,
    /// A standby does not know a name that the primary may know: what made it is not replayed there yet.
    Outdated,
}

/// Of the request at the front, once it had to be asked again.
#[derive(Default)]
pub(super) struct Net {
    /// How often it was.
    pub(super) repeats: u8,
    /// It is not, from here on.
    until: Option<Instant>,
    /// Where it came to nothing.
    shunned: Avoid,
    /// No standby is asked any more, after what one has said.
    pub(super) was_refused: bool,
    /// What was learnt of it then, for as long as it is not proven.
    pub(super) lesson: Option<Box<Lesson>>,
}

/// A request is asked again at most so often.
pub(super) const MAX_REPEATS: u8 = 5;

/// What an error of a server in recovery may mean. Some of these SQLSTATEs have other causes as well: then the primary says
/// the same.
pub fn again(error: &[u8]) -> Option<Again> {
    match field(error, b'C')? {
        // A prepared statement's result is another one now: rows of that kind would surprise the client.
        b"0A000" if field(error, b'R') == Some(b"RevalidateCachedQuery") => None,
        // "cannot … in a read-only transaction", "cannot … during recovery"; "recovery is in progress"; "cannot access
        // temporary or unlogged relations during recovery", "cannot use serializable mode in a hot standby"; the file of an
        // unlogged table (COPY); "cannot assign TransactionIds during recovery".
        b"25006" | b"55000" | b"0A000" | b"58P01" | b"XX000" => Some(Again::Refused),
        // "canceling statement due to conflict with recovery"
        b"40001" | b"40P01" => Some(Again::Conflict),
        // Of a table, column, function, type or schema. A mistake is told by the primary then.
        b"42P01" | b"42703" | b"42883" | b"42704" | b"3F000" => Some(Again::Outdated),
        _ => None,
    }
}

// === impl Session ===

impl Session {
    /// Whether the request whose answer is this error, from the server at hand, is asked again. Then nothing of the answer
    /// is for the client.
    pub(super) fn asks_again(&mut self, ex: &mut Exchange, node: NodeId, why: Again) -> bool {
        let is_alone = self.replies.is_one_round() && !self.request_open;
        let may = self.status == TxStatus::Idle
            && self.inbox.mark.is_some()
            && matches!(ex.leaving, None | Some(Close::ByClient))
            && self.replies.copy.is_over()
            // What is behind a held BEGIN is begun anew with it.
            && (self.begin.is_held() || self.replies.is_plain_round())
            && !matches!(self.replies.beginning, Beginning::Failed { .. })
            && (is_alone || self.replies.rest_repeats())
            && self.shared.topology.load().primary != Some(node)
            && match why {
                Again::Refused | Again::Outdated => !self.net.was_refused,
                Again::Conflict | Again::Lost => self.has_time(),
            };
        if !may {
            return false;
        }
        ex.again = Some(why);
        self.replies.errors = self.replies.errors.saturating_sub(1);
        if is_alone && self.outbox.is_empty() && self.passing == 0 {
            // Its ReadyForQuery is all that is still to come: the server is as good as before.
            self.replies.outline.is_muted = true;
        } else {
            ex.lost = true;
        }
        true
    }

    /// Whether what was asked is asked elsewhere because the node does not answer any more, to nobody. It may yet, so only
    /// reads are.
    pub(super) fn gives_up(&mut self, ex: &Exchange, cx: &Context<'_>) -> bool {
        let Some(server) = &ex.server else { return false };
        self.inbox.mark.is_some()
            && server.entry.alarm.is_heard(cx)
            && matches!(self.shared.topology.load().node(server.node).health, Health::Down(_))
            && ex.leaving.is_none()
            && !self.replies.outline.is_past
            && self.status == TxStatus::Idle
            && self.replies.all_repeats()
            && self.has_time()
    }

    /// The answer of which nothing is for the client has ended: its server is given back, the request stands at the front.
    pub(super) async fn ask_elsewhere(&mut self, mut ex: Exchange) -> Result<(), Close> {
        let parameters = ex.withheld_parameters();
        let Some(mut server) = ex.server.take() else { return Err(Close::ServerGone) };
        while let Some(undo) = self.replies.undone.pop() {
            self.undo(&mut server, undo);
        }
        let outline = std::mem::take(&mut self.replies.outline);
        (self.wrote, self.changes_catalog, self.request_open) = (false, false, false);
        self.forget_request();
        if let (Some(mark), Some(why)) = (self.inbox.mark.take(), ex.again) {
            self.go_back(mark, server.node, why, outline.kept, outline.completed);
        }
        self.worker.buffers.give(&mut ex.buffer);
        if self.status == TxStatus::Idle {
            self.release_after_cancel(server).await;
        } else {
            // In the transaction of a BEGIN that is held again.
            self.abandon(server, false);
            (self.status, self.dirty, self.replies.beginning) = (TxStatus::Idle, false, Beginning::None);
        }
        self.send(&parameters).await
    }

    /// What was noted of requests that were taken in and came to nothing.
    pub(super) fn forget_request(&mut self) {
        self.settings.forget_pending();
        self.lost_names.clear();
        (self.routed, self.flushed, self.doubts) = (false, false, None);
        self.commit_bound_in = None;
        self.commit_is_answered();
        self.pin = self.settled_pin;
        self.entry.set_pin(self.pin);
    }

    /// The request whose first byte stands at `mark` is asked of another server than one of `node`. `kept`: what was
    /// acknowledged of names; `completed`: so many of its statements were.
    pub(super) fn go_back(&mut self, mark: usize, node: NodeId, why: Again, kept: Vec<Undo>, completed: usize) {
        for undo in kept.into_iter().rev() {
            match undo {
                Undo::Parse { client: Some(name), .. } => drop(self.names.remove(&name)),
                Undo::Close { name, statement } => self.names.insert(&name, statement),
                _ => {}
            }
        }
        self.count_names();
        (self.inbox.start, self.passing, self.inbox.mark) = (mark, 0, None);
        self.net.repeats = self.net.repeats.saturating_add(1);
        self.net.until.get_or_insert_with(|| Instant::now() + self.config.routing.retry_deadline);
        self.net.shunned = self.net.shunned.and(node);
        if matches!(why, Again::Refused | Again::Outdated) {
            // It writes after all, or can't be done there: no standby can.
            self.net.was_refused = true;
            let topology = self.shared.topology.load();
            self.net.shunned = topology.standbys.iter().fold(self.net.shunned, |all, standby| all.and(*standby));
        }
        if why == Again::Refused {
            self.learn(completed);
        }
        self.avoid = self.net.shunned;
        self.count_replay();
        let counters = &self.shared.counters;
        counters.requests_repeated.add(1);
        match why {
            Again::Refused => counters.reads_refused.add(1),
            Again::Conflict => counters.read_conflicts.add(1),
            Again::Lost => counters.reads_lost.add(1),
            Again::Outdated => counters.reads_outdated.add(1),
        }
        tracing::debug!(client = %self.entry.addr, ?why, repeats = self.net.repeats, "a request is asked again");
    }

    /// Whether it may be asked again once more.
    pub(super) fn has_time(&self) -> bool {
        let deadline = self.config.routing.retry_deadline;
        !deadline.is_zero()
            && self.net.repeats < MAX_REPEATS
            && self.net.until.is_none_or(|until| Instant::now() < until)
    }

    /// The request at the front is answered; `failed`: with an error.
    #[inline]
    pub(super) fn net_is_over(&mut self, failed: bool) {
        if self.net.repeats > 0 {
            let net = std::mem::take(&mut self.net);
            if let Some(lesson) = net.lesson
                && failed
            {
                self.unlearn(&lesson);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::PgError;

    fn told(sqlstate: &str, routine: &str) -> Option<Again> {
        let mut error = PgError::error(sqlstate, "").to_bytes();
        error.splice(error.len() - 1.., format!("R{routine}\0\0").bytes());
        again(&error[5..])
    }

    #[test]
    fn what_only_the_primary_can_is_told_from_what_nobody_can() {
        for sqlstate in ["25006", "55000", "0A000", "58P01", "XX000"] {
            assert_eq!(told(sqlstate, "x"), Some(Again::Refused), "{sqlstate}");
        }
        for sqlstate in ["40001", "40P01"] {
            assert_eq!(told(sqlstate, "ProcessInterrupts"), Some(Again::Conflict), "{sqlstate}");
        }
        for sqlstate in ["42P01", "42703", "42883", "42704", "3F000"] {
            assert_eq!(told(sqlstate, "x"), Some(Again::Outdated), "{sqlstate}");
        }
        // Canceled, timed out, out of memory, broken data, a mistake.
        for sqlstate in ["57014", "25P03", "53200", "XX001", "XX002", "42601", "22012", "25P02", "55P03"] {
            assert_eq!(told(sqlstate, "x"), None, "{sqlstate}");
        }
        assert_eq!(told("0A000", "RevalidateCachedQuery"), None);
        assert_eq!(again(b""), None);
    }
}
