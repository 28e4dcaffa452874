//! One client's conversation: what it asks for is looked at, routed to a server, relayed. The session's task owns both
//! sockets; there is no second task and no channel on the way of a query.

mod aborted;
mod answers;
mod begin;
mod cleanup;
mod copying;
mod counting;
mod durability;
mod effects;
mod ends;
mod exchange;
mod fate;
mod greet;
mod hold;
mod intake;
mod leftovers;
mod lesson;
pub mod login;
mod lost;
mod misnamed;
mod names;
mod net;
mod ops;
mod outbox;
mod outline;
mod own;
pub mod parked;
mod passthrough;
mod read_first;
mod remarks;
mod replies;
mod resolve;
mod rest;
mod rounds;
mod settings;
mod skipping;
mod slow;
mod statements;
mod survey;
mod told;
mod unanswered;
mod unsettled;
mod welcome;
mod wishes;
mod withheld;
mod writes;

use std::net::SocketAddr;
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Instant;

use tokio::io::{AsyncRead, ReadBuf};

use counting::Counting;
use names::Names;
use net::Net;
use outbox::Outbox;
use parked::Conversation;
use replies::Replies;
use settings::SessionSettings;
use survey::{Ends, Piece, Survey};

use crate::catalogs::CatalogOf;
use crate::client::random::Random;
use crate::client::registry::{ClientEntry, ClientState, Pin};
use crate::config::{Config, Reads};
use crate::net::Stream;
use crate::net::buffer::{Buffer, Buffers};
use crate::pool::{Pool, PoolKey};
use crate::route::{Avoid, TxStatus};
use crate::server::Server;
use crate::shared::Shared;
use crate::sql::catalog::Catalog;
use crate::sql::shapes::{Counts, Shapes};
use crate::sql::{Cache, Class, Told};
use crate::stats::PoolCounters;
use crate::wire::error::PgError;
use crate::wire::frame::HEADER;

/// What the sessions of one worker share. Only that worker's tasks use it, so its locks are never contended.
pub struct WorkerCell {
    pub shared: Arc<Shared>,
    pub index: usize,
    pub buffers: Buffers,
    pub classes: std::sync::Mutex<Cache>,
    pub shapes: std::sync::Mutex<Shapes>,
    pub counts: Arc<Counts>,
    /// Requests that were routed: who of several nodes takes the next one depends on it.
    pub turns: AtomicUsize,
    /// Sessions that are not parked.
    pub whole: AtomicUsize,
    pub random: std::sync::Mutex<Random>,
    /// Where clients connect to.
    pub listens: SocketAddr,
}

pub struct Session {
    shared: Arc<Shared>,
    worker: Arc<WorkerCell>,
    config: Arc<Config>,
    /// By `[[user]]`, `[[database]]` and `[routing]`.
    reads: Reads,
    client: Stream,
    entry: Arc<ClientEntry>,
    /// Keeps `entry` in the registry.
    registered: login::Registered,
    #[expect(dead_code, reason = "held for its drop")]
    whole: parked::Whole,
    database: Arc<str>,
    catalog: Arc<CatalogOf>,
    user: Arc<str>,
    /// By node.
    pools: Vec<Option<Arc<Pool>>>,
    /// The pool of the last server: where this session counts.
    pool: Arc<Pool>,

    inbox: Buffer,
    outbox: Outbox,
    replies: Replies,
    names: Names,
    settings: SessionSettings,
    /// `Shared::statement_generation` when it last prepared a statement.
    generation: u64,
    /// The open transaction, or the request under way, may have changed the catalog.
    changes_catalog: bool,

