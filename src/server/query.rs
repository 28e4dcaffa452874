//! A simple query on a connection of the proxy's own (probe, verifier lookup): text in, rows of texts out.
//! Not for clients' statements; those are relayed.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::connect::{ConnectError, receive_message, truncated, unexpected};
use crate::net::Stream;
use crate::wire::error::PgError;
use crate::wire::frontend;

/// Rows of one result; `None` = NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// A result, and what PostgreSQL remarked meanwhile.
#[derive(Debug, Default)]
pub struct Reply {
    pub rows: Rows,
    /// Of every severity.
    pub notices: Vec<PgError>,
}

/// Sends one Query and reads to ReadyForQuery. The last statement's rows; at most `max_bytes` are read.
/// A PostgreSQL error is `ConnectError::Postgres` and leaves the connection usable; after any other the
/// connection must be dropped.
pub async fn query(stream: &mut Stream, sql: &str, timeout: Duration, max_bytes: usize) -> Result<Rows, ConnectError> {
    Ok(query_with_notices(stream, sql, timeout, max_bytes).await?.rows)
}

/// The same, with what PostgreSQL remarked.
pub async fn query_with_notices(
    stream: &mut Stream,
    sql: &str,
    timeout: Duration,
    max_bytes: usize,
) -> Result<Reply, ConnectError> {
    tokio::time::timeout(timeout, run(stream, sql, max_bytes)).await.unwrap_or(Err(ConnectError::TimedOut(timeout)))
}

async fn run(stream: &mut Stream, sql: &str, max_bytes: usize) -> Result<Reply, ConnectError> {
    let mut message = Vec::with_capacity(sql.len() + 6);
    frontend::push_query(&mut message, sql);
    stream.write_all(&message).await?;

    let mut reply = Reply::default();
    let mut error = None;
    let mut allowance = max_bytes;
    loop {
        let message = match receive_message(stream, allowance).await {
            Ok(message) => message,
            // After a FATAL error the server closes: its reason is worth more than ours.
            Err(e) => return Err(error.unwrap_or(e)),
        };
        allowance -= message.body.len();
        match message.tag {
            b'T' => reply.rows.clear(),
            b'D' => reply.rows.push(row(&message.body).ok_or_else(|| truncated(b'D'))?),
            b'E' => error = Some(ConnectError::Postgres(PgError::parse(&message.body))),
            b'Z' => return error.map_or(Ok(reply), Err),
            b'N' => reply.notices.push(PgError::parse(&message.body)),
            // CommandComplete, EmptyQueryResponse, and what may come at any time.
            b'C' | b'I' | b'S' | b'A' => {}
            tag => return Err(unexpected(tag, "a query's result")),
        }
    }
}

fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            columns.push(None); // -1 = NULL
            rest = tail;
            continue;
        };
        let (text, tail) = tail.split_at_checked(length)?;
        columns.push(Some(String::from_utf8_lossy(text).into_owned()));
        rest = tail;
    }
    Some(columns)
}
