//! `SHOW ROUTES`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Numeric, Text};
use crate::admin::table::{Column, Value, row};
use crate::route::Why;
use crate::sql::shapes::{Row, Went};

pub const ROUTES: &[Column] = &[
    ("database", Text),
    ("target", Text),
    ("count", Numeric),
    ("reason", Text),
    ("replays", Numeric),
    ("shape", Text),
];

/// What has no place of its own (`routing.max_shapes`).
const OTHERS: &str = "(others)";

/// One row for each shape of statements and kind of node it went to, the most frequent first.
pub fn routes(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let mut sums: BTreeMap<(Arc<str>, Arc<str>, &'static str), Row> = BTreeMap::new();
    for row in &snapshot.shapes {
        let key = (Arc::clone(&row.database), Arc::clone(&row.text), name(row.went));
        let sum = sums.entry(key).or_insert_with(|| Row { count: 0, replays: 0, ..row.clone() });
        // Of several workers the reason of the one that counted most.
        if row.count > sum.count {
            sum.reason = row.reason;
        }
        sum.count += row.count;
        sum.replays += row.replays;
    }
    let mut rows: Vec<Row> = sums.into_values().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    let shown = |row: Row| {
        let shape = if row.text.is_empty() { OTHERS } else { &*row.text };
        let reason = Why::of_number(row.reason).filter(|_| !row.text.is_empty()).map(Why::as_str);
        row![&*row.database, name(row.went), row.count, reason, row.replays, shape]
    };
    rows.into_iter().map(shown).collect()
}

pub fn name(went: Went) -> &'static str {
    match went {
        Went::ToPrimary => "primary",
        Went::ToStandby => "standby",
    }
}
