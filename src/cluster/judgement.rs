//! The rules: from what each node told last to who is down, who is refused, and who the primary is.
//!
//! - A node is *down* after `failures` failed probes in a row, *up* after one answer. A failure that proves life (full,
//!   the monitor's login refused) neither counts nor forgives: an up node stays up and a down one down, with a warning.
//! - The *system identifier* is the one a strict majority of the configured nodes told; that is final. Until there is a
//!   majority, and only once each node has answered or failed a probe, the one most nodes told serves provisionally
//!   (at a tie: one with a primary; then the first in the order of the configuration).
//! - The *highest timeline* any node of this identifier told last, standbys and down nodes included, is the cluster's.
//!   A primary on an older one is refused: it has been replaced. A node that is rebuilt takes its old word back.
//! - Two primaries on the highest timeline: neither is served. The one that is left serves again, unless the other was
//!   the primary until now and has gone down: its clients' writes are not in the one that is left.
//! - At the start nobody becomes the primary before each node has answered or failed once: a primary that answers
//!   first is not necessarily the right one.

use std::time::Instant;

use super::chain;
use super::command::{Failure, FailureKind};
use super::node::{Health, NodeId, Observation, Role};
use super::reads::Rotation;
use super::record::Record;
use super::status::Status;
use super::topology::{Node, Topology};

/// What is remembered of one node.
pub(super) struct Member {
    /// As configured; who it is, never what it is.
    pub(super) node: Node,
    pub(super) observation: Option<Observation>,
    /// The last probe's; `None` after an answer.
    pub(super) failure: Option<Failure>,
    /// Failed probes in a row that count against the node.
    failures: u32,
    /// The node its WAL receiver was last seen on; kept while it has none.
    pub(super) last_upstream: Option<NodeId>,
    /// Since when it has no WAL receiver any more; `None` while it has one, and if it never had.
    receiver_lost_at: Option<Instant>,
    pub(super) rotation: Rotation,
}

