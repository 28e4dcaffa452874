//! What a name means may depend on answers that are to come: a Parse or Close on its way may be skipped. Pure.

use super::fate::{Doing, Fates};
use super::names::known;
use super::replies::{Replies, Undo};
use crate::route::TxStatus;
use crate::server::prepared::StatementId;

impl Replies {
    /// Whether a round before the one that is being sent may still make `name` (empty: the unnamed statement) what it
    /// was, or is not. `is_known`: the client has it now. `parsing`: it is to be prepared.
    pub fn is_unsettled(&self, name: &[u8], is_known: bool, parsing: bool) -> bool {
        let is_same = |other: &[u8]| known(other) == known(name);
        self.has_earlier(|undo| match undo {
            // What is used behind a Parse that failed is refused by PostgreSQL, if it got the Parse.
            Undo::Parse { client: Some(client), server } => {
                (parsing || server.is_none()) && is_known && is_same(client)
            }
            Undo::Close { name: closed, .. } => is_same(closed),
            Undo::DropUnnamed { .. } => name.is_empty(),
            Undo::Parse { client: None, .. } | Undo::ParseUnnamed { .. } => false,
            Undo::Stray { .. } | Undo::Nothing => false,
        })
    }

    /// Whether a round before the one that is being sent has a Parse of it that nobody asked for: it may be skipped.
    pub fn may_have_skipped(&self, id: StatementId) -> bool {
        self.has_earlier(
            |undo| matches!(undo, Undo::Parse { client: None, server: Some((parsed, _)) } if *parsed == id),
        )
    }

    /// Whether a round before the one that is being sent has a Parse of it.
    pub fn is_parsing(&self, id: StatementId) -> bool {
        self.has_earlier(|undo| matches!(undo, Undo::Parse { server: Some((parsed, _)), .. } if *parsed == id))
    }

    /// Whether the last Parse of the unnamed statement is on its way in an earlier round, and may yet be skipped.
    pub fn is_unsure_of_unnamed(&self) -> bool {
        let mut newest_first = self.ops.iter().rev();
        let last = newest_first.find(|(_, op)| matches!(op.undo, Undo::ParseUnnamed { .. }));
        !self.awaited.is_empty() && last.is_some_and(|(round, _)| *round < self.round)
    }

    fn has_earlier(&self, concerns: impl Fn(&Undo) -> bool) -> bool {
        let mut earlier = self.ops.iter().take_while(|(round, _)| *round < self.round);
        !self.awaited.is_empty() && earlier.any(|(_, op)| concerns(&op.undo))
    }

    /// Nothing is to come of the request that is being sent, and nothing of it is run.
    pub fn has_answered_what_was_prepared(&self) -> bool {
        self.awaited.is_empty()
            && self.ops.is_empty()
            && self.rest == 0
            && !self.skips
            && !self.runs
            && self.prelude.is_over()
    }

    /// What is being answered could be asked again if nothing of it was done: no transaction is begun or ended in it.
    pub fn is_plain_round(&self) -> bool {
        self.awaited.front().is_some_and(|waiting| waiting.doing.is_plain())
    }

    /// It is all that was asked.
    pub fn is_one_round(&self) -> bool {
        self.awaited.len() == 1 && self.doing == Doing::NOTHING
    }

    /// What was asked behind it can be asked again as well.
    pub fn rest_repeats(&self) -> bool {
        self.repeats_from(1)
    }

    /// All that was asked can be asked again.
    pub fn all_repeats(&self) -> bool {
        self.repeats_from(0)
    }

    fn repeats_from(&self, first: usize) -> bool {
        let rest: Vec<_> = self.awaited.iter().skip(first).map(|waiting| waiting.doing).chain([self.doing]).collect();
        Fates::of(TxStatus::Idle, &rest).repeats
    }
}
