//! What can go wrong while the demo cluster is built or handled, in words that say what to do.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug)]
pub enum Error {
    /// No usable PostgreSQL; the text names what is missing and how to get it.
    Missing(String),
    /// What was asked for can't be done (a directory that isn't empty …), and why.
    Refused(String),
    /// The operating system refused something.
    Io { doing: String, error: std::io::Error },
    /// A PostgreSQL program failed; `output` is what it wrote.
    Command { doing: String, status: String, output: String },
    /// A node did not do what it should within a time; `log` is the end of its log.
    TimedOut { waiting_for: String, after: Duration, log: String },
    /// Everything is being torn down: nothing may be started any more.
    Stopping,
}

// === impl Error ===

impl Error {
    /// For `map_err`: an I/O error with what was being done ("create /tmp/x").
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |error| Error::Io { doing, error }
    }

    /// `create PATH`, `write PATH` …
    pub fn at(verb: &str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        Self::io(format!("{verb} {}", path.into().display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing(text) | Error::Refused(text) => f.write_str(text),
            Error::Io { doing, error } => write!(f, "can't {doing}: {error}"),
            Error::Command { doing, status, output } => {
                write!(f, "can't {doing}: {status}")?;
                output.trim().lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Error::TimedOut { waiting_for, after, log } => {
                write!(f, "{waiting_for}: not within {after:?}")?;
                log.trim().lines().try_for_each(|line| write!(f, "\n    {line}"))
            }
            Error::Stopping => f.write_str("stopped"),
        }
    }
}

impl std::error::Error for Error {}
