//! What has happened in the plays: a check of what never happened is worth nothing.

use std::collections::BTreeMap;

use pgherd::cluster::status::State;

#[derive(Default)]
pub(super) struct Coverage {
    pub(super) plays: u64,
    pub(super) steps: u64,
    /// Commits of the proxy's clients.
    pub(super) acknowledged: u64,
    counts: BTreeMap<&'static str, u64>,
    crashes: BTreeMap<&'static str, u64>,
}

// === impl Coverage ===

impl Coverage {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn count_crash(&mut self, state: State) {
        *self.crashes.entry(state.as_str()).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Coverage) {
        self.plays += other.plays;
        self.steps += other.steps;
        self.acknowledged += other.acknowledged;
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (state, count) in other.crashes {
            *self.crashes.entry(state).or_default() += count;
        }
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} plays, {} steps, {} commits acknowledged", self.plays, self.steps, self.acknowledged)?;
        self.counts.iter().try_for_each(|(what, count)| write!(f, ", {what}: {count}"))?;
        write!(f, "; the coordinator crashed")?;
        self.crashes.iter().try_for_each(|(state, count)| write!(f, ", {state}: {count}"))
    }
}

// === what must have happened ===

/// In so many plays each of these often enough; one of three hundred is far less than usual.
const WANTED: &[(&str, u64)] = &[
    ("promoted", 100),
    ("failover done", 50),
    ("switchover done", 15),
    ("revocation undone", 30),
    ("blind", 200),
    ("partitioned", 80),
    ("refusing", 80),
    ("shutting down", 10),
    ("dead", 20),
    ("held", 40),
    ("full", 40),
    ("order done", 150),
    ("order refused", 150),
    ("hook", 30),
    ("acknowledged writes lost (allowed)", 1),
];

/// At each of these the process must have ended somewhere.
const CRASHES: &[State] = &[
    State::Suspect,
    State::Partitioned,
    State::Blind,
    State::Refusing,
    State::Held,
    State::Draining,
    State::Revoking,
    State::Promoting,
    State::Opening,
    State::Up,
];

impl Coverage {
    pub(super) fn is_enough(&self) {
        for (what, wanted) in WANTED {
            let count = self.counts.get(what).copied().unwrap_or(0);
            assert!(count >= *wanted, "{what}: only {count} times: {self}");
        }
        for state in CRASHES {
            let count = self.crashes.get(state.as_str()).copied().unwrap_or(0);
            assert!(count >= 3, "the coordinator crashed only {count} times while {}: {self}", state.as_str());
        }
        assert!(self.acknowledged > self.plays * 300, "hardly a write: {self}");
    }
}
