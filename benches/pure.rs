//! The pure parts that every query passes: what each costs, in nanoseconds.  cargo bench --bench pure

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use pgherd::cluster::{NodeId, Topology};
use pgherd::config::Config;
use pgherd::route::{Turn, route};
use pgherd::server::prepared::{Prepared, StatementId};
use pgherd::sql::Cache;
use pgherd::sql::catalog::BuiltIn;
use pgherd::wire::frame;

const PGBENCH_SELECT: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;";

criterion_group!(pure, walk_headers, classify, route_a_read, touch_a_prepared_statement);
criterion_main!(pure);

/// What the relay does with a chunk read from a server: 5 bytes of each message, bodies untouched.
fn walk_headers(criterion: &mut Criterion) {
    let mut chunk = Vec::new();
    for _ in 0..100 {
        frame::push(&mut chunk, b'D', |body| body.extend_from_slice(&[0; 60]));
    }
    let mut group = criterion.benchmark_group("wire");
    group.throughput(Throughput::Elements(100));
    group.bench_function("walk 100 DataRow headers", |bencher| {
        bencher.iter(|| {
            let mut rest = black_box(chunk.as_slice());
            let mut rows = 0;
            while let Ok(Some(header)) = frame::header(rest) {
                rows += u32::from(header.tag == b'D');
                rest = &rest[header.size..];
            }
            rows
        });
    });
}

fn classify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sql");
    group.bench_function("the same text again", |bencher| {
        let mut cache = Cache::new(4096, 32 * 1024, 1);
        bencher.iter(|| cache.classify(black_box(PGBENCH_SELECT), &BuiltIn));
    });
    group.bench_function("another literal each time", |bencher| {
        let mut cache = Cache::new(4096, 32 * 1024, 1);
        let mut text = PGBENCH_SELECT.to_vec();
        let digit = text.len() - 2;
        let mut number = 0u32;
        bencher.iter(|| {
            number = number.wrapping_add(1);
            text[digit - 4..=digit].copy_from_slice(format!("{:05}", number % 100_000).as_bytes());
            cache.classify(black_box(&text), &BuiltIn)
        });
    });
    group.bench_function("a text never seen", |bencher| {
        let mut cache = Cache::new(4096, 32 * 1024, 1);
        let mut number = 0u64;
        bencher.iter(|| {
            number += 1;
            let text = format!("SELECT abalance AS a{number} FROM pgbench_accounts WHERE aid = 1");
            cache.classify(black_box(text.as_bytes()), &BuiltIn)
        });
    });
    group.finish();
}

fn route_a_read(criterion: &mut Criterion) {
    let topology = topology();
    let class = Cache::new(4096, 32 * 1024, 1).classify(PGBENCH_SELECT, &BuiltIn);
    let mut tick = 0;
    criterion.bench_function("route/a read among two standbys", |bencher| {
        bencher.iter(|| {
            tick += 1;
            route(Some(black_box(&class)), &Turn::default(), &topology, true, |node| usize::from(node.0), tick)
        });
    });
}

fn touch_a_prepared_statement(criterion: &mut Criterion) {
    let mut prepared = Prepared::new(500);
    for id in 0..500 {
        prepared.insert(StatementId(id));
    }
    let mut id = 0;
    criterion.bench_function("server/touch one of 500 prepared statements", |bencher| {
        bencher.iter(|| {
            id = (id + 7) % 500;
            prepared.touch(black_box(StatementId(id)))
        });
    });
}

// === helpers ===

/// pg1 primary, pg2 and pg3 standbys.
fn topology() -> Topology {
    let nodes: String = (1..=3).map(|n| format!("[[node]]\nname = \"pg{n}\"\nhost = \"pg{n}\"\n")).collect();
    let config = Config::from_toml(&nodes, "bench").expect("three nodes are a configuration");
    let mut topology = Topology::unknown(&config.nodes);
    topology.primary = Some(NodeId(0));
    topology.standbys = vec![NodeId(1), NodeId(2)];
    topology
}
