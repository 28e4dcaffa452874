//! The monitor's own connection to a node: it asks, and gives orders.

use std::mem::MaybeUninit;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::Interest;

use super::answer::{self, Hidden, Identity, State, Unreadable, Upstream};
use crate::cluster::Observation;
use crate::net::Stream;
use crate::server::connect::ConnectError;
use crate::server::query::{Reply, Rows, query, query_with_notices};

/// All that the answer to one question may take, in bytes; it takes some 200, and a long `primary_conninfo`.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

pub(super) struct Session {
    stream: Stream,
    kind: SessionKind,
    /// PostgreSQL's.
    pub(super) process_id: i32,
    /// It has the coordinators' lock of this node.
    pub(super) has_lock: bool,
    /// The question for its state was prepared: to plan it takes longer than to answer it.
    is_prepared: bool,
    /// As told last; asked again when its hash has changed.
    upstream: Option<Upstream>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionKind {
    /// `replication=database`: not counted in max_connections, and knows IDENTIFY_SYSTEM.
    Replication,
    /// For a role without the REPLICATION right, or when max_wal_senders is exhausted.
    Ordinary,
}

pub(super) enum ProbeError {
    Server(ConnectError),
    Unreadable(Unreadable),
}

// === impl Session ===

impl Session {
    pub(super) fn new(stream: Stream, kind: SessionKind, process_id: i32) -> Self {
        Self { stream, kind, process_id, has_lock: false, is_prepared: false, upstream: None }
    }

    /// Who the node is, and how it is.
    pub(super) async fn probe(&mut self, timeout: Duration) -> Result<(Observation, Hidden), ProbeError> {
        let (identity, question) = match self.kind {
            SessionKind::Replication => (Some(self.identify(timeout).await?), answer::STATE),
            SessionKind::Ordinary => (None, answer::STATE_WITHOUT_REPLICATION),
        };
        if !std::mem::replace(&mut self.is_prepared, true) {
            self.query(&format!("PREPARE pgherd_state AS {question}"), timeout).await?;
        }
        let asked_at = Instant::now();
        let rows = self.query("EXECUTE pgherd_state", timeout).await?;
        let round_trip_us = u64::try_from(asked_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        let State { mut observation, hidden, upstream_hash } =
            answer::read_state(&rows, identity, asked_at, round_trip_us)?;
        if upstream_hash != self.upstream.as_ref().map(|upstream| upstream.hash) {
            self.upstream = match upstream_hash {
                Some(_) => Some(answer::read_upstream(&self.query(answer::UPSTREAM, timeout).await?)?),
                None => None,
            };
        }
        if let Some(upstream) = &self.upstream {
            observation.severed_from.clone_from(&upstream.severed_from);
            observation.sync_name.clone_from(&upstream.sync_name);
        }
        Ok((observation, hidden))
    }

    /// The live one.
    pub(super) async fn timeline(&mut self, timeout: Duration) -> Result<u32, ProbeError> {
        match self.kind {
            SessionKind::Replication => Ok(self.identify(timeout).await?.timeline),
            SessionKind::Ordinary => Ok(self.probe(timeout).await?.0.timeline),
        }
    }

    async fn identify(&mut self, timeout: Duration) -> Result<Identity, ProbeError> {
        let rows = self.query(answer::IDENTIFY_SYSTEM, timeout).await?;
        Ok(answer::read_identity(&rows)?)
    }

    pub(super) async fn query(&mut self, sql: &str, timeout: Duration) -> Result<Rows, ConnectError> {
        query(&mut self.stream, sql, timeout, MAX_ANSWER_BYTES).await
    }

    pub(super) async fn query_with_notices(&mut self, sql: &str, timeout: Duration) -> Result<Reply, ConnectError> {
        query_with_notices(&mut self.stream, sql, timeout, MAX_ANSWER_BYTES).await
    }

    /// Returns when the idle connection has something to read, or its end.
    pub(super) async fn spoken_to(&self) {
        drop(self.stream.peek(&mut [0]).await);
    }

    /// Nothing was said unasked, and the other side has not closed. Of an idle connection.
    pub(super) fn is_quiet(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if matches!(self.stream.poll_read_ready(&mut cx), Poll::Pending) {
            return true;
        }
        let peek = || socket2::SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]);
        let peeked = self.stream.try_io(Interest::READABLE, peek);
        matches!(peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }
}

// === impl ProbeError ===

impl From<ConnectError> for ProbeError {
    fn from(error: ConnectError) -> Self {
        ProbeError::Server(error)
    }
}

impl From<Unreadable> for ProbeError {
    fn from(text: Unreadable) -> Self {
        ProbeError::Unreadable(text)
    }
}
