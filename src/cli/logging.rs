//! Logs go to stderr, as text or one JSON object a line.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::reload::SetLevel;

/// For the whole process, once. What is returned sets another level.
///
/// # Errors
/// `log.level` is no filter, in words.
pub(super) fn start(log: &Log) -> Result<SetLevel, String> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&log.level)?).with_writer(std::io::stderr);
    let failed = |error| format!("the log cannot start: {error}");
    Ok(match log.format {
        LogFormat::Text => {
            let builder = builder.with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(failed)?;
            Box::new(move |level| handle.reload(filter(level)?).map_err(|error| error.to_string()))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(failed)?;
            Box::new(move |level| handle.reload(filter(level)?).map_err(|error| error.to_string()))
        }
    })
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(level).map_err(|error| format!("log.level = {level:?}: {error}"))
}
