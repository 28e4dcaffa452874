//! What `--version` and `SHOW VERSION` say.

/// `0.1.0`
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit this was built from, or `unknown`.
pub const GIT_HASH: &str = env!("PGHERD_GIT_HASH");

/// The major versions of PostgreSQL the proxy is made for.
pub const POSTGRESQL: &str = "12-18";

/// `0.1.0 (git 1e8ee64a1b2c, PostgreSQL 12-18)`
pub const LONG: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (git ", env!("PGHERD_GIT_HASH"), ", PostgreSQL ", "12-18", ")");
