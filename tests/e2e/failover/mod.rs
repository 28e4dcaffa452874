//! A primary is lost, or seems to be: real clusters, the real binary, clients at work all the while.

#![allow(clippy::print_stdout, reason = "the outages are measured to be read")]
#![allow(dead_code)] // each scenario uses its part of the rig

mod agent;
mod asynchronous;
mod candidates;
mod commits;
mod coordinator;
mod deaths;
mod disk;
mod load;
mod network;
mod operator;
mod partitions;
mod refusals;
mod rig;
mod switchover;
mod tally;

use std::time::Duration;

use crate::harness::{Proxy, eventually};
use load::{Crowd, Load, TABLE};
use rig::Rig;

/// On a small machine that does something else as well; what is normal is measured by `make bench-failover`.
const PATIENCE: Duration = Duration::from_secs(12);

/// These columns of `SHOW NODES`, with `|` between them.
fn shown(proxy: &Proxy<'_>, columns: &str, name: &str) -> String {
    let header =
        proxy.psql_through("pgherd", "admin", &["-P", "tuples_only=off", "-P", "footer=off", "-c", "SHOW NODES"]);
    let text = String::from_utf8(header.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let titles = lines.next().unwrap_or_default();
    let Some(row) = lines.find(|row| row[0] == name) else { return String::new() };
    let value = |column: &str| row[titles.iter().position(|title| *title == column).unwrap()];
    columns.split(',').map(value).collect::<Vec<_>>().join("|")
}

fn until_shown(proxy: &Proxy<'_>, columns: &str, name: &str, want: &str) {
    eventually(&format!("{name} is shown as {want}"), || (shown(proxy, columns, name) == want).then_some(()));
}

/// The whole crowd, with its table made.
fn crowd(proxy: &Proxy<'_>) -> Load {
    crowd_of(proxy, Crowd::default())
}

fn crowd_of(proxy: &Proxy<'_>, crowd: Crowd) -> Load {
    proxy.psql(TABLE);
    let load = Load::start(&proxy.dsn("app", "app"), crowd);
    load.run_for(Duration::from_millis(500));
    load
}

/// `median / p99 / longest` in ms.
fn say_outages(what: &str, outages: Vec<Duration>) {
    let [median, p99, longest] = tally::spread(outages).map(|time| time.as_millis());
    println!("{what}: no acknowledgement for {median} / {p99} / {longest} ms (median / p99 / longest of the writers)");
}

/// Says the writers' outages, and returns the longest.
fn outage_since(what: &str, load: &Load, since: std::time::Instant) -> Duration {
    let outages = load.outages_since(since);
    say_outages(what, outages.clone());
    outages.into_iter().max().unwrap_or_default()
}

/// pg1 is the only primary, and nobody was told otherwise.
fn nothing_promoted(rig: &Rig, proxy: &Proxy<'_>) {
    let log = proxy.process.log_text();
    assert!(!log.contains("promoting"), "{log}");
    for node in rig.nodes().into_iter().filter(|node| node.name() != "pg1" && node.pid().is_some()) {
        // One that was started as a primary by the test has no recovery to be in.
        let timeline = node.psql("SELECT timeline_id FROM pg_control_checkpoint()").unwrap();
        assert_eq!(timeline, "1", "{} was promoted", node.name());
    }
}
