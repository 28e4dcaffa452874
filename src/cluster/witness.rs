//! What the standbys testify about a primary that does not answer us.
//!
//! A standby that streams from the primary hears it: then we are the deaf ones. One that streamed from it a moment
//! before we lost it, and does not any more, testifies that it is gone. All others know nothing.

use std::time::{Duration, Instant};

use super::judgement::Member;
use super::node::{NodeId, Observation};
use super::topology::Topology;

/// A standby that lost the primary longer than this before we did lost it for a reason of its own.
const MEMORY: Duration = Duration::from_secs(10);

/// What is remembered of one standby.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness {
    /// Its WAL receiver was last seen on the primary, or on an address that is no configured node's.
    pub(super) follows: bool,
    /// When that was asked for the last time.
    heard_at: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Somebody is still to be heard.
    Awaited,
    /// These standbys stream from it.
    Partitioned(String),
    /// Too few standbys can testify; in words.
    Blind(String),
    /// The standbys that lost it.
    Dead(String),
}

// === impl Witness ===

impl Witness {
    /// `standby` told something while `primary` was the primary.
    pub(super) fn note(&mut self, standby: NodeId, told: &Observation, primary: NodeId, topology: &Topology) {
        if !told.in_recovery || !told.has_receiver {
            return; // what it follows has not changed, it only can't
        }
        // A name that is no configured node's may be the primary's other name: better deaf than two primaries.
        self.follows = topology.node(standby).upstream.is_none_or(|upstream| upstream == primary);
        self.heard_at = self.follows.then_some(told.at);
    }
}

/// What follows from all that was told since `since`. `primary_at`: when the primary itself told something last.
pub(super) fn verdict(
    members: &[Member],
    witnesses: &[Witness],
    wanted: u32,
    since: Instant,
    primary_at: Instant,
) -> Verdict {
    let followers: Vec<(&Member, &Witness)> =
        members.iter().zip(witnesses).filter(|(_, witness)| witness.follows).collect();
    let (mut hear, mut lost, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for (member, witness) in &followers {
        let name = member.node.name.as_str();
        match member.observation.as_ref() {
            _ if member.failure.is_some() => silent.push(format!("{name} does not answer")),
            Some(told) if told.at < since => return Verdict::Awaited,
            Some(told) if told.has_receiver => hear.push(name),
            Some(_) if witness.heard_at.is_some_and(|heard| heard + MEMORY >= primary_at) => lost.push(name),
            Some(_) => silent.push(format!("{name} had lost it before")),
            None => silent.push(format!("{name} was never heard")),
        }
    }
    let needed = if wanted == 0 { followers.len() / 2 + 1 } else { wanted as usize };
    if !hear.is_empty() {
        return Verdict::Partitioned(hear.join(", "));
    }
    if lost.len() >= needed {
        return Verdict::Dead(lost.join(", "));
    }
    Verdict::Blind(match followers.is_empty() {
        true => "no standby streamed from it".to_owned(),
        false => {
            let more = if silent.is_empty() { String::new() } else { format!(" ({})", silent.join(", ")) };
            format!(
                "{} of the {} standbys that streamed from it lost it{more}, {needed} must",
                lost.len(),
                followers.len()
            )
        }
    })
}
