//! A login to PostgreSQL: TCP, startup packet, authentication, the parameters it reports, ReadyForQuery.

use std::fmt;
use std::io;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::AsyncWriteExt;

use super::credential::{Credential, ScramKeys};
use super::scram::ClientFirst;
use crate::net::{self, Stream, exact};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::{frame, md5, scram, startup};

/// All that PostgreSQL may say during a login, in bytes: errors and parameters are a few hundred each.
const MAX_LOGIN_BYTES: usize = 1 << 20;

/// Where and as whom.
#[derive(Clone, Debug)]
pub struct Login<'a> {
    pub host: &'a str,
    pub port: u16,
    pub user: &'a str,
    pub database: &'a str,
    /// Further startup parameters (`application_name`, `replication` …); `user` and `database` are not among them.
    pub parameters: &'a [(String, String)],
    pub credential: &'a Credential,
    /// For the whole login.
    pub timeout: Duration,
}

/// A server that is logged in and idle (ReadyForQuery `I` was read; nothing is left unread).
pub struct LoggedIn {
    pub stream: Stream,
    /// ParameterStatus as (name, value), in the order they came.
    pub parameters: Vec<(String, String)>,
    /// BackendKeyData: process id and secret (4 bytes with protocol 3.0).
    pub process_id: i32,
    pub cancel_key: Vec<u8>,
}

#[derive(Debug)]
pub enum ConnectError {
    /// Refused, unreachable, reset, name not found …
    Io(io::Error),
    TimedOut(Duration),
    /// PostgreSQL answered with an error (28P01, 3D000, 53300, 57P03 …).
    Postgres(PgError),
    /// It asks for an authentication we can't give (and which one), or its SCRAM proof was wrong.
    Authentication(String),
    /// What came is not protocol 3.
    Protocol(String),
}

/// Logs in with protocol 3.0. Never reads past ReadyForQuery.
pub async fn connect(login: Login<'_>) -> Result<LoggedIn, ConnectError> {
    let timeout = login.timeout;
    tokio::time::timeout(timeout, log_in(login)).await.unwrap_or(Err(ConnectError::TimedOut(timeout)))
}

async fn log_in(login: Login<'_>) -> Result<LoggedIn, ConnectError> {
    let stream = Stream::connect((login.host, login.port)).await?;
    net::tune(&stream)?;
    let mut talk = Talk { stream, allowance: MAX_LOGIN_BYTES };

    talk.send(startup_packet(&login)).await?;
    talk.authenticate(&login).await?;
    talk.until_ready().await
}

fn startup_packet(login: &Login<'_>) -> Vec<u8> {
    let mut packet = Vec::with_capacity(256);
    let fixed = [("user", login.user), ("database", login.database)];
    let further = login.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    startup::encode_startup(&mut packet, fixed.into_iter().chain(further));
    packet
}

/// The conversation before the server is ours to use.
struct Talk {
    stream: Stream,
    /// Bytes the server may still send.
    allowance: usize,
}

// === impl Talk ===

impl Talk {
    async fn send(&mut self, bytes: Vec<u8>) -> Result<(), ConnectError> {
        Ok(self.stream.write_all(&bytes).await?)
    }

    async fn send_password_message(&mut self, body: &[u8]) -> Result<(), ConnectError> {
        let mut message = Vec::with_capacity(body.len() + 5);
        frame::push(&mut message, b'p', |out| out.extend_from_slice(body));
        self.send(message).await
    }

    /// The next message that concerns the login; an ErrorResponse ends it.
    async fn receive(&mut self) -> Result<exact::Message, ConnectError> {
        loop {
            let message = receive_message(&mut self.stream, self.allowance).await?;
            self.allowance -= message.body.len();
            match message.tag {
                b'E' => return Err(ConnectError::Postgres(PgError::parse(&message.body))),
                // A notice is for people; NegotiateProtocolVersion answers 3.0 with nothing lower to fall back to.
                b'N' | b'v' => {}
                _ => return Ok(message),
            }
        }
    }

