//! How far each standby has followed the primary, told in time: all that was committed by then is visible there.
//!
//! PostgreSQL tells a client nothing about the LSN of its commit. But the primary's insert position, asked for after
//! the commit was acknowledged, is at or behind it: a standby that has replayed as much shows the commit. So a session
//! need only remember when it wrote last.

use std::collections::VecDeque;
use std::time::Instant;

use super::node::{Lsn, NodeId, Role};
use super::topology::Topology;

/// Samples kept: some minutes' worth. A standby further behind counts as never caught up.
const MAX_SAMPLES: usize = 2048;

#[derive(Default)]
pub(super) struct Tide {
    /// Whose samples these are: another primary or timeline begins afresh.
    of: Option<(NodeId, u32)>,
    /// (asked at, insert position then), both rising.
    samples: VecDeque<(Instant, Lsn)>,
}

// === impl Tide ===

impl Tide {
    /// Takes up the primary's newest position and notes at each standby since when it is caught up.
    pub(super) fn measure(&mut self, topology: &mut Topology) {
        let primary = topology.primary.and_then(|id| {
            let told = topology.node(id).observation.as_ref()?;
            Some((id, told.timeline, told.at, told.inserted?))
        });
        let Some((id, timeline, asked_at, inserted)) = primary else {
            // Reads go on: nothing is committed meanwhile.
            return self.note_at_each(topology, self.of.map_or(0, |(_, timeline)| timeline));
        };
        if self.of != Some((id, timeline)) {
            self.of = Some((id, timeline));
            self.samples.clear();
        }
        if self.samples.back().is_none_or(|(at, _)| *at < asked_at) {
            if self.samples.len() == MAX_SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back((asked_at, inserted));
        }
        self.note_at_each(topology, timeline);
    }

    fn note_at_each(&self, topology: &mut Topology, timeline: u32) {
        for node in &mut topology.nodes {
            let told = node.observation.as_ref().filter(|told| told.timeline == timeline && node.role == Role::Standby);
            node.caught_up_at = told.and_then(|told| self.reached(told.replayed?));
        }
    }

    /// When the newest sample was asked for that `replayed` covers.
    fn reached(&self, replayed: Lsn) -> Option<Instant> {
        self.samples.iter().rev().find(|(_, lsn)| *lsn <= replayed).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_standby_is_caught_up_to_the_newest_sample_it_covers() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let samples = [(at(0), Lsn(100)), (at(1), Lsn(200)), (at(2), Lsn(200))].into();
        let tide = Tide { of: None, samples };
        let cases = [(99, None), (100, Some(at(0))), (199, Some(at(0))), (200, Some(at(2))), (999, Some(at(2)))];
        for (replayed, expected) in cases {
            assert_eq!(tide.reached(Lsn(replayed)), expected, "{replayed}");
        }
    }
}
