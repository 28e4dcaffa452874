//! The first packets of a connection: encryption requests, a cancel request, or the start of a session.
//! Read to the byte, never beyond, by hand: what lies behind an SSLRequest was sent by who knows whom.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::config::Limits;
use crate::wire::error::{PgError, sqlstate};
use crate::wire::startup::{Answered, Malformed, Packet, Startup};

/// How a connection begins.
#[derive(PartialEq)]
pub enum Hello {
    Startup(Startup),
    /// To be closed without an answer, whatever becomes of it.
    Cancel {
        process_id: i32,
        key: Vec<u8>,
    },
    /// Closed before a byte came, or after an encryption request: a port check, or a client that wants TLS.
    Gone,
}

/// Why there will be no session. The client has been told already, where PostgreSQL would tell it.
#[derive(Debug)]
pub enum Refusal {
    /// Not PostgreSQL's protocol (HTTP, TLS …), or a startup packet of an impossible length.
    BadLength,
    /// Closed in the middle of a packet.
    Truncated,
    /// Bytes behind an encryption request before it was answered.
    EarlyData(PgError),
    /// A whole packet that makes no sense or asks for what isn't there; the error that was sent.
    Refused(PgError),
    Io(io::Error),
}

/// Reads up to the startup packet or cancel request, answers SSLRequest and GSSENCRequest with `N`, and sends
/// NegotiateProtocolVersion where it is due. The caller bounds the time it takes.
pub async fn hello<S>(stream: &mut S, limits: &Limits) -> Result<Hello, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answered = Answered::default();
    loop {
        let Some(body) = read_packet(stream, limits.max_startup_bytes).await? else { return Ok(Hello::Gone) };
        match Packet::parse(&body, answered) {
            Ok(Packet::SslRequest) => {
                answered.ssl = true;
                refuse_encryption(stream, "received unencrypted data after SSL request").await?;
            }
            Ok(Packet::GssRequest) => {
                answered.gss = true;
                refuse_encryption(stream, "received unencrypted data after GSSAPI encryption request").await?;
            }
            Ok(Packet::Cancel { process_id, key }) => return Ok(Hello::Cancel { process_id, key }),
            Ok(Packet::Startup(startup)) => {
                if let Some(negotiation) = startup.negotiation() {
                    stream.write_all(&negotiation).await?;
                }
                return Ok(Hello::Startup(startup));
            }
            Err(Malformed::Length) => return Err(Refusal::BadLength),
            Err(Malformed::Error { error, answer }) => {
                stream.write_all(&answer).await?;
                return Err(Refusal::Refused(error));
            }
        }
    }
}

/// A packet without its length word; `None` if the client closed before its first byte.
async fn read_packet<S: AsyncRead + Unpin>(stream: &mut S, max: usize) -> Result<Option<Vec<u8>>, Refusal> {
    let mut length = [0; 4];
    let read = stream.read(&mut length).await?;
    if read == 0 {
        return Ok(None);
    }
    if read < length.len() {
        stream.read_exact(&mut length[read..]).await?;
    }
    let body_length = (u32::from_be_bytes(length) as usize).checked_sub(4).filter(|n| (4..=max).contains(n));
    let mut body = vec![0; body_length.ok_or(Refusal::BadLength)?];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}

/// `N`. Nobody who waits for the answer has sent anything yet: what is there already was slipped in before the
/// encryption (CVE-2021-23214), and must not be read as if it came after.
async fn refuse_encryption<S>(stream: &mut S, complaint: &str) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answer = vec![b'N'];
    if !has_early_data(stream).await? {
        stream.write_all(&answer).await?;
        return Ok(());
    }
    let error = PgError::fatal(sqlstate::PROTOCOL_VIOLATION, complaint).with_detail(
        "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.",
    );
    error.encode(&mut answer);
    stream.write_all(&answer).await?;
    Err(Refusal::EarlyData(error))
}

async fn has_early_data<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<bool> {
    let mut byte = [0];
    poll_fn(|cx| {
        let mut buffer = ReadBuf::new(&mut byte);
        Poll::Ready(match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => Ok(!buffer.filled().is_empty()),
            Poll::Ready(Err(e)) => Err(e),
            Poll::Pending => Ok(false),
        })
    })
    .await
}

// === impl Hello ===

impl fmt::Debug for Hello {
    /// Without the key: who knows it can stop what others run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hello::Startup(startup) => write!(f, "{startup:?}"),
            Hello::Cancel { process_id, .. } => write!(f, "Cancel({process_id}, ********)"),
            Hello::Gone => f.write_str("Gone"),
        }
    }
}

// === impl Refusal ===

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Refusal::Truncated,
            _ => Refusal::Io(error),
        }
    }
}

impl Refusal {
    /// Input that breaks the protocol, as opposed to a broken connection.
    pub fn is_violation(&self) -> bool {
        !matches!(self, Refusal::Io(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::BadLength => f.write_str("invalid length of startup packet"),
            Refusal::Truncated => f.write_str("incomplete startup packet"),
            Refusal::EarlyData(error) | Refusal::Refused(error) => write!(f, "{error}"),
            Refusal::Io(error) => write!(f, "{error}"),
        }
    }
}