    async fn receive_authentication(&mut self) -> Result<(u32, Vec<u8>), ConnectError> {
        let exact::Message { tag, mut body } = self.receive().await?;
        match body.first_chunk::<4>() {
            Some(kind) if tag == b'R' => {
                let kind = u32::from_be_bytes(*kind);
                body.drain(..4);
                Ok((kind, body))
            }
            _ => Err(unexpected(tag, "an authentication request")),
        }
    }

    async fn authenticate(&mut self, login: &Login<'_>) -> Result<(), ConnectError> {
        let (kind, body) = self.receive_authentication().await?;
        match (kind, login.credential) {
            (0, _) => return Ok(()),
            (3, Credential::Password(password)) => self.send_password_message(&cstr(password.expose())).await?,
            (5, Credential::Password(password)) => {
                let hash = md5::hash(password.expose(), login.user);
                self.send_password_message(&cstr(&md5::answer(&hash, &body))).await?;
            }
            (5, Credential::Md5Hash(hash)) => {
                let hash = hash.expose().trim_start_matches("md5");
                self.send_password_message(&cstr(&md5::answer(hash, &body))).await?;
            }
            (10, Credential::Password(_) | Credential::ScramKeys(_)) => self.scram(&body, login.credential).await?,
            (3 | 5 | 10, credential) => return Err(cannot_answer(kind, credential, login.user)),
            _ => return Err(ConnectError::Authentication(unsupported(kind))),
        }
        match self.receive_authentication().await? {
            (0, _) => Ok(()),
            (kind, _) => Err(ConnectError::Protocol(format!("authentication request {kind} after the answer to one"))),
        }
    }

    async fn scram(&mut self, mechanisms: &[u8], credential: &Credential) -> Result<(), ConnectError> {
        if !mechanisms.split(|b| *b == 0).any(|name| name == scram::MECHANISM.as_bytes()) {
            let offered = String::from_utf8_lossy(mechanisms).trim_end_matches('\0').replace('\0', ", ");
            return Err(ConnectError::Authentication(format!("the server offers only the SASL mechanisms {offered}")));
        }
        let mut random = [0; scram::NONCE_BYTES];
        SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no random bytes from the system"))?;
        let first = ClientFirst::new(&random);
        let text = first.message();
        let mut initial = cstr(scram::MECHANISM);
        initial.extend_from_slice(&(text.len() as u32).to_be_bytes());
        initial.extend_from_slice(text.as_bytes());
        self.send_password_message(&initial).await?;

        let challenge = first.challenge(&self.receive_sasl(11).await?).map_err(not_scram)?;
        let keys = match credential {
            Credential::ScramKeys(keys) => keys.clone(),
            Credential::Password(password) => {
                derive_keys(password.expose().to_owned(), challenge.salt.clone(), challenge.iterations).await?
            }
            Credential::None | Credential::Md5Hash(_) => return Err(not_scram("neither password nor SCRAM keys")),
        };
        let proved = challenge.prove(&keys);
        self.send_password_message(proved.client_final.as_bytes()).await?;
        proved.check(&self.receive_sasl(12).await?).map_err(not_scram)
    }

    async fn receive_sasl(&mut self, expected: u32) -> Result<Vec<u8>, ConnectError> {
        match self.receive_authentication().await? {
            (kind, body) if kind == expected => Ok(body),
            // AuthenticationOk before the server's proof: it never had to know the password.
            (kind, _) => Err(not_scram(&format!("authentication request {kind} where {expected} was expected"))),
        }
    }

    async fn until_ready(mut self) -> Result<LoggedIn, ConnectError> {
        let mut parameters = Vec::with_capacity(16);
        let (mut process_id, mut cancel_key) = (0, Vec::new());
        loop {
            let exact::Message { tag, body } = self.receive().await?;
            match tag {
                b'S' => {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    let (name, rest) = frame::c_string(&body).ok_or_else(|| truncated(tag))?;
                    let (value, _) = frame::c_string(rest).ok_or_else(|| truncated(tag))?;
                    parameters.push((text(name), text(value)));
                }
                b'K' => {
                    let (id, key) = body.split_first_chunk::<4>().ok_or_else(|| truncated(tag))?;
                    (process_id, cancel_key) = (i32::from_be_bytes(*id), key.to_vec());
                }
                b'Z' => return Ok(LoggedIn { stream: self.stream, parameters, process_id, cancel_key }),
                _ => return Err(unexpected(tag, "parameters or ReadyForQuery")),
            }
        }
    }
}

