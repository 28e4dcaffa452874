//! Answers that a client must not get as they are.

use super::Session;
use super::net::Again;
use crate::net::buffer::Buffer;
use crate::server::Server;
use crate::wire::error::{PgError, field, sqlstate};

/// What is the matter with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remark {
    /// An error names a statement as the server knows it.
    Misnamed,
    /// Nothing: ahead of it the client is told of a decision.
    Announced,
    /// An error of the server's, not of the request's: the request may be asked elsewhere.
    Elsewhere(Again),
    /// A standby has refused what comes late in a transaction (`read_first`).
    Late,
    /// The answer to a statement that PostgreSQL refuses in the proxy's place (`wishes`).
    Refused,
    /// CommandComplete, or the place ahead of ReadyForQuery, of a commit that waited in vain for its standbys.
    Doubtful,
}

/// Whether the OK that comes next is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doubt {
    #[default]
    None,
    /// PostgreSQL warned that the commit did not wait for its standbys.
    Raised,
    /// The client knows: of this round it gets no more but its end.
    Told,
}

/// How PostgreSQL speaks of a prepared statement, up to the number behind the prefix of our names.
pub const OURS: &[u8] = b"prepared statement \"pgherd.";

/// Only PostgreSQL's own words count, not what a text of the client's may say.
pub fn names_a_statement_of_ours(error: &[u8]) -> bool {
    contains(error, OURS)
}

/// A column of that name is not there (42703).
pub fn is_refusal(error: &[u8]) -> bool {
    field(error, b'C') == Some(b"42703") && field(error, b'M').is_some_and(|text| contains(text, b"pgherd.refused"))
}

/// "canceling wait for synchronous replication …", in whatever language.
pub fn is_waiting_canceled(notice: &[u8]) -> bool {
    field(notice, b'R') == Some(b"SyncRepWaitForLSN")
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

// === impl Session ===

impl Session {
    /// Puts what the client shall get in place of what stands between these positions. Returns where it ends then.
    pub(super) fn reword(
        &mut self,
        server: &Server,
        buffer: &mut Buffer,
        remark: Remark,
        from: usize,
        to: usize,
    ) -> usize {
        let error = match remark {
            Remark::Misnamed => return self.name_as_client_does(server, buffer, from, to),
            Remark::Elsewhere(_) => return to,
            Remark::Announced => {
                let Some((_, notice)) = self.replies.notices.pop_front() else { return to };
                let mut notice = notice.to_bytes();
                // The fields are those of an error.
                notice[0] = b'N';
                buffer.replace(from, to, &notice);
                return from + notice.len();
            }
            Remark::Late => self.learn_writer(),
            Remark::Refused => self.refused_with(buffer.range(from, to)),
            Remark::Doubtful => not_durable(),
        };
        let error = error.to_bytes();
        buffer.replace(from, to, &error);
        from + error.len()
    }
}

/// For a client that wants to be told OK before its standbys have what it wrote.
pub(super) fn weaker_commit() -> PgError {
    PgError::error(
        sqlstate::FEATURE_NOT_SUPPORTED,
        "synchronous_commit below \"on\" is refused: what is acknowledged must survive a failover",
    )
    .with_hint("failover.weaker_commit = \"allow\" lets clients do without that promise.")
}

fn not_durable() -> PgError {
    PgError::error(
        sqlstate::TRANSACTION_RESOLUTION_UNKNOWN,
        "the wait for synchronous replication was canceled: the transaction is committed, but may be lost in a failover",
    )
    .with_hint("Check whether it was committed before you repeat it.")
}
