//! A COMMIT whose answer is lost: what became of its transaction is asked of the new primary, and told to the client as
//! PostgreSQL would have (`failover.outcome = "resolve"`).
//!
//! Ahead of the COMMIT, in the same write, the server is asked for the transaction's id. A number alone proves nothing: what
//! the new primary begins may get the same one. So it counts only below the first number that was free when the new primary
//! was opened.

use std::time::Instant;

use super::names::Statement;
use super::replies::Awaited;
use super::unanswered::push_done;
use super::{Refused, Session};
use crate::client::registry::Pin;
use crate::cluster::{NodeId, Opened, State};
use crate::config::{FailoverMode, Outcome};
use crate::route::TxStatus;
use crate::server::Server;
use crate::server::query::query;
use crate::sql::{Class, Kind};
use crate::wire::auth;
use crate::wire::frame::{self, Header};
use crate::wire::frontend::{self, Named};

const ASK: &str = "SELECT pg_catalog.pg_current_xact_id_if_assigned()";

/// `pg_current_xact_id_if_assigned` came with this version.
const FIRST_VERSION: u32 = 13;

/// A longer message is not looked at.
const LONGEST_COMMIT: usize = 100;

/// The id of the transaction that is being committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Xid {
    /// Nobody asked, or no answer came.
    #[default]
    Unknown,
    /// It has none: it wrote nothing.
    None,
    Is(u64),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    Committed,
    RolledBack,
    Unknown,
}

// === impl Xid ===

impl Xid {
    /// From the body of the DataRow that answers [`ASK`].
    pub fn from_row(body: &[u8]) -> Self {
        let Some((length, text)) = body.get(2..).and_then(|rest| rest.split_first_chunk::<4>()) else {
            return Self::Unknown;
        };
        if i32::from_be_bytes(*length) == -1 {
            return Self::None;
        }
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).map_or(Self::Unknown, Self::Is)
    }
}

// === impl Session: ahead of a COMMIT ===

impl Session {
    /// The frame at the front parses, binds or is a COMMIT, and nothing else is under way: its transaction's id is asked for.
    #[inline]
    pub(super) fn ask_for_xid(&mut self, server: &mut Server, class: Class, text: &[u8]) {
        if class.kind == Kind::Commit && self.config.failover.outcome == Outcome::Resolve {
            self.ask_if_alone(server, text);
        }
    }

    /// The same for a whole Query or Parse.
    #[inline]
    pub(super) fn ask_ahead_of_text(&mut self, server: &mut Server, header: Header) {
        if self.config.failover.outcome == Outcome::Resolve && header.size <= LONGEST_COMMIT {
            let frame = self.front(header);
            let text = match header.tag {
                b'Q' => frontend::query_text(frame),
                _ => frontend::parse(frame).map(|parse| parse.text),
            };
            if let Some(text) = text.map(<[u8]>::to_vec) {
                let class = self.classify(&text);
                self.ask_for_xid(server, class, &text);
            }
        }
    }

    /// The same for the client's unnamed statement.
    pub(super) fn ask_for_xid_of_unnamed(&mut self, server: &mut Server) {
        if let Some(unnamed) = self.names.unnamed()
            && unnamed.class.kind == Kind::Commit
        {
            let (class, text) = (unnamed.class, unnamed.tail.to_vec());
            self.ask_for_xid(server, class, &text);
        }
    }

    fn ask_if_alone(&mut self, server: &mut Server, text: &[u8]) {
        let chains = text.windows(5).any(|word| word.eq_ignore_ascii_case(b"chain"));
        if self.status != TxStatus::InTransaction
            || self.request_open
            || !self.replies.is_quiet()
            || self.pin != Pin::None
            || self.settings.has_pending()
            || chains
            || major_version(server) < FIRST_VERSION
        {
            return;
        }
        self.outbox.push_own(|out| frontend::push_query(out, ASK));
        self.replies.await_ready(Awaited::Xid);
        server.unnamed = None;
        self.keep_request();
        let topology = self.shared.topology.load();
        self.commit_timeline = topology.node(server.node).observation.as_ref().map(|seen| seen.timeline);
    }
}

fn major_version(server: &Server) -> u32 {
    let version = server.reported.iter().find(|(name, _)| name == "server_version");
    let major = version.and_then(|(_, version)| version.split(|c: char| !c.is_ascii_digit()).next());
    major.and_then(|major| major.parse().ok()).unwrap_or(0)
}

// === impl Session: behind it ===

impl Session {
    /// Waits for the new primary, as long as a request may be held, and asks it.
    pub(super) async fn resolve(&mut self, lost: NodeId, xid: Xid) -> Resolved {
        let xid = match xid {
            Xid::Unknown => return Resolved::Unknown,
            Xid::None => return Resolved::Committed,
            Xid::Is(xid) => xid,
        };
        let Some(timeline) = self.commit_timeline else { return Resolved::Unknown };
        let limits = &self.config.failover;
        if limits.mode == FailoverMode::Off {
            return Resolved::Unknown;
        }
        let Some(_place) = self.shared.held.admit(0, limits.max_held, limits.max_held_bytes) else {
            return Resolved::Unknown;
        };
        self.begin_wait();
        let asked = tokio::time::timeout(limits.hold_timeout, self.ask_new_primary(lost, timeline, xid));
        let resolved = self.unless_interrupted(asked).await;
        let canceled = self.end_wait();
        let resolved = match resolved {
            Ok(Ok(resolved)) if !canceled => resolved,
            Ok(_) | Err(Refused::Gone(_) | Refused::Error(_)) => Resolved::Unknown,
        };
        tracing::info!(client = %self.entry.addr, xid, ?resolved, "a COMMIT in doubt");
        resolved
    }

