//! How far each standby has followed the primary, told in time: all that was committed by then is visible there.
//!
//! PostgreSQL tells a client nothing about the LSN of its commit. But the primary's insert position, asked for after
//! the commit was acknowledged, is at or behind it: a standby that has replayed as much shows the commit. So a session
//! need only remember when it wrote last. That holds for a commit that was not flushed yet (`synchronous_commit = off`):
//! it is inserted before it is acknowledged. It holds for whatever was run, whether it failed or not: what a procedure has
//! committed before it raised an error stands before the error's answer. And it holds over a failover: the new primary's
//! samples are its own, and nothing that was kept stands behind them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::node::{Lsn, NodeId, Observation, Role};
use super::topology::Topology;

/// Samples kept. The older ones stand further apart: there are always some of hours ago.
const MAX_SAMPLES: usize = 2048;

#[derive(Default)]
pub(super) struct Tide {
    /// Whose samples these are: another primary or timeline begins afresh.
    of: Option<(NodeId, u32)>,
    /// Rising.
    samples: VecDeque<Sample>,
}

/// What the primary told.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Asked at.
    at: Instant,
    inserted: Lsn,
    /// What standbys may have got by then: not all that is inserted is on its way.
    written: Lsn,
    /// Of the last record only its beginning may be written, as far as its page went: nobody can replay it, and while the
    /// primary is idle the rest may take its time.
    is_torn: bool,
}

// === impl Tide ===

impl Tide {
    /// Takes up the primary's newest position. Without a primary nothing is committed: what was sampled stays true.
    pub(super) fn sample(&mut self, topology: &Topology) {
        let told = topology.primary.and_then(|id| Some((id, topology.node(id).observation.as_ref()?)));
        let Some((id, told)) = told else { return };
        let (Some(inserted), Some(written)) = (told.inserted, told.received) else { return };
        if self.of != Some((id, told.timeline)) {
            self.of = Some((id, told.timeline));
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|newest| newest.at < told.at) {
            if self.samples.len() == MAX_SAMPLES {
                self.thin_out();
            }
            let is_torn = written.is_at_page_end() && inserted > written;
            self.samples.push_back(Sample { at: told.at, inserted, written, is_torn });
        }
    }

    /// Since when each standby is caught up.
    pub(super) fn note_at_each(&self, topology: &mut Topology) {
        let timeline = self.of.map_or(0, |(_, timeline)| timeline);
        for node in &mut topology.nodes {
            let told = node.observation.as_ref().filter(|told| told.timeline == timeline && node.role == Role::Standby);
            node.caught_up_at = told.and_then(|told| self.reached(told.replayed?));
        }
    }

    /// How far behind a standby was when it told this: in bytes, and for how long at least it has missed some.
    /// `None`: of its timeline nothing is known.
    pub(super) fn behind(&self, told: &Observation) -> Option<(u64, Duration)> {
        self.of.filter(|(_, timeline)| *timeline == told.timeline)?;
        let replayed = told.replayed?;
        let by_then = self.samples.partition_point(|sample| sample.at <= told.at).max(1);
        let newest = self.samples.get(by_then - 1)?;
        let is_missed =
            |sample: &&Sample| sample.written > replayed && (!sample.is_torn || told.received < Some(sample.written));
        let missed = self.samples.iter().take(by_then).position(|sample| is_missed(&sample));
        let since = |index: usize| told.at.saturating_duration_since(self.samples[index].at);
        let time = match missed {
            // Since before anybody looked: the standby's own word, too long if the primary was idle, is the best there is.
            Some(0) => since(0).max(Duration::from_millis(told.replay_delay_ms.unwrap_or(0))),
            Some(index) => since(index),
            None => Duration::ZERO,
        };
        Some((replayed.distance_to(newest.written), time))
    }

    /// When the newest sample was asked for that `replayed` covers.
    fn reached(&self, replayed: Lsn) -> Option<Instant> {
        self.samples.iter().rev().find(|sample| sample.inserted <= replayed).map(|sample| sample.at)
    }

    /// Every other one of the older half goes.
    fn thin_out(&mut self) {
        let mut index = 0;
        self.samples.retain(|_| {
            index += 1;
            index > MAX_SAMPLES / 2 || index % 2 == 1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tide(start: Instant, samples: &[(u64, u64)]) -> Tide {
        let sample = |(s, lsn): &(u64, u64)| Sample {
            at: start + Duration::from_secs(*s),
            inserted: Lsn(*lsn),
            written: Lsn(lsn - 1),
            is_torn: false,
        };
        Tide { of: Some((NodeId(0), 1)), samples: samples.iter().map(sample).collect() }
    }

    #[test]
    fn a_standby_is_caught_up_to_the_newest_sample_it_covers() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let tide = tide(start, &[(0, 100), (1, 200), (2, 200)]);
        let cases = [(99, None), (100, Some(at(0))), (199, Some(at(0))), (200, Some(at(2))), (999, Some(at(2)))];
        for (replayed, expected) in cases {
            assert_eq!(tide.reached(Lsn(replayed)), expected, "{replayed}");
        }
    }

    #[test]
    fn the_old_samples_thin_out_and_the_oldest_stays() {
        let start = Instant::now();
        let mut tide = tide(start, &[]);
        for s in 0..10_000 {
            if tide.samples.len() == MAX_SAMPLES {
                tide.thin_out();
            }
            let (at, lsn) = (start + Duration::from_secs(s), Lsn(s + 1));
            tide.samples.push_back(Sample { at, inserted: lsn, written: lsn, is_torn: false });
        }
        assert!(tide.samples.len() <= MAX_SAMPLES);
        assert_eq!(tide.reached(Lsn(1)), Some(start));
        assert_eq!(tide.reached(Lsn(9_990)), Some(start + Duration::from_secs(9_989)));
        assert!(tide.samples.iter().zip(tide.samples.iter().skip(1)).all(|(one, next)| one.at < next.at));
    }
}
