//! One PostgreSQL: what it holds, what it answers to a probe, what it does when it is told to (see the docs of `Command`).

use std::collections::BTreeMap;
use std::time::Instant;

use pgherd::cluster::{Command, Lsn, Observation};

use super::wal::{Branches, Position};

/// Milliseconds, as all times here.
pub(super) type Ms = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Serves,
    /// Answers 57P03.
    Starts,
    /// Killed: its machine refuses connections.
    Dead,
    /// Without power: nobody answers.
    Gone,
}

/// `synchronous_standby_names`.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) needed: usize,
    /// `FIRST`, not `ANY`.
    pub(super) is_first: bool,
    /// In their order; empty: nobody is waited for.
    pub(super) list: Vec<usize>,
}

pub(super) struct Node {
    pub(super) index: usize,
    pub(super) life: Life,
    pub(super) is_frozen: bool,
    /// 53300 for the monitor.
    pub(super) is_full: bool,
    /// The monitor's password is wrong.
    pub(super) denies: bool,
    pub(super) is_stopping: bool,
    pub(super) is_primary: bool,
    /// The promotion is under way; its number.
    pub(super) promotion: Option<u64>,
    /// Flushed.
    pub(super) at: Position,
    /// After a restart: bytes that are still to be replayed at first, from when, for how long.
    pub(super) replay: (u64, Ms, Ms),
    /// It has streamed since its start: then it knows what it has received.
    pub(super) has_streamed: bool,
    pub(super) upstream: usize,
    pub(super) is_severed: bool,
    pub(super) receiver: Option<Receiver>,
    /// Of the next try to connect; older ones are void.
    pub(super) attempt: u64,
    pub(super) names: Names,
    /// Its WAL senders, by standby.
    pub(super) senders: BTreeMap<usize, Sender>,
    pub(super) waiting: Vec<Waiting>,
    /// Which process of the coordinator holds the lock.
    pub(super) lock: Option<u32>,
    /// What it was about to do when it froze: (by which process, number).
    pub(super) pending: Vec<(u32, u64, Command)>,
}

#[derive(Clone, Copy)]
pub(super) struct Receiver {
    pub(super) connection: u64,
    pub(super) from: usize,
    pub(super) heard: Ms,
}

pub(super) struct Sender {
    pub(super) connection: u64,
    pub(super) flushed: u64,
}

/// A commit that waits for the standbys.
pub(super) struct Waiting {
    pub(super) lsn: u64,
    pub(super) writer: Writer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// A client of the proxy's.
    Client,
    /// Somebody who does not ask the proxy.
    Stranger,
    /// `Command::Open`: which process ordered it, and the order's number.
    Opener(u32, u64),
}

// === impl Node ===

impl Node {
    pub(super) fn new(index: usize, upstream: Option<usize>, names: Names) -> Self {
        Self {
            index,
            life: Life::Serves,
            is_frozen: false,
            is_full: false,
            denies: false,
            is_stopping: false,
            is_primary: upstream.is_none(),
            promotion: None,
            at: Position { branch: 0, lsn: 100_000 },
            replay: (0, 0, 1),
            has_streamed: false,
            upstream: upstream.unwrap_or(0),
            is_severed: false,
            receiver: None,
            attempt: 0,
            names,
            senders: BTreeMap::new(),
            waiting: Vec::new(),
            lock: None,
            pending: Vec::new(),
        }
    }

    /// Its processes do something.
    pub(super) fn runs(&self) -> bool {
        self.life == Life::Serves && !self.is_frozen
    }

    pub(super) fn is_standby(&self) -> bool {
        !self.is_primary
    }

    pub(super) fn not_replayed(&self, now: Ms) -> u64 {
        let (bytes, since, takes) = self.replay;
        bytes - bytes * (now.saturating_sub(since)).min(takes) / takes
    }

    /// What it would tell a probe.
    pub(super) fn observe(&self, branches: &Branches, now: Ms, at: Instant) -> Observation {
        let replayed = self.at.lsn - self.not_replayed(now);
        // greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), but the former is NULL after a restart: until all that
        // it has is replayed, nobody can tell how far it goes.
        let is_known = self.is_primary || self.has_streamed || replayed == self.at.lsn;
        let severed_from = (!self.is_primary && self.is_severed).then(|| address(self.upstream));
        Observation {
            at,
            round_trip_us: 100,
            in_recovery: !self.is_primary,
            system_identifier: 7,
            timeline: branches.timeline(self.at.branch),
            received: is_known.then_some(Lsn(self.at.lsn)),
            replayed: Some(Lsn(replayed)),
            inserted: self.is_primary.then_some(Lsn(self.at.lsn)),
            is_replay_paused: false,
            replay_delay_ms: None,
            has_receiver: self.receiver.is_some(),
            upstream: self.receiver.map(|receiver| address(receiver.from)),
            heard_ms: self.receiver.map(|receiver| now - receiver.heard),
            severed_from,
            sync_name: (!self.is_primary).then(|| format!("pg{}", self.index)),
            sync_names: Some(self.names.to_string()),
            version_num: 150_018,
            version: "15.18".into(),
        }
    }

    /// Up to where its standbys have acknowledged enough.
    pub(super) fn released(&self) -> u64 {
        let names = &self.names;
        if names.list.is_empty() {
            return u64::MAX;
        }
        let of = |name: &usize| self.senders.get(name).map(|sender| sender.flushed);
        let mut flushed: Vec<u64> = names.list.iter().filter_map(of).collect();
        if flushed.len() < names.needed {
            return 0;
        }
        if names.is_first {
            return flushed[..names.needed].iter().copied().min().unwrap_or(0);
        }
        flushed.sort_unstable_by_key(|lsn| std::cmp::Reverse(*lsn));
        flushed[names.needed - 1]
    }
}

// === impl Names ===

impl Names {
    /// How many of them, cut off, leave too few.
    pub(super) fn to_revoke(&self) -> usize {
        self.list.len() + 1 - self.needed
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.list.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = self.list.iter().map(|index| format!("pg{index}")).collect();
        let method = if self.is_first { "FIRST" } else { "ANY" };
        write!(f, "{method} {} ({})", self.needed, list.join(", "))
    }
}

pub(super) fn address(index: usize) -> (String, u16) {
    (format!("pg{index}"), 5432)
}
