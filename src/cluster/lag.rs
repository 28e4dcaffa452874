//! How far a standby may be behind and still get reads, and how it gets them again: well below the limits, and for a moment,
//! or it would come and go with each burst of writes.

use std::time::{Duration, Instant};

use super::policy::Policy;

/// WAL that it misses for longer than this, while its replay is paused, will not be there in a moment.
const PAUSED: Duration = Duration::from_secs(2);

/// How long it has to be well below the limits.
const MOMENT: Duration = Duration::from_secs(1);

/// As told by the last observation. `None`: not to be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lag {
    /// WAL that the primary had written then, and that was not replayed.
    pub(super) bytes: Option<u64>,
    /// For how long at least the primary had written some of it; 0: it misses nothing.
    pub(super) time: Option<Duration>,
    /// Its replay is paused.
    pub(super) is_paused: bool,
    /// Since it told.
    pub(super) age: Duration,
}

/// What is remembered of a standby's lag.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// It was over a limit, and has not come back yet.
    is_out: bool,
    /// Since when it is well below all of them.
    well_since: Option<Instant>,
}

// === impl Watch ===

impl Watch {
    /// Why it gets no reads, if it lags too much or did until just now.
    pub(super) fn look(&mut self, lag: Lag, policy: &Policy, now: Instant) -> Option<String> {
        if let Some(reason) = policy.exceeded(lag) {
            *self = Self { is_out: true, well_since: None };
            return Some(reason);
        }
        if !self.is_out {
            return None;
        }
        if !policy.is_well_below(lag) {
            self.well_since = None;
            return Some(format!("{}; it gets some again below half of the limit", describe(lag)));
        }
        let since = *self.well_since.get_or_insert(now);
        if now < since + MOMENT {
            return Some("it has caught up only just now".to_owned());
        }
        *self = Self::default();
        None
    }
}

// === impl Policy ===

impl Policy {
    fn exceeded(&self, lag: Lag) -> Option<String> {
        if self.max_lag.is_zero() && self.max_lag_bytes == 0 {
            return None;
        }
        let behind = lag.time.unwrap_or_default();
        if lag.is_paused && behind >= PAUSED {
            return Some(format!("its replay is paused, and {}", describe(lag)));
        }
        if !self.max_lag.is_zero() && behind > self.max_lag {
            return Some(format!("{} (routing.max_lag = {:?})", describe(lag), self.max_lag));
        }
        if !self.max_lag.is_zero() && lag.age > self.max_age() {
            return Some(format!("it has not told for {} s how far it is", lag.age.as_secs()));
        }
        if self.max_lag_bytes > 0 && lag.bytes.is_some_and(|bytes| bytes > self.max_lag_bytes) {
            return Some(format!("{} (routing.max_lag_bytes = {})", describe(lag), self.max_lag_bytes));
        }
        None
    }

    fn is_well_below(&self, lag: Lag) -> bool {
        let behind = lag.time.unwrap_or_default();
        (self.max_lag.is_zero() || behind < self.max_lag / 2)
            && (self.max_lag_bytes == 0 || lag.bytes.is_none_or(|bytes| bytes < self.max_lag_bytes.div_ceil(2)))
    }

    /// Who is asked but seldom tells but seldom.
    fn max_age(&self) -> Duration {
        self.max_lag.max(self.probe_interval * 3)
    }
}

fn describe(lag: Lag) -> String {
    match (lag.bytes, lag.time) {
        (Some(bytes), Some(time)) => format!("it is {bytes} bytes and {:.1} s behind", time.as_secs_f64()),
        (Some(bytes), None) => format!("it is {bytes} bytes behind"),
        (None, Some(time)) => format!("it is {:.1} s behind", time.as_secs_f64()),
        (None, None) => "nobody knows how far it is behind".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            max_lag: Duration::from_secs(10),
            max_lag_bytes: 1000,
            probe_interval: Duration::from_secs(1),
            ..Policy::default()
        }
    }

    fn behind(secs: u64, bytes: u64) -> Lag {
        Lag { bytes: Some(bytes), time: Some(Duration::from_secs(secs)), ..Lag::default() }
    }

    #[test]
    fn who_was_over_the_limit_comes_back_well_below_it_and_after_a_moment() {
        let start = Instant::now();
        let mut watch = Watch::default();
        let policy = policy();
        // (ms, seconds behind, bytes behind, gets reads)
        let steps = [
            (0, 10, 1000, true),
            (100, 11, 0, false),
            (200, 9, 0, false),
            (300, 5, 0, false),
            (400, 4, 0, false),
            (1300, 4, 0, false),
            (1400, 4, 0, true),
            (1500, 9, 0, true),
            (1600, 0, 1001, false),
            (1700, 0, 500, false),
            (1800, 0, 499, false),
            (2700, 0, 500, false),
            (2800, 0, 0, false),
            (3800, 0, 0, true),
        ];
        for (ms, secs, bytes, gets_reads) in steps {
            let reason = watch.look(behind(secs, bytes), &policy, start + Duration::from_millis(ms));
            assert_eq!(reason.is_none(), gets_reads, "at {ms} ms: {reason:?}");
        }
    }

    #[test]
    fn each_reason_names_its_limit() {
        let say = |lag| Watch::default().look(lag, &policy(), Instant::now()).unwrap_or_default();
        assert!(say(behind(11, 5)).contains("5 bytes and 11.0 s behind (routing.max_lag = 10s)"));
        assert!(say(behind(0, 1001)).contains("routing.max_lag_bytes = 1000"));
        assert!(say(Lag { is_paused: true, ..behind(2, 5) }).contains("paused"));
        assert_eq!(say(Lag { is_paused: true, ..behind(1, 5) }), "", "somebody may hold it for a moment");
        assert!(say(Lag { age: Duration::from_secs(11), ..behind(0, 0) }).contains("not told for 11 s"));
        assert_eq!(say(Lag::default()), "", "what is not known is not held against it");
    }

    #[test]
    fn without_limits_nothing_is_too_far() {
        let policy = Policy { max_lag: Duration::ZERO, max_lag_bytes: 0, ..policy() };
        let lag = Lag { is_paused: true, age: Duration::from_secs(999), ..behind(999, 1 << 50) };
        assert_eq!(Watch::default().look(lag, &policy, Instant::now()), None);
    }
}
