//! Getting a server, and giving it back: the guards that keep the books right whatever happens to their holder.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::queue::{Ask, Grant, Queue, Slot, Ticket, Waiter};
use super::{Pool, Queued};
use crate::server::connect::ConnectError;
use crate::server::{IdleCheck, Server};
use crate::wire::error::sqlstate;

/// A lent server. Dropped without `give_back`, it is closed: its state is not known to be clean.
pub struct Checkout {
    server: Option<Box<Server>>,
    pool: Arc<Pool>,
}

/// Room in the budgets for one more server, to be opened by the holder.
pub struct Permit {
    pool: Option<Arc<Pool>>,
}

#[derive(Debug)]
pub enum CheckoutError {
    /// `pool.max_waiting` clients wait already.
    QueueFull {
        waiting: usize,
    },
    /// `pool.wait_timeout` passed.
    TimedOut(Duration),
    /// So long as well, but the database was paused.
    Paused(Duration),
    Connect(ConnectError),
}

/// A place in the queue, left when dropped.
struct Place {
    pool: Arc<Pool>,
    ticket: Ticket,
}

/// The sending end of a wait.
pub(super) struct Wake {
    pool: Arc<Pool>,
    granted: oneshot::Sender<Granted>,
}

/// How to take a place in the queue.
type Join = fn(&mut Queue<Queued, Wake>, Slot, Wake, Instant) -> Ticket;

enum Granted {
    Server(Checkout),
    Connect(Permit),
}

// === impl Pool ===

impl Pool {
    /// A server at once, or `None`: the hot path.
    #[inline]
    pub fn try_checkout(self: &Arc<Self>, worker: usize) -> Option<Checkout> {
        if self.doors.is_paused(&self.key.database) {
            return None;
        }
        match self.ask(worker) {
            Ok(Granted::Server(checkout)) => Some(checkout),
            // The permit's drop gives the room back.
            Ok(Granted::Connect(_)) | Err(_) => None,
        }
    }

    /// A server: an idle one, a new one, or the next that comes free. Waits at most `pool.wait_timeout` in the queue,
    /// and `pool.connect_timeout` for a login.
    pub async fn checkout(self: &Arc<Self>, worker: usize) -> Result<Checkout, CheckoutError> {
        let started = Instant::now();
        let mut waited_for = None;
        loop {
            self.until_resumed(started).await?;
            let granted = match waited_for.take() {
                Some(granted) => granted,
                None => match self.ask(worker) {
                    Ok(granted) => granted,
                    Err(Busy::Full) => {
                        return Err(CheckoutError::QueueFull { waiting: self.settings.load().max_waiting });
                    }
                    Err(Busy::Wait) => match self.wait(started, Queue::wait).await? {
                        Some(granted) => granted,
                        None => continue,
                    },
                },
            };
            match granted {
                Granted::Server(checkout) => {
                    if let Some(checkout) = checkout.if_usable_by(worker) {
                        return Ok(checkout);
                    }
                }
                Granted::Connect(permit) => match permit.connect(worker).await {
                    // A full node is not a failure while this pool has servers that will come free.
                    Err(error) if is_too_many_connections(&error) && self.counts().lent > 0 => {
                        waited_for = self.wait(started, Queue::wait_for_server).await?;
                    }
                    done => return done.map_err(CheckoutError::Connect),
                },
            }
        }
    }

    /// Opens a server ahead of demand, if fewer than `pool.min_size` are open. Whether one was opened.
    pub(super) async fn open_spare(self: &Arc<Self>) -> Result<bool, ConnectError> {
        if self.doors.is_paused(&self.key.database) || !self.lock().ask_spare(self.slot, self.settings.load().min_size)
        {
            return Ok(false);
        }
        Permit { pool: Some(Arc::clone(self)) }.connect(usize::MAX).await?.give_back(Instant::now());
        Ok(true)
    }

    fn ask(self: &Arc<Self>, worker: usize) -> Result<Granted, Busy> {
        loop {
            let mut queue = self.lock();
            match queue.ask(self.slot, worker) {
                Ask::Granted(grant) => {
                    drop(queue);
                    match self.granted(grant) {
                        Granted::Server(checkout) => {
                            if let Some(checkout) = checkout.if_usable_by(worker) {
                                return Ok(Granted::Server(checkout));
                            }
                        }
                        connect => return Ok(connect),
                    }
                }
                Ask::GrantedFor(evicted) => {
                    drop(queue);
                    drop(evicted);
                    return Ok(Granted::Connect(Permit { pool: Some(Arc::clone(self)) }));
                }
                Ask::Busy => return Err(Busy::Wait),
                Ask::Full => return Err(Busy::Full),
            }
        }
    }

