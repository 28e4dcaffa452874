//! From a request to a server: routed, waited for, refused with a reason.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{Close, Refused, Session};
use crate::client::registry::{ClientState, HeldPlace, Pin, Running};
use crate::cluster::Topology;
use crate::config::PoolMode;
use crate::pool::{Checkout, CheckoutError, Pool};
use crate::route::{Avoid, Target, Why, route};
use crate::server::connect::ConnectError;
use crate::sql::Class;
use crate::wire::error::{PgError, sqlstate};

/// A node that refused a connection is tried again after this, unless the topology changes earlier.
const RETRY: Duration = Duration::from_millis(100);

const TERMINATE: &[u8] = b"X\0\0\0\x04";

impl Session {
    /// The server for a request of `class` (`None`: must go to the primary). Waits at most `pool.wait_timeout` for a server
    /// to come free, `failover.hold_timeout` for a primary.
    pub(super) async fn acquire(&mut self, class: Option<&Class>) -> Result<Checkout, Refused> {
        let asked = self.request_at;
        let target = self.target(class, self.avoid);
        self.worker.turns.fetch_add(1, Relaxed);
        if let Target::Primary(node) | Target::Standby(node) = target {
            let pool = self.pool_on(node);
            self.pool = Arc::clone(&pool);
            if let Some(checkout) = pool.try_checkout(self.worker.index) {
                return Ok(self.lent(checkout, asked, asked));
            }
        }
        self.begin_wait();
        let waited = Box::pin(self.acquire_later(class, target, asked)).await;
        match (waited, self.end_wait()) {
            (Ok(checkout), false) => Ok(self.lent(checkout, asked, Instant::now())),
            (waited, true) => {
                if let Ok(checkout) = waited {
                    checkout.give_back(Instant::now());
                }
                let message = "canceling statement due to user request";
                Err(Refused::Error(PgError::error(sqlstate::QUERY_CANCELED, message)))
            }
            (Err(refused), false) => Err(refused),
        }
    }

    /// `first`: where it would go now. (Asked again, the next standby would have its turn: one without a server yet would
    /// never get any.)
    async fn acquire_later(
        &mut self,
        class: Option<&Class>,
        first: Target,
        asked: Instant,
    ) -> Result<Checkout, Refused> {
        let (mut first, mut held) = (Some(first), None);
        loop {
            let target = first.take().unwrap_or_else(|| self.target(class, self.avoid));
            let node = match target {
                Target::Primary(node) | Target::Standby(node) => node,
                Target::Stay => unreachable!("a session without a server has none to stay on"),
                Target::Hold { reason } => {
                    self.hold(&mut held, asked, reason).await?;
                    continue;
                }
            };
            let pool = self.pool_on(node);
            self.pool = Arc::clone(&pool);
            let mut watcher = self.shared.topology.watch();
            let lent = async {
                tokio::select! {
                    lent = pool.checkout(self.worker.index) => Some(lent),
                    () = async { while is_fit(&target, &self.shared.topology.load()) { watcher.changed().await } } => None,
                }
            };
            let Some(lent) = self.unless_interrupted(lent).await? else { continue };
            match lent {
                Ok(checkout) => return Ok(checkout),
                Err(CheckoutError::Connect(error)) if is_unreachable(&error) => {
                    tracing::warn!(host = pool.node.host, port = pool.node.port, %error, "a node can't be reached");
                    if matches!(target, Target::Standby(_)) {
                        self.avoid = self.avoid.and(node);
                    } else {
                        let reason = format!("the primary can't be reached: {error}");
                        self.hold(&mut held, asked, reason).await?;
                    }
                }
                Err(error) => return Err(Refused::Error(self.explain(&pool, error))),
            }
        }
    }

    fn target(&mut self, class: Option<&Class>, avoid: Avoid) -> Target {
        let topology = self.shared.topology.load();
        let split = self.reads.split && self.renames;
        let pools = &self.shared.pools;
        let turn = self.turn_without_server(avoid);
        let load = |node| pools.node(node).load();
        let routed = route(class, &turn, &topology, split, load, self.worker.turns.load(Relaxed));
        if matches!(routed.why, Why::Class(reason) if reason.is_doubt()) {
            self.catalog.doubt();
        }
        self.counting.why = routed.why;
        routed.target
    }

    /// Waits for another topology, or a little. `held`: the place among the held, taken the first time.
    async fn hold(&mut self, held: &mut Option<HeldPlace>, asked: Instant, reason: String) -> Result<(), Refused> {
        let limits = &self.config.failover;
        let refusal = |hint: String| {
            let error = PgError::error(sqlstate::CANNOT_CONNECT_NOW, format!("no primary is available: {reason}"));
            Refused::Error(error.with_hint(format!("{hint} SHOW NODES on the console tells more.")))
        };
        if held.is_none() {
            let bytes = self.inbox.end - self.inbox.start;
            *held = self.shared.held.admit(bytes, limits.max_held, limits.max_held_bytes);
            if held.is_none() {
                let hint = "So many clients wait for one already (failover.max_held, failover.max_held_bytes).";
                return Err(refusal(hint.to_owned()));
            }
        }
        let limit = limits.hold_timeout;
        let Some(left) = limit.checked_sub(asked.elapsed()) else {
            return Err(refusal(format!("Waited failover.hold_timeout ({limit:?}).")));
        };
        // Whoever could not be reached may be back by then.
        self.avoid = Avoid::NOBODY;
        let mut watcher = self.shared.topology.watch();
        let retry = tokio::time::sleep(RETRY.min(left));
        let changed = async {
            tokio::select! {
                () = watcher.changed() => {}
                () = retry => {}
            }
        };
        self.unless_interrupted(changed).await
    }

