//! What it costs to know a statement's class, in nanoseconds.  cargo bench --bench classify
//!
//! `hit`: the same text again. `skeleton`: known but for its literals. `miss`: never seen, told by the built-in names;
//! `known`: the same, told by the loaded catalog of a database with a thousand tables and functions.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

use pgherd::sql::catalog::BuiltIn;
use pgherd::sql::knowledge::{FIRST_VERSION, FunctionRow, Knowledge, RelationRow, Rows};
use pgherd::sql::{Cache, classify};

const ENTRIES: usize = 4096;
const MAX_BYTES: usize = 32 * 1024;

criterion_group!(classes, hits, skeletons, misses, misses_with_a_catalog);
criterion_main!(classes);

fn statements() -> [(&'static str, String); 6] {
    let joins: String =
        (0..10).map(|n| format!(" LEFT OUTER JOIN \"table_{n}\" AS t{n} ON t{n}.\"id\" = t.\"id_{n}\"")).collect();
    let columns: Vec<String> = (0..80).map(|n| format!("t{}.\"column_number_{n}\" AS \"c{n}\"", n % 10)).collect();
    let list: Vec<String> = (1..=100).map(|n| format!("${n}")).collect();
    [
        ("pgbench select", "SELECT abalance FROM pgbench_accounts WHERE aid = 12345;".into()),
        ("pgbench update", "UPDATE pgbench_accounts SET abalance = abalance + -1234 WHERE aid = 12345;".into()),
        ("begin", "BEGIN".into()),
        ("orm, 10 joins", format!("SELECT {} FROM \"t\" AS t{joins} WHERE t.\"id\" = $1 LIMIT 21", columns.join(", "))),
        (
            "cte and window",
            "WITH daily AS (SELECT date_trunc('day', ts) AS day, user_id, count(*) AS n FROM events WHERE ts >= $1 \
             GROUP BY 1, 2), ranked AS (SELECT day, user_id, n, rank() OVER (PARTITION BY day ORDER BY n DESC) AS place \
             FROM daily) SELECT r.day, u.name, r.n FROM ranked r JOIN users u ON u.id = r.user_id WHERE r.place <= 10 \
             ORDER BY r.day, r.place"
                .into(),
        ),
        ("in list of 100", format!("SELECT id, name FROM users WHERE id IN ({})", list.join(", "))),
    ]
}

fn hits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hit");
    for (name, text) in statements() {
        let mut cache = Cache::new(ENTRIES, MAX_BYTES, 1);
        group.bench_function(name, |bencher| bencher.iter(|| cache.classify(black_box(text.as_bytes()), &BuiltIn)));
    }
}

/// Another literal each time, so that the exact text is never known.
fn skeletons(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("skeleton");
    for (name, text) in statements() {
        let mut cache = Cache::new(ENTRIES, MAX_BYTES, 1);
        let mut text = format!("{text} /*00000000*/").into_bytes();
        let digits = text.len() - 10..text.len() - 2;
        let mut number = 0u32;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                number = number.wrapping_add(1);
                for (place, digit) in text[digits.clone()].iter_mut().enumerate() {
                    *digit = b'a' + (number >> (4 * place) & 15) as u8;
                }
                cache.classify(black_box(&text), &BuiltIn)
            });
        });
    }
}

fn misses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("miss");
    for (name, text) in statements() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| classify(black_box(text.as_bytes()), MAX_BYTES, &BuiltIn));
        });
    }
}

fn misses_with_a_catalog(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("known");
    let catalog = catalog();
    for (name, text) in statements() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| classify(black_box(text.as_bytes()), MAX_BYTES, &catalog));
        });
    }
}

/// The tables of the statements, and others.
fn catalog() -> Knowledge {
    let named = ["pgbench_accounts", "t", "events", "users"].map(str::to_owned);
    let names = named.into_iter().chain((0..1_000).map(|n| format!("table_{n}")));
    let relation =
        |(oid, name)| RelationRow { oid, schema: "public".into(), name, kind: 'r', ..RelationRow::default() };
    let function = |n| FunctionRow {
        schema: "public".into(),
        name: format!("function_{n}"),
        is_volatile: n % 2 == 0,
        ..FunctionRow::default()
    };
    let relations = (1..).zip(names).map(relation).collect();
    let rows = Rows { relations, functions: (0..1_000).map(function).collect(), ..Rows::default() };
    Knowledge::new(FIRST_VERSION, None, rows)
}
