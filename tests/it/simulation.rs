//! The controller in a world that is against it. Everything of a play follows from its seed; a seed that fails is named.
//!
//! `make simulate SEEDS=100000` plays more; `PGHERD_SEED=7 cargo test --test it simulation` plays one, and tells the story.
//!
//! The world: PostgreSQL (`postgres`, `orders`), WAL on its way (`streaming`, `wal`), clients (`clients`), the proxy's process
//! with the real controller in it (`proxy`), what goes wrong (`trouble`). What must hold stands in `invariants`; that it was
//! put to the test at all, in `coverage`.

#![allow(clippy::print_stdout, reason = "a seed's story is for whoever asked for it")]

mod clients;
mod coverage;
mod dice;
mod invariants;
mod orders;
mod plan;
mod postgres;
mod proxy;
mod streaming;
mod trouble;
mod wal;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use self::coverage::Coverage;
use self::world::World;

const SEEDS: u64 = 300;
const SHOWN: usize = 20;

#[test]
fn no_trouble_loses_a_write_or_makes_two_primaries() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("PGHERD_SEED") {
        println!("{}", World::new(seed, true).play());
        return;
    }
    let first = number("PGHERD_FIRST_SEED").unwrap_or(0);
    let count = number("PGHERD_SEEDS").unwrap_or(SEEDS);
    let (coverage, failed) = play(first, first + count);
    println!("{coverage}");
    let shown: Vec<String> = failed.iter().take(SHOWN).map(u64::to_string).collect();
    assert!(
        failed.is_empty(),
        "{} of {count} seeds fail: {}; PGHERD_SEED={} tells a story",
        failed.len(),
        shown.join(", "),
        shown[0]
    );
    if count >= SEEDS {
        coverage.is_enough();
    }
}

/// Plays them on all processors: what happened, and the seeds that failed.
fn play(first: u64, end: u64) -> (Coverage, Vec<u64>) {
    let next = AtomicU64::new(first);
    let result = Mutex::new((Coverage::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let played = std::panic::catch_unwind(|| World::new(seed, false).play());
                    let mut result = result.lock().unwrap();
                    match played {
                        Ok(coverage) => result.0.add(coverage),
                        Err(_) => result.1.push(seed),
                    }
                    if (seed + 1 - first).is_multiple_of(5000) {
                        println!("{} seeds played, {} failed", seed + 1 - first, result.1.len());
                    }
                }
            });
        }
    });
    let (coverage, mut failed) = result.into_inner().unwrap();
    failed.sort_unstable();
    (coverage, failed)
}
