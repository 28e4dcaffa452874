//! What the proxy logs in to PostgreSQL with; defined below, because the client's proof is where it is learned.

pub use crate::credential::{Credential, ScramKeys};
