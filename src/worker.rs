//! Threads that serve clients: one current-thread runtime each, a session lives and dies on one of them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::admin::{Dialect, console};
use crate::net::buffer::Buffers;
use crate::net::{self, Stream};
use crate::session::WorkerCell;
use crate::session::login::{Login, login};
use crate::session::parked::Conversation;
use crate::shared::Shared;
use crate::sql::Cache;
use crate::sql::shapes::Shapes;
use crate::wire::auth;

/// The workers of a running proxy.
pub struct Workers {
    threads: Vec<thread::JoinHandle<()>>,
    /// Set to stop accepting; dropped to end the workers, with whatever they still serve.
    accepting: watch::Sender<bool>,
}

/// One worker as the acceptor sees it.
#[derive(Clone)]
struct Seat {
    sockets: mpsc::Sender<(std::net::TcpStream, SocketAddr)>,
    /// Connections it has.
    load: Arc<AtomicUsize>,
}

/// One connection's task.
struct Served {
    conversation: Conversation,
    _counted: Counted,
}

/// Counts a connection for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

// === impl Workers ===

impl Workers {
    /// Starts the threads; the first one accepts and deals the sockets out.
    pub fn start(shared: &Arc<Shared>, listener: std::net::TcpListener) -> io::Result<Self> {
        let config = shared.config.load();
        let listens = listener.local_addr()?;
        let (accepting, stop) = watch::channel(true);
        let mut seats = Vec::new();
        let mut inboxes = Vec::new();
        for _ in 0..config.workers {
            let (sockets, inbox) = mpsc::channel(DEALT);
            seats.push(Seat { sockets, load: Arc::default() });
            inboxes.push(inbox);
        }
        let mut listener = Some(listener);
        let mut threads = Vec::new();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let cell = Arc::new(WorkerCell {
                shared: Arc::clone(shared),
                // So that no two of them draw the same lots.
                turns: AtomicUsize::new(index << 24),
                whole: AtomicUsize::new(0),
                random: Mutex::default(),
                listens,
                index,
                buffers: Buffers::new(config.limits.buffer_bytes),
                shapes: Shapes::new(Arc::clone(&shared.routes[index]), shared.seed).into(),
                counts: Arc::clone(&shared.routes[index]),
                classes: Cache::new(config.routing.cache_entries, config.routing.max_classified_bytes, shared.seed)
                    .into(),
            });
            let worker =
                Worker { shared: Arc::clone(shared), cell, load: Arc::clone(&seats[index].load), stop: stop.clone() };
            let acceptor = listener.take().map(|listener| (listener, seats.clone()));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = thread::Builder::new().name(format!("worker-{index}")).stack_size(STACK_BYTES);
            threads.push(thread.spawn(move || runtime.block_on(worker.run(inbox, acceptor)))?);
        }
        Ok(Self { threads, accepting })
    }

    /// No new connections from now on.
    pub fn stop_accepting(&self) {
        self.accepting.send_replace(false);
    }

    /// Ends the workers and waits for them.
    pub fn join(self) {
        drop(self.accepting);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Sockets on their way to one worker; more wait in the listener's backlog.
const DEALT: usize = 256;

/// sqlparser's recursion wants more than the usual 2 MiB to be safe.
pub const STACK_BYTES: usize = 4 << 20;

#[derive(Clone)]
struct Worker {
    shared: Arc<Shared>,
    cell: Arc<WorkerCell>,
    load: Arc<AtomicUsize>,
    stop: watch::Receiver<bool>,
}

type Inbox = mpsc::Receiver<(std::net::TcpStream, SocketAddr)>;

// === impl Worker ===

impl Worker {
    async fn run(mut self, mut inbox: Inbox, acceptor: Option<(std::net::TcpListener, Vec<Seat>)>) {
        if let Some((listener, seats)) = acceptor {
            match TcpListener::from_std(listener) {
                Ok(listener) => drop(tokio::spawn(accept(listener, seats, self.clone(), self.stop.clone()))),
                Err(error) => tracing::error!(%error, "can't accept connections"),
            }
        }
        loop {
            tokio::select! {
                biased;
                // No more come once nobody accepts; those that are here go on.
                Some((socket, peer)) = inbox.recv() => match Stream::from_std(socket) {
                    Ok(stream) => self.adopt(stream, peer),
                    Err(error) => {
                        drop(Counted(Arc::clone(&self.load)));
                        tracing::warn!(client = %peer, %error, "a connection can't be served");
                    }
                },
                // The sender is gone: the proxy stops.
                () = async { while self.stop.changed().await.is_ok() {} } => break,
            }
        }
    }

    fn adopt(&self, stream: Stream, peer: SocketAddr) {
        let counted = Counted(Arc::clone(&self.load));
        let (shared, cell) = (Arc::clone(&self.shared), Arc::clone(&self.cell));
        let conversation = Conversation::begin(serve(shared, cell, stream, peer));
        tokio::spawn(Served { conversation, _counted: counted });
    }
}

/// Deals connections to the worker that has the fewest; `home` runs this.
async fn accept(listener: TcpListener, seats: Vec<Seat>, home: Worker, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Dropping the listener refuses what comes from now on.
            _ = stop.wait_for(|accepting| !*accepting) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                home.shared.counters.clients_accepted.add(1);
                if !net::INHERITS
                    && let Err(error) = net::tune(&stream)
                {
                    tracing::debug!(client = %peer, %error, "a socket option can't be set");
                }
                let Some(seat) = seats.iter().min_by_key(|seat| seat.load.load(Relaxed)) else { return };
                if Arc::ptr_eq(&seat.load, &home.load) {
                    seat.load.fetch_add(1, Relaxed);
                    home.adopt(stream, peer);
                } else if let Ok(socket) = stream.into_std() {
                    seat.load.fetch_add(1, Relaxed);
                    let _ = seat.sockets.send((socket, peer)).await;
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely: let some be closed.
                tracing::error!(%error, "a connection can't be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

// === impl Served ===

impl Future for Served {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.conversation).poll(cx)
    }
}

async fn serve(shared: Arc<Shared>, cell: Arc<WorkerCell>, stream: Stream, peer: SocketAddr) -> Conversation {
    match login(&shared, &cell, stream, peer).await {
        None => {}
        Some(Login::Application(session)) => return Conversation::of(session),
        Some(Login::Replication(passthrough)) => Box::pin(passthrough.run()).await,
        Some(Login::Console { mut stream, database, entry, .. }) => {
            let mut greeting = Vec::new();
            for (name, value) in console::parameters() {
                auth::push_parameter_status(&mut greeting, name, &value);
            }
            auth::push_backend_key_data(&mut greeting, entry.entry.process_id, entry.entry.cancel_key.as_bytes());
            auth::push_ready_for_query(&mut greeting, b'I');
            if stream.write_all(&greeting).await.is_err() {
                return Conversation::Over;
            }
            let dialect = Dialect::of_database(&database).unwrap_or(Dialect::Pgherd);
            tokio::select! {
                () = entry.entry.kick.wait() => {}
                served = Box::pin(console::serve(stream, peer, Arc::clone(&entry.entry), dialect, shared)) => {
                    if let Err(error) = served {
                        tracing::debug!(client = %peer, %error, "a console session broke");
                    }
                }
            }
        }
    }
    Conversation::Over
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;

    fn size_of<A, F: Future>(_: impl Fn(A) -> F) -> usize {
        std::mem::size_of::<F>()
    }

    /// Ten thousand of them are no rarity: whatever is rare must be boxed where it is awaited.
    #[test]
    fn an_idle_client_holds_little() {
        let task = std::mem::size_of::<Served>();
        // With the runtime's 96 bytes, 256.
        assert!(task <= 160, "{task} bytes");
        let run = size_of::<Box<Session>, _>(Session::run);
        let own = std::mem::size_of::<Session>();
        assert!(run + own <= 1904, "a whole one: {run} bytes and the session's own {own}");
    }
}
