//! `SHOW CATALOGS`: what is known of each database, which decides what may read on a standby.

use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::{Int8, Text};
use crate::admin::table::{Column, Value, row};
use crate::sql::catalog::Catalog as _;
use crate::sql::knowledge::Known;

pub const CATALOGS: &[Column] = &[
    ("database", Text),
    ("state", Text),
    ("version", Int8),
    ("functions", Int8),
    ("operators", Int8),
    ("types", Int8),
    ("relations", Int8),
    ("loads", Int8),
    ("loaded_ago_ms", Int8),
    ("changed_ago_ms", Int8),
    ("error", Text),
];

pub fn catalogs(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let mut catalogs: Vec<_> = snapshot.catalogs.iter().collect();
    catalogs.sort_by(|one, other| one.database.cmp(&other.database));
    let ago = |at| snapshot.now.saturating_duration_since(at).as_millis() as u64;
    let table = catalogs.into_iter().map(|catalog| {
        let (known, state) = (catalog.known(), catalog.state());
        let counts = match &**known {
            Known::Loaded(knowledge) => knowledge.counts().map(|count| Some(count as u64)),
            Known::BuiltIn | Known::Nothing => [None; 4],
        };
        let word = match &**known {
            Known::BuiltIn => "not asked",
            Known::Nothing if state.error.is_some() => "failed",
            Known::Nothing => "loading",
            Known::Loaded(_) => "loaded",
        };
        let [functions, operators, types, relations] = counts;
        row![
            &*catalog.database,
            word,
            known.version(),
            functions,
            operators,
            types,
            relations,
            state.loads,
            state.loaded_at.map(ago),
            state.changed_at.map(ago),
            state.error.as_deref(),
        ]
    });
    table.collect()
}
