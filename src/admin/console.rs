//! The console: PostgreSQL's protocol on a connection that is already logged in, carried by pgwire.
//!
//! pgwire's decoders panic on truncated bodies and read past a frame's end, so it never sees the socket: frames are cut and
//! checked here (`frame`), and each is handed over alone.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::SinkExt;
use pgwire::api::{ClientInfo, DefaultClient, NoopHandler, PgWireConnectionState};
use pgwire::error::ErrorInfo;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, Framed};

use super::command::Command;
use super::handler::{Console, wire_error};
use super::{Dialect, Source, frame, source_with_events};
use crate::client::registry::ClientEntry;
use crate::shared::Shared;
use crate::version;
use crate::wire::error::{PgError, sqlstate};

/// Named prepared statements and portals a console session may have.
const MAX_NAMES: usize = 100;

type Connection = Framed<TcpStream, PgWireMessageServerCodec<Command>>;

/// The parameters the console's login reports. A major version that every driver knows how to talk to.
pub fn parameters() -> [(&'static str, String); 10] {
    [
        ("server_version", format!("15.0 (pgherd {})", version::VERSION)),
        ("server_encoding", "UTF8".to_owned()),
        ("client_encoding", "UTF8".to_owned()),
        ("DateStyle", "ISO, MDY".to_owned()),
        ("TimeZone", "UTC".to_owned()),
        ("integer_datetimes", "on".to_owned()),
        ("standard_conforming_strings", "on".to_owned()),
        ("is_superuser", "off".to_owned()),
        ("default_transaction_read_only", "off".to_owned()),
        ("in_hot_standby", "off".to_owned()),
    ]
}

/// Serves a console session on `stream` until the client leaves, in the dialect of the database that it asked for.
///
/// The caller has done the login and has sent everything up to and including ReadyForQuery: AuthenticationOk,
/// [`parameters`], BackendKeyData, ReadyForQuery. It has set TCP_NODELAY, too.
///
/// # Errors
/// A broken connection; `InvalidData` if the client broke the protocol (it was told).
pub async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    entry: Arc<ClientEntry>,
    dialect: Dialect,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let source = source_with_events(Arc::clone(&shared));
    let served = serve_from(stream, peer, entry, dialect, source, Arc::clone(&shared)).await;
    if served.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
        shared.counters.protocol_violations.add(1);
    }
    served
}

/// As [`serve`], with what is shown from elsewhere.
///
/// # Errors
/// As [`serve`].
pub async fn serve_from(
    stream: TcpStream,
    peer: SocketAddr,
    entry: Arc<ClientEntry>,
    dialect: Dialect,
    source: Source,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let mut connection = Framed::new(stream, PgWireMessageServerCodec::new(DefaultClient::new(peer, false)));
    connection.set_state(PgWireConnectionState::ReadyForQuery);
    let session = Session {
        console: Arc::new(Console { entry, dialect, source, shared }),
        nothing: Arc::new(NoopHandler),
        input: BytesMut::new(),
        names: BTreeSet::new(),
    };
    session.run(connection).await
}

struct Session {
    console: Arc<Console>,
    nothing: Arc<NoopHandler>,
    input: BytesMut,
    /// Of prepared statements (`S…`) and portals (`P…`).
    names: BTreeSet<String>,
}

// === impl Session ===

impl Session {
    async fn run(mut self, mut connection: Connection) -> io::Result<()> {
        loop {
            let frame = match self.next_frame(&mut connection).await? {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(()),
                Err(violation) => return refuse(connection, violation).await,
            };
            match connection.codec_mut().decode(&mut { frame }) {
                Ok(None | Some(PgWireFrontendMessage::Terminate(_))) => return connection.close().await,
                Ok(Some(message)) => self.answer(&mut connection, message).await?,
                Err(error) => {
                    let violation = PgError::fatal(sqlstate::PROTOCOL_VIOLATION, error.to_string());
                    return refuse(connection, violation).await;
                }
            }
        }
    }

    /// The next whole, well-formed frame; `None` at the end.
    async fn next_frame(&mut self, connection: &mut Connection) -> io::Result<Result<Option<BytesMut>, PgError>> {
        loop {
            match frame::size(&self.input) {
                Ok(Some(size)) if size <= self.input.len() => {
                    let frame = self.input.split_to(size);
                    return Ok(frame::check(&frame).map(|()| Some(frame)));
                }
                Ok(_) => {}
                Err(violation) => return Ok(Err(violation)),
            }
            if connection.get_mut().read_buf(&mut self.input).await? == 0 {
                return Ok(Ok(None));
            }
        }
    }

    async fn answer(&mut self, connection: &mut Connection, message: PgWireFrontendMessage) -> io::Result<()> {
        let extended = message.is_extended_query();
        let skipped = matches!(connection.state(), PgWireConnectionState::AwaitingSync);
        let result = match if skipped { Ok(()) } else { self.remember_name(&message) } {
            Err(error) => Err(wire_error(error)),
            Ok(()) => {
                let (console, nothing) = (&self.console, &self.nothing);
                process_message(
                    message,
                    connection,
                    Arc::clone(nothing),
                    Arc::clone(console),
                    Arc::clone(console),
                    Arc::clone(nothing),
                    Arc::clone(nothing),
                )
                .await
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => process_error(connection, error, extended).await,
        }
    }

    /// Bounds what a session may have us keep. (Unnamed ones replace each other.)
    fn remember_name(&mut self, message: &PgWireFrontendMessage) -> Result<(), PgError> {
        let name = match message {
            PgWireFrontendMessage::Parse(parse) => parse.name.as_ref().map(|name| format!("S{name}")),
            PgWireFrontendMessage::Bind(bind) => bind.portal_name.as_ref().map(|name| format!("P{name}")),
            PgWireFrontendMessage::Close(close) => {
                if let Some(name) = &close.name {
                    self.names.remove(&format!("{}{name}", char::from(close.target_type)));
                }
                None
            }
            _ => None,
        };
        let Some(name) = name else { return Ok(()) };
        if self.names.len() >= MAX_NAMES && !self.names.contains(&name) {
            return Err(PgError::error(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!("the console keeps at most {MAX_NAMES} prepared statements and portals"),
            ));
        }
        self.names.insert(name);
        Ok(())
    }
}

async fn refuse(mut connection: Connection, violation: PgError) -> io::Result<()> {
    let error = io::Error::new(io::ErrorKind::InvalidData, violation.to_string());
    let info: ErrorInfo = wire_error(violation).into();
    connection.send(PgWireBackendMessage::ErrorResponse(info.into())).await?;
    connection.close().await?;
    Err(error)
}
