//! What a node is made to do, over the monitor's own connection. Every order may be given again.

mod lock;
mod promotion;
mod rights;
mod upstream;

use std::collections::VecDeque;
use std::time::Duration;

pub(super) use self::rights::missing_rights;
use super::session::{ProbeError, Session};
use crate::cluster::{Command, Outcome};
use crate::config;
use crate::server::connect::ConnectError;
use crate::server::query::Rows;

/// For one statement that waits for nothing.
const ANSWER: Duration = Duration::from_secs(2);
/// For what a node does on its own after an order.
const SETTLED: Duration = Duration::from_secs(1);
/// Before it is looked again.
const PAUSE: Duration = Duration::from_millis(3);

/// So many sessions of ours are remembered: more than one is rarely still open on the node.
const MAX_SESSIONS: usize = 16;

/// What a prober remembers of its earlier orders.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Process ids of its sessions.
    sessions: VecDeque<i32>,
    /// Epoch of the last [`Command::Open`], and what was found at its first try.
    opened: Option<(u64, Option<u64>)>,
}

struct Control<'a> {
    session: &'a mut Session,
    past: &'a mut Past,
    node: &'a config::Node,
}

/// An order ends early.
enum Stop {
    With(Outcome),
    /// And the session is of no use any more.
    Lost(Outcome),
}

/// The outcome, and whether the session is still fit for use.
pub(super) async fn perform(
    session: &mut Session,
    past: &mut Past,
    node: &config::Node,
    command: &Command,
) -> (Outcome, bool) {
    let mut control = Control { session, past, node };
    let result = match command {
        Command::Sever { timeline } => control.sever(*timeline).await,
        Command::Restore => control.restore().await,
        Command::Reconnect => control.reconnect().await,
        Command::Clear => control.clear().await,
        Command::Promote { timeline } => control.promote(*timeline).await,
        Command::Repoint { host, port } => control.repoint(host, *port).await,
        Command::Open { epoch, primary } => control.open(*epoch, primary).await,
    };
    match result {
        Ok(outcome) | Err(Stop::With(outcome)) => (outcome, true),
        Err(Stop::Lost(outcome)) => (outcome, false),
    }
}

/// Of the only row.
fn columns(rows: &Rows) -> Vec<Option<&str>> {
    rows.first().map(|row| row.iter().map(Option::as_deref).collect()).unwrap_or_default()
}

fn not_done(why: impl Into<String>) -> Stop {
    Stop::With(Outcome::NotDone(why.into()))
}

fn refused(why: impl Into<String>) -> Stop {
    Stop::With(Outcome::Refused(why.into()))
}

// === impl Past ===

impl Past {
    pub(super) fn note_session(&mut self, process_id: i32) {
        if self.sessions.len() == MAX_SESSIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back(process_id);
    }
}

// === impl Stop ===

impl From<ConnectError> for Stop {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Postgres(error) if error.severity == "ERROR" => not_done(error.to_string()),
            // Also a FATAL one: the session was ended, and nobody knows after which statement.
            error => Stop::Lost(Outcome::Unknown(error.to_string())),
        }
    }
}

impl From<ProbeError> for Stop {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Server(error) => error.into(),
            ProbeError::Unreadable(text) => not_done(text),
        }
    }
}
