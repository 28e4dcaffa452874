//! One connection TO a PostgreSQL.

pub mod connect;
pub mod credential;
pub mod entry;
pub mod query;

pub use entry::{ServerEntry, ServerState};