/// PBKDF2 would hold up every session of this worker: it runs on a thread of its own.
async fn derive_keys(password: String, salt: Vec<u8>, iterations: u32) -> Result<ScramKeys, ConnectError> {
    tokio::task::spawn_blocking(move || ScramKeys::derive(&password, &salt, iterations))
        .await
        .map_err(|e| ConnectError::Io(io::Error::other(e)))
}

/// A too long or impossible length is the peer's fault, not the network's.
pub(super) async fn receive_message(stream: &mut Stream, max: usize) -> Result<exact::Message, ConnectError> {
    exact::read_message(stream, max).await.map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => ConnectError::Protocol(e.to_string()),
        io::ErrorKind::UnexpectedEof => {
            ConnectError::Io(io::Error::new(e.kind(), "the server closed the connection unexpectedly"))
        }
        _ => ConnectError::Io(e),
    })
}

pub(super) fn truncated(tag: u8) -> ConnectError {
    ConnectError::Protocol(format!("message {:?} is truncated", char::from(tag)))
}

pub(super) fn unexpected(tag: u8, expected: &str) -> ConnectError {
    ConnectError::Protocol(format!("message {:?} where {expected} was expected", char::from(tag)))
}

fn not_scram(reason: &str) -> ConnectError {
    ConnectError::Authentication(reason.to_owned())
}

fn cannot_answer(kind: u32, credential: &Credential, user: &str) -> ConnectError {
    let wanted = match kind {
        3 => "a cleartext password",
        5 => "an md5 password",
        _ => "SCRAM-SHA-256",
    };
    let known = match credential {
        Credential::None => "nothing",
        Credential::Password(_) => "a password",
        Credential::ScramKeys(_) => "SCRAM keys only",
        Credential::Md5Hash(_) => "an md5 hash only",
    };
    ConnectError::Authentication(format!("the server asks for {wanted}; known for user \"{user}\": {known}"))
}

fn unsupported(kind: u32) -> String {
    let name = match kind {
        2 => "Kerberos V5",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => return format!("the server asks for the unknown authentication {kind}"),
    };
    format!("the server asks for {name} authentication, which is not supported")
}

fn cstr(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1);
    startup::put_cstr(&mut out, text);
    out
}

// === impl LoggedIn ===

impl fmt::Debug for LoggedIn {
    /// Without the cancel key: who knows it can stop what others run here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoggedIn(process {}, {:?})", self.process_id, self.parameters)
    }
}

// === impl ConnectError ===

impl ConnectError {
    /// PostgreSQL's SQLSTATE, if it was PostgreSQL that refused.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            ConnectError::Postgres(error) => Some(&error.sqlstate),
            _ => None,
        }
    }

    /// The node lives and is merely full: never a reason for a failover.
    pub fn is_overload(&self) -> bool {
        self.sqlstate() == Some(sqlstate::TOO_MANY_CONNECTIONS)
    }

    /// The node lives but takes no one yet: it starts, stops or recovers.
    pub fn is_not_ready(&self) -> bool {
        self.sqlstate() == Some(sqlstate::CANNOT_CONNECT_NOW)
    }

    /// The credential is wrong or not enough; trying again with the same one is useless.
    pub fn is_authentication(&self) -> bool {
        matches!(self.sqlstate(), Some(sqlstate::INVALID_PASSWORD | sqlstate::INVALID_AUTHORIZATION))
            || matches!(self, ConnectError::Authentication(_))
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        ConnectError::Io(error)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Io(error) => write!(f, "{error}"),
            ConnectError::TimedOut(after) => write!(f, "no answer within {after:?}"),
            ConnectError::Postgres(error) => write!(f, "{error}"),
            ConnectError::Authentication(text) => write!(f, "authentication: {text}"),
            ConnectError::Protocol(text) => write!(f, "protocol violation: {text}"),
        }
    }
}

impl std::error::Error for ConnectError {}
