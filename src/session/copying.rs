//! COPY FROM STDIN takes what the client sends for its data. PostgreSQL ignores Sync and Flush among it, so that some
//! of the ReadyForQuery asked for never come. Which ones is told by what was sent between: kept here. Pure.

use std::collections::VecDeque;

use super::replies::{Awaited, Waiting};

#[derive(Default)]
pub struct Copying {
    /// CopyInResponse came; neither CopyDone nor CopyFail was sent.
    is_open: bool,
    /// CopyInResponse came; neither CommandComplete nor an error did.
    runs: bool,
    /// The Sync of the extended request that copies was ignored: the request goes on until another one.
    reopened: bool,
    /// Sync that this COPY ignores, as far as is known.
    ignored: u32,
    /// As `ignored`, of a COPY that failed: the last of them came behind the error and are answered. Nobody knows
    /// how many.
    doubtful: u32,
    /// A Sync of ours is on its way that is answered after all doubtful ones.
    fenced: bool,
    /// CopyDone and CopyFail sent in the extended request that is being sent.
    ends: u32,
}

// === impl Copying: what is sent ===

impl Copying {
    /// The client may send data.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// No COPY of before has a part in what comes next.
    #[inline]
    pub fn is_over(&self) -> bool {
        !self.is_open && self.doubtful == 0
    }

    /// A Sync is being sent: whether it is one among the data.
    #[inline]
    pub fn ignores_sync(&mut self) -> bool {
        self.ignored += u32::from(self.is_open);
        self.is_open
    }

    /// A request is being sent to its end. Returns how many CopyDone and CopyFail it had.
    #[inline]
    pub fn request_sent(&mut self) -> u32 {
        std::mem::take(&mut self.ends)
    }

    /// A CopyDone or CopyFail is being sent; `request_open`: within an extended request.
    pub fn ends(&mut self, awaited: &mut VecDeque<Waiting>, request_open: bool) {
        if self.is_open {
            self.is_open = false;
        } else if request_open {
            self.ends += 1;
        } else if let Some(last) = awaited.back_mut() {
            last.ends_after += 1;
        }
    }

    /// Whether a Sync of ours, behind a Close, must tell the answers to doubtful Syncs from what comes later.
    #[inline]
    pub fn wants_fence(&self) -> bool {
        self.doubtful > 0 && !self.fenced
    }

    pub fn fence_sent(&mut self) {
        self.fenced = true;
    }
}

// === impl Copying: what comes ===

impl Copying {
    /// CopyInResponse: of the messages on their way, those up to CopyDone or CopyFail are for this COPY.
    pub fn begins(&mut self, awaited: &mut VecDeque<Waiting>) {
        self.runs = true;
        self.ignored = 0;
        let mut at = 0;
        if let Some(query) = awaited.front_mut().filter(|w| w.awaited == Awaited::Query) {
            if query.ends_after > 0 {
                query.ends_after -= 1;
                return;
            }
            at = 1;
        }
        self.is_open = !self.ends_among(awaited, at);
        self.reopened = at == 0 && awaited.is_empty();
    }

    /// Drops the Syncs from place `at` that come before the end of the data; whether that end was sent.
    fn ends_among(&mut self, awaited: &mut VecDeque<Waiting>, at: usize) -> bool {
        while let Some(waiting) = awaited.get_mut(at) {
            // Anything else PostgreSQL takes for a broken client, and says goodbye.
            if waiting.awaited != Awaited::Sync {
                return true;
            }
            if waiting.ends_inside > 0 {
                waiting.ends_inside -= 1;
                return true;
            }
            let ends = waiting.ends_after;
            awaited.remove(at);
            self.ignored += 1;
            if ends > 0 {
                // A further COPY of the same request has the others.
                *awaited.get_mut(at).map_or(&mut self.ends, |next| &mut next.ends_inside) += ends - 1;
                return true;
            }
        }
        let ended = self.ends > 0;
        self.ends -= u32::from(ended);
        ended
    }

    /// Whether the extended request of before has no end yet. Told once.
    #[inline]
    pub fn take_reopened(&mut self) -> bool {
        std::mem::take(&mut self.reopened)
    }

    /// CommandComplete.
    #[inline]
    pub fn completed(&mut self) {
        if self.runs {
            (self.runs, self.is_open, self.ignored) = (false, false, 0);
        }
    }

    /// ErrorResponse.
    pub fn failed(&mut self) {
        if self.runs {
            self.doubtful += self.ignored;
            (self.runs, self.is_open, self.ignored) = (false, false, 0);
        }
    }

    /// A ReadyForQuery came that nothing else explains: whether a doubtful Sync does.
    pub fn had_another_sync(&mut self) -> bool {
        let had = self.doubtful > 0;
        self.doubtful -= u32::from(had);
        had
    }

    /// ReadyForQuery.
    #[inline]
    pub fn round_ended(&mut self, own_sync: bool) {
        if own_sync && self.fenced {
            (self.doubtful, self.fenced) = (0, false);
        }
        if self.runs {
            (self.runs, self.is_open, self.ignored) = (false, false, 0);
        }
    }
}
