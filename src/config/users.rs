//! `[[user]]`: who is known without asking PostgreSQL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::ConfigError;
use super::overrides::Overrides;
use super::raw::{self, Value};
use super::reader::{Reader, is_name};
use super::{Auth, AuthMethod, User};

const PASSWORDS: &str = "a password, or as pg_authid.rolpassword has it: \"SCRAM-SHA-256$<iterations>:<salt>$<key>:<key>\" or \"md5<32 hex digits>\"";

pub(super) fn users(raw: Vec<raw::User>, auth: &Auth, r: &Reader<'_>) -> Result<Vec<User>, ConfigError> {
    let mut users: Vec<User> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let user = user(index, raw, auth, r)?;
        if let Some(first) = users.iter().position(|earlier| earlier.name == user.name) {
            let origin = r.origin(&format!("user.{first}.name"));
            let problem = format!("two users are named \"{}\" (the first: {origin})", user.name);
            return Err(r.error(&format!("user.{index}.name"), problem).allowed("one [[user]] for each name"));
        }
        users.push(user);
    }
    Ok(users)
}

fn user(index: usize, raw: raw::User, auth: &Auth, r: &Reader<'_>) -> Result<User, ConfigError> {
    let section = format!("user.{index}");
    let name = match r.required(&section, "name", raw.name)? {
        Value::Text(name) if is_name(&name) && name.len() <= 63 => name,
        value => return Err(r.refuse(&format!("{section}.name"), &value, "a role's name: 1 to 63 bytes")),
    };
    let place = if raw.password.is_some() { "password" } else { "password_file" };
    let place = format!("{section}.{place}");
    let password = r.secret(&section, raw.password, raw.password_file)?;
    let reads = Overrides::read(&section, raw.split, raw.consistency, r)?;
    let problem = match (password.expose(), auth.method) {
        (_, AuthMethod::Trust) => None,
        // It stands here for the other keys; the database knows its password.
        ("", _) if auth.lookup && !reads.is_none() => None,
        ("", AuthMethod::Md5 | AuthMethod::ScramSha256) => Some("has no password".to_owned()),
        (text, _) if text.starts_with("SCRAM-SHA-256$") && !is_verifier(text) => {
            Some("has a broken SCRAM verifier".to_owned())
        }
        (text, AuthMethod::ScramSha256) if is_md5_hash(text) => Some(format!(
            "has an md5 hash, which cannot answer auth.method = \"scram-sha-256\" ({})",
            r.origin("auth.method")
        )),
        _ => None,
    };
    match problem {
        None => Ok(User { name, password, reads }),
        Some(problem) => {
            let place = if r.source.line_of(&place).is_some() { place } else { section };
            Err(r.error(&place, format!("user \"{name}\" {problem}")).allowed(PASSWORDS))
        }
    }
}

/// PostgreSQL takes any text of this form as a hash too, never as a password.
fn is_md5_hash(text: &str) -> bool {
    text.strip_prefix("md5").is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_verifier(text: &str) -> bool {
    let is_key = |text: &str| STANDARD.decode(text).is_ok_and(|key| key.len() == 32);
    let parts: Vec<&str> = text.split('$').collect();
    let [_, salted, keys] = parts.as_slice() else { return false };
    let (Some((iterations, salt)), Some((stored, server))) = (salted.split_once(':'), keys.split_once(':')) else {
        return false;
    };
    let salted = iterations.parse::<u32>().is_ok_and(|iterations| iterations > 0) && STANDARD.decode(salt).is_ok();
    salted && is_key(stored) && is_key(server)
}
