//! What the controller hears and what it wants done: the words between it and the shell (`monitor`).

use super::node::{NodeId, Observation};
use super::order::{Order, OrderId};
use super::record::Record;
use super::topology::Topology;

#[derive(Clone, Debug)]
pub enum Event {
    Observed {
        node: NodeId,
        observation: Observation,
    },
    ProbeFailed {
        node: NodeId,
        failure: Failure,
    },
    /// What became of an [`Action::Perform`].
    Performed {
        node: NodeId,
        command: Command,
        outcome: Outcome,
    },
    /// What became of an [`Action::Run`]: its exit code was 0, or why not.
    Ran {
        hook: Hook,
        result: Result<(), String>,
    },
    /// An operator wants something; [`Action::Answer`] answers.
    Ordered {
        id: OrderId,
        order: Order,
    },
    /// No client has a server of this node any more: see [`Controller::drains`](super::Controller::drains).
    Drained(NodeId),
    /// The [`deadline`](super::Controller::deadline) has passed.
    Tick,
}

/// Why a probe brought no observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// In words an operator understands.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Connection refused or reset, no route, no such host.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// PostgreSQL says it is not serving: starting up, shutting down, in crash recovery (57P03).
    NotServing,
    /// It ended the monitor's connection because it shuts down (57P01).
    Stopping,
    /// No connection left (53300). The node lives: never counted against it.
    Full,
    /// It answers, but refuses the monitor: password, database, privilege. The node lives: never counted against it.
    Denied,
    /// No answer in time, but clients got answers meanwhile. The node lives: never counted against it.
    Slow,
    /// The answer made no sense.
    Broken,
}

#[derive(Clone, Debug)]
pub enum Action {
    /// Makes this what all sessions see.
    Publish(Topology),
    Log {
        level: Level,
        text: String,
    },
    /// Probes the node now, not only when it is due.
    Ask(NodeId),
    /// Has the node do this; [`Event::Performed`] answers.
    Perform {
        node: NodeId,
        command: Command,
    },
    /// Runs the operator's command, if one is configured, with these variables in its environment; [`Event::Ran`] answers.
    Run {
        hook: Hook,
        variables: Vec<(&'static str, String)>,
    },
    /// Closes every server of the node: what runs there must not be acknowledged any more.
    Cut(NodeId),
    /// Writes down what must outlive this process, before anything that follows is done.
    Remember(Record),
    /// What became of an order: what is said to the operator.
    Answer {
        id: OrderId,
        result: Result<String, String>,
    },
}

/// What a node is made to do. Each may be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Takes the coordinators' lock of this standby, from whoever has it, and cuts the standby off its upstream: it gets
    /// no more WAL and acknowledges none. `Refused` unless it is a standby on `timeline`.
    Sever { timeline: u32 },
    /// Streams again from where it did before [`Command::Sever`].
    Restore,
    /// Its WAL receiver has to connect anew: a connection to a dead primary may look alive for a minute.
    Reconnect,
    /// Ends the sessions on this standby that hold up its promotion.
    Clear,
    /// `Refused` unless it is a standby on `timeline` without a WAL receiver.
    Promote { timeline: u32 },
    /// To stream from there.
    Repoint { host: String, port: u16 },
    /// The first write of a new primary: its row in `pgherd.epoch`. [`Outcome::Opened`] once it is acknowledged, in quorum
    /// mode by the standbys, too.
    Open { epoch: u64, primary: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Of [`Command::Open`]: no transaction from this id on was begun before the promotion. `None` if it can't be told.
    Opened {
        xmax: Option<u64>,
    },
    /// This order was certainly not carried out; an earlier one may be. Why.
    NotDone(String),
    /// The node itself says that it did not, and that no earlier order is under way; why.
    Refused(String),
    /// The answer is lost; why.
    Unknown(String),
}

/// A command of the operator's, from `[failover]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// A failover or switchover begins; nothing waits for it.
    OnFailover,
    /// Must make sure that the lost primary writes no more, or nobody is promoted.
    Fence,
    /// Promotes the standby, instead of `pg_promote()`.
    Promote,
    /// There is a new primary, and it is served; nothing waits for it.
    OnPromote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

// === impl Action ===

impl Action {
    pub(super) fn log(level: Level, text: impl Into<String>) -> Self {
        Action::Log { level, text: text.into() }
    }
}

// === impl Failure ===

impl Failure {
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// No reason to think that the node is dead: it lives and says so, or what it says makes no sense.
    pub(super) fn is_no_death(&self) -> bool {
        self.proves_life() || self.kind == FailureKind::Broken
    }

    /// The node lives and says so: nothing to hold against it.
    pub(super) fn proves_life(&self) -> bool {
        matches!(self.kind, FailureKind::Full | FailureKind::Denied | FailureKind::Slow)
    }
}

// === impl Hook ===

impl Hook {
    /// As in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Hook::OnFailover => "on_failover",
            Hook::Fence => "fence",
            Hook::Promote => "promote",
            Hook::OnPromote => "on_promote",
        }
    }
}

// === impl Level ===

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}
