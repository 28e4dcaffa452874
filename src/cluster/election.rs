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

/// The primary that is replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Former {
    pub(super) id: NodeId,
    pub(super) timeline: u32,
    pub(super) written: Lsn,
}

/// Why a node may not be promoted, whatever its position.
pub(super) type Eligible<'a> = &'a dyn Fn(NodeId) -> Result<(), String>;

/// Who would be promoted if nobody received anything more.
pub(super) fn preview(members: &[Member], lost: Former, eligible: Eligible<'_>) -> Result<Elected, String> {
    run(members, lost, &|member| {
        eligible(member.node.id)?;
        position(member, lost, members, false)
    })
}

/// Who is promoted, of those that were cut off the lost primary.
pub(super) fn elect(members: &[Member], lost: Former, eligible: Eligible<'_>) -> Result<Elected, String> {
    run(members, lost, &|member| {
        eligible(member.node.id)?;
        position(member, lost, members, true)
    })
}

fn run(members: &[Member], lost: Former, judge: &dyn Fn(&Member) -> Result<Lsn, String>) -> Result<Elected, String> {
    let (mut best, mut reasons) = (None::<Elected>, Vec::new());
    for member in members.iter().filter(|member| member.node.id != lost.id) {
        match judge(member) {
            Ok(position) if best.as_ref().is_none_or(|best| best.position < position) => {
                let behind = position.distance_to(lost.written);
                best = Some(Elected { node: member.node.id, position, behind });
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
fn position(member: &Member, lost: Former, members: &[Member], is_final: bool) -> Result<Lsn, String> {
    if let Some(failure) = &member.failure {
        return Err(format!("does not answer ({})", failure.text));
    }
    let Some(told) = &member.observation else { return Err("was not heard yet".to_owned()) };
    let former = &members[usize::from(lost.id.0)];
    let system = former.observation.as_ref().map(|told| told.system_identifier);
    if system.is_some_and(|system| system != told.system_identifier) {
        return Err("belongs to another cluster".to_owned());
    }
    if !told.in_recovery {
        return Err("is no standby".to_owned());
    }
    if told.timeline != lost.timeline {
        return Err(format!("is on timeline {}, {} was on {}", told.timeline, former.node.name, lost.timeline));
    }
    if is_final && told.has_receiver {
        return Err("still streams".to_owned());
    }
    told.received.ok_or_else(|| "tells no position".to_owned())
}
