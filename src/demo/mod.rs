//! A real cluster of three on this machine, and the proxy before it.

#![allow(clippy::disallowed_methods, reason = "a program of its own that blocks: no session shares its threads")]

pub mod account;
pub mod cluster;
pub mod error;
mod explain;
pub mod guard;
mod ledger;
pub mod machine;
pub mod node;
pub mod postgres;
pub mod proxy;
pub mod sample;
mod screen;
pub mod setup;
mod show;
pub mod site;
pub mod table;
pub mod talker;
mod watch;
pub mod workload;

pub use cluster::Cluster;
pub use error::Error;
pub use node::{Node, StopMode};
pub use proxy::Proxy;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A shell's code for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

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

/// Builds the cluster, shows it at work, and removes it. 0: all went well; 1: something did not, and it is said; 130: it
/// was interrupted before it was due to end.
pub fn run(options: Options) -> ExitCode {
    let failure = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(show::run(options)) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failure) => failure,
        },
        Err(error) => show::Failure::Error(Error::io("start the runtime")(error)),
    };
    let text = match failure {
        show::Failure::Interrupted => return ExitCode::from(INTERRUPTED),
        show::Failure::Error(error) => error.to_string(),
        show::Failure::Verdict(wrong) => format!("the demo did not go well:\n  {}", wrong.join("\n  ")),
    };
    let _ = writeln!(std::io::stderr(), "pgherd demo: {text}");
    ExitCode::FAILURE
}
