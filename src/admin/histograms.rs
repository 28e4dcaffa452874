//! Histograms and sums of time per pool, in Prometheus' text format.
//!
//! Boundaries are powers of two of a microsecond, where the workers' own buckets end: the counts are exact.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use super::samples::pool_labels;
use super::snapshot::{Counted, Snapshot};
use crate::stats::HistogramTotals;

struct Family {
    name: &'static str,
    help: &'static str,
    of: fn(&Counted) -> &HistogramTotals,
    /// Of 2, in microseconds.
    exponents: RangeInclusive<u32>,
}

const FAMILIES: [Family; 3] = [
    Family {
        name: "pgherd_wait_seconds",
        help: "From asking for a server to having one.",
        of: |counted| &counted.wait,
        exponents: 4..=25,
    },
    Family {
        name: "pgherd_server_seconds",
        help: "From the last byte of a request sent to the server's ReadyForQuery.",
        of: |counted| &counted.server,
        exponents: 6..=26,
    },
    Family {
        name: "pgherd_proxy_seconds",
        help: "What the proxy itself took: from reading a request to sending it.",
        of: |counted| &counted.proxy,
        exponents: 1..=16,
    },
];

/// All of it, each family with its HELP and TYPE; empty if nothing was counted.
pub fn text(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    if snapshot.counted.is_empty() {
        return out;
    }
    let pools: Vec<(String, &Counted)> =
        snapshot.counted.iter().map(|counted| (labels(snapshot, counted), counted)).collect();
    for family in &FAMILIES {
        header(&mut out, family.name, family.help, "histogram");
        pools.iter().for_each(|(labels, counted)| histogram(&mut out, family, labels, (family.of)(counted)));
    }
    let transaction = |counted: &Counted| counted.totals.xact_time_us;
    sum(&mut out, "pgherd_transaction_seconds_total", "Time in transactions.", &pools, transaction);
    let query = |counted: &Counted| counted.totals.query_time_us;
    sum(&mut out, "pgherd_query_seconds_total", "Time in queries.", &pools, query);
    out
}

// Writing to a String cannot fail: the results of `write!` are dropped.

fn header(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn histogram(out: &mut String, family: &Family, labels: &str, totals: &HistogramTotals) {
    let name = family.name;
    for exponent in family.exponents.clone() {
        let (bound, count) = (seconds(1 << exponent), totals.shorter_than_2_pow(exponent));
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let count = totals.total();
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", seconds(totals.sum_us()));
    let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
}

fn sum(out: &mut String, name: &str, help: &str, pools: &[(String, &Counted)], of: impl Fn(&Counted) -> u64) {
    header(out, name, help, "counter");
    for (labels, counted) in pools {
        let _ = writeln!(out, "{name}{{{labels}}} {}", seconds(of(counted)));
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn labels(snapshot: &Snapshot, counted: &Counted) -> String {
    let label = |(name, value): (&str, String)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    pool_labels(snapshot, &counted.key).into_iter().map(label).collect::<Vec<_>>().join(",")
}
