//! What was acknowledged to the demo's writer, and how long it had to wait: to be compared with what is there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Of the first order that is written while the demo runs.
pub const FIRST: u64 = 1_000_001;

#[derive(Debug)]
pub struct Ledger(Mutex<Entries>);

#[derive(Debug)]
struct Entries {
    next: u64,
    acknowledged: u64,
    /// Neither acknowledged nor refused.
    doubtful: Vec<u64>,
    last: Instant,
    longest_pause: Duration,
}

/// A question to the database: how many of the orders that were acknowledged are there?
pub struct Audit {
    pub sql: String,
    pub acknowledged: u64,
}

// === impl Ledger ===

impl Ledger {
    /// The number of the next order.
    pub fn next(&self) -> u64 {
        let mut entries = self.lock();
        entries.next += 1;
        entries.next - 1
    }

    pub fn acknowledged(&self) {
        let mut entries = self.lock();
        let now = Instant::now();
        entries.acknowledged += 1;
        entries.longest_pause = entries.longest_pause.max(now - entries.last);
        entries.last = now;
    }

    pub fn doubtful(&self, id: u64) {
        self.lock().doubtful.push(id);
    }

    /// The longest time without an acknowledgement since this was asked last.
    pub fn take_pause(&self) -> Duration {
        std::mem::take(&mut self.lock().longest_pause)
    }

    /// To be asked on the primary, one answer: the count.
    pub fn audit(&self) -> Audit {
        let entries = self.lock();
        let doubtful: Vec<String> = entries.doubtful.iter().map(u64::to_string).collect();
        let sql = format!(
            "SELECT count(*) FROM orders WHERE id BETWEEN {FIRST} AND {} AND id <> ALL ('{{{}}}'::bigint[])",
            entries.next - 1,
            doubtful.join(",")
        );
        Audit { sql, acknowledged: entries.acknowledged }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            next: FIRST,
            acknowledged: 0,
            doubtful: Vec::new(),
            last: Instant::now(),
            longest_pause: Duration::ZERO,
        }))
    }
}
