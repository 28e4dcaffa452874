//! What is known of each database's catalog: one task writes, sessions read. Pure bookkeeping.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use crate::sql::knowledge::{FIRST_VERSION, Knowledge, Known};

/// The catalogs of all databases that clients use.
pub struct Catalogs {
    by_name: Mutex<HashMap<Arc<str>, Arc<CatalogOf>>>,
    is_asked: bool,
    versions: AtomicU64,
    new: Notify,
}

/// The catalog of one database.
pub struct CatalogOf {
    pub database: Arc<str>,
    known: ArcSwap<Known>,
    is_asked: bool,
    changed: Notify,
    is_doubted: AtomicBool,
    state: Mutex<State>,
}

/// For people.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Grows with each change that was seen: what was loaded before is not true any more.
    generation: u64,
    /// When the last of these was seen.
    pub changed_at: Option<Instant>,
    pub loaded_at: Option<Instant>,
    pub loads: u64,
    /// Why the last load came to nothing.
    pub error: Option<String>,
}

/// What was true when a load began.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    generation: u64,
    pub changed_at: Option<Instant>,
}

// === impl Catalogs ===

impl Catalogs {
    /// `is_asked`: the databases are asked (`routing.catalog`).
    pub fn new(is_asked: bool) -> Self {
        Self { by_name: Mutex::default(), is_asked, versions: AtomicU64::new(FIRST_VERSION), new: Notify::new() }
    }

    /// A client uses this database.
    pub fn of(&self, database: &str) -> Arc<CatalogOf> {
        let mut by_name = self.lock();
        if let Some(catalog) = by_name.get(database) {
            return Arc::clone(catalog);
        }
        let catalog = Arc::new(CatalogOf {
            database: database.into(),
            known: ArcSwap::from_pointee(if self.is_asked { Known::Nothing } else { Known::BuiltIn }),
            is_asked: self.is_asked,
            changed: Notify::new(),
            is_doubted: AtomicBool::new(false),
            state: Mutex::default(),
        });
        by_name.insert(database.into(), Arc::clone(&catalog));
        self.new.notify_one();
        catalog
    }

    /// Whether the databases are asked (`routing.catalog`).
    pub fn are_asked(&self) -> bool {
        self.is_asked
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<CatalogOf>> {
        self.lock().values().cloned().collect()
    }

    /// Forgets `catalog` unless a client uses its database. `true`: it is forgotten.
    pub fn forget_unused(&self, catalog: &Arc<CatalogOf>) -> bool {
        // The map's and the caller's.
        const WITHOUT_CLIENTS: usize = 2;
        let mut by_name = self.lock();
        let is_unused = Arc::strong_count(catalog) <= WITHOUT_CLIENTS;
        is_unused && by_name.remove(&catalog.database).is_some()
    }

    /// Returns when a database was used for the first time. For the one task that loads them.
    pub async fn new_one(&self) {
        self.new.notified().await;
    }

    /// For the next [`Knowledge`].
    pub fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<CatalogOf>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl CatalogOf ===

impl CatalogOf {
    /// What is known now, cheaply. Do not hold the guard across an await.
    #[inline]
    pub fn known(&self) -> Guard<Arc<Known>> {
        self.known.load()
    }

    /// It has changed: nothing is known of it until it is loaded anew.
    pub fn invalidate(&self, now: Instant) {
        if self.is_asked {
            let mut state = self.lock();
            state.generation += 1;
            state.changed_at = Some(now);
            self.known.store(Arc::new(Known::Nothing));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// A statement names what it does not have: maybe it was made a moment ago, behind our back.
    pub fn doubt(&self) {
        if self.is_asked && !self.is_doubted.swap(true, Relaxed) {
            self.changed.notify_one();
        }
    }

    /// From now on a doubt counts again.
    pub fn allow_doubts(&self) {
        self.is_doubted.store(false, Relaxed);
    }

    /// Returns when it has changed, or may have.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// To be asked for before a load, and handed to [`Self::publish`] after it.
    pub fn since(&self) -> Since {
        let state = self.lock();
        Since { generation: state.generation, changed_at: state.changed_at }
    }

    /// `false`: it has changed meanwhile, the load came too late.
    pub fn publish(&self, knowledge: Knowledge, since: Since, now: Instant) -> bool {
        let mut state = self.lock();
        if state.generation != since.generation {
            return false;
        }
        state.changed_at = knowledge.changed_at();
        (state.loaded_at, state.error) = (Some(now), None);
        state.loads += 1;
        self.known.store(Arc::new(Known::Loaded(knowledge)));
        true
    }

    /// It could not be loaded. What was known before may not be true any more. `true`: that is news.
    pub fn fail(&self, error: String) -> bool {
        let mut state = self.lock();
        self.known.store(Arc::new(Known::Nothing));
        state.error.replace(error.clone()) != Some(error)
    }

    pub fn state(&self) -> State {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::Catalog;
    use crate::sql::knowledge::Rows;

    #[test]
    fn a_load_that_began_before_a_change_is_not_taken() {
        let now = Instant::now();
        let catalogs = Catalogs::new(true);
        let catalog = catalogs.of("app");
        assert!(matches!(**catalog.known(), Known::Nothing));
        let since = catalog.since();
        let loaded = |since: Since| Knowledge::new(catalogs.next_version(), since.changed_at, Rows::default());
        assert!(catalog.publish(loaded(since), since, now));
        assert_eq!(catalog.known().version(), FIRST_VERSION);
        catalog.invalidate(now);
        assert!(matches!(**catalog.known(), Known::Nothing));
        assert!(!catalog.publish(loaded(since), since, now));
        assert!(catalog.publish(loaded(catalog.since()), catalog.since(), now));
        assert_eq!(catalog.state().changed_at, Some(now));
        assert!(catalog.fail("refused".into()) && !catalog.fail("refused".into()));
        assert!(matches!(**catalog.known(), Known::Nothing));
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let catalogs = Catalogs::new(false);
        let (mine, clients) = (catalogs.of("app"), catalogs.of("app"));
        assert_eq!(mine.known().version(), 0);
        assert!(!catalogs.forget_unused(&mine));
        drop(clients);
        assert!(catalogs.forget_unused(&mine) && catalogs.all().is_empty());
    }
}
