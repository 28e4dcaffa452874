//! What the standbys testify about a primary that does not answer us.
//!
//! A standby that hears the primary hears it: then we are the deaf ones. One that streamed from it a moment before we lost
//! it, and does not any more, testifies that it is gone. A WAL receiver that has heard nothing since we lost the primary may
//! only not have noticed (that takes `wal_receiver_timeout`): it is made to connect anew. All others know nothing.

use std::time::{Duration, Instant};

use super::judgement::Member;
use super::node::{NodeId, Observation};
use super::quorum::Quorum;
use super::topology::Topology;

/// A standby that lost the primary longer than this before we did lost it for a reason of its own.
const MEMORY: Duration = Duration::from_secs(10);

/// A WAL receiver streams again within some 50 ms, if the primary lives.
const RECONNECT: Duration = Duration::from_millis(300);

/// What was heard longer ago proves nothing any more.
const FRESH: Duration = Duration::from_secs(10);

/// What is remembered of one standby.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness {
    /// Its WAL receiver was last seen on the primary, or on an address that is no configured node's.
    pub(super) follows: bool,
    /// When that was asked for the last time.
    heard_at: Option<Instant>,
    check: Check,
}

/// Whether its WAL receiver had to connect anew since the suspicion began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Check {
    #[default]
    None,
    Ordered(Instant),
    /// The old connection is gone since.
    Done(Instant),
    /// It could not be made to.
    Failed(Instant),
}

/// What the standbys are asked.
pub(super) struct Question<'a> {
    /// When the suspicion began.
    pub(super) since: Instant,
    /// When the primary itself told something last.
    pub(super) primary_at: Instant,
    /// `failover.witnesses`.
    pub(super) wanted: u32,
    /// In quorum mode, if it is known.
    pub(super) quorum: Option<&'a Quorum>,
    /// WAL receivers may be made to connect anew, now or in a moment.
    pub(super) may_check: bool,
    pub(super) will_check: bool,
    pub(super) now: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Somebody is still to be heard.
    Awaited,
    /// These may only not have noticed: make their WAL receivers connect anew.
    Check(Vec<NodeId>),
    /// These standbys stream from it.
    Partitioned(String),
    /// Too few standbys can testify; in words.
    Blind(String),
    Dead,
}

enum Testimony {
    Awaited,
    Hears,
    /// It has a WAL receiver that has heard nothing since.
    Stale,
    Lost,
    Silent(String),
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

    /// A new suspicion begins.
    pub(super) fn forget_check(&mut self) {
        self.check = Check::None;
    }

    pub(super) fn begin_check(&mut self, now: Instant) {
        self.check = Check::Ordered(now);
    }

    /// `None`: its WAL receiver could not be made to connect anew.
    pub(super) fn checked(&mut self, at: Option<Instant>) {
        if let Check::Ordered(since) = self.check {
            self.check = at.map_or(Check::Failed(since), Check::Done);
        }
    }

    fn testify(&self, member: &Member, question: &Question<'_>) -> Testimony {
        let name = &member.node.name;
        if member.failure.is_some() {
            return Testimony::Silent(format!("{name} does not answer"));
        }
        let Some(told) = &member.observation else { return Testimony::Silent(format!("{name} was never heard")) };
        if told.at < question.since {
            return Testimony::Awaited;
        }
        if told.has_receiver {
            return self.hears(told, question);
        }
        match self.check {
            Check::Ordered(_) => Testimony::Awaited,
            Check::Done(at) if question.now < at + RECONNECT => Testimony::Awaited,
            // It could not connect anew just now, whatever it had lost before.
            Check::Done(_) => Testimony::Lost,
            _ if self.heard_at.is_some_and(|heard| heard + MEMORY >= question.primary_at) => Testimony::Lost,
            _ => Testimony::Silent(format!("{name} had lost it before")),
        }
    }

