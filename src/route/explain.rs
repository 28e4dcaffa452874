//! A decision in words: what `EXPLAIN ROUTE` answers.

use std::time::Instant;

use super::{Candidate, Preference, Routed, Target, Turn, Verdict, candidates};
use crate::cluster::{Node, Topology};
use crate::sql::{Class, hint};

/// What was decided about, and by what.
pub struct Question<'a> {
    pub text: &'a [u8],
    pub class: &'a Class,
    pub turn: &'a Turn,
    pub topology: &'a Topology,
    pub split: bool,
    /// What is known of the database's catalog, in words, and what it said of the names in the statement.
    pub catalog: &'a str,
    pub said: &'a [String],
    pub now: Instant,
}

/// The decision, line by line.
pub fn explain(question: &Question<'_>, routed: &Routed) -> Vec<String> {
    let Question { text, class, turn, topology, .. } = question;
    let mut lines = vec![target(routed, turn, topology)];
    lines.push(format!("  Why: {} ({})", routed.why.explain(), routed.why.as_str()));
    let access = if class.is_read() { "read" } else { "write" };
    lines.push(format!("  Class: {access}, {} ({})", class.reason.explain(), class.reason.as_str()));
    let effects: Vec<_> = class.effects.names().collect();
    if !effects.is_empty() {
        lines.push(format!("  Leaves behind: {}", effects.join(", ")));
    }
    if let Some(hint) = hint::of(text) {
        lines.push(format!("  Hint: {hint:?}").to_lowercase().replacen("  hint", "  Hint", 1));
    }
    lines.push(format!("  Catalog: {}", question.catalog));
    lines.extend(question.said.iter().map(|said| format!("    {said}")));
    lines.push(format!("  Consistency: {}", consistency(turn, question.now)));
    if turn.preference != Preference::Auto {
        lines.push(format!("  pgherd.route: {:?}", turn.preference).to_lowercase());
    }
    lines.push("  Nodes:".to_owned());
    let nodes = candidates(Some(class), turn, topology, question.split);
    lines.extend(nodes.iter().map(|candidate| node(candidate, topology.node(candidate.node), routed, turn)));
    lines
}

fn target(routed: &Routed, turn: &Turn, topology: &Topology) -> String {
    let name = |id| topology.node(id).name.as_str();
    match &routed.target {
        Target::Primary(id) => format!("Primary {}", name(*id)),
        Target::Standby(id) => format!("Standby {}", name(*id)),
        Target::Stay => format!("Stays on {}", turn.node.map_or("its server", name)),
        Target::Hold { reason } => format!("Waits for a primary: {reason}"),
    }
}

fn consistency(turn: &Turn, now: Instant) -> String {
    let mut text = turn.consistency.as_str().to_owned();
    match turn.last_write {
        Some(wrote) => {
            let ms = now.saturating_duration_since(wrote).as_millis();
            text.push_str(&format!("; a standby must show what was written {ms} ms ago"));
        }
        None => text.push_str("; nothing was written that must show"),
    }
    if let Some(token) = turn.min_lsn {
        text.push_str(&format!("; pgherd.min_lsn {token}"));
    }
    text
}

fn node(candidate: &Candidate, node: &Node, routed: &Routed, turn: &Turn) -> String {
    let chosen = match routed.target {
        Target::Primary(id) | Target::Standby(id) => Some(id),
        Target::Stay => turn.node,
        Target::Hold { .. } => None,
    };
    let verdict = match candidate.verdict {
        _ if chosen == Some(candidate.node) => "chosen".to_owned(),
        Verdict::Fits => "could have been chosen".to_owned(),
        Verdict::NoReads => format!("not: {}", node.no_reads.as_deref().unwrap_or(Verdict::NoReads.explain())),
        verdict => format!("not: {}", verdict.explain()),
    };
    let lag = match (candidate.lag_bytes, candidate.lag_ms) {
        (Some(bytes), Some(ms)) => format!(", lag {bytes} bytes, {ms} ms"),
        (Some(bytes), None) => format!(", lag {bytes} bytes"),
        _ => String::new(),
    };
    format!(
        "    {} ({}, {}, weight {}{lag}): {verdict}",
        node.name,
        node.role.as_str(),
        node.health.as_str(),
        node.weight
    )
}
