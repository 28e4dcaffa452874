//! All clients that are logged in: what the console shows of them, and what a cancel request needs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::random::CancelKey;
use crate::cluster::NodeId;
use crate::wire::cancel::BackendKey;

#[derive(Default)]
pub struct Clients {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last_id: u64,
    last_process_id: i32,
    by_process_id: BTreeMap<i32, Arc<ClientEntry>>,
}

/// One client. The session writes, the console reads.
pub struct ClientEntry {
    /// Rises from 1, never used twice.
    pub id: u64,
    /// What BackendKeyData told the client.
    pub process_id: i32,
    pub cancel_key: CancelKey,
    pub user: Arc<str>,
    pub database: Arc<str>,
    /// The value of the startup parameter `replication`, if the client sent it.
    pub replication: Option<Box<str>>,
    pub addr: SocketAddr,
    pub local_addr: SocketAddr,
    pub connected_at: SystemTime,
    pub worker: u32,
    /// As it was when the client connected.
    pub application_name: Box<str>,
    /// [`ClientState`] as a number.
    pub state: AtomicU8,
    /// [`Pin`] as a number.
    pub pin: AtomicU8,
    /// Microseconds since the process started: the last request, and since when it waits for a server (0 = does not).
    pub request_at_us: AtomicU64,
    pub waiting_since_us: AtomicU64,
    /// `ServerEntry::id` of the server it has, 0 for none.
    pub server_id: AtomicU64,
    pub prepared_statements: AtomicU32,
    pub cancel: Mutex<CancelTarget>,
    /// Its COMMIT is on the way: a cancel request could only end the wait for the standbys, and is not forwarded.
    pub is_committing: AtomicBool,
    /// It has lowered `synchronous_commit`: what it is told is committed may be lost, though durability is `quorum`.
    pub has_opted_out: AtomicBool,
    pub kick: Kick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClientState {
    /// Logged in, no server.
    Idle,
    /// Has a server.
    Active,
    /// In a queue for a server.
    Waiting,
    /// In a transaction in which it has asked for nothing yet: no server.
    Begun,
}

/// Why a session keeps its server past the end of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Pin {
    None,
    /// `pool.mode = "session"`, or a replication connection.
    SessionMode,
    /// A SET that can't be carried to another server.
    Setting,
    TemporaryTable,
    HoldCursor,
    Listen,
    AdvisoryLock,
    SqlPrepare,
    Load,
    /// A Parse too large to keep (`limits.max_statement_bytes`).
    LargeStatement,
    /// Something that may leave state behind and that we don't understand.
    Unknown,
}

/// What a cancel request for this client has to do now.
#[derive(Default)]
pub struct CancelTarget {
    pub what: Running,
    /// Cancel requests on their way to the server: it is not given back before they arrived.
    pub in_flight: u32,
    /// Whoever waits until `in_flight` falls to 0.
    arrived: Option<Arc<Notify>>,
    /// The client waits in a queue: set `canceled_in_queue`, and wake it.
    queue_wake: Option<Arc<Notify>>,
    pub canceled_in_queue: bool,
}

#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub enum Running {
    #[default]
    Nothing,
    InQueue,
    On {
        node: NodeId,
        key: Arc<BackendKey>,
    },
}

/// Asks a session to end as soon as it is between transactions; or at once, whatever it is in.
#[derive(Default)]
pub struct Kick {
    set: AtomicBool,
    at_once: AtomicBool,
    waker: AtomicWaker,
}

/// Everything known when a login is done.
pub struct NewClient {
    pub cancel_key: CancelKey,
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub replication: Option<Box<str>>,
    pub addr: SocketAddr,
    pub local_addr: SocketAddr,
    pub worker: u32,
    pub application_name: Box<str>,
}

/// Clients whose requests wait for a primary, over all pools.
#[derive(Default)]
pub struct Held {
    clients: AtomicUsize,
    bytes: AtomicUsize,
}

/// A place among the held, left when dropped.
pub struct HeldPlace {
    held: Arc<Held>,
    bytes: usize,
}

// === impl Held ===

