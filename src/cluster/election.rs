//! Whom to promote, or why nobody.
//!
//! A candidate is on the lost primary's timeline and its WAL receiver is gone, so that its position moves no more and
//! includes all that it was sent. The furthest wins; at a tie the first in the order of the configuration. Positions of
//! different timelines are not compared: such a node is no candidate.

use super::judgement::Member;
use super::node::{Lsn, NodeId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elected {
    pub(super) node: NodeId,
    pub(super) position: Lsn,
    /// How far it is behind what the lost primary last told to have written: may be lost.
    pub(super) behind: u64,
}

/// `excluded`: who refused to be promoted, and why.
pub(super) fn elect(members: &[Member], lost: NodeId, excluded: &[(NodeId, String)]) -> Result<Elected, String> {
    let lost = &members[usize::from(lost.0)];
    let (mut best, mut reasons) = (None::<Elected>, Vec::new());
    for member in members.iter().filter(|member| member.node.id != lost.node.id) {
        let refusal = excluded.iter().find(|(node, _)| *node == member.node.id).map(|(_, reason)| reason.clone());
        match refusal.map_or_else(|| position(member, lost), Err) {
            Ok(position) if best.as_ref().is_none_or(|best| best.position < position) => {
                let written = lost.observation.as_ref().and_then(|told| told.received).unwrap_or_default();
                best = Some(Elected { node: member.node.id, position, behind: position.distance_to(written) });
            }
            Ok(_) => {}
            Err(reason) => reasons.push(format!("{} {reason}", member.node.name)),
        }
    }
    best.ok_or_else(|| match reasons.is_empty() {
        true => "there is no other node".to_owned(),
        false => reasons.join(", "),
    })
}

/// Where the candidate ends, or why it is none.
fn position(member: &Member, lost: &Member) -> Result<Lsn, String> {
    if let Some(failure) = &member.failure {
        return Err(format!("does not answer ({})", failure.text));
    }
    let (Some(told), Some(primary)) = (&member.observation, &lost.observation) else {
        return Err("was not heard yet".to_owned());
    };
    if told.system_identifier != primary.system_identifier {
        return Err("belongs to another cluster".to_owned());
    }
    if !told.in_recovery {
        return Err("is no standby".to_owned());
    }
    if told.timeline != primary.timeline {
        return Err(format!("is on timeline {}, {} was on {}", told.timeline, lost.node.name, primary.timeline));
    }
    if told.has_receiver {
        return Err("still streams".to_owned());
    }
    told.received.ok_or_else(|| "tells no position".to_owned())
}
