//! Does what the controller has decided.

use crate::cluster::{Action, Level, Topology};
use crate::feed::Feed;

pub(super) fn perform(action: Action, topology: &Feed<Topology>) {
    match action {
        Action::Publish(next) => topology.publish(next),
        Action::Log { level: Level::Debug, text } => tracing::debug!("{text}"),
        Action::Log { level: Level::Info, text } => tracing::info!("{text}"),
        Action::Log { level: Level::Warn, text } => tracing::warn!("{text}"),
        Action::Log { level: Level::Error, text } => tracing::error!("{text}"),
    }
}
