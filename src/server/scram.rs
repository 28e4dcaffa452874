//! SCRAM-SHA-256 as a client of PostgreSQL: three steps, each made from the one before. Pure.
//! pgwire's client is not used: it takes passwords only, and checks neither nonce nor iteration count.

use crate::wire::scram::{self, Key, ScramKeys};

/// A server that asks for more wants our CPU, not our identity (a verifier has 4096 by default).
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Step 1: our nonce is chosen.
pub struct ClientFirst {
    nonce: String,
}

/// Step 2: the server has answered; keys are wanted.
#[derive(Debug)]
pub struct Challenge {
    pub salt: Vec<u8>,
    pub iterations: u32,
    client_first_bare: String,
    server_first: String,
    /// Ours and the server's.
    nonce: String,
}

/// Step 3: our proof is made; the server has to make its own.
pub struct Proved {
    pub client_final: String,
    server_signature: Key,
}

// === impl ClientFirst ===

impl ClientFirst {
    pub fn new(random: &[u8; scram::NONCE_BYTES]) -> Self {
        Self { nonce: scram::nonce_text(random) }
    }

    /// No channel binding, and no name: PostgreSQL takes the startup packet's, as libpq lets it.
    pub fn message(&self) -> String {
        format!("n,,{}", self.bare())
    }

    pub fn challenge(self, server_first: &[u8]) -> Result<Challenge, &'static str> {
        let text = std::str::from_utf8(server_first).map_err(|_| "SCRAM challenge is not text")?;
        let mut fields = text.split(',');
        let mut field = |name: &str| fields.next().and_then(|f| f.strip_prefix(name));
        let nonce = field("r=").ok_or("SCRAM challenge without a nonce")?;
        let salt = field("s=").ok_or("SCRAM challenge without a salt")?;
        let iterations = field("i=").ok_or("SCRAM challenge without an iteration count")?;

        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("SCRAM nonce does not extend ours");
        }
        let salt = scram::decode_base64(salt.as_bytes()).ok_or("SCRAM salt is not base64")?;
        let iterations = iterations.parse().map_err(|_| "SCRAM iteration count is not a number")?;
        if iterations == 0 || iterations > MAX_ITERATIONS {
            return Err("SCRAM iteration count is 0 or above 1000000");
        }
        let nonce = nonce.to_owned();
        Ok(Challenge { salt, iterations, client_first_bare: self.bare(), server_first: text.to_owned(), nonce })
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }
}

// === impl Challenge ===

impl Challenge {
    /// `keys` are learned ones, or derived from a password with this challenge's salt and iterations.
    pub fn prove(self, keys: &ScramKeys) -> Proved {
        let without_proof = format!("c=biws,r={}", self.nonce);
        let sign = |key: &Key| {
            scram::signature(
                key,
                self.client_first_bare.as_bytes(),
                self.server_first.as_bytes(),
                without_proof.as_bytes(),
            )
        };
        let proof = scram::xor(&keys.client_key, &sign(&keys.stored_key()));
        Proved {
            client_final: format!("{without_proof},p={}", scram::encode_base64(&proof)),
            server_signature: sign(&keys.server_key),
        }
    }
}

// === impl Proved ===

impl Proved {
    /// Whether the server knows the verifier, too.
    pub fn check(&self, server_final: &[u8]) -> Result<(), &'static str> {
        let signature = server_final.strip_prefix(b"v=").ok_or("SCRAM final message without a signature")?;
        let signature = signature.split(|b| *b == b',').next().unwrap_or_default();
        let signature = scram::decode_key(signature).ok_or("SCRAM server signature is malformed")?;
        if scram::same_secret(&signature, &self.server_signature) {
            Ok(())
        } else {
            Err("the server's SCRAM signature is wrong: it does not know the password")
        }
    }
}
