//! One connection TO a PostgreSQL.

pub mod cancel;
pub mod connect;
pub mod credential;
pub mod entry;
pub mod params;
pub mod prepared;
pub mod query;
pub mod scram;

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::Interest;

pub use entry::{ServerEntry, ServerState};
use params::Settings;
use prepared::Prepared;

use crate::cluster::NodeId;
use crate::net::Stream;
use crate::wire::cancel::BackendKey;

/// A server belongs to its pool's queue while idle, to one checkout while lent.
pub struct Server {
    pub stream: Stream,
    pub node: NodeId,
    pub entry: Arc<ServerEntry>,
    pub key: Arc<BackendKey>,
    /// What PostgreSQL last reported by ParameterStatus.
    pub reported: Vec<(String, String)>,
    /// What was set on it for the session that had it last.
    pub settings: Arc<Settings>,
    pub prepared: Prepared,
    /// Whose unnamed statement it holds: (client id, that client's count), if any is known.
    pub unnamed: Option<(u64, u64)>,
    /// The worker whose reactor watches the socket.
    pub worker: usize,
    pub connected_at: Instant,
}

/// What an idle server's socket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleCheck {
    Quiet,
    /// PostgreSQL sent something unasked (a notice, a changed parameter), or closed the connection.
    Spoke,
}

// === impl Server ===

impl Server {
    /// Costs no syscall unless the reactor has seen the socket become readable.
    pub fn check_idle(&self) -> IdleCheck {
        let mut cx = Context::from_waker(Waker::noop());
        match self.stream.poll_read_ready(&mut cx) {
            Poll::Pending => IdleCheck::Quiet,
            // Readiness may be a leftover of the last reply: only a read tells.
            Poll::Ready(_) => match self
                .stream
                .try_io(Interest::READABLE, || socket2::SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]))
            {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => IdleCheck::Quiet,
                _ => IdleCheck::Spoke,
            },
        }
    }

    /// Makes the reactor of the running worker watch the socket.
    pub fn move_to(self: &mut Box<Self>, worker: usize) -> std::io::Result<()> {
        if self.worker != worker {
            // `into_std` wants the stream by value: swap in its own duplicate.
            let duplicate = socket2::SockRef::from(&self.stream).try_clone()?;
            self.stream = Stream::from_std(duplicate.into())?;
            self.worker = worker;
        }
        Ok(())
    }

    pub fn set_reported(&mut self, name: &str, value: &str) {
        match self.reported.iter_mut().find(|(n, _)| n == name) {
            Some((_, v)) => value.clone_into(v),
            None => self.reported.push((name.to_owned(), value.to_owned())),
        }
    }

    pub fn stream_mut(&mut self) -> Pin<&mut Stream> {
        Pin::new(&mut self.stream)
    }

    pub fn lent_to(&self, client_id: u64, now_us: u64) {
        self.entry.client_id.store(client_id, Relaxed);
        self.entry.request_at_us.store(now_us, Relaxed);
        self.entry.set_at_rest(false);
        self.entry.set_state(ServerState::Active);
    }

    pub fn returned(&self) {
        self.entry.client_id.store(0, Relaxed);
        self.entry.prepared_statements.store(self.prepared.len() as u32, Relaxed);
        self.entry.set_state(ServerState::Idle);
    }
}