    /// At most until `pool.wait_timeout` has passed since `started`.
    async fn until_resumed(&self, started: Instant) -> Result<(), CheckoutError> {
        if !self.doors.is_paused(&self.key.database) {
            return Ok(());
        }
        let timeout = self.settings.load().wait_timeout;
        let resumed = self.doors.until(&self.key.database, false);
        let resumed = tokio::time::timeout(timeout.saturating_sub(started.elapsed()), resumed).await;
        resumed.map_err(|_| CheckoutError::Paused(timeout))
    }

    /// `None`: the database was paused meanwhile.
    async fn wait(self: &Arc<Self>, started: Instant, join: Join) -> Result<Option<Granted>, CheckoutError> {
        let (granted, receiver) = oneshot::channel();
        let wake = Wake { pool: Arc::clone(self), granted };
        let ticket = join(&mut self.lock(), self.slot, wake, Instant::now());
        let _place = Place { pool: Arc::clone(self), ticket };
        let timeout = self.settings.load().wait_timeout;
        let left = timeout.saturating_sub(started.elapsed());
        tokio::select! {
            biased;
            granted = tokio::time::timeout(left, receiver) => match granted {
                Ok(Ok(granted)) => Ok(Some(granted)),
                Ok(Err(_)) | Err(_) => Err(CheckoutError::TimedOut(timeout)),
            },
            () = self.doors.until(&self.key.database, true) => Ok(None),
        }
    }

    fn granted(self: &Arc<Self>, grant: Grant<Box<Server>>) -> Granted {
        match grant {
            Grant::Server(server) => Granted::Server(Checkout { server: Some(server), pool: Arc::clone(self) }),
            Grant::Connect => Granted::Connect(Permit { pool: Some(Arc::clone(self)) }),
        }
    }
}

fn is_too_many_connections(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Postgres(error) if error.sqlstate == sqlstate::TOO_MANY_CONNECTIONS)
}

enum Busy {
    Wait,
    Full,
}

// === impl Checkout ===

impl Checkout {
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The server is clean: idle, outside of a transaction, nothing unread. The next waiter gets it.
    pub fn give_back(mut self, now: Instant) {
        let Some(server) = self.server.take() else { return };
        server.returned();
        let lifetime = self.pool.settings.load().lifetime;
        let is_old = !lifetime.is_zero() && now.saturating_duration_since(server.connected_at) > lifetime;
        if is_old || server.entry.is_stale() {
            self.pool.lock().closed(self.pool.slot);
            return;
        }
        let worker = server.worker;
        let surplus = self.pool.lock().give_back(self.pool.slot, server, worker, now);
        // Closed outside of the lock.
        drop(surplus);
    }

    /// `None`: PostgreSQL closed it while it was idle (or said something unasked, which is as good as unknown).
    fn if_usable_by(mut self, worker: usize) -> Option<Self> {
        (self.check_idle() == IdleCheck::Quiet && self.move_to(worker).is_ok()).then_some(self)
    }

    /// The server is not fit for anyone else: it is closed.
    pub fn discard(self) {}
}

impl Deref for Checkout {
    type Target = Box<Server>;

    fn deref(&self) -> &Box<Server> {
        self.server.as_ref().expect("a checkout has its server until it is consumed")
    }
}

impl DerefMut for Checkout {
    fn deref_mut(&mut self) -> &mut Box<Server> {
        self.server.as_mut().expect("a checkout has its server until it is consumed")
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            drop(server);
            self.pool.lock().closed(self.pool.slot);
        }
    }
}

// === impl Permit ===

impl Permit {
    async fn connect(mut self, worker: usize) -> Result<Checkout, ConnectError> {
        let pool = Arc::clone(self.pool.as_ref().expect("a permit has its pool until it is consumed"));
        let server = match pool.open_server(worker).await {
            Err(error) if is_too_many_connections(&error) => {
                self.pool = None;
                pool.lock().refused(pool.slot);
                return Err(error);
            }
            opened => opened?,
        };
        self.pool = None;
        pool.lock().connected(pool.slot);
        Ok(Checkout { server: Some(server), pool })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.lock().not_connected(pool.slot);
        }
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.lock().give_up(self.pool.slot, self.ticket);
    }
}

// === impl Wake ===

impl Waiter<Queued> for Wake {
    fn deliver(self, grant: Grant<Queued>) -> Result<(), Grant<Queued>> {
        let granted = self.pool.granted(grant);
        match self.granted.send(granted) {
            Ok(()) => Ok(()),
            // Called under the queue's lock: the guards must not run their drop here.
            Err(Granted::Server(mut checkout)) => {
                let server = checkout.server.take().expect("it was put in above");
                Err(Grant::Server(server))
            }
            Err(Granted::Connect(mut permit)) => {
                permit.pool = None;
                Err(Grant::Connect)
            }
        }
    }
}
