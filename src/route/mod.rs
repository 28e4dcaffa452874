//! Where a statement goes: (class, turn, topology) → target. Pure.

mod token;
pub mod turn;
mod why;

pub use token::Token;
pub use turn::{Avoid, Preference, Turn, TxStatus};
pub use why::Why;

use crate::cluster::{NodeId, Topology};
use crate::config::Consistency;
use crate::sql::{Class, Kind, Reason};

/// A decision and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    pub target: Target,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Primary(NodeId),
    Standby(NodeId),
    /// The server the session holds already.
    Stay,
    /// Nobody can take it now: park it until the topology changes. The reason, in words.
    Hold {
        reason: String,
    },
}

/// Decides for one statement, or for one protocol batch by its combined class (`Class::then`).
///
/// `class`: `None` = not known, so the primary's.
/// `split`: reads may go to standbys. `load`: how many servers of a node are in use, the fewer the better.
/// `tick`: any number that grows by one with each call; standbys of equal load take turns by it.
pub fn route(
    class: Option<&Class>,
    turn: &Turn,
    topology: &Topology,
    split: bool,
    load: impl Fn(NodeId) -> usize,
    tick: usize,
) -> Routed {
    if turn.holds_server() {
        return Routed { target: Target::Stay, why: Why::Held };
    }
    let shows_writes = |id: NodeId| {
        let caught_up_at = topology.node(id).caught_up_at;
        turn.last_write.is_none_or(|wrote| caught_up_at.is_some_and(|caught_up| caught_up > wrote))
    };
    let fits = |id: NodeId| !turn.avoid.has(id) && shows_writes(id) && reaches(topology, id, turn.min_lsn);
    let standby = || least_loaded(&topology.standbys, fits, &load, tick).map(Target::Standby);
    let primary = topology.primary.map(Target::Primary);
    let (need, why) = need(class, turn, split);
    let (target, why) = match need {
        Need::Standby => match standby() {
            Some(target) => (Some(target), why),
            None => (primary, why_no_standby(turn, topology)),
        },
        Need::Anyone => (primary.or_else(standby), why),
        Need::Primary => (primary, why),
    };
    match target {
        Some(target) => Routed { target, why },
        None => {
            let reason = topology.no_primary_because.clone().unwrap_or_default();
            Routed { target: Target::Hold { reason }, why: Why::NoPrimary }
        }
    }
}

/// Whether the node is known to have replayed as much.
fn reaches(topology: &Topology, id: NodeId, token: Option<Token>) -> bool {
    let Some(token) = token else { return true };
    topology.node(id).observation.as_ref().is_some_and(|told| {
        token.timeline.is_none_or(|timeline| told.timeline >= timeline) && told.replayed >= Some(token.lsn)
    })
}

fn why_no_standby(turn: &Turn, topology: &Topology) -> Why {
    match () {
        () if topology.standbys.is_empty() => Why::NoStandby,
        () if !topology.standbys.iter().any(|id| reaches(topology, *id, turn.min_lsn)) => Why::BelowMinLsn,
        () if turn.last_write.is_some() => Why::NotCaughtUp,
        () => Why::NoStandby,
    }
}

/// What a statement asks for when its session holds no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Primary,
    /// A standby, else the primary.
    Standby,
    /// The primary, else a standby: it neither reads nor writes.
    Anyone,
}

fn need(class: Option<&Class>, turn: &Turn, split: bool) -> (Need, Why) {
    let Some(class) = class else { return (Need::Primary, Why::NotClassified) };
    let reads = match class.kind {
        // outside a transaction these only earn a warning; an application resetting its connection must not wait
        Kind::Empty | Kind::Commit | Kind::Rollback => return (Need::Anyone, Why::Anyone),
        _ => class.fits_standby(),
    };
    let is_said_to_read = turn.preference == Preference::Standby && class.may_only_read();
    // The statement's own word is nearer than the session's.
    let stays_away = turn.preference == Preference::Primary && !matches!(class.reason, Reason::Hint | Reason::Claimed);
    match () {
        () if !reads && !is_said_to_read => (Need::Primary, Why::Class(class.reason)),
        () if !split => (Need::Primary, Why::NotSplit),
        () if turn.reads_on_primary => (Need::Primary, Why::Setting),
        () if stays_away => (Need::Primary, Why::Preference),
        () if turn.consistency == Consistency::Primary => (Need::Primary, Why::Consistency),
        () if is_said_to_read => (Need::Standby, Why::Preference),
        () => (Need::Standby, Why::Class(class.reason)),
    }
}

fn least_loaded(
    standbys: &[NodeId],
    fits: impl Fn(NodeId) -> bool,
    load: impl Fn(NodeId) -> usize,
    tick: usize,
) -> Option<NodeId> {
    let fitting = || standbys.iter().filter(|id| fits(**id));
    let least = fitting().map(|id| load(*id)).min()?;
    let equals = || fitting().filter(|id| load(**id) == least);
    // the load may change between the two looks: then any standby is as good
    equals().nth(tick % equals().count().max(1)).or(fitting().next()).copied()
}
