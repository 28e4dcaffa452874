//! Why a statement goes where it goes.

use crate::sql::Reason;

/// Numbers from here on are no [`Reason`]s'.
const OTHER: usize = 96;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// By what it is.
    Class(Reason),
    /// Nobody looked what it is.
    NotClassified,
    /// The session is in a transaction, or pinned to its server.
    Held,
    /// `routing.split` is off, or the pool mode does not allow it.
    NotSplit,
    /// A setting of the session speaks against standbys (`sql::set::force_primary`).
    Setting,
    /// `pgherd.route` says so.
    Preference,
    /// `consistency = "primary"`.
    Consistency,
    /// No standby is known to show what the session, or any session, has written.
    NotCaughtUp,
    /// No standby is known to have reached `pgherd.min_lsn`.
    BelowMinLsn,
    /// No standby takes reads.
    NoStandby,
    /// The primary takes its share of the reads.
    PrimaryShare,
    /// It came behind another request, to the server that was at hand.
    Along,
    /// It neither reads nor writes: whoever is there.
    Anyone,
    NoPrimary,
}

/// All but [`Why::Class`], each at the place of its number behind the reasons'.
const OTHERS: [Why; 13] = [
    Why::NotClassified,
    Why::Held,
    Why::NotSplit,
    Why::Setting,
    Why::Preference,
    Why::Consistency,
    Why::NotCaughtUp,
    Why::BelowMinLsn,
    Why::NoStandby,
    Why::PrimaryShare,
    Why::Along,
    Why::Anyone,
    Why::NoPrimary,
];

impl Why {
    /// A number for counting by it, below [`crate::sql::shapes::REASONS`].
    #[inline]
    pub fn number(self) -> u8 {
        let number = match self {
            Why::Class(reason) => reason as usize,
            other => OTHER + OTHERS.iter().position(|known| *known == other).unwrap_or(OTHERS.len()),
        };
        number as u8
    }

    pub fn of_number(number: u8) -> Option<Self> {
        match usize::from(number) {
            number if number < OTHER => Reason::ALL.get(number).map(|reason| Why::Class(*reason)),
            number => OTHERS.get(number - OTHER).copied(),
        }
    }

    /// One word, as the console and the metrics write it.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }

    /// A sentence for people.
    pub fn explain(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Why::Class(reason) => (reason.as_str(), reason.explain()),
            Why::NotClassified => ("not-classified", "nobody looked what it is: there is no choice of nodes"),
            Why::Held => ("held", "the session is in a transaction, or pinned to its server"),
            Why::NotSplit => ("not-split", "reads are not split: routing.split, or the pool mode"),
            Why::Setting => ("setting", "a setting of the session speaks against standbys"),
            Why::Preference => ("preference", "pgherd.route says so"),
            Why::Consistency => ("consistency", "consistency is \"primary\""),
            Why::NotCaughtUp => ("not-caught-up", "no standby is known to show yet what was written"),
            Why::BelowMinLsn => ("below-min-lsn", "no standby is known to have reached pgherd.min_lsn"),
            Why::NoStandby => ("no-standby", "no standby takes reads"),
            Why::PrimaryShare => ("primary-share", "the primary's share of the reads (routing.primary_weight)"),
            Why::Along => ("along", "it came behind another request, to the server that was at hand"),
            Why::Anyone => ("anyone", "it neither reads nor writes"),
            Why::NoPrimary => ("no-primary", "there is no primary"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::shapes::REASONS;

    #[test]
    fn each_has_a_number_and_a_word_of_its_own() {
        let all: Vec<_> = Reason::ALL.map(Why::Class).into_iter().chain(OTHERS).collect();
        let words: std::collections::BTreeSet<_> = all.iter().map(|why| why.as_str()).collect();
        assert_eq!(words.len(), all.len());
        for why in all {
            assert_eq!(Why::of_number(why.number()), Some(why));
            assert!(usize::from(why.number()) < REASONS);
        }
    }
}
