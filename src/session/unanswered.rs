//! What was asked of a server and will never be answered, once that server is lost. Pure.

use super::begin::Beginning;
use super::fate::{Doing, Fate, Fates};
use super::outline::Outline;
use super::replies::{Awaited, Op, Replies};
use super::resolve::Xid;
use crate::route::TxStatus;
use crate::wire::auth;
use crate::wire::error::PgError;
use crate::wire::frame;

pub struct Unanswered {
    /// Rounds of the client's, in order.
    rounds: Vec<(Awaited, Doing)>,
    /// An extended request without its Sync: what it does.
    open: Option<Doing>,
    /// The first of them has an error for its answer already.
    failed: bool,
    /// Parse and Close that were not acknowledged, the first one first.
    pub ops: Vec<Op>,
    /// Within a transaction that a BEGIN of ours opens.
    begins: bool,
    /// What was acknowledged meanwhile, unseen by the client, to be undone if all is asked again.
    pub outline: Outline,
    /// Of the transaction whose COMMIT is among them.
    pub xid: Xid,
    /// The session can't go on: PostgreSQL has ended it and said why, or how many answers it expects depends on what the
    /// server had read of a COPY.
    pub is_over: bool,
    /// Nor if the client gets what there is of its answer: the last message is not whole.
    pub is_cut: bool,
}

/// What a client hears of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Obituary {
    pub bytes: Vec<u8>,
    /// Errors among them.
    pub errors: u64,
    /// Of the transaction, as the client knows it now.
    pub status: TxStatus,
    /// All messages up to a Sync are to be dropped.
    pub skips: bool,
}

/// Errors by fate.
pub struct Words {
    pub unknown: PgError,
    pub rolled_back: PgError,
    pub not_done: PgError,
    /// What PostgreSQL says once a transaction has failed.
    pub failed: PgError,
}

// === impl Replies ===

impl Replies {
    /// Nothing more will come. `request_open`: parts of an extended request were sent, its Sync was not.
    pub fn abandon(&mut self, request_open: bool) -> Unanswered {
        let told = std::mem::take(&mut self.told);
        let dead = std::mem::take(self);
        (self.told, self.quorum) = (told, dead.quorum);
        let is_cut = dead.is_cut();
        let mut rounds: Vec<_> = dead.awaited.iter().map(|waiting| (waiting.awaited, waiting.doing)).collect();
        rounds.retain(|(awaited, _)| !awaited.is_ours());
        let mut open = request_open.then_some(dead.doing);
        if let Some((Awaited::OwnSync, doing)) = rounds.last().copied() {
            // The client's own Sync is still to come.
            rounds.pop();
            open = Some(doing);
        }
        if dead.skips {
            open = Some(Doing::NOTHING);
        }
        Unanswered {
            rounds,
            open,
            failed: dead.failed || dead.skips,
            ops: dead.ops.into_iter().map(|(_, op)| op).collect(),
            begins: dead.beginning != Beginning::None,
            outline: dead.outline,
            xid: dead.xid,
            is_over: dead.fatal || (!dead.copy.is_open() && !dead.copy.is_over()),
            is_cut,
        }
    }
}

// === impl Unanswered ===

impl Unanswered {
    pub fn is_nothing(&self) -> bool {
        self.rounds.is_empty() && self.open.is_none()
    }

    /// What was asked behind the first round is there, and can be asked again.
    pub fn rest_repeats(&self) -> bool {
        let rest: Vec<_> = self.rounds.iter().skip(1).map(|(_, doing)| *doing).chain(self.open).collect();
        !rest.is_empty() && Fates::of(TxStatus::Idle, &rest).repeats
    }

    /// All but the first round is forgotten.
    pub fn keep_first(&mut self) {
        self.rounds.truncate(1);
        self.open = None;
    }

    /// One round, which does nothing but commit.
    pub fn is_one_commit(&self) -> bool {
        self.open.is_none() && matches!(self.rounds[..], [(_, Doing::COMMIT)])
    }

    /// `status`: as PostgreSQL last told.
    pub fn fates(&self, status: TxStatus) -> Fates {
        let doings: Vec<_> = self.rounds.iter().map(|(_, doing)| *doing).chain(self.open).collect();
        let mut fates = Fates::of(status, &doings);
        if self.failed
            && let Some(first) = fates.rounds.first_mut()
        {
            *first = match status {
                TxStatus::Idle if !self.begins => (Fate::NotDone, TxStatus::Idle),
                TxStatus::Idle | TxStatus::InTransaction | TxStatus::Failed => (Fate::RolledBack, TxStatus::Failed),
            };
        }
        fates
    }

