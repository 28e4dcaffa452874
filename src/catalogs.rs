//! What is known of each database's catalog: one task writes, sessions read. Pure bookkeeping.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use crate::sql::knowledge::{FIRST_VERSION, Knowledge, Known};

/// The catalogs of all databases that clients use.
pub struct Catalogs {
    by_name: Mutex<HashMap<Arc<str>, Arc<CatalogOf>>>,
    is_asked: bool,
    versions: AtomicU64,
    wanted: Arc<Notify>,
}

/// The catalog of one database.
pub struct CatalogOf {
    pub database: Arc<str>,
    known: ArcSwap<Known>,
    /// Grows with each change that was seen: what was loaded before is not true any more.
    generation: AtomicU64,
    is_asked: bool,
    wanted: Arc<Notify>,
}

// === impl Catalogs ===

impl Catalogs {
    /// `is_asked`: the databases are asked (`routing.catalog`).
    pub fn new(is_asked: bool) -> Self {
        Self { by_name: Mutex::default(), is_asked, versions: AtomicU64::new(FIRST_VERSION), wanted: Arc::default() }
    }

    /// A client uses this database.
    pub fn of(&self, database: &str) -> Arc<CatalogOf> {
        if let Some(catalog) = self.lock().get(database) {
            return Arc::clone(catalog);
        }
        let catalog = Arc::new(CatalogOf {
            database: database.into(),
            known: ArcSwap::from_pointee(if self.is_asked { Known::Nothing } else { Known::BuiltIn }),
            generation: AtomicU64::new(0),
            is_asked: self.is_asked,
            wanted: Arc::clone(&self.wanted),
        });
        let catalog = Arc::clone(self.lock().entry(database.into()).or_insert(catalog));
        self.wanted.notify_one();
        catalog
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<Arc<CatalogOf>> {
        self.lock().values().cloned().collect()
    }

    /// Returns when one was used for the first time, or has changed. For the one task that loads them.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
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
    pub fn invalidate(&self) {
        if self.is_asked {
            self.generation.fetch_add(1, Relaxed);
            self.known.store(Arc::new(Known::Nothing));
            self.wanted.notify_one();
        }
    }

    /// To be asked for before a load, and handed to [`Self::publish`] after it.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// `false`: it has changed since `generation`, the load came too late.
    pub fn publish(&self, knowledge: Knowledge, generation: u64) -> bool {
        if self.generation() != generation {
            return false;
        }
        self.known.store(Arc::new(Known::Loaded(knowledge)));
        if self.generation() != generation {
            // Changed in between: whoever did it may have been before us.
            self.known.store(Arc::new(Known::Nothing));
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::Catalog;

    #[test]
    fn a_load_that_began_before_a_change_is_not_taken() {
        let catalogs = Catalogs::new(true);
        let catalog = catalogs.of("app");
        assert!(matches!(**catalog.known(), Known::Nothing));
        let generation = catalog.generation();
        assert!(catalog.publish(Knowledge::new(catalogs.next_version()), generation));
        assert_eq!(catalog.known().version(), FIRST_VERSION);
        catalog.invalidate();
        assert!(matches!(**catalog.known(), Known::Nothing));
        assert!(!catalog.publish(Knowledge::new(catalogs.next_version()), generation));
        assert!(Arc::ptr_eq(&catalog, &catalogs.of("app")));
        assert_eq!(Catalogs::new(false).of("app").known().version(), 0);
    }
}
