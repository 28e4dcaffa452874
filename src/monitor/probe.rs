//! One node's prober: a connection of its own, a question every interval, reports to the loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::answer::Hidden;
use super::control::{self, Past};
use super::failure;
use super::session::{ProbeError, Session, SessionKind};
use crate::cluster::{Command, Event, Failure, FailureKind, NodeId, Observation, Outcome};
use crate::config::{self, FailoverMode};
use crate::server::connect::{ConnectError, Login, connect};
use crate::server::credential::Credential;
use crate::shared::Shared;

/// Between two probes, however urgent.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Public for tests: a coordinator whose every step is theirs.
pub struct Prober {
    id: NodeId,
    node: config::Node,
    settings: config::Monitor,
    credential: Credential,
    mode: FailoverMode,
    /// Kept from probe to probe.
    session: Option<Session>,
    past: Past,
    said: Said,
    shared: Arc<Shared>,
}

/// Probes at the quicker pace after a write: one may have been under way, and a standby needs a moment.
const QUICK_PROBES: u32 = 3;

/// How soon the next probe is due.
struct Pace {
    /// Writes that were counted.
    seen: u64,
    /// Probes left at the quicker pace.
    quick: u32,
}

/// Whether clients get answers from a node while a probe waits for one.
struct Traffic {
    node: NodeId,
    shared: Arc<Shared>,
    /// Answers counted at the last look, and at the one before.
    last: u64,
    before: u64,
}

/// What was logged once and is not repeated.
#[derive(Default)]
struct Said {
    no_replication: bool,
    hidden_upstream: bool,
    rights: bool,
}

// === impl Prober ===

impl Prober {
    pub fn new(
        id: NodeId,
        node: &config::Node,
        settings: &config::Monitor,
        mode: FailoverMode,
        shared: Arc<Shared>,
    ) -> Self {
        let credential = match settings.password.is_empty() {
            true => Credential::None,
            false => Credential::Password(settings.password.clone()),
        };
        let (node, settings, said) = (node.clone(), settings.clone(), Said::default());
        Self { id, node, settings, credential, mode, session: None, past: Past::default(), said, shared }
    }

