//! What proves an identity: to the proxy ([`Verifier`]), and from the proxy to PostgreSQL ([`Credential`]).
//! On a floor below client and server, since the one learns what the other uses.

use std::fmt;

use crate::config::Secret;
pub use crate::wire::scram::{ScramKeys, ScramVerifier};

/// What the proxy logs in to PostgreSQL with, for a user.
#[derive(Clone, PartialEq)]
pub enum Credential {
    /// Nothing is known: PostgreSQL must trust the proxy.
    None,
    Password(Secret),
    /// Learned from the client's own SCRAM proof; logs in wherever the same verifier is stored.
    ScramKeys(ScramKeys),
    /// `md5` and 32 hex digits, as stored in `pg_authid.rolpassword`: enough to answer an md5 challenge.
    Md5Hash(Secret),
}

// === impl Credential ===

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::None => "None",
            Credential::Password(_) => "Password(********)",
            Credential::ScramKeys(_) => "ScramKeys(********)",
            Credential::Md5Hash(_) => "Md5Hash(********)",
        })
    }
}
