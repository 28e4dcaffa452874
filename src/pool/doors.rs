//! Which databases are served just now: what `PAUSE`, `RESUME`, `DISABLE`, `ENABLE` and `KILL` decide.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::feed::Feed;

/// Pure: all that was closed, by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Every database is, by a `PAUSE` without a name.
    all: bool,
    paused: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

/// What an operator's word changes nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoChange(pub &'static str);

/// The doors of the process: written by console sessions, asked by whoever wants a server.
pub struct Doors {
    writer: Mutex<()>,
    closed: Feed<Closed>,
    /// Spares all others a look at `closed`.
    is_any_paused: AtomicBool,
}

// === impl Closed ===

impl Closed {
    pub fn is_paused(&self, database: &str) -> bool {
        self.all || self.paused.contains(database)
    }

    pub fn is_disabled(&self, database: &str) -> bool {
        self.disabled.contains(database)
    }

    pub fn is_all_paused(&self) -> bool {
        self.all
    }

    /// Databases that something was said about; some twice.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.paused.iter().chain(&self.disabled).map(String::as_str)
    }

    fn is_any_paused(&self) -> bool {
        self.all || !self.paused.is_empty()
    }

    /// No server is lent for the database from now on; for none, if it is not named.
    pub fn pause(&mut self, database: Option<&str>) -> Result<(), NoChange> {
        let is_new = match database {
            None => !std::mem::replace(&mut self.all, true),
            Some(name) => self.paused.insert(name.to_owned()),
        };
        changed(is_new, "is paused already")
    }

    /// Without a name: ends every pause.
    pub fn resume(&mut self, database: Option<&str>) -> Result<(), NoChange> {
        let was_paused = match database {
            None => std::mem::take(&mut self.all) | !std::mem::take(&mut self.paused).is_empty(),
            Some(name) => self.paused.remove(name),
        };
        match database {
            Some(_) if self.all && !was_paused => {
                Err(NoChange("is paused with all others: RESUME without a name ends that"))
            }
            _ => changed(was_paused, "is not paused"),
        }
    }

    /// Nobody may connect to it any more.
    pub fn disable(&mut self, database: &str) -> Result<(), NoChange> {
        changed(self.disabled.insert(database.to_owned()), "is disabled already")
    }

    pub fn enable(&mut self, database: &str) -> Result<(), NoChange> {
        changed(self.disabled.remove(database), "is not disabled")
    }
}

fn changed(is_new: bool, otherwise: &'static str) -> Result<(), NoChange> {
    is_new.then_some(()).ok_or(NoChange(otherwise))
}

// === impl Doors ===

impl Default for Doors {
    fn default() -> Self {
        Self { writer: Mutex::default(), closed: Feed::new(Closed::default()), is_any_paused: AtomicBool::new(false) }
    }
}

impl Doors {
    pub fn closed(&self) -> std::sync::Arc<Closed> {
        self.closed.latest()
    }

    /// One change, seen by everybody who asks from now on.
    pub fn change(&self, change: impl FnOnce(&mut Closed) -> Result<(), NoChange>) -> Result<(), NoChange> {
        let _one_at_a_time = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut closed = Closed::clone(&self.closed.load());
        change(&mut closed)?;
        let is_any_paused = closed.is_any_paused();
        self.closed.publish(closed);
        self.is_any_paused.store(is_any_paused, Relaxed);
        Ok(())
    }

    /// Costs next to nothing while nothing is paused.
    #[inline]
    pub fn is_paused(&self, database: &str) -> bool {
        self.is_any_paused.load(Relaxed) && self.closed.load().is_paused(database)
    }

    /// Returns when the database's pause is over; or, with `paused`, when it has begun.
    pub async fn until(&self, database: &str, paused: bool) {
        let mut watcher = self.closed.watch();
        while self.closed.load().is_paused(database) != paused {
            watcher.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paused_is_resumed_by_the_same_word() {
        let mut closed = Closed::default();
        assert_eq!(closed.resume(None), Err(NoChange("is not paused")));
        assert_eq!(closed.resume(Some("a")), Err(NoChange("is not paused")));
        closed.pause(Some("a")).unwrap();
        assert_eq!(closed.pause(Some("a")), Err(NoChange("is paused already")));
        assert!(closed.is_paused("a") && !closed.is_paused("b"));
        closed.pause(None).unwrap();
        assert!(closed.is_paused("b"));
        assert!(closed.resume(Some("b")).unwrap_err().0.contains("with all others"));
        closed.resume(Some("a")).unwrap();
        assert!(closed.is_paused("a"));
        closed.pause(Some("a")).unwrap();
        closed.resume(None).unwrap();
        assert_eq!(closed, Closed::default());
    }

    #[test]
    fn what_is_disabled_is_enabled() {
        let mut closed = Closed::default();
        closed.disable("a").unwrap();
        assert!(closed.disable("a").is_err() && closed.is_disabled("a") && !closed.is_paused("a"));
        closed.enable("a").unwrap();
        assert!(closed.enable("a").is_err() && !closed.is_disabled("a"));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_pause_to_end_is_woken() {
        let doors = std::sync::Arc::new(Doors::default());
        doors.change(|closed| closed.pause(Some("a"))).unwrap();
        assert!(doors.is_paused("a") && !doors.is_paused("b"));
        let waits = tokio::spawn({
            let doors = std::sync::Arc::clone(&doors);
            async move { doors.until("a", false).await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        doors.change(|closed| closed.resume(Some("a"))).unwrap();
        waits.await.unwrap();
        assert!(!doors.is_paused("a"));
    }
}
