//! What came out, beside what it should be.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::tally::{Tally, Verdict, spread};

pub struct Row {
    pub name: String,
    pub times: usize,
    /// Of each writer in each round: the longest time without an acknowledgement.
    pub outages: Vec<Duration>,
    /// Median and 99th of 100 that were aimed at.
    pub target: Option<(&'static str, &'static str)>,
}

/// One line: some rounds under one load.
pub struct Block {
    pub rows: Vec<Row>,
    pub tally: Tally,
    pub verdicts: Vec<Verdict>,
}

pub fn print(blocks: &[Block]) {
    println!("\n| | times | outage median / p99 / longest, s | target, s |\n|---|---|---|---|");
    for row in blocks.iter().flat_map(|block| &block.rows) {
        let [median, p99, longest] = spread(row.outages.clone()).map(|time| time.as_secs_f64());
        let target = row.target.map_or(String::new(), |(median, p99)| format!("{median} / {p99}"));
        println!("| {} | {} | {median:.2} / {p99:.2} / {longest:.2} | {target} |", row.name, row.times);
    }
    println!(
        "\n| | acknowledged | lost | twice | writes failed, by SQLSTATE | sessions dropped | idle dropped | reads failed |\n\
         |---|---|---|---|---|---|---|---|"
    );
    for block in blocks {
        let names = block.rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ");
        let sum = |count: fn(&Verdict) -> usize| block.verdicts.iter().map(count).sum::<usize>();
        println!(
            "| {names} | {} | {} | {} | {} | {} | {} | {} |",
            sum(|verdict| verdict.acknowledged),
            sum(|verdict| verdict.lost.len()),
            sum(|verdict| verdict.twice.len()),
            counts(&block.tally.errors),
            block.tally.sessions_dropped,
            block.tally.idle_dropped,
            counts(&both(&block.tally.read_errors, &block.tally.own_read_errors)),
        );
    }
}

fn both(one: &BTreeMap<String, u64>, other: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut both = one.clone();
    for (code, count) in other {
        *both.entry(code.clone()).or_default() += count;
    }
    both
}

fn counts(errors: &BTreeMap<String, u64>) -> String {
    let texts: Vec<_> = errors.iter().map(|(code, count)| format!("{count} × {code}")).collect();
    if texts.is_empty() { "0".to_owned() } else { texts.join(", ") }
}
