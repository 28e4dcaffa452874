//! A simple query on a connection of the proxy's own (probe, verifier lookup): text in, rows of texts out.
//! Not for clients' statements; those are relayed.

use std::time::Duration;

use super::connect::ConnectError;
use crate::net::Stream;

/// Rows of one result; `None` = NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// Sends one Query and reads to ReadyForQuery. The last statement's rows; at most `max_bytes` are read.
/// A PostgreSQL error is `ConnectError::Postgres` and leaves the connection usable; after any other the
/// connection must be dropped.
pub async fn query(
    _stream: &mut Stream,
    _sql: &str,
    _timeout: Duration,
    _max_bytes: usize,
) -> Result<Rows, ConnectError> {
    todo!()
}
