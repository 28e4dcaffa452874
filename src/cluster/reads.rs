//! Which standbys may serve reads, and how many: those that follow the primary, and closely. A standby on another timeline,
//! in a loop of standbys, cut off for longer, or too far behind shows a past that nobody may notice.

use std::time::{Duration, Instant};

use super::judgement::Member;
use super::lag::{Lag, Watch};
use super::node::{Health, Role};
use super::policy::Policy;
use super::tide::Tide;
use super::topology::{Node, Topology};

/// A WAL receiver that is gone longer than this, while there is a primary, will not be back in a moment.
const WITHOUT_RECEIVER: Duration = Duration::from_secs(2);

/// What is remembered of a node's reads.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    watch: Watch,
    /// It could get none, and has not come back since.
    was_out: bool,
    /// When it came back.
    since: Option<Instant>,
}

impl Rotation {
    /// Its share is still growing.
    pub(super) fn grows(&self, policy: &Policy, now: Instant) -> bool {
        self.since.is_some_and(|since| now < since + policy.slow_start)
    }
}

/// Fills in `topology.standbys`, lags and shares, and says at each other standby why not. `before`: as published last.
pub(super) fn choose(
    topology: &mut Topology,
    before: &Topology,
    members: &mut [Member],
    tide: &Tide,
    policy: &Policy,
    now: Instant,
) {
    measure(topology, tide);
    for index in 0..topology.nodes.len() {
        let reason = unfit(topology, index, members, policy, now);
        let (node, rotation) = (&mut topology.nodes[index], &mut members[index].rotation);
        let share = policy.share(node.id);
        node.is_near = policy.is_near(&share);
        node.zone = share.zone;
        node.weight = 0;
        rotation.was_out |= before.status.detached.contains(&node.id);
        match reason {
            _ if !is_standby(node) => {
                // Nobody asked it yet: it may have been there all the time.
                rotation.was_out |= matches!(node.health, Health::Down(_) | Health::Refused(_));
                if topology.primary == Some(node.id) {
                    node.weight = policy.primary_weight;
                }
            }
            Some(reason) => {
                rotation.was_out = true;
                node.warning = Some(format!("gets no reads: {reason}"));
                node.no_reads = Some(reason);
            }
            None if share.weight == 0 => node.no_reads = Some("its weight is 0".to_owned()),
            None if topology.system_identifier.is_none() => {}
            None => {
                if std::mem::take(&mut rotation.was_out) {
                    rotation.since = Some(now);
                }
                node.weight = policy.grown(share.weight, rotation.since, now);
                topology.standbys.push(node.id);
            }
        }
    }
}

pub(super) fn is_standby(node: &Node) -> bool {
    node.health == Health::Up && node.role == Role::Standby
}

fn measure(topology: &mut Topology, tide: &Tide) {
    let written = topology.primary.and_then(|id| topology.node(id).observation.as_ref()?.received);
    for node in topology.nodes.iter_mut().filter(|node| is_standby(node)) {
        let Some(told) = &node.observation else { continue };
        (node.lag_bytes, node.lag_ms) = match tide.behind(told) {
            Some((bytes, time)) => (Some(bytes), Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))),
            None => (
                told.replayed.zip(written).map(|(replayed, written)| replayed.distance_to(written)),
                told.replay_delay_ms,
            ),
        };
    }
}

/// Why it gets no reads. While there is no primary nothing can be held against a standby: reads go on.
fn unfit(topology: &Topology, index: usize, members: &mut [Member], policy: &Policy, now: Instant) -> Option<String> {
    let node = &topology.nodes[index];
    if !is_standby(node) || topology.primary.is_none() {
        return None;
    }
    strays(topology, node, members, now).or_else(|| {
        let told = node.observation.as_ref()?;
        let lag = Lag {
            bytes: node.lag_bytes,
            time: node.lag_ms.map(Duration::from_millis),
            is_paused: told.is_replay_paused,
            age: now.saturating_duration_since(told.at),
        };
        members[index].rotation.watch.look(lag, policy, now)
    })
}

/// Why it does not follow the primary.
fn strays(topology: &Topology, node: &Node, members: &[Member], now: Instant) -> Option<String> {
    let primary = topology.node(topology.primary?);
    let (told, newest) = (node.observation.as_ref()?, primary.observation.as_ref()?);
    if told.timeline != newest.timeline {
        return Some(format!("it is on timeline {}, {} is on {}", told.timeline, primary.name, newest.timeline));
    }
    let mut at = node;
    for _ in 0..topology.nodes.len() {
        let member = &members[usize::from(at.id.0)];
        if at.id == primary.id {
            return None;
        }
        if at.role == Role::Primary {
            return Some(format!("it follows {}, which is not the primary", at.name));
        }
        if let Some(since) = member.without_receiver_since().filter(|since| now >= *since + WITHOUT_RECEIVER) {
            let secs = now.saturating_duration_since(since).as_secs();
            return Some(format!("{} streams from nobody, since {secs} s ago", at.name));
        }
        match at.upstream {
            Some(upstream) => at = topology.node(upstream),
            // From an address that is no configured node's, or by way of an archive: not to be known.
            None => return None,
        }
    }
    Some("it follows standbys that follow one another".to_owned())
}