    /// Of the transaction, as PostgreSQL last told.
    status: TxStatus,
    pin: Pin,
    /// Something may be left behind on the server that only DISCARD ALL (or closing it) removes.
    dirty: bool,
    /// Settings may, that only RESET ALL removes.
    resets: bool,
    /// What code that nobody can read may have left behind is not known yet.
    doubts: Option<Box<leftovers::Doubts>>,
    /// The open transaction, or the request under way, may have written.
    wrote: bool,
    /// When a transaction that may have written was last answered.
    last_write: Option<Instant>,
    /// Nodes that the request at the front must not go to again.
    avoid: Avoid,
    /// Statement names are translated (all pool modes but `session`).
    renames: bool,
    /// Parts of an extended request were sent, its Sync was not.
    request_open: bool,
    /// … and the last of them was a Flush.
    flushed: bool,
    /// The request at the front was routed to the server at hand.
    routed: bool,
    /// What the survey was told of the text of the Query or Parse at that place of the inbox (`Buffer::lasting`). It holds
    /// until the inbox is read into again.
    ahead: Option<(usize, Told)>,
    /// Bytes of the frame at the front that go as they lie. Without a server: that are dropped.
    passing: usize,
    /// An error was answered for a request that had no server: its messages up to Sync are dropped.
    skipping: bool,

    /// The round in which a portal got a statement that ends a transaction: it may be run in a later one.
    commit_bound_in: Option<u64>,
    /// What kept it on its server when PostgreSQL last was outside of a transaction: lost with the server.
    settled_pin: Pin,
    /// Something was done that may have ended its cause.
    pin_may_be_over: bool,
    /// There is a cause that PostgreSQL can't tell of.
    is_pinned_for_good: bool,
    /// Of the primary when it was asked for a transaction's id.
    commit_timeline: Option<u32>,
    /// Its COMMIT is on the way (kept only where durability is `quorum`).
    is_committing: bool,
    /// Answered, not sent yet.
    begin: begin::HeldBegin,
    /// What the client believes to have begun could not be begun.
    begin_failed: bool,
    /// Of the request at the front, if it had to be asked again.
    net: Net,

    counting: Counting,
    /// Why statements on their way are refused, by their numbers.
    refused: Vec<PgError>,
    /// Statements that were not prepared after all, by number and client's name, for as long as they may be used.
    lost_names: Vec<(u64, Box<[u8]>)>,

    /// The last statement's text, for the log of slow ones. Cut.
    last_text: Vec<u8>,
    request_at: Instant,
    transaction_at: Instant,
}

/// Why a session ends.
#[derive(Debug)]
pub enum Close {
    /// Terminate, or the socket was closed.
    ByClient,
    /// The proxy is stopping, or an administrator ended it.
    Kicked,
    /// So did he, in the middle of an answer's message: nothing can be said.
    Cut,
    /// Told to the client before its socket is closed.
    Error(PgError),
    /// As `Error`: the client broke the protocol.
    Violation(PgError),
    /// It sent a length that no message can have: PostgreSQL closes without a word.
    BadLength,
    /// The server was lost and has said why itself, or nothing can be said.
    ServerGone,
}

// === impl Session: the loop ===

impl Session {
    /// Serves the client until it leaves or is made to, or asks for nothing.
    pub(crate) async fn run(mut self: Box<Self>) -> Conversation {
        let close = loop {
            match self.turn().await {
                Ok(()) if self.may_park() => return Conversation::Parked(self.park()),
                Ok(()) => {}
                Err(close) => break close,
            }
        };
        Box::pin(self.say_goodbye(close)).await;
        let mut inbox = std::mem::replace(&mut self.inbox, Buffer::none());
        self.worker.buffers.give(&mut inbox);
        Conversation::Over
    }

    /// One request, or as many as one server answers in a row.
    async fn turn(&mut self) -> Result<(), Close> {
        self.meet_failed_begin();
        if self.status != TxStatus::Idle {
            return Box::pin(self.answer_aborted()).await;
        }
        let (class, ends) = self.next_request().await?;
        self.meet_new_config();
        match ends {
            Some(Ends::Terminate) => return Err(Close::ByClient),
            Some(Ends::Sync { empty: true }) => return self.answer_sync().await,
            _ => {}
        }
        if self.skipping {
            return self.skip_request(ends).await;
        }
        self.request_at = Instant::now();
        self.entry.request_at_us.store(self.shared.us_at(self.request_at), Relaxed);
        if let Some(answer) = self.answer_alone(class.as_ref()) {
            return self.send(answer).await;
        }
        self.end_reading();
        self.meet_defaults();
        let class = self.class_to_route(class);
        match self.acquire(class.as_ref()).await {
            Ok(checkout) => {
                self.routed = true;
                self.exchange(checkout).await
            }
            Err(Refused::Error(error)) => self.refuse(error, ends).await,
            Err(Refused::Gone(close)) => Err(close),
        }
    }

