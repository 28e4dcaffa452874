//! Does what the controller has decided.

use crate::cluster::{Action, Level, Topology};
use crate::feed::Feed;

/// What the filter of the log calls us.
const TARGET: &str = "pgherd::monitor";

pub(super) fn perform(action: Action, topology: &Feed<Topology>) {
    match action {
        Action::Publish(next) => topology.publish(next),
        Action::Log { level: Level::Debug, text } => tracing::debug!(target: TARGET, "{text}"),
        Action::Log { level: Level::Info, text } => tracing::info!(target: TARGET, "{text}"),
        Action::Log { level: Level::Warn, text } => tracing::warn!(target: TARGET, "{text}"),
        Action::Log { level: Level::Error, text } => tracing::error!(target: TARGET, "{text}"),
    }
}
