//! What the proxy logs in to PostgreSQL with, for a user.

use crate::config::Secret;

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

/// RFC 5802's ClientKey and ServerKey.
#[derive(Clone, PartialEq)]
pub struct ScramKeys {
    pub client_key: [u8; 32],
    pub server_key: [u8; 32],
}

// === impl Credential ===

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credential::None => "None",
            Credential::Password(_) => "Password(********)",
            Credential::ScramKeys(_) => "ScramKeys(********)",
            Credential::Md5Hash(_) => "Md5Hash(********)",
        })
    }
}
