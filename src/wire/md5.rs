//! PostgreSQL's md5 passwords. (Protocol chapter, "AuthenticationMD5Password".)

use md5::{Digest, Md5};

/// The 32 hex digits that `rolpassword` keeps behind `md5`.
pub fn hash(password: &str, user: &str) -> String {
    hex(&Md5::new().chain_update(password).chain_update(user).finalize())
}

/// What a client answers to a challenge: `md5` and 32 hex digits. `hash` without its `md5`.
pub fn answer(hash: &str, salt: &[u8]) -> String {
    format!("md5{}", hex(&Md5::new().chain_update(hash).chain_update(salt).finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
