//! Failovers and switchovers by the dozen, under load, on a real cluster; PgPool-II through the same. Prints a table.
//!
//! `make bench-failover N=100`, or `cargo bench --bench failover -- --failovers 100 --switchovers 30 --pgpool 5`.
//! What it measures and what came out: benches/failover/README.md.

#![allow(dead_code)] // the rig and the harness are the end-to-end tests'
#![allow(clippy::disallowed_methods, reason = "it waits for processes in its only thread")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints a table")]

#[path = "../../tests/e2e/failover/agent.rs"]
mod agent;
#[path = "../../tests/e2e/harness/mod.rs"]
mod harness;
#[path = "../../tests/e2e/failover/load.rs"]
mod load;
#[path = "../../tests/e2e/failover/network.rs"]
mod network;
mod pgherd_rounds;
mod pgpool;
#[path = "../../tests/e2e/failover/rig.rs"]
mod rig;
mod table;
#[path = "../../tests/e2e/failover/tally.rs"]
mod tally;

use std::time::Duration;

use load::Crowd;

/// The same clients for everybody.
const CROWD: Crowd = Crowd { writers: 16, readers: 16, idle: 8, extended: true, pause: Duration::from_millis(10) };

struct Wanted {
    failovers: usize,
    switchovers: usize,
    pgpool: usize,
}

fn main() {
    let wanted = Wanted::from_arguments();
    let mut blocks = Vec::new();
    if wanted.failovers > 0 {
        keep(&mut blocks, pgherd_rounds::failovers(wanted.failovers));
    }
    if wanted.switchovers > 0 {
        keep(&mut blocks, pgherd_rounds::switchovers(wanted.switchovers));
    }
    if wanted.pgpool > 0 {
        match pgpool::program() {
            Some(program) => keep(&mut blocks, pgpool::failovers(&program, wanted.pgpool)),
            None => eprintln!("PgPool-II is not installed (scripts/setup.sh pgpool): left out"),
        }
    }
    table::print(&blocks);
}

/// Shown at once, too: who interrupts a long run keeps what it has measured so far.
fn keep(blocks: &mut Vec<table::Block>, block: table::Block) {
    table::print(std::slice::from_ref(&block));
    blocks.push(block);
}

// === impl Wanted ===

impl Wanted {
    fn from_arguments() -> Self {
        let mut wanted = Self { failovers: 100, switchovers: 30, pgpool: 5 };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let which = match argument.as_str() {
                "--failovers" => &mut wanted.failovers,
                "--switchovers" => &mut wanted.switchovers,
                "--pgpool" => &mut wanted.pgpool,
                "--bench" => continue, // cargo's
                other => panic!("unknown argument {other}: --failovers N, --switchovers N, --pgpool N"),
            };
            let number = arguments.next().and_then(|number| number.parse().ok());
            *which = number.unwrap_or_else(|| panic!("{argument} wants a number"));
        }
        wanted
    }
}
