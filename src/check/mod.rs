//! `pgherd check --cluster`: is this cluster ready for a failover, and what is to be done if it is not?
//!
//! `ask` asks each node and changes nothing; `facts` is what they told; `requirements` judges it; `report` words it.

mod ask;
pub mod facts;
pub mod report;
pub mod requirements;

use tokio::task::JoinSet;

use self::facts::Facts;
use self::requirements::{Finding, Verdict, Wanted};
use crate::config::Config;

/// What was found, and how it is told.
#[derive(Clone, Debug)]
pub struct Checked {
    pub text: String,
    /// Something is missing.
    pub is_missing: bool,
}

/// Asks all nodes of the configuration at once. Takes some seconds if one of them does not answer.
pub async fn cluster(config: &Config, coloured: bool) -> Checked {
    let mut asking = JoinSet::new();
    for (index, node) in config.nodes.iter().cloned().enumerate() {
        let monitor = config.monitor.clone();
        asking.spawn(async move { (index, ask::ask(node, monitor).await) });
    }
    let mut answers: Vec<(usize, Facts)> = asking.join_all().await;
    answers.sort_by_key(|(index, _)| *index);
    let nodes: Vec<Facts> = answers.into_iter().map(|(_, facts)| facts).collect();
    let wanted = Wanted::of(config);
    let findings: Vec<Finding> = requirements::findings(&wanted, &nodes);
    let is_missing = findings.iter().any(|finding| finding.verdict == Verdict::Missing);
    Checked { text: report::text(&wanted, &nodes, &findings, coloured), is_missing }
}