    fn hears(&self, told: &Observation, question: &Question<'_>) -> Testimony {
        // One that may not tell when it heard something is believed.
        let Some(age) = told.heard_ms else { return Testimony::Hears };
        let heard = told.at.checked_sub(Duration::from_millis(age));
        if heard.is_some_and(|heard| heard >= question.since && heard + FRESH >= question.now) {
            return Testimony::Hears;
        }
        match self.check {
            Check::Ordered(at) if question.now < at + FRESH => Testimony::Awaited,
            Check::Failed(at) if question.now < at + FRESH => Testimony::Hears,
            // Connected anew since.
            Check::Done(at) if told.at > at && question.now < at + FRESH => Testimony::Hears,
            Check::Done(at) if told.at <= at => Testimony::Awaited,
            _ if !question.may_check && question.will_check => Testimony::Awaited,
            _ if !question.may_check => Testimony::Hears,
            _ => Testimony::Stale,
        }
    }
}

/// What follows from all that was told since the suspicion began.
pub(super) fn verdict(members: &[Member], witnesses: &[Witness], question: &Question<'_>) -> Verdict {
    let followers: Vec<(&Member, &Witness)> =
        members.iter().zip(witnesses).filter(|(_, witness)| witness.follows).collect();
    let (mut hear, mut lost, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    let (mut stale, mut is_awaited) = (Vec::new(), false);
    for (member, witness) in &followers {
        match witness.testify(member, question) {
            Testimony::Awaited => is_awaited = true,
            Testimony::Hears => hear.push(member.node.name.as_str()),
            Testimony::Stale => stale.push(member.node.id),
            Testimony::Lost => lost.push(member.node.name.as_str()),
            Testimony::Silent(why) => silent.push(why),
        }
    }
    if !hear.is_empty() {
        return Verdict::Partitioned(hear.join(", "));
    }
    if !stale.is_empty() {
        return Verdict::Check(stale);
    }
    if is_awaited {
        return Verdict::Awaited;
    }
    let more = if silent.is_empty() { String::new() } else { format!(" ({})", silent.join(", ")) };
    if let Some(quorum) = question.quorum {
        return of_quorum(members, quorum, &more);
    }
    let needed = if question.wanted == 0 { followers.len() / 2 + 1 } else { question.wanted as usize };
    if lost.len() >= needed {
        return Verdict::Dead;
    }
    Verdict::Blind(match followers.is_empty() {
        true => "no standby streamed from it".to_owned(),
        false => format!(
            "{} of the {} standbys that streamed from it lost it{more}, {needed} must",
            lost.len(),
            followers.len()
        ),
    })
}

/// It is cut off its quorum before anybody is promoted: it is enough that none hears it, and that enough can be cut off.
fn of_quorum(members: &[Member], quorum: &Quorum, more: &str) -> Verdict {
    let answers = |id: NodeId| members[usize::from(id.0)].failure.is_none();
    let there = quorum.names.iter().filter(|name| all_bear(name, members, NodeId(u16::MAX), &answers)).count();
    let needed = quorum.to_revoke();
    if there < needed {
        return Verdict::Blind(format!(
            "its synchronous standbys are {quorum}: {needed} of them must answer, so that it can acknowledge nothing more, \
             and {there} do{more}"
        ));
    }
    Verdict::Dead
}

/// Whether somebody bears this name, and `holds` for all who do: PostgreSQL takes any of them for it.
pub(super) fn all_bear(name: &str, members: &[Member], except: NodeId, holds: &dyn Fn(NodeId) -> bool) -> bool {
    let bears = |member: &&Member| {
        let told = member.observation.as_ref().filter(|told| told.in_recovery);
        let own = told.and_then(|told| told.sync_name.as_deref());
        member.node.id != except && own.is_some_and(|own| own.eq_ignore_ascii_case(name))
    };
    let mut bearers = members.iter().filter(bears).peekable();
    bearers.peek().is_some() && bearers.all(|member| holds(member.node.id))
}

/// Whether the quorum names this standby.
pub(super) fn is_of(quorum: &Quorum, member: &Member) -> bool {
    let told = member.observation.as_ref().filter(|told| told.in_recovery);
    told.and_then(|told| told.sync_name.as_deref()).is_some_and(|name| quorum.has(name))
}
