//! What a failed probe says about the node.

use std::io;

use crate::cluster::{Failure, FailureKind};
use crate::server::connect::ConnectError;
use crate::wire::error::PgError;

/// Words `error` for an operator and says what it proves. `address` is `host:port`, `user` the monitor's.
pub(super) fn classify(error: &ConnectError, address: &str, user: &str) -> Failure {
    match error {
        ConnectError::Io(error) => match error.kind() {
            io::ErrorKind::InvalidData => {
                Failure::new(FailureKind::Broken, format!("{address} does not speak PostgreSQL's protocol: {error}"))
            }
            io::ErrorKind::UnexpectedEof => {
                Failure::new(FailureKind::Unreachable, format!("{address} closed the connection"))
            }
            _ => Failure::new(FailureKind::Unreachable, format!("{address}: {error}")),
        },
        ConnectError::TimedOut(_) => Failure::new(FailureKind::TimedOut, format!("{address}: {error}")),
        ConnectError::Postgres(error) => classify_postgres(error, user),
        ConnectError::Authentication(text) => denied(user, text),
        ConnectError::Protocol(text) => {
            Failure::new(FailureKind::Broken, format!("{address} does not speak PostgreSQL's protocol: {text}"))
        }
    }
}

/// SQLSTATEs: PostgreSQL docs, appendix A.
fn classify_postgres(error: &PgError, user: &str) -> Failure {
    match error.sqlstate.as_str() {
        "53300" => Failure::new(FailureKind::Full, error.message.clone()),
        // cannot_connect_now, admin_shutdown, crash_shutdown
        "57P01" => Failure::new(FailureKind::Stopping, error.message.clone()),
        "57P03" | "57P02" => Failure::new(FailureKind::NotServing, error.message.clone()),
        // Invalid authorization, no such database, no privilege: ours to set right.
        state if state.starts_with("28") || matches!(state, "3D000" | "42501") => denied(user, &error.to_string()),
        _ => Failure::new(FailureKind::Broken, error.to_string()),
    }
}

fn denied(user: &str, text: &str) -> Failure {
    Failure::new(FailureKind::Denied, format!("the monitor can't log in or ask as \"{user}\": {text}"))
}
