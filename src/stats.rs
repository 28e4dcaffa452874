//! Counters and histograms. Each worker writes its own, readers sum: no contended atomic on the query path.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// Statements that only read, by the role of the node they went to.
    pub reads_on_primary: Counter,
    pub reads_on_standbys: Counter,
    /// From asking for a server to having one.
    pub wait: Histogram,
    /// From the last byte of a request sent to the server's ReadyForQuery.
    pub server: Histogram,
    /// What the proxy itself took: from reading a request to sending it.
    pub proxy: Histogram,
}

/// [`PoolCounters`] at one moment, without the histograms: to sum, to compare, to show.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct PoolTotals {
    pub assignments: u64,
    pub xacts: u64,
    pub queries: u64,
    pub received: u64,
    pub sent: u64,
    pub xact_time_us: u64,
    pub query_time_us: u64,
    pub wait_time_us: u64,
    pub client_parses: u64,
    pub server_parses: u64,
    pub binds: u64,
    pub errors: u64,
    pub reads_on_primary: u64,
    pub reads_on_standbys: u64,
}

/// [`Histogram`]s at one moment, summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramTotals {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

/// What each database did per second in the last full period. One timer samples, the console reads.
#[derive(Default, Debug)]
pub struct Averages(Mutex<Period>);

#[derive(Default, Debug)]
struct Period {
    started: Option<Instant>,
    totals: BTreeMap<Arc<str>, PoolTotals>,
    averages: BTreeMap<Arc<str>, PoolTotals>,
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
    /// Servers thrown away because their state was not known to be clean.
    pub servers_discarded: SharedCounter,
    pub slow_statements: SharedCounter,
    /// Of servers that were lost while a client had them: what the client heard, if anything.
    pub transactions_lost: SharedCounter,
    pub outcomes_unknown: SharedCounter,
    pub requests_repeated: SharedCounter,
    /// Of these: a standby could not do it; what it replayed was in the way; its server was lost.
    pub reads_refused: SharedCounter,
    pub read_conflicts: SharedCounter,
    pub reads_outdated: SharedCounter,
    pub reads_lost: SharedCounter,
    /// Sampled by `admin::sample`.
    pub averages: Averages,
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

    /// From its writer: what it was, and begins anew.
    pub fn take(&self) -> u64 {
        let count = self.get();
        self.0.store(0, Relaxed);
        count
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

// === impl PoolTotals ===

impl PoolTotals {
    /// Adds what one worker counted.
    pub fn count(&mut self, counters: &PoolCounters) {
        self.assignments += counters.assignments.get();
        self.xacts += counters.xacts.get();
        self.queries += counters.queries.get();
        self.received += counters.received.get();
        self.sent += counters.sent.get();
        self.xact_time_us += counters.xact_time_us.get();
        self.query_time_us += counters.query_time_us.get();
        self.wait_time_us += counters.wait_time_us.get();
        self.client_parses += counters.client_parses.get();
        self.server_parses += counters.server_parses.get();
        self.binds += counters.binds.get();
        self.errors += counters.errors.get();
        self.reads_on_primary += counters.reads_on_primary.get();
        self.reads_on_standbys += counters.reads_on_standbys.get();
    }

    pub fn add(&mut self, other: &PoolTotals) {
        *self = self.combine(other, |a, b| a + b);
    }

    /// PgBouncer's `avg_*`: per second, but times per transaction and per query.
    pub fn average_since(&self, earlier: &PoolTotals, elapsed: Duration) -> PoolTotals {
        let elapsed_us = elapsed.as_micros().max(1);
        let difference = self.combine(earlier, u64::saturating_sub);
        let per_second = |n: u64| (u128::from(n) * 1_000_000 / elapsed_us) as u64;
        let mut average = difference.combine(&difference, |n, _| per_second(n));
        average.xact_time_us = difference.xact_time_us / difference.xacts.max(1);
        average.query_time_us = difference.query_time_us / difference.queries.max(1);
        average
    }

    fn combine(&self, other: &PoolTotals, f: impl Fn(u64, u64) -> u64) -> PoolTotals {
        PoolTotals {
            assignments: f(self.assignments, other.assignments),
            xacts: f(self.xacts, other.xacts),
            queries: f(self.queries, other.queries),
            received: f(self.received, other.received),
            sent: f(self.sent, other.sent),
            xact_time_us: f(self.xact_time_us, other.xact_time_us),
            query_time_us: f(self.query_time_us, other.query_time_us),
            wait_time_us: f(self.wait_time_us, other.wait_time_us),
            client_parses: f(self.client_parses, other.client_parses),
            server_parses: f(self.server_parses, other.server_parses),
            binds: f(self.binds, other.binds),
            errors: f(self.errors, other.errors),
            reads_on_primary: f(self.reads_on_primary, other.reads_on_primary),
            reads_on_standbys: f(self.reads_on_standbys, other.reads_on_standbys),
        }
    }
}

// === impl HistogramTotals ===

impl Default for HistogramTotals {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_us: 0 }
    }
}

