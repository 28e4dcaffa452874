//! Does what the controller has decided, or has the probers do it.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::cluster::{Action, Command, Event, Level, NodeId, Outcome, Topology};
use crate::feed::Feed;

/// What the filter of the log calls us.
const TARGET: &str = "pgherd::monitor";

pub(super) struct Performer<'a> {
    pub(super) topology: &'a Feed<Topology>,
    /// Of each node's prober.
    pub(super) handles: Vec<Handle>,
    /// Closes every server of a node.
    pub(super) cut: &'a (dyn Fn(NodeId) + Sync),
}

/// The two ways to a prober.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) orders: mpsc::Sender<Command>,
    /// Requests to probe at once; many are one.
    pub(super) ask: Arc<Notify>,
}

// === impl Performer ===

impl Performer<'_> {
    /// What followed at once, if anything.
    pub(super) fn perform(&self, action: Action) -> Option<Event> {
        match action {
            Action::Publish(next) => self.topology.publish(next),
            Action::Log { level: Level::Debug, text } => tracing::debug!(target: TARGET, "{text}"),
            Action::Log { level: Level::Info, text } => tracing::info!(target: TARGET, "{text}"),
            Action::Log { level: Level::Warn, text } => tracing::warn!(target: TARGET, "{text}"),
            Action::Log { level: Level::Error, text } => tracing::error!(target: TARGET, "{text}"),
            Action::Ask(node) => self.handle(node).ask.notify_one(),
            Action::Cut(node) => (self.cut)(node),
            Action::Run { .. } | Action::Remember(_) | Action::Answer { .. } => {}
            Action::Perform { node, command } => {
                let sent = self.handle(node).orders.try_send(command.clone());
                return sent.err().map(|_| {
                    let outcome = Outcome::NotDone("it is still busy with another order".to_owned());
                    Event::Performed { node, command, outcome }
                });
            }
        }
        None
    }

    fn handle(&self, node: NodeId) -> &Handle {
        &self.handles[usize::from(node.0)]
    }
}
