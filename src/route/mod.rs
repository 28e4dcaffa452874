//! Where a statement goes: (class, turn, topology) → target. Pure.

pub mod candidates;
mod choice;
pub mod explain;
mod token;
pub mod turn;
mod why;
pub mod wishes;

pub use candidates::{Candidate, Verdict, candidates};
pub use token::Token;
pub use turn::{Avoid, Preference, Turn, TxStatus};
pub use why::Why;

use choice::Nodes;

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
/// `tick`: any number that is another one with each call.
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
    let reader = || choice::draw(readers(turn, topology).nearest(topology), topology, &load, tick);
    let primary = topology.primary.map(Target::Primary);
    let (need, why) = need(class, turn, split);
    let (target, why) = match need {
        Need::Standby => match reader() {
            Some(node) if topology.primary == Some(node) => (primary, Why::PrimaryShare),
            Some(node) => (Some(Target::Standby(node)), why),
            None => (primary, why_no_standby(turn, topology)),
        },
        Need::Anyone => (primary.or_else(|| reader().map(Target::Standby)), why),
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

/// Who can take a read: the standbys that show enough, and the primary if it has a share.
fn readers(turn: &Turn, topology: &Topology) -> Nodes {
    let fits =
        |id: &NodeId| !turn.avoid.has(*id) && shows_writes(topology, *id, turn) && reaches(topology, *id, turn.min_lsn);
    let standbys = Nodes::of(topology.standbys.iter().copied().filter(fits));
    let shares = |id: &NodeId| topology.node(*id).weight > 0 && turn.preference != Preference::Standby;
    match topology.primary.filter(shares) {
        // Where no standby can, it takes them all, for another reason.
        Some(primary) if !standbys.is_empty() => standbys.with(primary),
        _ => standbys,
    }
}

/// Whether the node shows what was written last.
fn shows_writes(topology: &Topology, id: NodeId, turn: &Turn) -> bool {
    let caught_up_at = topology.node(id).caught_up_at;
    turn.last_write.is_none_or(|wrote| caught_up_at.is_some_and(|caught_up| caught_up > wrote))
}

/// Whether the node is known to have replayed as much.
fn reaches(topology: &Topology, id: NodeId, token: Option<Token>) -> bool {
    let Some(token) = token else { return true };
    // An idle primary may have given a position that no standby gets to before the next record.
    let lsn = token.lsn.without_page_header();
    topology.node(id).observation.as_ref().is_some_and(|told| {
        token.timeline.is_none_or(|timeline| told.timeline >= timeline) && told.replayed >= Some(lsn)
    })
}

fn why_no_standby(turn: &Turn, topology: &Topology) -> Why {
    let mut there = topology.standbys.iter().filter(|id| !turn.avoid.has(**id)).peekable();
    match () {
        () if there.peek().is_none() => Why::NoStandby,
        () if there.any(|id| shows_writes(topology, *id, turn)) => Why::BelowMinLsn,
        () => Why::NotCaughtUp,
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