impl HistogramTotals {
    /// Adds what one worker recorded.
    pub fn count(&mut self, histogram: &Histogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total += bucket.load(Relaxed);
        }
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us());
    }

    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    pub fn total(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many durations were shorter than 2^`exponent` microseconds: exact, a bucket ends there (0..=27).
    pub fn shorter_than_2_pow(&self, exponent: u32) -> u64 {
        self.buckets[..=bucket_of((1 << exponent) - 1)].iter().sum()
    }
}

// === impl Averages ===

impl Averages {
    /// Ends the period that the last call began.
    pub fn sample(&self, now: Instant, totals: BTreeMap<Arc<str>, PoolTotals>) {
        let mut period = self.lock();
        if let Some(started) = period.started {
            let elapsed = now.saturating_duration_since(started);
            let none = PoolTotals::default();
            let average = |(database, now): (&Arc<str>, &PoolTotals)| {
                let before = period.totals.get(database).unwrap_or(&none);
                (Arc::clone(database), now.average_since(before, elapsed))
            };
            let averages = totals.iter().map(average).collect();
            period.averages = averages;
        }
        period.started = Some(now);
        period.totals = totals;
    }

    /// Of the last full period; empty during the first one.
    pub fn latest(&self) -> BTreeMap<Arc<str>, PoolTotals> {
        self.lock().averages.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Period> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ProcessCounters ===

impl ProcessCounters {
    /// Name, meaning and value of each, as the metrics name them.
    pub fn list(&self) -> [(&'static str, &'static str, u64); 17] {
        [
            ("pgherd_clients_accepted_total", "Connections accepted on the client port.", self.clients_accepted.get()),
            ("pgherd_clients_refused_total", "Connections refused by a limit.", self.clients_refused.get()),
            ("pgherd_logins_failed_total", "Logins refused: password, user or database.", self.logins_failed.get()),
            (
                "pgherd_login_timeouts_total",
                "Connections closed because the login took too long.",
                self.login_timeouts.get(),
            ),
            (
                "pgherd_protocol_violations_total",
                "Connections closed for malformed or oversized input.",
                self.protocol_violations.get(),
            ),
            ("pgherd_cancels_total", "Cancel requests that named a client.", self.cancels.get()),
            ("pgherd_cancels_unknown_total", "Cancel requests that named no client.", self.cancels_unknown.get()),
            ("pgherd_wait_timeouts_total", "Clients that waited too long for a server.", self.wait_timeouts.get()),
            (
                "pgherd_servers_discarded_total",
                "Server connections closed because their state was not known to be clean.",
                self.servers_discarded.get(),
            ),
            ("pgherd_slow_statements_total", "Statements over log.slow_statement.", self.slow_statements.get()),
            (
                "pgherd_transactions_lost_total",
                "Transactions rolled back because their server was lost (40001).",
                self.transactions_lost.get(),
            ),
            (
                "pgherd_outcomes_unknown_total",
                "Requests that may have been committed when their server was lost (08007).",
                self.outcomes_unknown.get(),
            ),
            (
                "pgherd_requests_repeated_total",
                "Requests asked again of another server; the client noticed nothing.",
                self.requests_repeated.get(),
            ),
            (
                "pgherd_reads_refused_total",
                "Requests asked of the primary because a standby refused them.",
                self.reads_refused.get(),
            ),
            (
                "pgherd_read_conflicts_total",
                "Requests asked again because of a conflict with what their standby replays.",
                self.read_conflicts.get(),
            ),
            (
                "pgherd_reads_outdated_total",
                "Requests asked of the primary because a standby did not know a name.",
                self.reads_outdated.get(),
            ),
            ("pgherd_reads_lost_total", "Requests asked again because their server was lost.", self.reads_lost.get()),
        ]
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

    #[test]
    fn totals_of_histograms_are_exact_at_powers_of_two() {
        let histogram = Histogram::default();
        for us in [0, 1, 2, 3, 4, 7, 8, 1023, 1024, 1025] {
            histogram.record(Duration::from_micros(us));
        }
        let mut totals = HistogramTotals::default();
        totals.count(&histogram);
        let shorter: Vec<u64> = [0, 1, 2, 3, 4, 10, 11].map(|e| totals.shorter_than_2_pow(e)).into();
        assert_eq!(shorter, [1, 2, 4, 6, 7, 8, 10]);
        assert_eq!((totals.total(), totals.sum_us()), (10, histogram.sum_us()));
    }

    #[test]
    fn averages_are_those_of_the_last_full_period() {
        let averages = Averages::default();
        let (t0, name) = (Instant::now(), Arc::<str>::from("app"));
        let totals = |queries, query_time_us| {
            BTreeMap::from([(Arc::clone(&name), PoolTotals { queries, query_time_us, ..Default::default() })])
        };
        averages.sample(t0, totals(100, 5_000));
        assert!(averages.latest().is_empty());
        averages.sample(t0 + Duration::from_secs(60), totals(700, 11_000));
        let latest = averages.latest()[&name];
        assert_eq!((latest.queries, latest.query_time_us), (10, 10));
    }
}
