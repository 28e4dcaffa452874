//! `Feed<T>`: one writer publishes immutable values, many readers load the newest one.
//!
//! The hot path calls [`Feed::load`] (a few nanoseconds, no lock); whoever only wants to react to a change awaits
//! [`Watcher::changed`]. Nothing is queued: a slow reader sees the newest value, not each one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::task::Context;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use futures_util::task::AtomicWaker;
use tokio::sync::watch;

pub struct Feed<T> {
    current: ArcSwap<T>,
    version: watch::Sender<u64>,
}

pub struct Watcher {
    version: watch::Receiver<u64>,
}

/// The latest of many moments; whoever notes one waits for nobody.
pub struct Moment {
    base: Instant,
    /// Since `base`; 0: never.
    nanos: AtomicU64,
}

/// Tells a slow reader that something happens, without waking it: it counts, the reader looks.
#[derive(Default)]
pub struct Pulse(AtomicU64);

/// Anybody may ring, one task hears.
#[derive(Default)]
pub struct Alarm {
    rung: AtomicBool,
    waker: AtomicWaker,
}

// === impl Alarm ===

impl Alarm {
    pub fn ring(&self) {
        self.rung.store(true, SeqCst);
        self.waker.wake();
    }

    /// Whether it was rung since it was heard last; if not, the task is woken when it is.
    #[inline]
    pub fn is_heard(&self, cx: &Context<'_>) -> bool {
        self.waker.register(cx.waker());
        self.rung.load(SeqCst) && self.rung.swap(false, SeqCst)
    }
}

// === impl Moment ===

impl Moment {
    /// Nothing has happened yet. What is noted later must lie behind `base`.
    pub fn never_since(base: Instant) -> Self {
        Self { base, nanos: AtomicU64::new(0) }
    }

    /// Whoever hears of it in any way after this sees it.
    pub fn note(&self, at: Instant) {
        let nanos = u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_max(nanos.max(1), SeqCst);
    }

    pub fn at(&self) -> Option<Instant> {
        match self.nanos.load(SeqCst) {
            0 => None,
            nanos => Some(self.base + Duration::from_nanos(nanos)),
        }
    }
}

// === impl Pulse ===

impl Pulse {
    pub fn beat(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Differs from what an earlier call returned if it has beaten since.
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Feed ===

impl<T> Feed<T> {
    pub fn new(value: T) -> Self {
        Self { current: ArcSwap::from_pointee(value), version: watch::Sender::new(0) }
    }

    /// The newest value, cheaply. Do not hold the guard across an await.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.current.load()
    }

    /// The newest value, to keep.
    pub fn latest(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Publishes `value`, then wakes the watchers.
    pub fn publish(&self, value: T) {
        self.current.store(Arc::new(value));
        self.version.send_modify(|version| *version += 1);
    }

    /// How often a value was published: lets a hot reader keep what it derived from the value.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    pub fn watch(&self) -> Watcher {
        Watcher { version: self.version.subscribe() }
    }
}

// === impl Watcher ===

impl Watcher {
    /// Returns once something was published after the last call (or after `watch`). Never returns when the feed is gone.
    pub async fn changed(&mut self) {
        if self.version.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_moment_counts_whoever_comes_later() {
        let moment = Moment::never_since(Instant::now());
        assert_eq!(moment.at(), None);
        let (one, two) = (Instant::now(), Instant::now() + Duration::from_nanos(1));
        moment.note(two);
        moment.note(one);
        assert_eq!(moment.at(), Some(two));
    }

    #[test]
    fn a_reader_sees_the_newest_value() {
        let feed = Feed::new(1);
        assert_eq!(**feed.load(), 1);
        feed.publish(2);
        assert_eq!(*feed.latest(), 2);
        assert_eq!(feed.version(), 1);
    }
}
