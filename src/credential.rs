//! What proves an identity: to the proxy ([`Verifier`]), and from the proxy to PostgreSQL ([`Credential`]).
//! On a floor below client and server, since the one learns what the other uses.

use std::fmt;

use crate::config::Secret;
pub use crate::wire::scram::{ScramKeys, ScramVerifier};

/// What a client has to prove that it knows.
#[derive(Clone, PartialEq)]
pub enum Verifier {
    Scram(ScramVerifier),
    /// `md5` and 32 hex digits.
    Md5(Secret),
    Password(Secret),
    /// No such user, or one without a password: nothing can be proved, and nobody may see that from outside.
    Unknown,
}

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

// === impl Verifier ===

impl Verifier {
    /// Reads `pg_authid.rolpassword` or a configured password: `SCRAM-SHA-256$…`, `md5…`, or the password itself.
    pub fn parse(text: &str) -> Self {
        if text.is_empty() {
            Verifier::Unknown
        } else if let Some(scram) = ScramVerifier::parse(text) {
            Verifier::Scram(scram)
        } else if is_md5(text) {
            Verifier::Md5(Secret::new(text))
        } else {
            Verifier::Password(Secret::new(text))
        }
    }
}

/// PostgreSQL's test, too (`get_password_type`).
fn is_md5(text: &str) -> bool {
    text.strip_prefix("md5")
        .is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verifier::Scram(_) => "Scram(********)",
            Verifier::Md5(_) => "Md5(********)",
            Verifier::Password(_) => "Password(********)",
            Verifier::Unknown => "Unknown",
        })
    }
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
