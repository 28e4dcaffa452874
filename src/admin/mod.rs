//! What an operator sees: the console on the client port, and metrics over HTTP.
//!
//! Everything is made from a [`Snapshot`], purely: [`command`] reads the text, [`show`] makes the tables, [`metrics`] the
//! exposition; [`console`] and [`http`] carry them. What changes the cluster is an [`operation`], for the monitor to do.

pub mod command;
pub mod console;
mod frame;
mod handler;
mod histograms;
pub mod http;
mod lexer;
pub mod metrics;
pub mod operation;
mod perform;
mod samples;
pub mod service;
pub mod show;
pub mod snapshot;
pub mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::shared::Shared;

pub use console::{parameters, serve};
pub use http::serve_http;
pub use snapshot::Snapshot;

/// PgBouncer's `stats_period`.
const STATS_PERIOD: Duration = Duration::from_secs(60);

/// Which database the console was asked for: whose habits it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `pgherd`: everything per node.
    Pgherd,
    /// `pgbouncer`: rows as PgBouncer has them, for its exporter and dashboards.
    PgBouncer,
}

/// Where the console and the metrics get their data from; a test brings its own.
pub type Source = Arc<dyn Fn() -> Snapshot + Send + Sync>;

/// Keeps the `avg_*` columns: ends a period every minute. Runs until dropped.
pub async fn sample(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(STATS_PERIOD);
    loop {
        tick.tick().await;
        shared.counters.averages.sample(Instant::now(), snapshot::totals_by_database(&shared));
    }
}

// === impl Dialect ===

impl Dialect {
    /// The console a client asks for by naming this database, if it is one.
    pub fn of_database(name: &str) -> Option<Self> {
        match name {
            "pgherd" => Some(Dialect::Pgherd),
            "pgbouncer" => Some(Dialect::PgBouncer),
            _ => None,
        }
    }

    pub fn database(self) -> &'static str {
        match self {
            Dialect::Pgherd => "pgherd",
            Dialect::PgBouncer => "pgbouncer",
        }
    }

    pub(crate) fn is_console(database: &str) -> bool {
        Dialect::of_database(database).is_some()
    }
}

fn source(shared: Arc<Shared>) -> Source {
    Arc::new(move || Snapshot::take(&shared))
}

/// The journal, too: too much for each scrape.
fn source_with_events(shared: Arc<Shared>) -> Source {
    Arc::new(move || Snapshot::take_with_events(&shared))
}
