//! What the console shows of a server. The session that has it writes, the console reads.

use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use socket2::Socket;

use crate::cluster::NodeId;
use crate::feed::Alarm;

pub struct ServerEntry {
    /// Rises from 1, never used twice.
    pub id: u64,
    pub node: NodeId,
    pub database: String,
    pub user: String,
    /// Of the node.
    pub addr: SocketAddr,
    pub local_addr: SocketAddr,
    /// PostgreSQL's process id.
    pub process_id: i32,
    pub connected_at: SystemTime,
    /// [`ServerState`] as a number.
    pub state: AtomicU8,
    /// Microseconds since the process started: when it was lent last.
    pub request_at_us: AtomicU64,
    /// `ClientEntry::id` of the client that has it, 0 for none.
    pub client_id: AtomicU64,
    pub prepared_statements: AtomicU32,
    /// Lent, but its session is in no transaction and waits for no answer: it is kept for what it remembers.
    pub at_rest: AtomicBool,
    /// To be closed as soon as it is free.
    pub stale: AtomicBool,
    /// Rung when the node does not answer any more: whoever waits for it may ask elsewhere.
    pub alarm: Alarm,
    /// A second handle of the connection, to end it from outside; only where failover is on.
    pub socket: Option<Socket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ServerState {
    Idle,
    Active,
}

// === impl ServerEntry ===

impl ServerEntry {
    pub fn state(&self) -> ServerState {
        match self.state.load(Relaxed) {
            1 => ServerState::Active,
            _ => ServerState::Idle,
        }
    }

    pub fn set_at_rest(&self, at_rest: bool) {
        self.at_rest.store(at_rest, Relaxed);
    }

    pub fn make_stale(&self) {
        self.stale.store(true, Relaxed);
    }

    pub fn is_stale(&self) -> bool {
        self.stale.load(Relaxed)
    }

    /// Ending it now would end a transaction, or an answer that is on its way.
    pub fn is_busy(&self) -> bool {
        self.state() == ServerState::Active && !self.at_rest.load(Relaxed)
    }

    /// Ends the connection, whoever has the server: that one reads its end. `false`: it can't be done, or was.
    pub fn cut(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.shutdown(Shutdown::Both).is_ok())
    }

    pub fn set_state(&self, state: ServerState) {
        self.state.store(state as u8, Relaxed);
    }
}

// === impl ServerState ===

impl ServerState {
    pub fn as_str(self) -> &'static str {
        match self {
            ServerState::Idle => "idle",
            ServerState::Active => "active",
        }
    }
}
