//! Queries of the proxy's own on a server between its clients: settings for the greeting (later they travel with the
//! first query), and what cleans up.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::replies::{Awaited, Replies, Walked};
use crate::net::buffer::Buffers;
use crate::server::Server;
use crate::server::params::Settings;
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frontend;

/// `server` has these settings, and `server.reported` is what PostgreSQL reports with them.
///
/// # Errors
/// PostgreSQL's, for a setting it does not take; 08006 if the server is lost or silent. It must not be used any more then.
pub(super) async fn apply(server: &mut Server, wanted: &Arc<Settings>, limit: Duration) -> Result<(), PgError> {
    if let Some(sql) = wanted.sql_from(&server.settings) {
        let no_answer = |_| PgError::fatal(sqlstate::CONNECTION_FAILURE, format!("no answer within {limit:?}"));
        tokio::time::timeout(limit, run(server, &sql)).await.map_err(no_answer)??;
        server.settings = Arc::clone(wanted);
    }
    Ok(())
}

/// Runs `sql`, whose rows nobody wants. `server.reported` is what PostgreSQL reports afterwards.
///
/// # Errors
/// As for [`apply`].
pub(super) async fn run(server: &mut Server, sql: &str) -> Result<(), PgError> {
    let lost = |_| PgError::fatal(sqlstate::CONNECTION_FAILURE, "the server closed the connection");
    let mut query = Vec::new();
    frontend::push_query(&mut query, sql);
    server.stream.write_all(&query).await.map_err(lost)?;
    server.unnamed = None;
    let mut replies = Replies::default();
    replies.await_ready(Awaited::Injected);
    let mut buffer = Buffers::new(16 * 1024).take();
    let round = loop {
        buffer.compact();
        let read = server.stream.read(buffer.room()).await.map_err(lost)?;
        if read == 0 {
            return Err(PgError::fatal(sqlstate::CONNECTION_FAILURE, "the server closed the connection"));
        }
        buffer.end += read;
        match replies.walk(&mut buffer, &mut Vec::new()) {
            Walked::NeedMore => {}
            Walked::Ready(round) => break round,
            Walked::Lost => {
                return Err(PgError::fatal(sqlstate::CONNECTION_FAILURE, "the server closed the connection"));
            }
            Walked::Remark(..) | Walked::Garbage => {
                return Err(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "the server sent what is not protocol 3"));
            }
        }
    };
    for (name, value) in replies.reported.drain(..) {
        server.set_reported(&name, &value);
    }
    round.injected_error.map_or(Ok(()), |error| Err(*error))
}
