//! What changed, in words for the log.

use super::command::{Action, Failure, FailureKind, Level};
use super::judgement::Member;
use super::node::{Health, Role};
use super::status::State;
use super::topology::{Node, Topology};

/// Everything that changed from `before` to `after`; nothing when only positions did.
pub(super) fn changes(before: &Topology, after: &Topology, actions: &mut Vec<Action>) {
    if let (Some(old), Some(new)) = (before.system_identifier, after.system_identifier)
        && old != new
    {
        actions.push(Action::log(
            Level::Error,
            format!("the cluster's system identifier is {new}, as most nodes say; {old} was taken for it until now"),
        ));
    }
    for (old, new) in before.nodes.iter().zip(&after.nodes) {
        actions.extend(node_change(old, new));
    }
    rotation(before, after, actions);
    if before.primary == after.primary {
        return;
    }
    let until_now = before.primary.map(|id| format!("; until now: {}", before.node(id).name)).unwrap_or_default();
    actions.push(match after.primary {
        Some(id) => {
            let node = after.node(id);
            Action::log(Level::Info, format!("{} is the primary now ({}{until_now})", node.name, on_timeline(node)))
        }
        None => {
            let because = after.no_primary_because.as_deref().unwrap_or_default();
            let level = if after.status.state == State::Draining { Level::Info } else { Level::Error };
            Action::log(level, format!("there is no primary any more, writes have to wait: {because}"))
        }
    });
}

/// Who gets reads, and who no more, although its health did not change.
fn rotation(before: &Topology, after: &Topology, actions: &mut Vec<Action>) {
    for (old, new) in before.nodes.iter().zip(&after.nodes) {
        let same = (old.health.as_str(), old.role) == (new.health.as_str(), new.role);
        match (before.standbys.contains(&old.id), after.standbys.contains(&new.id)) {
            (true, false) if same && before.primary.is_some() => {
                let why = new.warning.as_deref().unwrap_or("gets no reads");
                actions.push(Action::log(Level::Warn, format!("{}: {why}", new.name)));
            }
            (false, true) if same && old.warning.is_some() => {
                actions.push(Action::log(Level::Info, format!("{} gets reads again", new.name)));
            }
            _ => {}
        }
    }
}

/// A probe failed; called before the member takes note. What makes a node down is told by [`changes`].
pub(super) fn failed(member: &Member, failure: &Failure) -> Option<Action> {
    let name = &member.node.name;
    let is_new = member.failure.as_ref().is_none_or(|before| before.kind != failure.kind);
    match failure.kind {
        FailureKind::Denied if is_new => {
            Some(Action::log(Level::Error, format!("{name} answers but refuses the monitor: {}", failure.text)))
        }
        FailureKind::Full if is_new => {
            Some(Action::log(Level::Warn, format!("{name} has no connection left for the monitor: {}", failure.text)))
        }
        _ => Some(Action::log(Level::Debug, format!("a probe of {name} failed: {}", failure.text))),
    }
}

/// A probe was answered; called before the member takes note.
pub(super) fn answered(member: &Member) -> Option<Action> {
    let over = member.failure.as_ref().filter(|failure| failure.proves_life())?;
    Some(Action::log(Level::Info, format!("{} admits the monitor again (before: {})", member.node.name, over.text)))
}

fn node_change(old: &Node, new: &Node) -> Option<Action> {
    let name = &new.name;
    let same_health = old.health.as_str() == new.health.as_str();
    match &new.health {
        Health::Up if !same_health => Some(Action::log(Level::Info, format!("{name} is up: {}", introduce(new)))),
        Health::Up if old.role != new.role => {
            Some(Action::log(Level::Info, format!("{name} was a {}, now it is {}", old.role.as_str(), introduce(new))))
        }
        Health::Down(reason) if !same_health => Some(Action::log(Level::Warn, format!("{name} is down: {reason}"))),
        Health::Refused(reason) if old.health.reason() != Some(reason) => {
            Some(Action::log(Level::Error, format!("{name} gets no client: {reason}")))
        }
        Health::Up | Health::Down(_) | Health::Refused(_) | Health::Starting => None,
    }
}

/// `a standby on timeline 2, PostgreSQL 15.18`
fn introduce(node: &Node) -> String {
    let version = node.observation.as_ref().map_or("unknown", |told| told.version.as_str());
    let role = match node.role {
        Role::Primary => "a primary",
        Role::Standby => "a standby",
        Role::Unknown => "a node of unknown role",
    };
    format!("{role} on {}, PostgreSQL {version}", on_timeline(node))
}

fn on_timeline(node: &Node) -> String {
    match &node.observation {
        Some(told) => format!("timeline {}", told.timeline),
        None => "an unknown timeline".to_owned(),
    }
}
