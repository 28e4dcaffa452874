//! `SHOW STATS`, `STATS_TOTALS`, `STATS_AVERAGES`, `TOTALS`.

use std::sync::Arc;

use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Numeric, Text};
use crate::admin::table::{Column, Value, row};
use crate::stats::PoolTotals;

pub const STATS: &[Column] = &[
    ("database", Text),
    ("total_server_assignment_count", Numeric),
    ("total_xact_count", Numeric),
    ("total_query_count", Numeric),
    ("total_received", Numeric),
    ("total_sent", Numeric),
    ("total_xact_time", Numeric),
    ("total_query_time", Numeric),
    ("total_wait_time", Numeric),
    ("total_client_parse_count", Numeric),
    ("total_server_parse_count", Numeric),
    ("total_bind_count", Numeric),
    ("avg_server_assignment_count", Numeric),
    ("avg_xact_count", Numeric),
    ("avg_query_count", Numeric),
    ("avg_recv", Numeric),
    ("avg_sent", Numeric),
    ("avg_xact_time", Numeric),
    ("avg_query_time", Numeric),
    ("avg_wait_time", Numeric),
    ("avg_client_parse_count", Numeric),
    ("avg_server_parse_count", Numeric),
    ("avg_bind_count", Numeric),
    // ours
    ("total_reads_on_primary", Numeric),
    ("total_reads_on_standbys", Numeric),
];

pub const STATS_TOTALS: &[Column] = &[
    ("database", Text),
    ("server_assignment_count", Numeric),
    ("xact_count", Numeric),
    ("query_count", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("xact_time", Numeric),
    ("query_time", Numeric),
    ("wait_time", Numeric),
    ("client_parse_count", Numeric),
    ("server_parse_count", Numeric),
    ("bind_count", Numeric),
    // ours
    ("reads_on_primary", Numeric),
    ("reads_on_standbys", Numeric),
];

/// PgBouncer's names: only the last three say that they are averages.
pub const STATS_AVERAGES: &[Column] = &[
    ("database", Text),
    ("server_assignment_count", Numeric),
    ("xact_count", Numeric),
    ("query_count", Numeric),
    ("bytes_received", Numeric),
    ("bytes_sent", Numeric),
    ("xact_time", Numeric),
    ("query_time", Numeric),
    ("wait_time", Numeric),
    ("avg_client_parse_count", Numeric),
    ("avg_server_parse_count", Numeric),
    ("avg_bind_count", Numeric),
];

pub const TOTALS: &[Column] = &[("name", Text), ("value", Numeric)];

/// The names in `SHOW TOTALS`, after `total_` or `avg_`.
const NAMES: [&str; 11] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "ps_client_parse_count",
    "ps_server_parse_count",
    "ps_bind_count",
];

pub fn stats(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    rows(snapshot, |totals, average| {
        in_order(totals).into_iter().chain(in_order(average)).chain(reads(totals)).collect()
    })
}

pub fn totals_by_database(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    rows(snapshot, |totals, _| in_order(totals).into_iter().chain(reads(totals)).collect())
}

pub fn averages_by_database(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    rows(snapshot, |_, average| in_order(average).into())
}

/// All databases together. Average times are those of the databases, weighted by how often they occurred.
pub fn totals(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let mut totals = PoolTotals::default();
    snapshot.totals_by_database().values().for_each(|database| totals.add(database));
    let mut average = PoolTotals::default();
    let (mut xact_time, mut query_time) = (0, 0);
    for database in snapshot.averages.values() {
        average.add(database);
        xact_time += database.xact_time_us * database.xacts;
        query_time += database.query_time_us * database.queries;
    }
    average.xact_time_us = xact_time / average.xacts.max(1);
    average.query_time_us = query_time / average.queries.max(1);
    let named = |prefix: &'static str, values: [u64; 11]| {
        NAMES.into_iter().zip(values).map(move |(name, value)| row![format!("{prefix}_{name}"), value])
    };
    named("total", in_order(&totals)).chain(named("avg", in_order(&average))).collect()
}

fn rows(snapshot: &Snapshot, values: impl Fn(&PoolTotals, &PoolTotals) -> Vec<u64>) -> Vec<Vec<Value>> {
    let none = PoolTotals::default();
    let row = |(database, totals): (&Arc<str>, &PoolTotals)| {
        let average = snapshot.averages.get(database).unwrap_or(&none);
        let numbers = values(totals, average).into_iter().map(Value::Number);
        std::iter::once(Value::from(database)).chain(numbers).collect()
    };
    snapshot.totals_by_database().iter().map(row).collect()
}

fn reads(totals: &PoolTotals) -> [u64; 2] {
    [totals.reads_on_primary, totals.reads_on_standbys]
}

/// In the order of PgBouncer's columns. Times in microseconds.
fn in_order(totals: &PoolTotals) -> [u64; 11] {
    [
        totals.assignments,
        totals.xacts,
        totals.queries,
        totals.received,
        totals.sent,
        totals.xact_time_us,
        totals.query_time_us,
        totals.wait_time_us,
        totals.client_parses,
        totals.server_parses,
        totals.binds,
    ]
}
