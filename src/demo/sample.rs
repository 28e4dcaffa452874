//! What the live table shows, asked each second: the proxy's console for who is what, each node itself for what it did.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::talker::Talker;
use super::workload::COUNTS;
use crate::admin::command::Show;
use crate::admin::show;
use crate::server::query::Rows;

pub struct Sampler {
    console: Talker,
    nodes: Vec<(String, Talker)>,
    /// The latest samples of the nodes' counts, oldest first.
    history: VecDeque<(Instant, Vec<Option<Counts>>)>,
}

/// Reads and writes that a node has executed since its counters were reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub reads: u64,
    pub writes: u64,
}

/// One line of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub node: String,
    pub role: String,
    /// `up`, `down` … and the reason.
    pub state: String,
    pub reason: Option<String>,
    pub upstream: Option<String>,
    pub lag_bytes: Option<u64>,
    pub lag_ms: Option<u64>,
    /// (reads/s, writes/s); `None` if the node could not be asked.
    pub rates: Option<(f64, f64)>,
}

/// A PostgreSQL process reports its counts about once a second, so rates over one second would jump.
const WINDOW: usize = 3;
const TIMEOUT: Duration = Duration::from_millis(800);

// === impl Sampler ===

impl Sampler {
    /// `nodes`: their names and connections straight to them.
    pub fn new(console: Talker, nodes: Vec<(String, Talker)>) -> Self {
        Self { console, nodes, history: VecDeque::new() }
    }

    /// `Err`: why the proxy's console gives no answer.
    pub async fn rows(&mut self) -> Result<Vec<Row>, String> {
        let counts = self.counts().await;
        let now = Instant::now();
        let rates = self.history.front().map(|(since, old)| rates(old, &counts, now.duration_since(*since)));
        self.history.push_back((now, counts));
        if self.history.len() > WINDOW {
            self.history.pop_front();
        }
        let answer = tokio::time::timeout(TIMEOUT, self.console.ask("SHOW NODES")).await;
        let nodes = match answer {
            Ok(Ok(rows)) => read_nodes(&rows),
            Ok(Err(error)) => return Err(format!("SHOW NODES: {error}")),
            Err(_) => return Err(format!("SHOW NODES: no answer within {TIMEOUT:?}")),
        };
        let rate_of = |name: &str| {
            let at = self.nodes.iter().position(|(node, _)| node == name)?;
            rates.as_ref()?.get(at).copied()?
        };
        Ok(nodes.into_iter().map(|row| Row { rates: rate_of(&row.node), ..row }).collect())
    }

    /// In the order of the nodes; `None`: it did not answer.
    pub async fn counts(&mut self) -> Vec<Option<Counts>> {
        let asked = self.nodes.iter_mut().map(|(_, talker)| counts(talker));
        futures_util::future::join_all(asked).await
    }
}

async fn counts(talker: &mut Talker) -> Option<Counts> {
    let rows = tokio::time::timeout(TIMEOUT, talker.ask(COUNTS)).await.ok()?.ok()?;
    let number = |column: usize| rows.first()?.get(column)?.as_ref()?.parse().ok();
    Some(Counts { reads: number(0)?, writes: number(1)? })
}

fn rates(old: &[Option<Counts>], new: &[Option<Counts>], elapsed: Duration) -> Vec<Option<(f64, f64)>> {
    let per_second = |count: u64| count as f64 / elapsed.as_secs_f64().max(0.001);
    let rate = |(old, new): (&Option<Counts>, &Option<Counts>)| {
        let (old, new) = (old.as_ref()?, new.as_ref()?);
        // A node that crashed counts from 0 again.
        Some((per_second(new.reads.checked_sub(old.reads)?), per_second(new.writes.checked_sub(old.writes)?)))
    };
    old.iter().zip(new).map(rate).collect()
}

fn read_nodes(rows: &Rows) -> Vec<Row> {
    let columns = show::columns(Show::Nodes);
    let get = |row: &[Option<String>], name: &str| {
        let at = columns.iter().position(|(column, _)| *column == name)?;
        row.get(at)?.clone()
    };
    let number = |row: &[Option<String>], name: &str| get(row, name)?.parse().ok();
    let node = |row: &Vec<Option<String>>| Row {
        node: get(row, "name").unwrap_or_default(),
        role: get(row, "role").unwrap_or_default(),
        state: get(row, "state").unwrap_or_default(),
        reason: get(row, "reason"),
        upstream: get(row, "upstream"),
        lag_bytes: number(row, "lag_bytes"),
        lag_ms: number(row, "lag_ms"),
        rates: None,
    };
    rows.iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_unknown_after_a_reset() {
        let counts = |reads, writes| Some(Counts { reads, writes });
        let old = [counts(10, 0), counts(10, 10), None];
        let new = [counts(30, 4), counts(5, 10), counts(1, 1)];
        assert_eq!(rates(&old, &new, Duration::from_secs(2)), [Some((10.0, 2.0)), None, None]);
    }
}
