//! What the proxy answers a session's client by itself, without a server.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::survey::{Ends, Survey};
use super::{Close, Session};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::HEADER;

impl Session {
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Close> {
        self.client.write_all(bytes).await.map_err(|_| Close::ByClient)
    }

    /// A Sync with nothing before it: PostgreSQL would say it is ready.
    pub(super) async fn answer_sync(&mut self) -> Result<(), Close> {
        self.inbox.start += HEADER;
        self.skipping = false;
        self.send_ready().await
    }

    pub(super) async fn send_ready(&mut self) -> Result<(), Close> {
        let mut ready = *READY_IDLE;
        ready[HEADER] = self.status_for_client().as_byte();
        self.send(&ready).await
    }

    /// Answers the request at the front with `error`; the session goes on behind it.
    pub(super) async fn refuse(&mut self, error: PgError, ends: Option<Ends>) -> Result<(), Close> {
        self.net_is_over(false);
        let ends = match (ends, self.survey()) {
            (None, Survey::Whole { ends, .. }) => Some(ends),
            (ends, _) => ends,
        };
        if ends.is_none() {
            // Its end is not in the buffer: there is no telling where the next one begins.
            return Err(Close::Error(PgError { severity: "FATAL".into(), ..error }));
        }
        self.fail_held();
        self.send(&error.to_bytes()).await?;
        self.skipping = true;
        self.skip_request(ends).await
    }

    /// Drops the messages of the request at the front, as PostgreSQL does after an error.
    pub(super) async fn skip_request(&mut self, ends: Option<Ends>) -> Result<(), Close> {
        loop {
            match crate::wire::frame::header(self.inbox.filled()) {
                Ok(Some(header)) if self.inbox.end - self.inbox.start >= header.size => {
                    let is_query = header.tag == b'Q' && ends == Some(Ends::Query);
                    if header.tag == b'S' || is_query {
                        self.inbox.start += header.size;
                        self.skipping = false;
                        return self.send_ready().await;
                    }
                    self.inbox.start += header.size;
                    if header.tag == b'H' || self.inbox.is_empty() {
                        return Ok(());
                    }
                }
                Ok(header) => {
                    self.passing = header.map_or(0, |header| header.size);
                    return Ok(());
                }
                Err(_) => return Err(Close::BadLength),
            }
        }
    }

    pub(super) async fn say_goodbye(&mut self, close: Close) {
        let error = match close {
            // It has ended the connection: closing the socket is all that is left to do.
            Close::ByClient => return,
            Close::ServerGone | Close::Cut => None,
            Close::Kicked => {
                Some(PgError::fatal(sqlstate::ADMIN_SHUTDOWN, "terminating connection due to administrator command"))
            }
            Close::Error(error) => Some(error),
            Close::BadLength => {
                self.shared.counters.protocol_violations.add(1);
                tracing::info!(client = %self.entry.addr, user = %self.user, reason = "invalid message length", "protocol violation");
                None
            }
            Close::Violation(error) => {
                self.shared.counters.protocol_violations.add(1);
                tracing::info!(client = %self.entry.addr, user = %self.user, reason = error.message, "protocol violation");
                Some(error)
            }
        };
        if let Some(error) = error {
            // One that reads nothing any more is not waited for.
            let _ = tokio::time::timeout(GOODBYE_TIMEOUT, self.client.write_all(&error.to_bytes())).await;
        }
        let _ = self.client.shutdown().await;
    }
}

const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

const READY_IDLE: &[u8; 6] = b"Z\0\0\0\x05I";