    /// After a reload. The pool mode of a session is that of its login.
    fn meet_new_config(&mut self) {
        let latest = self.shared.config.load();
        let is_met = Arc::ptr_eq(&self.config, &latest) || self.config.pool.mode != latest.pool.mode;
        if is_met || self.status != TxStatus::Idle || self.begin.is_held() {
            return;
        }
        self.config = Arc::clone(&latest);
        drop(latest);
        self.reads = self.config.reads_of(&self.database, &self.user);
        self.replies.quorum = durability::is_quorum(&self.config);
    }

    /// Waits for a request and looks at it. With no standby to choose, its first bytes are enough.
    async fn next_request(&mut self) -> Result<(Option<Class>, Option<Ends>), Close> {
        self.entry.set_state(if self.begin.is_held() { ClientState::Begun } else { ClientState::Idle });
        loop {
            if self.passing > 0 {
                let count = self.passing.min(self.inbox.end - self.inbox.start);
                self.inbox.start += count;
                self.passing -= count;
            }
            if !self.inbox.is_empty() {
                let first = self.inbox.filled()[0];
                if matches!(first, b'd' | b'c' | b'f')
                    && let Ok(Some(header)) = crate::wire::frame::header(self.inbox.filled())
                {
                    // What is left of a COPY that failed; PostgreSQL drops it as well.
                    self.passing = header.size;
                    continue;
                }
                if !self.splits() && !matches!(first, b'S' | b'X' | b'H') && !self.skipping {
                    // One node serves all: the first message is enough, but no client dribbles while it has a server.
                    if self.first_message_is_here() {
                        return Ok((None, None));
                    }
                    self.read_client().await?;
                    continue;
                }
                match self.survey() {
                    Survey::Whole { class: None, ends: Ends::Flush { .. } } if first == b'H' => {
                        // Nothing was sent to anyone: there is nothing to flush.
                        self.inbox.start += HEADER;
                        continue;
                    }
                    Survey::Whole { class, ends } => {
                        // What an open implicit transaction will do next is not known: only plain preparing may go
                        // to a standby.
                        let class = if ends == (Ends::Flush { executes: true }) { None } else { class };
                        return Ok((class, Some(ends)));
                    }
                    Survey::Opaque => return Ok((None, None)),
                    Survey::Unfinished { at_least } => {
                        if at_least > self.config.routing.max_classified_bytes {
                            return Ok((None, None));
                        }
                        self.inbox.grow(at_least);
                    }
                }
            }
            self.read_client().await?;
        }
    }

    /// Reads once. Holds no buffer while there is nothing to read.
    async fn read_client(&mut self) -> Result<(), Close> {
        if self.inbox.is_empty() && !self.inbox.is_none() {
            self.worker.buffers.give(&mut self.inbox);
        }
        self.ahead = None;
        let Self { client, inbox, worker, entry, begin, .. } = self;
        let read = std::future::poll_fn(|cx| {
            // Behind a held BEGIN its client is in a transaction: a drain waits for it as for any other.
            if entry.kick.is_set(cx) && (!begin.is_held() || entry.kick.is_at_once()) {
                return Poll::Ready(Err(Close::Kicked));
            }
            if inbox.is_none() {
                match client.poll_read_ready(cx) {
                    Poll::Ready(_) => *inbox = worker.buffers.take(),
                    Poll::Pending => return Poll::Pending,
                }
            }
            inbox.compact();
            poll_fill(client, inbox, cx).map(|read| read.map_err(|_| Close::ByClient))
        })
        .await?;
        self.cell().received.add(read as u64);
        if read == 0 { Err(Close::ByClient) } else { Ok(()) }
    }

