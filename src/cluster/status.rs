//! Where the cluster stands, for operators: `SHOW CLUSTER`.

use std::time::Instant;

use super::node::NodeId;
use super::quorum::Quorum;

#[derive(Clone, Debug, Default)]
pub struct Status {
    pub state: State,
    /// When `state` began; `None`: at the start.
    pub since: Option<Instant>,
    /// What it waits for, in words.
    pub waits_for: Option<String>,
    /// What the operator can do.
    pub advice: Option<String>,
    /// As the primary told last: who must have a write before it is acknowledged.
    pub quorum: Option<Quorum>,
    /// Automatic failovers are paused by the operator.
    pub is_paused: bool,
    pub detached: Vec<NodeId>,
    /// The last failover or switchover of ours.
    pub opened: Option<Opened>,
    /// Of ours, since the start.
    pub failovers: u64,
    pub switchovers: u64,
}

/// A new primary was let write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub node: NodeId,
    /// Its own.
    pub timeline: u32,
    pub at: Instant,
    /// No transaction id from this one on was used before the promotion: on the lost primary it was, if at all, rolled
    /// back. `None`: not known.
    pub xmax: Option<u64>,
    /// WAL the lost primary had told of and the new one never had, bytes.
    pub lost_bytes: u64,
    /// From the order to the first write, ms.
    pub took_ms: u64,
}

/// Of the primary, and of what is done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// None is known, and nothing is done about it.
    #[default]
    Unknown,
    Up,
    /// It has no connection left (53300): that is no failure.
    Full,
    /// It answers, and says that it is starting, or in crash recovery (57P03).
    Refusing,
    /// It says that it is shutting down.
    ShuttingDown,
    /// It does not answer; its standbys are asked.
    Suspect,
    /// A standby hears it: only we don't.
    Partitioned,
    /// Too few standbys can be asked.
    Blind,
    /// Its standbys have lost it as well.
    Dead,
    /// It is dead, and nobody is promoted: paused, manual, or no candidate.
    Held,
    /// A switchover waits for transactions to end, then for the standby to have everything.
    Draining,
    /// The standbys are cut off it.
    Revoking,
    /// A standby was told to become the primary.
    Promoting,
    /// The new primary's first write is awaited.
    Opening,
}

// === impl State ===

impl State {
    pub const ALL: [State; 14] = [
        State::Unknown,
        State::Up,
        State::Full,
        State::Refusing,
        State::ShuttingDown,
        State::Suspect,
        State::Partitioned,
        State::Blind,
        State::Dead,
        State::Held,
        State::Draining,
        State::Revoking,
        State::Promoting,
        State::Opening,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            State::Unknown => "no primary",
            State::Up => "up",
            State::Full => "full",
            State::Refusing => "refusing",
            State::ShuttingDown => "shutting down",
            State::Suspect => "suspect",
            State::Partitioned => "partitioned",
            State::Blind => "blind",
            State::Dead => "dead",
            State::Held => "held",
            State::Draining => "draining",
            State::Revoking => "revoking",
            State::Promoting => "promoting",
            State::Opening => "opening",
        }
    }
}

/// What may follow what, as others see it (a step may pass through several), and why. ARCHITECTURE.md draws it.
pub const TRANSITIONS: &[(State, State, &str)] = &[
    (State::Unknown, State::Up, "a primary answers"),
    (State::Unknown, State::Suspect, "the primary that was served last does not answer"),
    (State::Unknown, State::Promoting, "an earlier process had told a standby"),
    (State::Unknown, State::Opening, "an earlier process had told a standby, and it is a primary"),
    (State::Up, State::Unknown, "two primaries, or it is no primary any more"),
    (State::Up, State::Full, "53300"),
    (State::Up, State::Suspect, "a probe failed"),
    (State::Up, State::Draining, "SWITCHOVER"),
    (State::Up, State::Revoking, "FAILOVER … FORCE"),
    (State::Full, State::Up, "it admits the monitor again"),
    (State::Suspect, State::Up, "it answers"),
    (State::Suspect, State::Refusing, "57P03"),
    (State::Suspect, State::ShuttingDown, "57P01"),
    (State::Suspect, State::Partitioned, "a standby hears it"),
    (State::Suspect, State::Blind, "too few standbys can tell"),
    (State::Suspect, State::Dead, "its standbys have lost it"),
    (State::Suspect, State::Held, "dead, but nobody may or can be promoted"),
    (State::Suspect, State::Revoking, "dead"),
    (State::Refusing, State::Up, "it is back"),
    (State::Refusing, State::Dead, "for too long"),
    (State::ShuttingDown, State::Revoking, "it is gone"),
    (State::Partitioned, State::Up, "it answers"),
    (State::Partitioned, State::Revoking, "its standbys have lost it"),
    (State::Blind, State::Up, "it answers"),
    (State::Blind, State::Revoking, "enough standbys can tell"),
    (State::Dead, State::Up, "it answers within the grace"),
    (State::Dead, State::Refusing, "57P03: it restarts"),
    (State::Dead, State::Revoking, "the grace is over"),
    (State::Held, State::Up, "it answers"),
    (State::Held, State::Revoking, "what held it is over, or FAILOVER"),
    (State::Draining, State::Up, "the standby did not catch up"),
    (State::Draining, State::Suspect, "the primary failed meanwhile"),
    (State::Draining, State::Revoking, "the standby has everything"),
    (State::Revoking, State::Up, "undone: it answers, or SWITCHOVER came to nothing"),
    (State::Revoking, State::Blind, "undone: too few could be cut off"),
    (State::Revoking, State::Held, "undone: no candidate"),
    (State::Revoking, State::Draining, "it was written to meanwhile"),
    (State::Revoking, State::Promoting, "elected"),
    (State::Promoting, State::Suspect, "undone: it refused, the next one is told"),
    (State::Promoting, State::Held, "undone: the fence failed"),
    (State::Promoting, State::Revoking, "FAILOVER … FORCE: another one"),
    (State::Promoting, State::Opening, "it is a primary"),
    (State::Opening, State::Up, "its first write is acknowledged"),
];
