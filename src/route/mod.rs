//! Where a statement goes: (class, turn, topology) → target. Pure.

pub mod turn;

pub use turn::{Avoid, Turn, TxStatus};

use crate::cluster::{NodeId, Topology};
use crate::sql::{Class, Kind};

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
) -> Target {
    if turn.holds_server() {
        return Target::Stay;
    }
    let shows_own_writes = |id: NodeId| {
        let caught_up_at = topology.node(id).caught_up_at;
        turn.last_write.is_none_or(|wrote| caught_up_at.is_some_and(|caught_up| caught_up > wrote))
    };
    let fits = |id: NodeId| !turn.avoid.has(id) && shows_own_writes(id);
    let standby = || least_loaded(&topology.standbys, fits, &load, tick).map(Target::Standby);
    let primary = topology.primary.map(Target::Primary);
    let target = match need(class, turn, split) {
        Need::Standby => standby().or(primary),
        Need::Anyone => primary.or_else(standby),
        Need::Primary => primary,
    };
    target.unwrap_or_else(|| Target::Hold { reason: topology.no_primary_because.clone().unwrap_or_default() })
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

fn need(class: Option<&Class>, turn: &Turn, split: bool) -> Need {
    let Some(class) = class else { return Need::Primary };
    let reads_elsewhere = split && !turn.reads_on_primary;
    match class.kind {
        // outside a transaction these only earn a warning; an application resetting its connection must not wait
        Kind::Empty | Kind::Commit | Kind::Rollback => Need::Anyone,
        Kind::Begin(begin) if reads_elsewhere && begin.fits_standby() => Need::Standby,
        _ if reads_elsewhere && class.is_read() => Need::Standby,
        _ => Need::Primary,
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