    /// From here on a cancel request finds the client in the queue.
    pub(super) fn begin_wait(&self) {
        let mut target = self.entry.lock_cancel();
        target.what = Running::InQueue;
        target.canceled_in_queue = false;
        drop(target);
        self.entry.waiting_since_us.store(self.shared.now_us().max(1), Relaxed);
        self.entry.set_state(ClientState::Waiting);
    }

    /// Whether a cancel request came meanwhile.
    pub(super) fn end_wait(&self) -> bool {
        self.entry.waiting_since_us.store(0, Relaxed);
        self.entry.set_state(ClientState::Idle);
        self.entry.lock_cancel().leave_queue()
    }

    /// What `what` comes to, unless the client leaves or cancels, or the session is to end.
    pub(super) async fn unless_interrupted<T>(&self, what: impl Future<Output = T>) -> Result<T, Refused> {
        let canceled = async {
            let wake = self.entry.lock_cancel().queue_wake();
            while !self.entry.lock_cancel().canceled_in_queue {
                wake.notified().await;
            }
        };
        tokio::select! {
            biased;
            // The reason is found by `end_wait`.
            () = canceled => Err(Refused::Gone(Close::ByClient)),
            () = self.kicked() => Err(Refused::Gone(Close::Kicked)),
            () = self.left() => Err(Refused::Gone(Close::ByClient)),
            done = what => Ok(done),
        }
    }

    /// A drain lets transactions end, one of which only its client knows among them.
    async fn kicked(&self) {
        self.entry.kick.wait_until(|kick| !self.begin.is_held() || kick.is_at_once()).await;
    }

    /// The client has closed its connection without a word, with nothing left to read: nobody waits for the answer. One
    /// that said goodbye behind its request wants it done.
    async fn left(&self) {
        if self.inbox.filled().ends_with(TERMINATE) || !matches!(self.client.peek(&mut [0]).await, Ok(0) | Err(_)) {
            std::future::pending::<()>().await;
        }
    }

    /// Notes that this session has `checkout` from `now` on.
    fn lent(&mut self, checkout: Checkout, asked: Instant, now: Instant) -> Checkout {
        let waited = now.saturating_duration_since(asked);
        let cell = self.cell();
        cell.assignments.add(1);
        cell.wait.record(waited);
        cell.wait_time_us.add(waited.as_micros() as u64);
        self.transaction_at = now;
        self.request_at = now;
        self.avoid = Avoid::NOBODY;
        checkout.lent_to(self.entry.id, self.shared.us_at(now));
        self.entry.server_id.store(checkout.entry.id, Relaxed);
        self.entry.set_state(ClientState::Active);
        self.entry.lock_cancel().what = Running::On { node: checkout.node, key: Arc::clone(&checkout.key) };
        if self.config.pool.mode == PoolMode::Session {
            self.pin(Pin::SessionMode);
        }
        checkout
    }

    fn explain(&self, pool: &Pool, error: CheckoutError) -> PgError {
        let (database, user) = (&pool.key.database, &pool.key.user);
        match error {
            CheckoutError::QueueFull { waiting } => {
                self.shared.counters.wait_timeouts.add(1);
                tracing::warn!(%database, %user, waiting, "pool exhausted: the queue is full");
                PgError::error(sqlstate::TOO_MANY_CONNECTIONS, format!("{waiting} clients wait for a server already"))
                    .with_hint("The limit is pool.max_waiting; pool.size is how many servers they share.")
            }
            CheckoutError::TimedOut(limit) => {
                self.shared.counters.wait_timeouts.add(1);
                tracing::warn!(%database, %user, ?limit, "pool exhausted: a client waited in vain");
                PgError::error(sqlstate::TOO_MANY_CONNECTIONS, format!("no server came free within {limit:?}"))
                    .with_hint("The limits are pool.wait_timeout and pool.size.")
            }
            CheckoutError::Paused(limit) => {
                self.shared.counters.wait_timeouts.add(1);
                PgError::error(sqlstate::CANNOT_CONNECT_NOW, format!("database \"{database}\" is paused"))
                    .with_hint(format!("Waited pool.wait_timeout ({limit:?}); RESUME on the console ends the pause."))
            }
            CheckoutError::Connect(error) => connect_error(error),
        }
    }
}

/// What a client is told when its server can't be opened. PostgreSQL's own words where it spoke.
pub(super) fn connect_error(error: ConnectError) -> PgError {
    match error {
        ConnectError::Postgres(error) => PgError { severity: "ERROR".into(), ..error },
        ConnectError::Authentication(reason) => {
            PgError::error(sqlstate::INVALID_AUTHORIZATION, format!("the proxy can't log in to the server: {reason}"))
        }
        other => PgError::error(sqlstate::CANNOT_CONNECT, format!("the proxy can't connect to the server: {other}")),
    }
}

/// A node that froze may be waited for until a timeout, but not once another one has its place.
fn is_fit(target: &Target, topology: &Topology) -> bool {
    match target {
        Target::Primary(node) => topology.primary == Some(*node),
        Target::Standby(node) => topology.standbys.contains(node),
        Target::Stay | Target::Hold { .. } => true,
    }
}

/// The node itself is gone or not ready, as opposed to refusing this user or database.
fn is_unreachable(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Io(_) | ConnectError::TimedOut(_)) || error.is_not_ready()
}
