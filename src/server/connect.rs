//! A login to PostgreSQL: TCP, startup packet, authentication, the parameters it reports, ReadyForQuery.

use std::time::Duration;

use super::credential::Credential;
use crate::net::Stream;
use crate::wire::error::PgError;

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
#[derive(Debug)]
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
    Io(std::io::Error),
    TimedOut(Duration),
    /// PostgreSQL answered with an error (28P01, 3D000, 53300, 57P03 …).
    Postgres(PgError),
    /// It asks for an authentication we can't give (and which one), or its SCRAM proof was wrong.
    Authentication(String),
    /// What came is not protocol 3.
    Protocol(String),
}

pub async fn connect(_login: Login<'_>) -> Result<LoggedIn, ConnectError> {
    todo!()
}
