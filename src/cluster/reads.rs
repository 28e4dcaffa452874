//! Which standbys may serve reads: those that follow the primary. A standby on another timeline, in a loop of standbys, or cut
//! off for longer shows a past that nobody may notice.

use std::time::{Duration, Instant};

use super::judgement::Member;
use super::node::{Health, NodeId, Role};
use super::topology::{Node, Topology};

/// A WAL receiver that is gone longer than this, while there is a primary, will not be back in a moment.
const WITHOUT_RECEIVER: Duration = Duration::from_secs(2);

/// Fills in `topology.standbys`, and says at each other standby why not.
pub(super) fn choose(topology: &mut Topology, members: &[Member], now: Instant) {
    if topology.system_identifier.is_none() {
        return;
    }
    let judge = |node: &Node| (node.id, unfit(topology, node, members, now));
    let judged: Vec<(NodeId, Option<String>)> =
        topology.nodes.iter().filter(|node| is_standby(node)).map(judge).collect();
    for (id, reason) in judged {
        match reason {
            None => topology.standbys.push(id),
            Some(reason) => {
                let warning = &mut topology.nodes[usize::from(id.0)].warning;
                *warning = Some(format!("gets no reads: {reason}"));
            }
        }
    }
}

pub(super) fn is_standby(node: &Node) -> bool {
    node.health == Health::Up && node.role == Role::Standby
}

/// Why it gets no reads. While there is no primary nothing can be held against a standby: reads go on.
fn unfit(topology: &Topology, node: &Node, members: &[Member], now: Instant) -> Option<String> {
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
