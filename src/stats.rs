//! Counters and histograms. Each worker writes its own, readers sum: no contended atomic on the query path.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A counter with a single writer (one worker): a plain load and store, not a locked add.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

/// A counter any task may raise (cold paths only).
#[derive(Default, Debug)]
pub struct SharedCounter(AtomicU64);

/// Durations in microseconds, in buckets that double with [`SUB`] steps each (error at most 1/SUB).
/// Single writer.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

const SUB: usize = 4;
const BUCKETS: usize = 28 * SUB;

/// What one worker counts for one pool; aligned so that two workers never share a cache line.
#[repr(align(128))]
#[derive(Default, Debug)]
pub struct PoolCounters {
    /// Transactions (or single statements outside of one) that ended.
    pub xacts: Counter,
    pub queries: Counter,
    /// Bytes from clients / to clients.
    pub received: Counter,
    pub sent: Counter,
    pub xact_time_us: Counter,
    pub query_time_us: Counter,
    pub wait_time_us: Counter,
    /// Times a server was lent to a client.
    pub assignments: Counter,
    /// Parse messages of clients; Parse messages sent to servers; Bind messages.
    pub client_parses: Counter,
    pub server_parses: Counter,
    pub binds: Counter,
    /// ErrorResponses relayed.
    pub errors: Counter,
    /// From asking for a server to having one.
    pub wait: Histogram,
    /// From the last byte of a request sent to the server's ReadyForQuery.
    pub server: Histogram,
    /// What the proxy itself took: from reading a request to sending it.
    pub proxy: Histogram,
}

/// What the whole process counts, outside of the query path.
#[derive(Default, Debug)]
pub struct ProcessCounters {
    pub clients_accepted: SharedCounter,
    pub clients_refused: SharedCounter,
    pub logins_failed: SharedCounter,
    pub login_timeouts: SharedCounter,
    /// Malformed, oversized, truncated input, or not PostgreSQL at all.
    pub protocol_violations: SharedCounter,
    pub cancels: SharedCounter,
    pub cancels_unknown: SharedCounter,
    pub wait_timeouts: SharedCounter,
    pub servers_connected: SharedCounter,
    pub servers_closed: SharedCounter,
    pub server_connect_failures: SharedCounter,
    /// Servers thrown away because their state was not known to be clean.
    pub servers_discarded: SharedCounter,
    pub slow_statements: SharedCounter,
}

// === impl Counter, SharedCounter ===

impl Counter {
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl SharedCounter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Histogram ===

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    #[inline]
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let cell = &self.buckets[bucket_of(us)];
        cell.store(cell.load(Relaxed) + 1, Relaxed);
        self.sum_us.store(self.sum_us.load(Relaxed).wrapping_add(us), Relaxed);
    }

    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Relaxed)
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Relaxed)).sum()
    }

    /// How many values were at most `us` microseconds (to the resolution of a bucket).
    pub fn count_at_most(&self, us: u64) -> u64 {
        self.buckets[..=bucket_of(us)].iter().map(|b| b.load(Relaxed)).sum()
    }
}

#[inline]
fn bucket_of(us: u64) -> usize {
    if us < SUB as u64 {
        return us as usize;
    }
    let exponent = 63 - us.leading_zeros() as usize; // >= 2
    let step = (us >> (exponent - 2)) as usize & (SUB - 1);
    ((exponent - 1) * SUB + step).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_rise_with_the_value_and_never_overflow() {
        let mut last = 0;
        for us in (0..200_000).chain([u64::MAX / 2, u64::MAX]) {
            let bucket = bucket_of(us);
            assert!(bucket >= last && bucket < BUCKETS, "{us} -> {bucket} after {last}");
            last = bucket;
        }
    }

    #[test]
    fn a_histogram_sums_and_counts() {
        let histogram = Histogram::default();
        for us in [1, 10, 100, 1000] {
            histogram.record(Duration::from_micros(us));
        }
        assert_eq!((histogram.count(), histogram.sum_us()), (4, 1111));
        assert_eq!(histogram.count_at_most(100), 3);
    }
}