impl Held {
    /// A place for a client whose request has so many `bytes`. `None`: `max_clients`, or `max_bytes` of all together, are
    /// reached.
    pub fn admit(self: &Arc<Self>, bytes: usize, max_clients: usize, max_bytes: usize) -> Option<HeldPlace> {
        // Counted first, so that it can be looked at; the drop takes it back.
        let clients = self.clients.fetch_add(1, Relaxed) + 1;
        let all_bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        let place = HeldPlace { held: Arc::clone(self), bytes };
        (clients <= max_clients && all_bytes <= max_bytes).then_some(place)
    }

    pub fn clients(&self) -> usize {
        self.clients.load(Relaxed)
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.held.clients.fetch_sub(1, Relaxed);
        self.held.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

// === impl Clients ===

impl Clients {
    pub fn add(&self, new: NewClient) -> Arc<ClientEntry> {
        let mut inner = self.lock();
        inner.last_id += 1;
        let id = inner.last_id;
        let process_id = inner.free_process_id();
        let entry = Arc::new(ClientEntry {
            id,
            process_id,
            cancel_key: new.cancel_key,
            user: new.user,
            database: new.database,
            replication: new.replication,
            addr: new.addr,
            local_addr: new.local_addr,
            connected_at: SystemTime::now(),
            worker: new.worker,
            application_name: new.application_name,
            state: AtomicU8::new(ClientState::Idle as u8),
            pin: AtomicU8::new(Pin::None as u8),
            request_at_us: AtomicU64::new(0),
            waiting_since_us: AtomicU64::new(0),
            server_id: AtomicU64::new(0),
            prepared_statements: AtomicU32::new(0),
            cancel: Mutex::default(),
            is_committing: AtomicBool::new(false),
            has_opted_out: AtomicBool::new(false),
            kick: Kick::default(),
        });
        inner.by_process_id.insert(process_id, Arc::clone(&entry));
        entry
    }

    pub fn remove(&self, entry: &ClientEntry) {
        self.lock().by_process_id.remove(&entry.process_id);
    }

    /// The client a cancel request means, if process id and key are right (compared in constant time).
    pub fn find(&self, process_id: i32, cancel_key: &[u8]) -> Option<Arc<ClientEntry>> {
        let entry = self.lock().by_process_id.get(&process_id).map(Arc::clone)?;
        same_bytes(entry.cancel_key.as_bytes(), cancel_key).then_some(entry)
    }

    /// By process id.
    pub fn all(&self) -> Vec<Arc<ClientEntry>> {
        self.lock().by_process_id.values().map(Arc::clone).collect()
    }

    pub fn len(&self) -> usize {
        self.lock().by_process_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn free_process_id(&mut self) -> i32 {
        loop {
            self.last_process_id = if self.last_process_id == i32::MAX { 1 } else { self.last_process_id + 1 };
            if !self.by_process_id.contains_key(&self.last_process_id) {
                return self.last_process_id;
            }
        }
    }
}

fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

// === impl ClientEntry ===

impl ClientEntry {
    pub fn state(&self) -> ClientState {
        match self.state.load(Relaxed) {
            1 => ClientState::Active,
            2 => ClientState::Waiting,
            3 => ClientState::Begun,
            _ => ClientState::Idle,
        }
    }

    pub fn set_state(&self, state: ClientState) {
        self.state.store(state as u8, Relaxed);
    }

    pub fn pin(&self) -> Pin {
        Pin::ALL[usize::from(self.pin.load(Relaxed))]
    }

    pub fn set_pin(&self, pin: Pin) {
        self.pin.store(pin as u8, Relaxed);
    }

    pub fn lock_cancel(&self) -> MutexGuard<'_, CancelTarget> {
        self.cancel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl CancelTarget ===

impl CancelTarget {
    /// Notified when `in_flight` falls to 0.
    pub fn arrived(&mut self) -> Arc<Notify> {
        Arc::clone(self.arrived.get_or_insert_default())
    }

    /// One of `in_flight` has.
    pub fn has_arrived(&mut self) {
        self.in_flight -= 1;
        if self.in_flight == 0
            && let Some(waiting) = self.arrived.take()
        {
            waiting.notify_one();
        }
    }

    /// Notified when the client is canceled in a queue.
    pub fn queue_wake(&mut self) -> Arc<Notify> {
        Arc::clone(self.queue_wake.get_or_insert_default())
    }

    pub fn cancel_in_queue(&mut self) {
        self.canceled_in_queue = true;
        if let Some(waiting) = &self.queue_wake {
            waiting.notify_one();
        }
    }

    /// The client waits no longer. Whether it was canceled.
    pub fn leave_queue(&mut self) -> bool {
        (self.what, self.queue_wake) = (Running::Nothing, None);
        std::mem::take(&mut self.canceled_in_queue)
    }
}

// === impl Kick ===

impl Kick {
    pub fn set(&self) {
        self.set.store(true, Relaxed);
        self.waker.wake();
    }

    pub fn set_at_once(&self) {
        self.at_once.store(true, Relaxed);
        self.set();
    }

    /// For whoever only looks.
    pub fn is_set_at_all(&self) -> bool {
        self.set.load(Relaxed)
    }

    #[inline]
    pub fn is_at_once(&self) -> bool {
        self.at_once.load(Relaxed)
    }

    /// Whether it is set; if not, the task is woken when it is.
    #[inline]
    pub fn is_set(&self, cx: &Context<'_>) -> bool {
        self.waker.register(cx.waker());
        self.set.load(Relaxed)
    }

    pub async fn wait(&self) {
        self.wait_until(|_| true).await;
    }

    /// Until it is set, and in such a way.
    pub async fn wait_until(&self, is_meant: impl Fn(&Self) -> bool) {
        std::future::poll_fn(|cx| if self.is_set(cx) && is_meant(self) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }
}

// === impl ClientState, Pin ===

impl ClientState {
    pub fn as_str(self) -> &'static str {
        match self {
            ClientState::Idle => "idle",
            ClientState::Active => "active",
            ClientState::Waiting => "waiting",
            ClientState::Begun => "begun",
        }
    }
}

impl Pin {
    /// Whether PostgreSQL can tell that its cause is gone.
    pub fn can_end(self) -> bool {
        match self {
            Pin::TemporaryTable | Pin::HoldCursor | Pin::Listen | Pin::AdvisoryLock | Pin::SqlPrepare => true,
            Pin::None | Pin::SessionMode | Pin::Setting | Pin::Load | Pin::LargeStatement | Pin::Unknown => false,
        }
    }

    pub const ALL: [Self; 11] = [
        Pin::None,
        Pin::SessionMode,
        Pin::Setting,
        Pin::TemporaryTable,
        Pin::HoldCursor,
        Pin::Listen,
        Pin::AdvisoryLock,
        Pin::SqlPrepare,
        Pin::Load,
        Pin::LargeStatement,
        Pin::Unknown,
    ];

    /// The one that `SHOW CLIENTS` calls so.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pin| *pin != Pin::None && pin.as_str() == name)
    }

    /// Empty for `None`; else the word `SHOW CLIENTS` prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Pin::None => "",
            Pin::SessionMode => "session mode",
            Pin::Setting => "setting",
            Pin::TemporaryTable => "temporary table",
            Pin::HoldCursor => "hold cursor",
            Pin::Listen => "listen",
            Pin::AdvisoryLock => "advisory lock",
            Pin::SqlPrepare => "sql prepare",
            Pin::Load => "load",
            Pin::LargeStatement => "large statement",
            Pin::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_among_the_held_is_bounded_and_comes_free() {
        let held = Arc::new(Held::default());
        let first = held.admit(10, 2, 25);
        let second = held.admit(10, 2, 25);
        assert!(first.is_some() && second.is_some() && held.admit(1, 2, 25).is_none());
        drop(second);
        assert!(held.admit(16, 2, 25).is_none());
        let other = held.admit(15, 2, 25);
        assert_eq!((held.clients(), held.bytes()), (2, 25));
        drop((first, other));
        assert_eq!((held.clients(), held.bytes()), (0, 0));
    }
}
