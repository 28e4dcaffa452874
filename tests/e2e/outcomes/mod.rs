//! A server is lost under its client: who goes on, what it hears, what is asked again, and what became of its transaction.

mod promotion;
mod quorum;
mod reads;
mod resolve;
mod state;
mod transactions;
mod writes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pgherd::demo::Node;
use pgherd::wire::{frame, frontend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_postgres::Client;

use crate::harness::raw::{Answer, Raw, Role, push_execute, push_parse};
use crate::harness::{Proxy, drivers, shared};

/// A role, a proxy that lets it in, and a superuser on each node who ends its servers.
struct Stage {
    role: Role,
    proxy: Proxy<'static>,
    hangmen: Vec<Client>,
}

impl Stage {
    /// `more`: configuration.
    async fn set(name: &str, more: &str) -> Self {
        let role = Role::new(name);
        let proxy = Proxy::start(shared(), &format!("{more}\n{}", role.config()));
        let mut hangmen = Vec::new();
        for node in shared().nodes() {
            hangmen.push(drivers::connect(&node.dsn("postgres", "postgres")).await.unwrap());
        }
        Self { role, proxy, hangmen }
    }

    async fn client(&self) -> Raw {
        self.role.raw(self.proxy.port()).await
    }

    /// Ends all servers of the role and waits until they are gone; how many there were.
    async fn end_servers(&self) -> i64 {
        let mut ended = 0;
        for hangman in &self.hangmen {
            let sql = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE usename = $1";
            ended += hangman.query_one(sql, &[&self.role.name]).await.unwrap().get::<_, i64>(0);
        }
        ended
    }

    /// Until a server of the role is running a statement that contains `text`. Where.
    async fn until_running(&self, text: &str) -> &Client {
        for _ in 0..1500 {
            for hangman in &self.hangmen {
                let sql =
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND state = 'active' AND query LIKE $2";
                let row = hangman.query_one(sql, &[&self.role.name, &format!("%{text}%")]).await.unwrap();
                if row.get::<_, i64>(0) > 0 {
                    return hangman;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("{text} does not run");
    }

    /// Ends the server that is running a statement that contains `text`, no other one.
    async fn end_running(&self, text: &str) {
        let hangman = self.until_running(text).await;
        let sql = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = $1 AND query LIKE $2";
        let ended = hangman.query(sql, &[&self.role.name, &format!("%{text}%")]).await.unwrap();
        assert_eq!(ended.len(), 1, "{text}");
    }
}

/// The one error of an answer: its SQLSTATE, severity and the status behind it.
fn refusal(answer: &Answer) -> (&str, &str, char) {
    assert_eq!(answer.errors.len(), 1, "{answer:?}");
    let error = &answer.errors[0];
    (&error.sqlstate, &error.severity, char::from(answer.status))
}

/// `messages` are sent in one write.
async fn send_all(client: &mut Raw, write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    client.send(&out).await;
}

/// Parse, Bind, Execute of the unnamed statement, without a Sync.
fn push_unnamed(out: &mut Vec<u8>, sql: &str) {
    push_parse(out, "", sql);
    push_execute(out, "", &[]);
}

fn push_copy_data(out: &mut Vec<u8>, data: &str) {
    frame::push(out, b'd', |out| out.extend_from_slice(data.as_bytes()));
}

const COPY_DONE: &[u8] = b"c\0\0\0\x04";

/// Between the proxy and a node: can keep the node's answers back, and cut every connection.
struct Relay {
    port: u16,
    state: Arc<RelayState>,
}

#[derive(Default)]
struct RelayState {
    mute: AtomicBool,
    cut: Notify,
}

// === impl Relay ===

impl Relay {
    /// In a thread of its own: the test's waits for the proxy to come up.
    fn before(node: &Node) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), node.port());
        let state = Arc::new(RelayState::default());
        let relay = Self { port, state: Arc::clone(&state) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(Self::serve(listener, to, state)));
        relay
    }

    async fn serve(listener: std::net::TcpListener, to: u16, state: Arc<RelayState>) {
        let listener = TcpListener::from_std(listener).unwrap();
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::select! {
                    () = state.cut.notified() => {}
                    () = copy(from_client, to_server, None) => {}
                    () = copy(from_server, to_client, Some(&state)) => {}
                }
            });
        }
    }

    /// What the node answers from now on never arrives.
    fn mute(&self, mute: bool) {
        self.state.mute.store(mute, Relaxed);
    }

    fn cut(&self) {
        self.state.cut.notify_waiters();
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, muted: Option<&RelayState>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        let mute = muted.is_some_and(|state| state.mute.load(Relaxed));
        if read == 0 || (!mute && to.write_all(&buffer[..read]).await.is_err()) {
            return;
        }
    }
}

/// The nodes of the shared cluster, pg1 behind `relay`.
fn behind(relay: &Relay) -> String {
    let [pg1, pg2, pg3] = shared().nodes();
    let ports = [(pg1.name(), relay.port), (pg2.name(), pg2.port()), (pg3.name(), pg3.port())];
    let node = |(name, port)| format!("[[node]]\nname = '{name}'\nhost = '127.0.0.1'\nport = {port}\n");
    ports.map(node).concat()
}

fn push_sync(out: &mut Vec<u8>) {
    frontend::push_sync(out);
}
