//! A real cluster of three on this machine, and the proxy before it.

#![allow(clippy::disallowed_methods, reason = "a program of its own that blocks: no session shares its threads")]

pub mod account;
pub mod cluster;
pub mod error;
pub mod guard;
pub mod node;
pub mod postgres;
pub mod proxy;
pub mod setup;
pub mod site;

pub use cluster::Cluster;
pub use error::Error;
pub use node::{Node, StopMode};
pub use proxy::Proxy;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    /// Where the data goes; `None`: a temporary directory.
    pub dir: Option<PathBuf>,
    /// The proxy's port; `None`: a free one.
    pub port: Option<u16>,
    /// Leave the data at the end.
    pub keep: bool,
    pub workload: bool,
    /// End by itself after this time.
    pub duration: Option<Duration>,
}

pub fn run(_options: Options) -> ExitCode {
    ExitCode::FAILURE
}
