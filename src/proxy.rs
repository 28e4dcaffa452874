//! Read the configuration, build `Shared`, spawn, reload, drain, stop.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Config;

pub fn run(_config: Config, _config_path: PathBuf) -> ExitCode {
    ExitCode::FAILURE
}