    #[inline]
    fn classify(&self, text: &[u8]) -> Class {
        self.tell(text).class
    }

    /// With the version of the catalog that it is by.
    fn classify_by(&self, text: &[u8]) -> (Class, u64) {
        let Told { class, version, .. } = self.tell(text);
        (class, version)
    }

    fn tell(&self, text: &[u8]) -> Told {
        self.worker.classes().tell(text, &**self.catalog.known())
    }

    /// What is told already of the message at the front.
    #[inline]
    fn told_ahead(&mut self) -> Option<Told> {
        let (at, told) = self.ahead.take()?;
        (at == self.inbox.lasting(self.inbox.start)).then_some(told)
    }

    fn survey(&mut self) -> Survey {
        let Self { inbox, worker, names, catalog, ahead, .. } = self;
        *ahead = None;
        let known = catalog.known();
        let mut classes = worker.classes();
        let class_of = |piece: Piece<'_>| match piece {
            Piece::Text(text) => {
                let told = classes.tell(text, &**known);
                // Of a later message: it will not be found at this place.
                ahead.get_or_insert((inbox.lasting(inbox.start), told));
                Some(told.class)
            }
            Piece::Statement(name) => names.class_by(name, known.version(), |text| classes.classify(text, &**known)),
        };
        survey::survey(inbox.filled(), class_of)
    }

    /// All of the first message, or as much of it as a buffer takes.
    fn first_message_is_here(&self) -> bool {
        let have = self.inbox.filled();
        match crate::wire::frame::header(have) {
            Ok(Some(header)) => have.len() >= header.size.min(self.worker.buffers.size()),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Whether there is a choice of nodes.
    fn splits(&self) -> bool {
        self.renames && self.reads.split && !self.shared.topology.load().standbys.is_empty()
    }

    /// Whether `server` may get whatever comes next.
    fn may_stay(&self, server: &Server) -> bool {
        self.status != TxStatus::Idle
            || self.begin.is_held()
            || self.pin != Pin::None
            || self.shared.topology.load().primary == Some(server.node)
    }
}

/// Why a request got no server.
enum Refused {
    /// The session goes on.
    Error(PgError),
    Gone(Close),
}

// === impl Session: small things ===

impl Session {
    /// Where this session counts.
    #[inline]
    fn cell(&self) -> &PoolCounters {
        &self.pool.counters[self.worker.index]
    }

    /// The pool of this session's database and user on `node`.
    fn pool_on(&mut self, node: crate::cluster::NodeId) -> Arc<Pool> {
        let at = usize::from(node.0);
        if self.pool.key.node == node {
            return Arc::clone(&self.pool);
        }
        if let Some(Some(pool)) = self.pools.get(at) {
            return Arc::clone(pool);
        }
        let key = PoolKey { node, database: Arc::clone(&self.database), user: Arc::clone(&self.user) };
        let pool = self.shared.pools.pool(&key);
        if self.pools.len() <= at {
            self.pools.resize(at + 1, None);
        }
        self.pools[at] = Some(Arc::clone(&pool));
        pool
    }

    fn pin(&mut self, pin: Pin) {
        if self.pin == Pin::None {
            self.pin = pin;
            self.entry.set_pin(pin);
        }
        self.is_pinned_for_good |= !pin.can_end();
        self.dirty = true;
        self.settings.discards = false;
    }
}

/// One read into what room `buffer` has.
fn poll_fill(
    stream: &mut Stream,
    buffer: &mut Buffer,
    cx: &mut std::task::Context<'_>,
) -> Poll<std::io::Result<usize>> {
    let mut room = ReadBuf::new(buffer.room());
    std::task::ready!(Pinned::new(stream).poll_read(cx, &mut room))?;
    let count = room.filled().len();
    buffer.end += count;
    Poll::Ready(Ok(count))
}
