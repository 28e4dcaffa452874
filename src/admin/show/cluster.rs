//! `SHOW CLUSTER` and `SHOW EVENTS`: where a failover stands, and what was said on the way there.

use std::time::Duration;

use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Boolean, Int4, Int8, Text};
use crate::admin::table::{Column, Value, row, timestamp_ms};

/// Short ones first: what waits and what to do are sentences.
pub const CLUSTER: &[Column] = &[
    ("state", Text),
    ("epoch", Int8),
    ("primary", Text),
    ("timeline", Int4),
    ("mode", Text),
    ("durability", Text),
    ("quorum", Text),
    ("paused", Boolean),
    ("detached", Text),
    ("since_ms", Int8),
    ("waits_for", Text),
    ("advice", Text),
    ("last_failover", Text),
    ("last_ago_s", Int8),
    ("last_took_ms", Int8),
    ("last_lost_bytes", Int8),
    ("failovers", Int8),
    ("switchovers", Int8),
];

pub const EVENTS: &[Column] = &[("at", Text), ("level", Text), ("event", Text)];

/// By `SHOW EVENTS` without a number: a screen or two.
pub const EVENTS_SHOWN: usize = 50;

pub fn cluster(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let topology = &snapshot.topology;
    let (status, failover) = (&topology.status, &snapshot.config.failover);
    let ago = |at| snapshot.now.saturating_duration_since(at);
    let primary = topology.primary.and_then(|id| snapshot.node(id));
    let detached: Vec<&str> = status.detached.iter().map(|id| snapshot.node_name(*id)).collect();
    let no_primary = topology.no_primary_because.as_deref().filter(|_| primary.is_none());
    let opened = status.opened.as_ref();
    vec![row![
        status.state.as_str(),
        topology.epoch,
        primary.map(|node| node.name.as_str()),
        primary.and_then(|node| node.observation.as_ref()).map(|seen| seen.timeline),
        failover.mode.as_str(),
        failover.durability.as_str(),
        status.quorum.as_ref().map(ToString::to_string),
        Value::Boolean(status.is_paused),
        Some(detached.join(", ")).filter(|names| !names.is_empty()),
        status.since.map(|at| milliseconds(ago(at))),
        status.waits_for.as_deref().or(no_primary),
        status.advice.as_deref(),
        opened.map(|opened| snapshot.node_name(opened.node)),
        opened.map(|opened| ago(opened.at).as_secs()),
        opened.map(|opened| opened.took_ms),
        opened.map(|opened| opened.lost_bytes),
        status.failovers,
        status.switchovers,
    ]]
}

/// The last `count`, the oldest of them first.
pub fn events(snapshot: &Snapshot, count: usize) -> Vec<Vec<Value>> {
    let skipped = snapshot.events.len().saturating_sub(count);
    let last = snapshot.events.iter().skip(skipped);
    last.map(|line| row![timestamp_ms(line.at), line.level.as_str(), line.text.as_str()]).collect()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
