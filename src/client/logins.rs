//! What was learned at earlier logins, for a while: verifiers of users, and what PostgreSQL reports to a new session.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::credential::Verifier;

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
pub type WelcomeKey = (String, String, String);

/// ParameterStatus, as (name, value).
pub type Welcome = Vec<(String, String)>;

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
