//! SCRAM-SHA-256: the arithmetic both ends share. (RFC 5802, RFC 7677; PostgreSQL docs, "SASL Authentication".)
//! Nonces and salts come in as arguments; deriving keys from a password is slow on purpose (half a millisecond and
//! more): callers do it off the runtime's threads.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// The only mechanism offered and accepted; `-PLUS` needs TLS.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// What PostgreSQL writes into new verifiers.
pub const DEFAULT_ITERATIONS: u32 = 4096;
pub const SALT_BYTES: usize = 16;
/// Random bytes behind a nonce, before base64.
pub const NONCE_BYTES: usize = 18;

pub type Key = [u8; digest::SHA256_OUTPUT_LEN];

/// RFC 5802's ClientKey and ServerKey: as good as the password wherever the same verifier is stored.
#[derive(Clone, PartialEq)]
pub struct ScramKeys {
    pub client_key: Key,
    pub server_key: Key,
}

/// What `pg_authid.rolpassword` keeps: enough to check a proof, not enough to make one.
#[derive(Clone, PartialEq)]
pub struct ScramVerifier {
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: Key,
    pub server_key: Key,
}

// === impl ScramKeys ===

impl ScramKeys {
    /// PBKDF2 with `iterations` rounds (0 counts as 1).
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let password = normalized(password);
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
        Self { client_key: hmac_sha256(&salted, &[b"Client Key"]), server_key: hmac_sha256(&salted, &[b"Server Key"]) }
    }

    pub fn stored_key(&self) -> Key {
        sha256(&self.client_key)
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys(********)")
    }
}

// === impl ScramVerifier ===

impl ScramVerifier {
    pub fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let keys = ScramKeys::derive(password, &salt, iterations);
        Self { iterations, salt, stored_key: keys.stored_key(), server_key: keys.server_key }
    }

    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, all but the first two in base64.
    pub fn parse(text: &str) -> Option<Self> {
        let (iterations, rest) = text.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        Some(Self {
            iterations: iterations.parse().ok().filter(|n| *n > 0)?,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: decode_key(stored_key.as_bytes())?,
            server_key: decode_key(server_key.as_bytes())?,
        })
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramVerifier({} iterations, ********)", self.iterations)
    }
}

// === the formulas ===

pub fn sha256(data: &[u8]) -> Key {
    let mut key = [0; digest::SHA256_OUTPUT_LEN];
    key.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    key
}

pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = [0; digest::SHA256_OUTPUT_LEN];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// AuthMessage's signature: the three messages joined by commas, the last without its proof.
pub fn signature(key: &Key, client_first_bare: &[u8], server_first: &[u8], client_final_without_proof: &[u8]) -> Key {
    hmac_sha256(key, &[client_first_bare, b",", server_first, b",", client_final_without_proof])
}

/// ClientProof from ClientKey and ClientSignature, and ClientKey back from ClientProof.
pub fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// Takes the same time wherever the two differ.
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (x, y)| std::hint::black_box(all | (x ^ y)));
    a.len() == b.len() && difference == 0
}

/// Random bytes as a nonce may hold them (printable, no comma).
pub fn nonce_text(random: &[u8; NONCE_BYTES]) -> String {
    STANDARD.encode(random)
}

pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub fn decode_key(text: &[u8]) -> Option<Key> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// RFC 4013 as PostgreSQL applies it: a password SASLprep refuses is used as it stands.
fn normalized(password: &str) -> std::borrow::Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(std::borrow::Cow::Borrowed(password))
}
