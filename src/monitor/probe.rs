//! One node's prober: a connection of its own, a question every interval, reports to the loop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::answer::{self, Hidden, Identity, Unreadable};
use super::failure;
use crate::cluster::{Event, Failure, FailureKind, NodeId, Observation};
use crate::config;
use crate::feed::Pulse;
use crate::net::Stream;
use crate::server::connect::{ConnectError, Login, connect};
use crate::server::credential::Credential;
use crate::server::query::{Rows, query};

/// All that the answer to one question may take, in bytes; it takes some 200.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

pub(super) struct Prober {
    id: NodeId,
    node: config::Node,
    settings: config::Monitor,
    credential: Credential,
    /// Kept from probe to probe.
    session: Option<Session>,
    said: Said,
    writes: Arc<Pulse>,
}

/// Probes at the quicker pace after a write: one may have been under way, and a standby needs a moment.
const QUICK_PROBES: u32 = 3;

struct Session {
    stream: Stream,
    kind: SessionKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SessionKind {
    /// `replication=database`: not counted in max_connections, and knows IDENTIFY_SYSTEM.
    Replication,
    /// For a role without the REPLICATION right, or when max_wal_senders is exhausted.
    Ordinary,
}

/// What was logged once and is not repeated.
#[derive(Default)]
struct Said {
    no_replication: bool,
    hidden_upstream: bool,
}

enum ProbeError {
    Server(ConnectError),
    Unreadable(Unreadable),
}

// === impl Prober ===

impl Prober {
    pub(super) fn new(id: NodeId, node: &config::Node, settings: &config::Monitor, writes: Arc<Pulse>) -> Self {
        let credential = match settings.password.is_empty() {
            true => Credential::None,
            false => Credential::Password(settings.password.clone()),
        };
        Self {
            id,
            node: node.clone(),
            settings: settings.clone(),
            credential,
            session: None,
            said: Said::default(),
            writes,
        }
    }

    /// Until nobody takes the reports any more.
    pub(super) async fn run(mut self, reports: mpsc::Sender<Event>) {
        let mut seen = self.writes.count();
        let mut quick = 0;
        loop {
            let start = tokio::time::Instant::now();
            let event = match self.probe().await {
                Ok(observation) => Event::Observed { node: self.id, observation },
                Err(failure) => Event::ProbeFailed { node: self.id, failure },
            };
            if reports.send(event).await.is_err() {
                return;
            }
            let next = start + self.settings.interval;
            loop {
                let step = tokio::time::Instant::now() + self.settings.write_interval;
                tokio::time::sleep_until(next.min(step)).await;
                let count = self.writes.count();
                if count != seen {
                    (seen, quick) = (count, QUICK_PROBES);
                }
                if step >= next || quick > 0 {
                    quick = quick.saturating_sub(1);
                    break;
                }
            }
        }
    }

    async fn probe(&mut self) -> Result<Observation, Failure> {
        let result = match self.session.take() {
            Some(session) => match self.ask(session).await {
                // The session was lost (terminated, timed out on the way …); whether the node is, a new login tells.
                Err(ProbeError::Server(error)) if !matches!(error, ConnectError::TimedOut(_)) => {
                    tracing::debug!(node = %self.node.name, "the probe's connection was lost: {error}");
                    self.ask_afresh().await
                }
                result => result,
            },
            None => self.ask_afresh().await,
        };
        result.map_err(|error| match error {
            ProbeError::Server(error) => {
                failure::classify(&error, &format!("{}:{}", self.node.host, self.node.port), &self.settings.user)
            }
            ProbeError::Unreadable(text) => Failure::new(FailureKind::Broken, text),
        })
    }

    async fn ask_afresh(&mut self) -> Result<Observation, ProbeError> {
        let session = self.log_in().await?;
        self.ask(session).await
    }

    /// Keeps the session if all went well: after anything else nobody knows what is still to come on it.
    async fn ask(&mut self, mut session: Session) -> Result<Observation, ProbeError> {
        let timeout = self.settings.timeout;
        let answer = tokio::time::timeout(timeout, session.ask(timeout)).await;
        let (observation, hidden) = answer.unwrap_or(Err(ConnectError::TimedOut(timeout).into()))?;
        self.hint_at(hidden);
        self.session = Some(session);
        Ok(observation)
    }

    async fn log_in(&mut self) -> Result<Session, ConnectError> {
        let refusal = match self.connect(SessionKind::Replication).await {
            Err(error) if matches!(error.sqlstate(), Some("42501" | "53300")) => error,
            result => return result,
        };
        let session = self.connect(SessionKind::Ordinary).await?;
        if !self.said.no_replication {
            self.said.no_replication = true;
            tracing::warn!(
                "{}: the monitor has no replication connection ({refusal}); it uses an ordinary one, which counts in \
                 max_connections and sees a standby's timeline late. To set that right: ALTER ROLE \"{}\" REPLICATION; \
                 and enough max_wal_senders",
                self.node.name,
                self.settings.user
            );
        }
        Ok(session)
    }

    async fn connect(&self, kind: SessionKind) -> Result<Session, ConnectError> {
        let mut parameters = vec![("application_name".to_owned(), "pgherd monitor".to_owned())];
        if kind == SessionKind::Replication {
            parameters.push(("replication".into(), "database".into()));
        }
        let login = Login {
            host: &self.node.host,
            port: self.node.port,
            user: &self.settings.user,
            database: &self.settings.database,
            parameters: &parameters,
            credential: &self.credential,
            timeout: self.settings.timeout,
        };
        Ok(Session { stream: connect(login).await?.stream, kind })
    }

    fn hint_at(&mut self, hidden: Hidden) {
        if hidden.upstream && !self.said.hidden_upstream {
            self.said.hidden_upstream = true;
            tracing::warn!(
                "{}: the monitor may not see which node it streams from; GRANT pg_monitor TO \"{}\"",
                self.node.name,
                self.settings.user
            );
        }
    }
}

// === impl Session ===

impl Session {
    async fn ask(&mut self, timeout: Duration) -> Result<(Observation, Hidden), ProbeError> {
        let (identity, question) = match self.kind {
            SessionKind::Replication => (Some(self.identify(timeout).await?), answer::STATE),
            SessionKind::Ordinary => (None, answer::STATE_WITHOUT_REPLICATION),
        };
        let asked_at = Instant::now();
        let rows = self.query(question, timeout).await?;
        let round_trip_us = u64::try_from(asked_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        answer::read_state(&rows, identity, asked_at, round_trip_us).map_err(ProbeError::Unreadable)
    }

    async fn identify(&mut self, timeout: Duration) -> Result<Identity, ProbeError> {
        let rows = self.query(answer::IDENTIFY_SYSTEM, timeout).await?;
        answer::read_identity(&rows).map_err(ProbeError::Unreadable)
    }

    async fn query(&mut self, sql: &str, timeout: Duration) -> Result<Rows, ConnectError> {
        query(&mut self.stream, sql, timeout, MAX_ANSWER_BYTES).await
    }
}

// === impl ProbeError ===

impl From<ConnectError> for ProbeError {
    fn from(error: ConnectError) -> Self {
        ProbeError::Server(error)
    }
}