/// What is remembered of the cluster.
pub(super) struct Judge {
    system: System,
    /// The node that was the primary last, also while there is none.
    last_primary: Option<NodeId>,
    /// (system identifier, timeline) of the last primary that any process of ours has served, as written down.
    floor: (Option<u64>, u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum System {
    Unknown,
    Provisional(u64),
    Final(u64),
}

// === impl Member ===

impl Member {
    /// `node`, of which nothing is said yet, with what is known of it.
    pub(super) fn resume(node: Node, known: &Node, limit: u32) -> Self {
        let (failure, failures) = match &known.health {
            Health::Down(reason) => (Some(Failure::new(FailureKind::Unreachable, reason.clone())), limit),
            Health::Starting | Health::Up | Health::Refused(_) => (None, 0),
        };
        let (observation, last_upstream) = (known.observation.clone(), known.upstream);
        let rotation = Rotation::default();
        Self { node, observation, failure, failures, last_upstream, receiver_lost_at: None, rotation }
    }

    pub(super) fn answered(&mut self, observation: Observation) {
        let had_receiver = self.observation.as_ref().is_some_and(|told| told.has_receiver);
        self.receiver_lost_at = match (had_receiver, observation.has_receiver) {
            (_, true) => None,
            (true, false) => Some(observation.at),
            (false, false) => self.receiver_lost_at,
        };
        self.observation = Some(observation);
        self.failure = None;
        self.failures = 0;
    }

    pub(super) fn failed(&mut self, failure: Failure, limit: u32) {
        if !failure.proves_life() {
            self.failures = self.failures.saturating_add(1);
        } else if !self.is_down(limit) {
            self.failures = 0;
        }
        self.failure = Some(failure);
    }

    /// It has answered or failed a probe.
    pub(super) fn was_heard(&self) -> bool {
        self.observation.is_some() || self.failure.is_some()
    }

    /// How long it has had no WAL receiver, if it had one before.
    pub(super) fn without_receiver_since(&self) -> Option<Instant> {
        self.receiver_lost_at
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    fn is_down(&self, limit: u32) -> bool {
        self.failures >= limit
    }

    fn is_up(&self, limit: u32) -> bool {
        self.observation.is_some() && !self.is_down(limit)
    }

    fn told_system(&self) -> Option<u64> {
        self.observation.as_ref().map(|told| told.system_identifier)
    }

    /// The timeline on which it told to be a primary.
    fn primary_timeline(&self) -> Option<u32> {
        self.observation.as_ref().filter(|told| !told.in_recovery).map(|told| told.timeline)
    }

    /// Up or down; not yet whether it is refused.
    fn health(&self, limit: u32) -> Health {
        match (&self.failure, &self.observation) {
            (Some(failure), _) if self.is_down(limit) => Health::Down(failure.text.clone()),
            (_, Some(_)) => Health::Up,
            (_, None) => Health::Starting,
        }
    }

    fn warning(&self, limit: u32) -> Option<String> {
        let failure = self.failure.as_ref()?;
        if failure.proves_life() {
            return Some(failure.text.clone());
        }
        (!self.is_down(limit)).then(|| format!("{} of {limit} probes failed: {}", self.failures, failure.text))
    }
}

// === impl Judge ===

impl Judge {
    /// Goes on from a topology that was concluded before.
    pub(super) fn resume(known: &Topology, record: &Record) -> Self {
        Self {
            system: known.system_identifier.map_or(System::Unknown, System::Provisional),
            last_primary: known.primary,
            floor: (record.system_identifier, record.timeline),
        }
    }

    /// The topology that follows from what is known; its epoch is left at 0.
    /// Who gets reads is chosen by `reads`.
    pub(super) fn judge(&mut self, members: &mut [Member], limit: u32) -> Topology {
        self.system = self.system.learn(members);
        let system = self.system.identifier();
        let mut nodes: Vec<Node> = members.iter().map(|member| describe(member, system, limit)).collect();
        let choice = self.choose(members, &mut nodes);
        let (primary, no_primary_because) = match choice {
            Ok(primary) => (Some(primary), None),
            Err(because) => (None, Some(because)),
        };
        self.last_primary = primary.or(self.last_primary);
        let mut topology = Topology {
            epoch: 0,
            system_identifier: system,
            nodes,
            primary,
            standbys: Vec::new(),
            no_primary_because,
            status: Status::default(),
        };
        connect(&mut topology);
        for (member, node) in members.iter_mut().zip(&topology.nodes) {
            member.last_upstream = node.upstream.or(member.last_upstream);
        }
        topology
    }

    /// Who gets the writes, or why nobody does; primaries that must not be served become `Refused`.
    fn choose(&self, members: &[Member], nodes: &mut [Node]) -> Result<NodeId, String> {
        let silent: Vec<&Node> =
            members.iter().filter(|member| !member.was_heard()).map(|member| &member.node).collect();
        if !silent.is_empty() {
            return Err(format!("waiting for the first answer of {}", names(&silent)));
        }
        let Some((timeline, witness)) = self.newest_timeline(members) else {
            return Err(format!("no node has answered yet: {}", inventory(nodes)));
        };
        let mut contenders = Vec::new();
        for member in members.iter().filter(|member| self.is_of_cluster(member)) {
            let id = member.node.id;
            match member.primary_timeline().filter(|_| nodes[usize::from(id.0)].health == Health::Up) {
                Some(own) if own < timeline => refuse(nodes, id, &older_timeline(own, timeline)),
                Some(_) => contenders.push(&member.node),
                None => {}
            }
        }
        match contenders.as_slice() {
            [] => {
                Err(format!("no node is a primary on timeline {timeline} ({witness} is on it): {}", inventory(nodes)))
            }
            [one] => match self.rival_that_is_down(members, one.id, timeline) {
                None => Ok(one.id),
                Some(rival) => {
                    let reason = not_promoted(timeline, rival);
                    refuse(nodes, one.id, &reason);
                    Err(format!("{} is {reason}", one.name))
                }
            },
            several => {
                let reason = same_timeline(timeline, several);
                several.iter().for_each(|node| refuse(nodes, node.id, &format!("one of {reason}")));
                Err(reason)
            }
        }
    }

    fn is_of_cluster(&self, member: &Member) -> bool {
        self.system.identifier().is_some_and(|system| member.told_system() == Some(system))
    }

    /// The highest timeline of the cluster, and the first node that told it.
    fn newest_timeline<'a>(&self, members: &'a [Member]) -> Option<(u32, &'a str)> {
        let of_cluster = members.iter().filter(|member| self.is_of_cluster(member));
        let told = of_cluster.filter_map(|member| Some((member.observation.as_ref()?.timeline, &*member.node.name)));
        let newest = told.min_by_key(|(timeline, _)| std::cmp::Reverse(*timeline))?;
        match self.floor {
            (system, timeline) if system == self.system.identifier() && timeline > newest.0 => {
                Some((timeline, "the primary served last, as written down,"))
            }
            _ => Some(newest),
        }
    }

    /// The primary until now, if it is gone and was last seen on the same timeline as `node`: then `node` was not
    /// promoted (that starts a new timeline) but started as a second primary.
    fn rival_that_is_down<'a>(&self, members: &'a [Member], node: NodeId, timeline: u32) -> Option<&'a str> {
        let last = &members[usize::from(self.last_primary.filter(|last| *last != node)?.0)];
        (self.is_of_cluster(last) && last.primary_timeline() == Some(timeline)).then_some(&*last.node.name)
    }
}