    /// Until nobody takes the reports any more. Probes each interval, more often while there are writes, when `ask` is notified, and when the node says
    /// something unasked: most often that it closes the connection.
    pub(super) async fn run(
        mut self,
        reports: mpsc::Sender<Event>,
        mut orders: mpsc::Receiver<Command>,
        ask: Arc<Notify>,
    ) {
        let mut pace = Pace { seen: self.shared.writes.count(), quick: 0 };
        loop {
            let begun = tokio::time::Instant::now();
            let event = match self.probe().await {
                Ok(observation) => Event::Observed { node: self.id, observation },
                Err(failure) => Event::ProbeFailed { node: self.id, failure },
            };
            if reports.send(event).await.is_err() {
                return;
            }
            let order = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => Some(order),
                    None => return,
                },
                () = ask.notified() => None,
                () = self.spoken_to() => None,
                () = self.rest(begun, &mut pace) => None,
            };
            if let Some(command) = order {
                let outcome = self.obey(&command).await;
                if reports.send(Event::Performed { node: self.id, command, outcome }).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep_until(begun + SHORTEST_PAUSE).await;
        }
    }

    /// Until the next probe is due.
    async fn rest(&self, begun: tokio::time::Instant, pace: &mut Pace) {
        let next = begun + self.settings.interval;
        loop {
            let step = tokio::time::Instant::now() + self.settings.write_interval;
            tokio::time::sleep_until(next.min(step)).await;
            let count = self.shared.writes.count();
            if count != pace.seen {
                *pace = Pace { seen: count, quick: QUICK_PROBES };
            }
            if step >= next || pace.quick > 0 {
                pace.quick = pace.quick.saturating_sub(1);
                return;
            }
        }
    }

    /// Returns when the idle connection has something to read, or its end.
    async fn spoken_to(&self) {
        match &self.session {
            Some(session) => session.spoken_to().await,
            None => std::future::pending().await,
        }
    }

    /// Does it over the connection that the probes use; connects if there is none.
    pub async fn obey(&mut self, command: &Command) -> Outcome {
        let mut session = match self.session.take().filter(Session::is_quiet) {
            Some(session) => session,
            None => match self.log_in().await {
                Ok(session) => session,
                Err(error) => return Outcome::NotDone(format!("it can't be reached: {error}")),
            },
        };
        let (outcome, is_fit) = control::perform(&mut session, &mut self.past, &self.node, command).await;
        self.session = Some(session).filter(|_| is_fit);
        outcome
    }

    /// Says once what the role lacks for a failover.
    async fn check_rights(&mut self, session: &mut Session, version_num: u32) -> Result<(), ConnectError> {
        if self.mode == FailoverMode::Off || std::mem::replace(&mut self.said.rights, true) {
            return Ok(());
        }
        let missing = control::missing_rights(session, version_num, &self.settings.user).await?;
        if !missing.is_empty() {
            tracing::error!(
                "{}: a failover will not work, for the role \"{}\" lacks rights. On the primary: {}",
                self.node.name,
                self.settings.user,
                missing.join("; ")
            );
        }
        Ok(())
    }

    pub async fn probe(&mut self) -> Result<Observation, Failure> {
        let mut traffic = Traffic::of(self.id, Arc::clone(&self.shared));
        let (round, timeout) = (self.settings.timeout * 2 / 5, self.settings.timeout);
        let result = {
            let mut attempt = std::pin::pin!(self.attempt());
            loop {
                tokio::select! {
                    biased;
                    result = &mut attempt => break result,
                    () = tokio::time::sleep(round) => traffic.look(),
                }
            }
        };
        result.map_err(|error| match error {
            ProbeError::Server(ConnectError::TimedOut(_)) if traffic.goes_on() => {
                Failure::new(FailureKind::Slow, format!("no answer within {timeout:?}, but clients get answers"))
            }
            ProbeError::Server(error) => {
                failure::classify(&error, &format!("{}:{}", self.node.host, self.node.port), &self.settings.user)
            }
            ProbeError::Unreadable(text) => Failure::new(FailureKind::Broken, text),
        })
    }

    async fn attempt(&mut self) -> Result<Observation, ProbeError> {
        match self.session.take() {
            Some(session) => match self.ask(session).await {
                // The session was lost (terminated, timed out on the way …); whether the node is, a new login tells.
                Err(ProbeError::Server(error)) if !matches!(error, ConnectError::TimedOut(_)) => {
                    tracing::debug!(node = %self.node.name, "the probe's connection was lost: {error}");
                    self.ask_afresh().await
                }
                result => result,
            },
            None => self.ask_afresh().await,
        }
    }

    async fn ask_afresh(&mut self) -> Result<Observation, ProbeError> {
        let session = self.log_in().await?;
        self.ask(session).await
    }

    /// Keeps the session if all went well: after anything else nobody knows what is still to come on it.
    async fn ask(&mut self, mut session: Session) -> Result<Observation, ProbeError> {
        let timeout = self.settings.timeout;
        let answer = tokio::time::timeout(timeout, session.probe(timeout)).await;
        let (observation, hidden) = answer.unwrap_or(Err(ConnectError::TimedOut(timeout).into()))?;
        self.hint_at(hidden);
        self.check_rights(&mut session, observation.version_num).await?;
        self.session = Some(session);
        Ok(observation)
    }

    async fn log_in(&mut self) -> Result<Session, ConnectError> {
        let session = self.open_session().await?;
        self.past.note_session(session.process_id);
        Ok(session)
    }

    async fn open_session(&mut self) -> Result<Session, ConnectError> {
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
        let logged_in = connect(login).await?;
        Ok(Session::new(logged_in.stream, kind, logged_in.process_id))
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

// === impl Traffic ===

impl Traffic {
    fn of(node: NodeId, shared: Arc<Shared>) -> Self {
        let count = shared.pools.answered(node);
        Self { node, shared, last: count, before: count }
    }

    fn look(&mut self) {
        self.before = std::mem::replace(&mut self.last, self.shared.pools.answered(self.node));
    }

    /// Since the last look but one: what was answered just after the probe was sent may have been the last that ever was.
    fn goes_on(&self) -> bool {
        self.shared.pools.answered(self.node) != self.before
    }
}
