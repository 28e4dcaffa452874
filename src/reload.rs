//! The configuration file read again, by SIGHUP or by the console's `RELOAD`: what can change does, at once.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config;
use crate::shared::Shared;

/// Sets another `log.level`.
pub type SetLevel = Box<dyn Fn(&str) -> Result<(), String> + Send>;

pub struct Reloader {
    pub path: PathBuf,
    pub shared: Arc<Shared>,
    pub set_level: SetLevel,
}

// === impl Reloader ===

impl Reloader {
    /// What has changed, a line for each key, secrets masked.
    ///
    /// # Errors
    /// What is wrong with the file, as at the start: then nothing has changed.
    pub fn reload(&self) -> Result<String, String> {
        let reloaded = self.try_reload();
        match &reloaded {
            Ok(told) => told.lines().for_each(|line| tracing::info!("reload: {line}")),
            Err(error) => tracing::error!(config = %self.path.display(), "nothing is reloaded: {error}"),
        }
        reloaded
    }

    fn try_reload(&self) -> Result<String, String> {
        let file = config::load(&self.path, config::environment()).map_err(|error| error.to_string())?;
        let (holds, changes) = self.shared.config.load().reloaded(file);
        if changes.is_empty() {
            return Ok("nothing has changed".to_owned());
        }
        if holds.log.level != self.shared.config.load().log.level {
            (self.set_level)(&holds.log.level)?;
        }
        for note in holds.notes() {
            tracing::warn!("{note}");
        }
        self.shared.pools.apply(&holds);
        self.shared.config.publish(holds);
        let waiting = changes.iter().filter(|change| !change.applies).count();
        let lines: String = changes.iter().map(|change| format!("\n{change}")).collect();
        Ok(match waiting {
            0 => format!("{} changed{lines}", changes.len()),
            waiting => format!("{} changed, {waiting} of them after a restart{lines}", changes.len()),
        })
    }
}
