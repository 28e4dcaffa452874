//! pgherd: one proxy and one crowd of clients through all rounds; after each the old primary comes back as a standby.

use std::time::{Duration, Instant};

use crate::harness::{Proxy, eventually};
use crate::load::{Load, TABLE};
use crate::rig::Rig;
use crate::table::{Block, Row};
use crate::{CROWD, tally};

/// The cluster must have come to rest before it is broken again.
const REST: Duration = Duration::from_millis(500);

pub fn failovers(times: usize) -> Block {
    let (mut kills, mut freezes) = (Vec::new(), Vec::new());
    let block = rounds(times, |rig, load, _, number| {
        let old = rig.primary();
        let broken = Instant::now();
        let outages = if number % 2 == 0 { &mut kills } else { &mut freezes };
        match number % 2 {
            0 => old.kill9().unwrap(),
            _ => old.sigstop().unwrap(),
        }
        let these = load.outages_since(broken);
        tell(number, times, if number % 2 == 0 { "kill -9" } else { "SIGSTOP" }, &these);
        outages.extend(these);
        (old.name(), rig.primary_but(old.name()).name())
    });
    let row = |name: &str, outages: Vec<Duration>, target| Row {
        name: name.to_owned(),
        times: outages.len() / CROWD.writers,
        outages,
        target: Some(target),
    };
    let rows = vec![
        row("pgherd, kill -9", kills, ("0.25", "1")),
        row("pgherd, silent death (SIGSTOP)", freezes, ("1.1", "2")),
    ];
    Block { rows, ..block }
}

pub fn switchovers(times: usize) -> Block {
    let mut outages = Vec::new();
    let block = rounds(times, |rig, load, proxy, number| {
        let old = rig.primary().name();
        let new = rig.nodes().into_iter().map(|node| node.name()).find(|name| *name != old).unwrap();
        let begun = Instant::now();
        proxy.console(&format!("SWITCHOVER TO {new}"));
        let these = load.outages_since(begun);
        tell(number, times, "switchover", &these);
        outages.extend(these);
        (old, new)
    });
    let row = Row { name: "pgherd, switchover".to_owned(), times, outages, target: Some(("0.2", "0.5")) };
    Block { rows: vec![row], ..block }
}

/// `round` answers (old primary, new primary).
fn rounds(
    times: usize,
    mut round: impl FnMut(&Rig, &Load, &Proxy<'_>, usize) -> (&'static str, &'static str),
) -> Block {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    proxy.psql(TABLE);
    let load = Load::start(&proxy.dsn("app", "app"), CROWD);
    for number in 0..times {
        std::thread::sleep(REST);
        let (old, new) = round(&rig, &load, &proxy, number);
        rig.rejoin(old, new);
        eventually("both standbys are fit for reads", || {
            let ready = proxy.process.http_get("/readyz");
            ready.is_ok_and(|(_, body)| body.trim_end().ends_with("fit standbys: 2")).then_some(())
        });
    }
    let tally = load.end();
    let verdict = tally.verdict(rig.primary());
    eprintln!("{tally}; {verdict}");
    Block { rows: Vec::new(), tally, verdicts: vec![verdict] }
}

fn tell(number: usize, times: usize, what: &str, outages: &[Duration]) {
    let [median, _, longest] = tally::spread(outages.to_vec()).map(|time| time.as_millis());
    eprintln!("{} of {times}: {what}: {median} ms, longest {longest} ms", number + 1);
}
