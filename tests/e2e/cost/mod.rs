//! What a transaction costs the proxy, counted instead of timed, so that it repeats on any machine: instructions,
//! allocations and system calls of the worker's thread, under valgrind.
//!
//! The bounds stand in `tests/data/cost/bounds.txt` and only go down. Instructions are of the release build: `make cost`
//! (`PGHERD_COST_BINARY`); allocations and system calls hold in any build, so `make test` looks at them too. With
//! `PGHERD_COST_DIR` callgrind's files are left there, for `callgrind_annotate`.

mod count;
mod scripts;

use std::path::Path;

use count::{Counted, Valgrind};
use scripts::{SCRIPTS, Script};

use pgherd::demo::proxy::Ready;

use crate::harness::raw::{Role, console};
use crate::harness::{Proxy, shared};

/// Transactions of a window, in a release build and in others; the next window has twice as many, and the difference has no
/// login in it.
const TRANSACTIONS: [usize; 2] = [100, 20];

/// One to warm up, then smaller and larger ones in turn, four of each: what meets some of them by chance (a timer, a server
/// that is opened) does not count, since the least of each size are compared.
const WINDOWS: usize = 9;

/// A bound that is further above what is counted than this is to be lowered.
const SLACK_PER_CENT: u64 = 5;

/// What the same program may count more on another machine: the C library picks its memcpy and its like by the processor, and
/// each process seeds its hash tables anew. Only instructions know the difference.
const MACHINES_PER_CENT: u64 = 4;

const BOUNDS: &str = include_str!("../../data/cost/bounds.txt");

#[test]
fn a_transaction_costs_no_more_than_its_bounds() {
    if !Valgrind::is_there() {
        assert!(std::env::var_os("CI").is_none(), "valgrind is missing: scripts/setup.sh valgrind");
        return eprintln!("not counted: valgrind is missing (scripts/setup.sh valgrind)");
    }
    let release = std::env::var_os("PGHERD_COST_BINARY");
    let transactions = TRANSACTIONS[usize::from(release.is_none())];
    let mut wrong = Vec::new();
    for split in [false, true] {
        for (script, counted) in SCRIPTS.iter().zip(count_all(split, release.as_deref().map(Path::new), transactions)) {
            let name = format!("{} {}", script.name, if split { "on" } else { "off" });
            eprintln!("{name} {counted}");
            wrong.extend(judge(&name, &counted, release.is_some()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Per transaction of each script, in their order.
fn count_all(split: bool, binary: Option<&Path>, transactions: usize) -> Vec<Counted> {
    let valgrind = Valgrind::new(split, binary);
    let role = Role::new("cost");
    // A debug build under valgrind is slow: nobody shall take it for dead nodes.
    let config = format!(
        "workers = 1\n[pool]\nsize = 4\n[routing]\nsplit = {split}\n[monitor]\ntimeout = '20s'\n{}",
        role.config()
    );
    let proxy = Proxy::start_program(shared(), &config, Ready::Listens, &valgrind.program());
    let is_ready = (0..3).any(|_| proxy.process.wait_ready(Ready::Standbys(2)).is_ok());
    assert!(is_ready, "no standbys");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = role.raw(proxy.port()).await;
        for sql in scripts::SETUP {
            let answer = client.query(sql).await;
            assert!(answer.errors.is_empty(), "{answer:?}");
        }
        client.terminate().await;
        shared().wait_caught_up().unwrap();
        if split {
            until_standbys_read(&proxy, &role).await;
        }
        for script in SCRIPTS {
            for number in 0..WINDOWS {
                let transactions = script.transactions(transactions) * (2 - number % 2);
                run(script, &role, proxy.port(), transactions).await;
            }
        }
    });
    // Before the proxy ends: it may shut down a server's connection then.
    let windows = valgrind.windows(WINDOWS * SCRIPTS.len());
    drop(proxy);
    let of_script = |(script, windows): (&Script, &[Counted])| {
        let every_second = |from| Counted::least(windows[from..].iter().step_by(2));
        match script.is_connection() {
            true => Counted::least(&windows[1..]).per(1),
            false => every_second(2).minus(&every_second(1)).per(script.transactions(transactions) as u64),
        }
    };
    SCRIPTS.iter().zip(windows.chunks(WINDOWS)).map(of_script).collect()
}

/// One connection; returns when the proxy has closed it, which ends a window.
async fn run(script: &Script, role: &Role, port: u16, transactions: usize) {
    let mut client = role.raw(port).await;
    script.run(&mut client, transactions).await;
    client.send(b"X\0\0\0\x04").await;
    assert!(client.is_closed().await);
}

async fn until_standbys_read(proxy: &Proxy<'_>, role: &Role) {
    let primary = shared().pg1.port().to_string();
    let mut admin = console(proxy.port()).await;
    let mut client = role.raw(proxy.port()).await;
    for _ in 0..600 {
        let catalogs = admin.query("SHOW CATALOGS").await;
        let is_loaded = catalogs.rows.iter().any(|row| row[1].as_deref() == Some("loaded"));
        if client.value(scripts::WHERE).await != primary && is_loaded {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no standby reads");
}

/// What is wrong with what was counted.
fn judge(name: &str, counted: &Counted, is_release: bool) -> Vec<String> {
    let Some(line) = BOUNDS.lines().find_map(|line| line.strip_prefix(name)) else {
        return vec![format!("{name}: no bounds; counted: {counted}")];
    };
    let bounds: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    let [allocations, clock_reads, syscalls, instructions] = bounds[..] else { panic!("four numbers: {line}") };
    let mut wrong = Vec::new();
    let mut check = |what: &str, hundredths: u64, bound: u64| {
        let said = format!("{name}: {what}: {}.{:02}", hundredths / 100, hundredths % 100);
        // A timer that meets one of a hundred transactions is not theirs.
        let chance = if what == "instructions" { bound * MACHINES_PER_CENT } else { 25 };
        if hundredths > bound * 100 + chance {
            wrong.push(format!("{said}, the bound is {bound}"));
        } else if hundredths.div_ceil(100) * (100 + SLACK_PER_CENT) < bound * 100 {
            eprintln!("{said}: lower the bound of {bound}");
        }
    };
    check("allocations", counted.allocations, allocations);
    check("clock reads", counted.clock_reads, clock_reads);
    check("system calls", counted.syscalls, syscalls);
    if is_release {
        check("instructions", counted.instructions, instructions);
    }
    wrong
}

#[test]
fn a_bound_that_is_passed_is_told() {
    let line = BOUNDS.lines().find(|line| line.ends_with(char::is_numeric)).unwrap();
    let name = line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let counted = Counted { allocations: 1_000_000, ..Counted::default() };
    assert_eq!(judge(&name, &counted, true).len(), 1);
    assert_eq!(judge("unheard of", &counted, true).len(), 1);
    assert!(judge(&name, &Counted::default(), true).is_empty());
}
