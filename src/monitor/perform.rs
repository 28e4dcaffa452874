//! Does what the controller has decided, or has the probers do it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Notify, mpsc, oneshot};

use super::hooks;
use super::state::StateFile;
use crate::cluster::{Action, Command, Event, Hook, Level, NodeId, OrderId, Outcome};
use crate::config::Hooks;
use crate::orders::Request;
use crate::shared::Shared;

/// What the filter of the log calls us.
pub(super) const TARGET: &str = "pgherd::monitor";

pub(super) struct Performer<'a> {
    pub(super) shared: &'a Shared,
    /// Of each node's prober.
    pub(super) handles: Vec<Handle>,
    pub(super) state: &'a mut StateFile,
    pub(super) hooks: Hooks,
    /// Where what takes its time reports.
    pub(super) reports: mpsc::Sender<Event>,
    /// Operators who wait for an answer.
    pub(super) asking: HashMap<OrderId, oneshot::Sender<Result<String, String>>>,
    pub(super) last_order: OrderId,
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
    pub(super) async fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Publish(next) => {
                let gone = next.gone_since(&self.shared.topology.load());
                self.shared.topology.publish(next);
                gone.into_iter().for_each(|node| self.shared.pools.alarm(node));
            }
            Action::Log { level, text } => self.say(level, text),
            Action::Ask(node) => self.handle(node).ask.notify_one(),
            Action::Cut(node) => self.shared.pools.cut(node),
            Action::Remember(record) => self.state.remember(record).await,
            Action::Run { hook, variables } => return self.run(hook, variables),
            Action::Answer { id, result } => {
                if let Some(answer) = self.asking.remove(&id) {
                    drop(answer.send(result)); // who asked may have gone
                }
            }
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

    /// What an operator wants, and who waits for the answer.
    pub(super) fn ordered(&mut self, request: Request) -> Event {
        self.last_order += 1;
        self.asking.insert(self.last_order, request.answer);
        Event::Ordered { id: self.last_order, order: request.order }
    }

    fn say(&self, level: Level, text: String) {
        match level {
            Level::Debug => return tracing::debug!(target: TARGET, "{text}"),
            Level::Info => tracing::info!(target: TARGET, "{text}"),
            Level::Warn => tracing::warn!(target: TARGET, "{text}"),
            Level::Error => tracing::error!(target: TARGET, "{text}"),
        }
        let mut journal = self.shared.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.note(SystemTime::now(), level, text);
    }

    fn run(&self, hook: Hook, variables: Vec<(&'static str, String)>) -> Option<Event> {
        if hooks::command_of(hook, &self.hooks).is_empty() {
            return Some(Event::Ran { hook, result: Ok(()) });
        }
        let (settings, reports) = (self.hooks.clone(), self.reports.clone());
        // It ends by its own time limit: changed settings must not kill it halfway.
        tokio::spawn(async move {
            let result = hooks::run(hook, &settings, &variables).await;
            drop(reports.send(Event::Ran { hook, result }).await); // nobody waits for it any more
        });
        None
    }

    fn handle(&self, node: NodeId) -> &Handle {
        &self.handles[usize::from(node.0)]
    }
}
