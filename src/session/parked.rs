//! A session whose client asks for nothing: so little is kept of it that ten thousand of them are cheap. What the client asks
//! for next makes it whole again.
//!
//! Some sessions of each worker stay whole while they idle: where there are not many, none pays for the way back and forth.

use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::begin::{Beginning, HeldBegin};
use super::counting::Counting;
use super::login::Registered;
use super::names::Names;
use super::net::Net;
use super::replies::Replies;
use super::settings::SessionSettings;
use super::told::Told;
use super::{Session, WorkerCell, durability};
use crate::catalogs::CatalogOf;
use crate::client::registry::{ClientState, Pin};
use crate::config::{Config, PoolMode, Reads};
use crate::net::Stream;
use crate::net::buffer::Buffer;
use crate::pool::Pool;
use crate::route::{Avoid, TxStatus};
use crate::server::params::Settings;

/// So many of a worker's are. Tests shall meet both kinds.
const WHOLE: usize = if cfg!(debug_assertions) { 1 } else { 64 };

/// One client, from the first byte to the last. Of its task an idle one takes no more room than this.
pub enum Conversation {
    /// It logs in, or its session is whole. Becomes what it resolves to.
    Busy(Pinned<Box<dyn Future<Output = Conversation> + Send>>),
    Parked(Parked),
    Over,
}

/// What is kept of a session.
pub struct Parked {
    pub(super) client: Stream,
    pub(super) registered: Registered,
    pub(super) config: Arc<Config>,
    /// Held while it has a client: one that nobody holds is forgotten.
    pub(super) catalog: Arc<CatalogOf>,
    /// Tells database and user, too.
    pub(super) pool: Arc<Pool>,
    pub(super) startup: Arc<Settings>,
    pub(super) wanted: Arc<Settings>,
    pub(super) told: Told,
    /// None: without any.
    pub(super) names: Option<Box<Names>>,
    pub(super) generation: u64,
    pub(super) last_write: Option<Instant>,
    pub(super) reads: Reads,
}

/// Counts a whole session for as long as it lives.
pub(super) struct Whole(Arc<WorkerCell>);

// === impl Conversation ===

impl Conversation {
    pub fn begin(login: impl Future<Output = Self> + Send + 'static) -> Self {
        Self::Busy(Box::pin(login))
    }

    /// With a session that has logged in.
    pub fn of(session: Box<Session>) -> Self {
        if session.may_park() { Self::Parked(session.park()) } else { Self::Busy(Box::pin(session.run())) }
    }
}

impl Future for Conversation {
    type Output = ();

    fn poll(mut self: Pinned<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            *self = match &mut *self {
                Self::Busy(busy) => ready!(busy.as_mut().poll(cx)),
                Self::Parked(parked) => {
                    ready!(parked.poll_wanted(cx));
                    let Self::Parked(parked) = std::mem::replace(&mut *self, Self::Over) else { continue };
                    Self::Busy(Box::pin(parked.wake().run()))
                }
                Self::Over => return Poll::Ready(()),
            };
        }
    }
}

// === impl Parked ===

impl Parked {
    /// The client has said something, or left; or it is to be told that it must.
    fn poll_wanted(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.registered.entry.kick.is_set(cx) { Poll::Ready(()) } else { self.client.poll_read_ready(cx).map(drop) }
    }

    /// A session that has been asked for nothing yet.
    pub(super) fn wake(self) -> Box<Session> {
        let Self { client, registered, config, catalog, pool, told, names, .. } = self;
        let worker = Arc::clone(&registered.worker);
        let shared = Arc::clone(&worker.shared);
        let (database, user) = (Arc::clone(&pool.key.database), Arc::clone(&pool.key.user));
        let quorum = durability::is_quorum(&config);
        let now = Instant::now();
        let mut session = Box::new(Session {
            whole: Whole::new(&worker),
            reads: self.reads,
            client,
            entry: Arc::clone(&registered.entry),
            registered,
            pools: Vec::new(),
            inbox: Buffer::none(),
            outbox: Default::default(),
            replies: Replies::default(),
            names: names.map_or_else(Names::default, |names| *names),
            changes_catalog: false,
            settings: SessionSettings::new(self.startup, self.wanted),
            generation: self.generation,
            status: TxStatus::Idle,
            pin: Pin::None,
            dirty: false,
            resets: false,
            doubts: None,
            wrote: false,
            last_write: self.last_write,
            avoid: Avoid::NOBODY,
            renames: config.pool.mode != PoolMode::Session,
            request_open: false,
            flushed: false,
            routed: false,
            ahead: None,
            passing: 0,
            skipping: false,
            commit_bound_in: None,
            settled_pin: Pin::None,
            pin_may_be_over: false,
            is_pinned_for_good: false,
            commit_timeline: None,
            is_committing: false,
            begin: HeldBegin::default(),
            begin_failed: false,
            counting: Counting::new(&database),
            refused: Vec::new(),
            net: Net::default(),
            lost_names: Vec::new(),
            last_text: Vec::new(),
            request_at: now,
            transaction_at: now,
            shared,
            worker,
            config,
            database,
            catalog,
            user,
            pool,
        });
        (session.replies.told, session.replies.quorum) = (told, quorum);
        session.meet_defaults();
        session
    }
}

// === impl Session ===

impl Session {
    /// Nothing is under way that `Parked` would not keep, and enough others are whole.
    pub(super) fn may_park(&self) -> bool {
        self.worker.whole.load(Relaxed) > WHOLE && self.inbox.is_empty() && self.has_nothing_in_hand()
    }

    fn has_nothing_in_hand(&self) -> bool {
        let is_free = self.status == TxStatus::Idle && self.pin == Pin::None && self.settled_pin == Pin::None;
        let is_done = self.is_quiet() && self.replies.beginning == Beginning::None && self.replies.notices.is_empty();
        let is_known = self.doubts.is_none() && self.replies.leftovers.is_none() && !self.settings.has_pending();
        let has_begun = self.begin.is_held() || self.begin_failed || self.is_committing;
        let has_left = self.dirty || self.resets || self.wrote || self.changes_catalog || self.is_pinned_for_good;
        let has_more = self.skipping || self.commit_bound_in.is_some() || self.net.repeats > 0;
        let has_names = !(self.refused.is_empty() && self.lost_names.is_empty() && self.replies.undone.is_empty());
        is_free && is_done && is_known && !has_begun && !has_left && !has_more && !has_names
    }

    pub(super) fn park(mut self: Box<Self>) -> Parked {
        self.entry.set_state(ClientState::Idle);
        self.worker.buffers.give(&mut self.inbox);
        let Self { client, registered, config, catalog, pool, settings, replies, names, .. } = *self;
        Parked {
            names: names.kept(),
            startup: settings.startup,
            wanted: settings.wanted,
            told: replies.told,
            generation: self.generation,
            last_write: self.last_write,
            reads: self.reads,
            client,
            registered,
            config,
            catalog,
            pool,
        }
    }
}

// === impl Whole ===

impl Whole {
    fn new(worker: &Arc<WorkerCell>) -> Self {
        worker.whole.fetch_add(1, Relaxed);
        Self(Arc::clone(worker))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.0.whole.fetch_sub(1, Relaxed);
    }
}