// === impl System ===

impl System {
    fn identifier(self) -> Option<u64> {
        match self {
            System::Unknown => None,
            System::Provisional(identifier) | System::Final(identifier) => Some(identifier),
        }
    }

    fn learn(self, members: &[Member]) -> Self {
        if matches!(self, System::Final(_)) {
            return self;
        }
        let mut best: Option<(usize, bool, u64)> = None;
        for identifier in members.iter().filter_map(Member::told_system) {
            let tellers = || members.iter().filter(|member| member.told_system() == Some(identifier));
            let has_primary = tellers().any(|member| member.primary_timeline().is_some());
            let candidate = (tellers().count(), has_primary, identifier);
            if best.is_none_or(|best| (candidate.0, candidate.1) > (best.0, best.1)) {
                best = Some(candidate);
            }
        }
        match best {
            Some((tellers, _, identifier)) if tellers * 2 > members.len() => System::Final(identifier),
            Some((_, _, identifier)) if self == System::Unknown && members.iter().all(Member::was_heard) => {
                System::Provisional(identifier)
            }
            _ => self,
        }
    }
}

/// The node by its own word alone.
fn describe(member: &Member, system: Option<u64>, limit: u32) -> Node {
    let mut node = member.node.clone();
    node.health = member.health(limit);
    node.warning = member.warning(limit);
    node.observation.clone_from(&member.observation);
    let Some(told) = &member.observation else { return node };
    node.role = if told.in_recovery { Role::Standby } else { Role::Primary };
    if let Some(system) = system.filter(|system| *system != told.system_identifier) {
        node.role = Role::Unknown;
        if member.is_up(limit) {
            node.health = Health::Refused(format!(
                "it belongs to another cluster: its system identifier is {}, this cluster's is {system}",
                told.system_identifier
            ));
        }
    }
    node
}

/// Who streams from whom.
fn connect(topology: &mut Topology) {
    let upstreams: Vec<Option<NodeId>> =
        topology.nodes.iter().map(|node| chain::upstream(&topology.nodes, node)).collect();
    for (node, upstream) in topology.nodes.iter_mut().zip(upstreams) {
        node.upstream = upstream;
    }
}

fn refuse(nodes: &mut [Node], id: NodeId, reason: &str) {
    nodes[usize::from(id.0)].health = Health::Refused(reason.to_owned());
}

// === words ===

fn older_timeline(own: u32, newest: u32) -> String {
    format!(
        "diverged: a primary on the older timeline {own}, the cluster is on {newest}: rewind it or rebuild it as a standby"
    )
}

fn same_timeline(timeline: u32, primaries: &[&Node]) -> String {
    let names = names(primaries);
    format!("several primaries on timeline {timeline} ({names}): stop the wrong one and rebuild it as a standby")
}

fn not_promoted(timeline: u32, rival: &str) -> String {
    format!(
        "a primary on timeline {timeline}, as was {rival}, the primary until now, which is down: \
         it was started as a primary, not promoted, and lacks writes of {rival}"
    )
}

/// `pg1 is down (connection refused), pg2 is a standby`
fn inventory(nodes: &[Node]) -> String {
    let say = |node: &Node| {
        let name = &node.name;
        match (&node.health, &node.warning) {
            (Health::Down(reason), _) => format!("{name} is down ({reason})"),
            (Health::Refused(reason), _) => format!("{name} is refused ({reason})"),
            (Health::Up, _) => format!("{name} is a {}", node.role.as_str()),
            (Health::Starting, Some(warning)) => format!("{name} is not known yet ({warning})"),
            (Health::Starting, None) => format!("{name} is not known yet"),
        }
    };
    nodes.iter().map(say).collect::<Vec<_>>().join(", ")
}

fn names(nodes: &[&Node]) -> String {
    nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
}
