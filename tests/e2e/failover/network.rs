//! The network between the nodes and the proxy: a relay before each node, and a link between each two that can be cut.
//!
//! One address for each node, the same for everybody, as `primary_conninfo` and the proxy's configuration want it: who
//! connects is told by the startup packet (a standby says its name in `application_name`; everybody else is the proxy).
//! No privileges are needed, and nothing is left behind: it is all in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// The other end of a link that is no standby.
pub const PROXY: &str = "proxy";

pub struct Network {
    links: Arc<Links>,
    ports: BTreeMap<&'static str, u16>,
    /// Dropped: all relays end.
    _stop: oneshot::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Open,
    /// Nothing goes through and nobody is told, as when a cable is pulled; what was under way arrives after it is mended.
    Silent,
    /// Connections are reset, new ones too.
    Refused,
}

/// By the names of both ends, the lesser one first.
type Links = BTreeMap<(&'static str, &'static str), watch::Sender<Link>>;

// === impl Network ===

impl Network {
    /// A relay before each of these (name, port on 127.0.0.1).
    pub fn before(nodes: &[(&'static str, u16)]) -> Self {
        let names: Vec<_> = nodes.iter().map(|(name, _)| *name).chain([PROXY]).collect();
        let pairs = names.iter().flat_map(|a| names.iter().map(move |b| (*a, *b))).filter(|(a, b)| a < b);
        let links: Arc<Links> = Arc::new(pairs.map(|pair| (pair, watch::Sender::new(Link::Open))).collect());
        let (stop, stopped) = oneshot::channel();
        let mut ports = BTreeMap::new();
        let mut relays = Vec::new();
        for (name, to) in nodes {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            ports.insert(*name, listener.local_addr().unwrap().port());
            relays.push((listener, *name, *to));
        }
        let shared = Arc::clone(&links);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for (listener, name, to) in relays {
                    let listener = TcpListener::from_std(listener).unwrap();
                    tokio::spawn(accept(listener, name, to, Arc::clone(&shared)));
                }
                let _ = stopped.await;
            });
        });
        Self { links, ports, _stop: stop }
    }

    /// Where everybody finds this node.
    pub fn port(&self, node: &str) -> u16 {
        self.ports[node]
    }

    pub fn set(&self, one: &str, other: &str, link: Link) {
        between(&self.links, one, other).send_replace(link);
    }

    /// All links of this one.
    pub fn set_all(&self, of: &str, link: Link) {
        for ((one, other), sender) in self.links.iter() {
            if *one == of || *other == of {
                sender.send_replace(link);
            }
        }
    }
}

fn between<'a>(links: &'a Links, one: &str, other: &str) -> &'a watch::Sender<Link> {
    let pair = (one.min(other), one.max(other));
    links.iter().find(|(key, _)| **key == pair).map(|(_, link)| link).expect("a link between these two")
}

async fn accept(listener: TcpListener, node: &'static str, to: u16, links: Arc<Links>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(relay(stream, node, to, Arc::clone(&links)));
    }
}

async fn relay(mut from: TcpStream, node: &'static str, to: u16, links: Arc<Links>) {
    let Ok(startup) = read_startup(&mut from).await else { return };
    let mut link = between(&links, &peer(&startup, &links, node), node).subscribe();
    if !is_open(&mut link).await {
        return reset(&from);
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await else { return reset(&from) };
    if server.write_all(&startup).await.is_err() {
        return reset(&from);
    }
    let _ = (from.set_nodelay(true), server.set_nodelay(true));
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), server.into_split());
    tokio::select! {
        () = copy(from_read, to_write, link.clone()) => {}
        () = copy(to_read, from_write, link.clone()) => {}
    }
}

/// Until one side ends or the link is refused; while it is silent, nothing moves.
async fn copy(mut source: OwnedReadHalf, mut sink: OwnedWriteHalf, mut link: watch::Receiver<Link>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut refused = link.clone();
    loop {
        let read = tokio::select! {
            read = source.read(&mut buffer) => read.unwrap_or(0),
            _ = refused.wait_for(|link| *link == Link::Refused) => 0,
        };
        // Who ends behind a cut is not heard either.
        if !is_open(&mut link).await {
            reset(sink.as_ref());
            return;
        }
        if read == 0 || sink.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Waits while it is silent; `false`: refused.
async fn is_open(link: &mut watch::Receiver<Link>) -> bool {
    link.wait_for(|link| *link != Link::Silent).await.is_ok_and(|link| *link == Link::Open)
}

/// Closing it will send RST, not FIN.
fn reset(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}

/// The packet with its length; requests for encryption are declined.
async fn read_startup(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    loop {
        let mut packet = vec![0; 8];
        stream.read_exact(&mut packet).await?;
        let length = u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]) as usize;
        if length == 8 {
            stream.write_all(b"N").await?;
            continue;
        }
        packet.resize(length.clamp(8, 10_000), 0);
        stream.read_exact(&mut packet[8..]).await?;
        return Ok(packet);
    }
}

fn peer(startup: &[u8], links: &Links, node: &str) -> String {
    let mut texts = startup[8..].split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let name = texts.by_ref().find(|text| text == "application_name").and_then(|_| texts.next()).unwrap_or_default();
    let is_node = name != node && links.keys().any(|(one, other)| *one == name || *other == name);
    if is_node { name.into_owned() } else { PROXY.to_owned() }
}