    /// An error for each round, and what PostgreSQL would say of its own accord behind it.
    pub fn obituary(&self, status: TxStatus, words: &Words) -> Obituary {
        let mut said = Obituary { bytes: Vec::with_capacity(256), errors: 0, status, skips: self.open.is_some() };
        let fates = self.fates(status);
        for (at, (fate, behind)) in fates.rounds.into_iter().enumerate() {
            let error = match fate {
                _ if at == 0 && self.failed => None,
                Fate::Unknown => Some(&words.unknown),
                Fate::AsAsked if self.rounds.get(at).is_some_and(|(awaited, _)| *awaited == Awaited::Query) => {
                    push_done(&mut said.bytes, "ROLLBACK");
                    None
                }
                Fate::RolledBack | Fate::AsAsked if said.status == TxStatus::Failed => Some(&words.failed),
                Fate::RolledBack | Fate::AsAsked => Some(&words.rolled_back),
                Fate::NotDone => Some(&words.not_done),
            };
            if let Some(error) = error {
                error.encode(&mut said.bytes);
                said.errors += 1;
            }
            said.status = behind;
            if at < self.rounds.len() {
                auth::push_ready_for_query(&mut said.bytes, behind.as_byte());
            }
        }
        said
    }
}

/// CommandComplete.
pub fn push_done(out: &mut Vec<u8>, tag: &str) {
    frame::push(out, b'C', |out| {
        out.extend_from_slice(tag.as_bytes());
        out.push(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::buffer::Buffers;
    use crate::sql::catalog::BuiltIn;
    use crate::sql::classify;

    fn words() -> Words {
        let error = |sqlstate| PgError::error(sqlstate, "");
        Words { unknown: error("08007"), rolled_back: error("40001"), not_done: error("08006"), failed: error("25P02") }
    }

    /// What the client hears: SQLSTATEs, tags, status bytes.
    fn heard(mut bytes: &[u8]) -> String {
        let mut said = Vec::new();
        while let Ok(Some(header)) = frame::header(bytes) {
            let body = &bytes[frame::HEADER..header.size];
            said.push(match header.tag {
                b'E' => PgError::parse(body).sqlstate,
                b'C' => String::from_utf8_lossy(&body[..body.len() - 1]).into_owned(),
                _ => char::from(body[0]).to_string(),
            });
            bytes = &bytes[header.size..];
        }
        said.join(" ")
    }

    fn does(replies: &mut Replies, text: &str) {
        replies.does(Doing::of(classify(text.as_bytes(), 1000, &BuiltIn)));
        replies.executes();
    }

    fn obituary(replies: &mut Replies, request_open: bool, status: TxStatus) -> (String, TxStatus, bool) {
        let told = replies.abandon(request_open).obituary(status, &words());
        (heard(&told.bytes), told.status, told.skips)
    }

    #[test]
    fn each_round_gets_its_error_and_its_end() {
        let mut replies = Replies::default();
        replies.await_ready(Awaited::Injected);
        for text in ["SELECT 1", "INSERT INTO t VALUES (1)"] {
            does(&mut replies, text);
            replies.await_ready(Awaited::Query);
        }
        let said = obituary(&mut replies, false, TxStatus::Idle);
        assert_eq!(said, ("08006 I 08007 I".to_owned(), TxStatus::Idle, false));
        assert!(replies.is_quiet() && replies.abandon(false).is_nothing());

        for text in ["INSERT INTO t VALUES (1)", "SELECT 1", "ROLLBACK", "SELECT 1"] {
            does(&mut replies, text);
            replies.await_ready(Awaited::Query);
        }
        let said = obituary(&mut replies, false, TxStatus::InTransaction);
        assert_eq!(said, ("40001 E 25P02 E ROLLBACK I 08006 I".to_owned(), TxStatus::Idle, false));
    }

    #[test]
    fn a_request_without_its_sync_is_skipped_up_to_it() {
        let mut replies = Replies::default();
        does(&mut replies, "DELETE FROM t");
        assert_eq!(obituary(&mut replies, true, TxStatus::Idle), ("08007".to_owned(), TxStatus::Idle, true));
        does(&mut replies, "DELETE FROM t");
        assert_eq!(obituary(&mut replies, true, TxStatus::InTransaction), ("40001".to_owned(), TxStatus::Failed, true));
        // What was only prepared was not run.
        replies.does(Doing::of(classify(b"DELETE FROM t", 1000, &BuiltIn)));
        replies.await_ready(Awaited::Sync);
        assert_eq!(obituary(&mut replies, false, TxStatus::Idle), ("08006 I".to_owned(), TxStatus::Idle, false));
    }

    #[test]
    fn who_has_heard_an_error_hears_no_other() {
        let mut replies = Replies::default();
        does(&mut replies, "SELECT 1/0");
        replies.await_ready(Awaited::Query);
        let error = PgError::error("22012", "").to_bytes();
        let mut buffer = Buffers::new(256).take();
        buffer.room()[..error.len()].copy_from_slice(&error);
        buffer.end = error.len();
        replies.walk(&mut buffer, &mut Vec::new());
        let said = obituary(&mut replies, false, TxStatus::InTransaction);
        assert_eq!(said, ("E".to_owned(), TxStatus::Failed, false));
    }
}