    async fn ask_new_primary(&self, lost: NodeId, timeline: u32, xid: u64) -> Resolved {
        let lost_at = Instant::now();
        let mut watcher = self.shared.topology.watch();
        let opened = loop {
            {
                let topology = self.shared.topology.load();
                let opened = topology.status.opened.as_ref();
                if let Some(opened) = opened.filter(|opened| opened.timeline == timeline + 1) {
                    break opened.clone();
                }
                // Only a connection was lost: whether its number was used again can't be known.
                let seen = topology.node(lost).observation.as_ref().map(|seen| seen.at);
                let lives = topology.primary == Some(lost) && topology.status.state == State::Up;
                if lives && seen.is_some_and(|seen| seen > lost_at) {
                    return Resolved::Unknown;
                }
            }
            watcher.changed().await;
        };
        match verdict_by_number(xid, &opened) {
            Some(verdict) => verdict,
            None => self.ask(&opened, xid).await,
        }
    }

    async fn ask(&self, opened: &Opened, xid: u64) -> Resolved {
        let key = crate::pool::PoolKey {
            node: opened.node,
            database: std::sync::Arc::clone(&self.database),
            user: std::sync::Arc::clone(&self.user),
        };
        let pool = self.shared.pools.pool(&key);
        let Ok(mut checkout) = pool.checkout(self.worker.index).await else { return Resolved::Unknown };
        let sql = format!("SELECT pg_catalog.pg_xact_status('{xid}'::pg_catalog.xid8)");
        let rows = query(&mut checkout.stream, &sql, self.config.failover.hold_timeout, 4096).await;
        let Ok(rows) = rows else { return Resolved::Unknown };
        checkout.unnamed = None;
        checkout.give_back(Instant::now());
        match rows.first().and_then(|row| row.first()?.as_deref()) {
            Some("committed") => Resolved::Committed,
            Some("aborted") => Resolved::RolledBack,
            _ => Resolved::Unknown,
        }
    }

    /// What PostgreSQL would have answered to the messages between these positions of the inbox: a COMMIT and what belongs
    /// to it. `None`: there is more to them.
    pub(super) fn answer_to_commit(&mut self, from: usize, to: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(64);
        let (mut at, mut runs) = (from, 0);
        let mut names = Vec::new();
        while at < to {
            let header = frame::header(self.inbox.range(at, to)).ok()??;
            let frame = self.inbox.range(at, (at + header.size).min(to));
            match header.tag {
                b'Q' => {
                    push_done(&mut out, "COMMIT");
                    auth::push_ready_for_query(&mut out, TxStatus::Idle.as_byte());
                    runs += 1;
                }
                b'P' => {
                    let parse = frontend::parse(frame)?;
                    names.push((Box::<[u8]>::from(parse.name), Box::<[u8]>::from(parse.tail)));
                    out.extend_from_slice(b"1\0\0\0\x04");
                }
                b'B' => out.extend_from_slice(b"2\0\0\0\x04"),
                b'D' => {
                    if let Named::Statement(_) = frontend::named(frame)? {
                        out.extend_from_slice(b"t\0\0\0\x06\0\0");
                    }
                    out.extend_from_slice(b"n\0\0\0\x04");
                }
                b'E' => {
                    push_done(&mut out, "COMMIT");
                    runs += 1;
                }
                b'S' => auth::push_ready_for_query(&mut out, TxStatus::Idle.as_byte()),
                b'H' => {}
                _ => return None,
            }
            at += header.size;
        }
        if runs != 1 || at != to {
            return None;
        }
        for (name, tail) in names {
            let class = self.classify_by(tail.split(|b| *b == 0).next().unwrap_or_default());
            match name.is_empty() {
                true => drop(self.names.set_unnamed(&tail, class)),
                false => {
                    let statement = Statement::new(&tail, class, self.shared.seed, self.generation);
                    self.names.insert(&name, std::sync::Arc::new(statement));
                    self.count_names();
                }
            }
        }
        Some(out)
    }
}

/// What the number alone tells. `None`: the new primary must be asked.
fn verdict_by_number(xid: u64, opened: &Opened) -> Option<Resolved> {
    match opened.xmax {
        None => Some(Resolved::Unknown),
        Some(xmax) if xid >= xmax => Some(Resolved::RolledBack),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_the_new_primary_had_not_seen_is_rolled_back() {
        let opened =
            |xmax| Opened { node: NodeId(1), timeline: 2, at: Instant::now(), xmax, lost_bytes: 0, took_ms: 0 };
        assert_eq!(verdict_by_number(700, &opened(None)), Some(Resolved::Unknown));
        assert_eq!(verdict_by_number(700, &opened(Some(700))), Some(Resolved::RolledBack));
        assert_eq!(verdict_by_number(699, &opened(Some(700))), None);
    }

    #[test]
    fn the_row_that_tells_the_number_is_read() {
        assert_eq!(Xid::from_row(b"\0\x01\0\0\0\x03742"), Xid::Is(742));
        assert_eq!(Xid::from_row(b"\0\x01\xff\xff\xff\xff"), Xid::None);
        assert_eq!(Xid::from_row(b"\0\x01"), Xid::Unknown);
        assert_eq!(Xid::from_row(b"\0\x01\0\0\0\x02ab"), Xid::Unknown);
    }
}
