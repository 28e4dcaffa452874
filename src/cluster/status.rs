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
