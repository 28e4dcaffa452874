//! What was learned at earlier logins, for a while: verifiers of users, and what PostgreSQL reports to a new session.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::credential::Verifier;
use crate::wire::auth;

/// Entries of each kind; when it is reached, all are forgotten (they are only a shortcut).
const MAX_ENTRIES: usize = 10_000;
/// A dropped database or a revoked right is noticed at the login after this.
const WELCOME_TTL: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Logins {
    verifiers: Mutex<Aging<String, Verifier>>,
    welcomes: Mutex<Aging<WelcomeKey, Arc<Welcome>>>,
}

/// (database, user, the settings asked for as SQL): sessions that start alike are told the same.
pub type WelcomeKey = (Arc<str>, Arc<str>, String);

/// What such sessions are told.
pub struct Welcome {
    /// Of each ParameterStatus, name and value.
    pub reported: Arc<Vec<(String, String)>>,
    /// The messages themselves.
    messages: Vec<u8>,
    /// Where among them `application_name` stands, which each session has its own of.
    name: Range<usize>,
}

struct Aging<K, V> {
    entries: HashMap<K, (Instant, V)>,
}

// === impl Logins ===

impl Logins {
    pub fn verifier(&self, user: &str, ttl: Duration) -> Option<Verifier> {
        self.verifiers.lock().unwrap_or_else(PoisonError::into_inner).get(user, ttl)
    }

    pub fn keep_verifier(&self, user: &str, verifier: &Verifier) {
        self.verifiers.lock().unwrap_or_else(PoisonError::into_inner).keep(user.to_owned(), verifier.clone());
    }

    /// A login failed: the password may have been changed.
    pub fn forget_verifier(&self, user: &str) {
        self.verifiers.lock().unwrap_or_else(PoisonError::into_inner).entries.remove(user);
    }

    pub fn welcome(&self, key: &WelcomeKey) -> Option<Arc<Welcome>> {
        self.welcomes.lock().unwrap_or_else(PoisonError::into_inner).get(key, WELCOME_TTL)
    }

    pub fn keep_welcome(&self, key: WelcomeKey, welcome: Arc<Welcome>) {
        self.welcomes.lock().unwrap_or_else(PoisonError::into_inner).keep(key, welcome);
    }
}

// === impl Welcome ===

impl Welcome {
    pub fn new(reported: Vec<(String, String)>) -> Self {
        let (mut messages, mut name) = (Vec::new(), 0..0);
        for (known, value) in &reported {
            let at = messages.len();
            auth::push_parameter_status(&mut messages, known, value);
            if known == APPLICATION_NAME {
                name = at..messages.len();
            }
        }
        Self { reported: Arc::new(reported), messages, name }
    }

    /// The messages for a session that goes by this name, if it has said so.
    pub fn push(&self, out: &mut Vec<u8>, application_name: Option<&str>) {
        match application_name {
            Some(own) if !self.name.is_empty() => {
                out.extend_from_slice(&self.messages[..self.name.start]);
                auth::push_parameter_status(out, APPLICATION_NAME, own);
                out.extend_from_slice(&self.messages[self.name.end..]);
            }
            _ => out.extend_from_slice(&self.messages),
        }
    }
}

const APPLICATION_NAME: &str = "application_name";

// === impl Aging ===

impl<K: Hash + Eq, V: Clone> Aging<K, V> {
    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q, ttl: Duration) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let (at, value) = self.entries.get(key)?;
        (at.elapsed() < ttl).then(|| value.clone())
    }

    fn keep(&mut self, key: K, value: V) {
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.clear();
        }
        self.entries.insert(key, (Instant::now(), value));
    }
}

impl<K, V> Default for Aging<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_is_told_its_own_name_in_its_place() {
        let reported = [("a", "1"), (APPLICATION_NAME, ""), ("b", "2")];
        let welcome = |reported: &[(&str, &str)]| {
            Welcome::new(reported.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let told = |welcome: &Welcome, own| {
            let mut out = Vec::new();
            welcome.push(&mut out, own);
            out
        };
        let named = [("a", "1"), (APPLICATION_NAME, "psql"), ("b", "2")];
        assert_eq!(told(&welcome(&reported), Some("psql")), told(&welcome(&named), None));
        assert_ne!(told(&welcome(&reported), None), told(&welcome(&named), None));
        let without = welcome(&[("a", "1")]);
        assert_eq!(told(&without, Some("psql")), told(&without, None));
    }
}
