//! The tables: [`Snapshot`] → [`Table`], one function per command.
//!
//! Where PgBouncer (1.24) has the command, its columns come first, in its order and with its types, so that dashboards and
//! exporters made for it work; ours follow after a comment.

mod advice;
mod catalogs;
mod cluster;
mod connections;
mod inventory;
mod nodes;
mod pools;
pub mod routes;
mod settings;
mod standbys;
mod stats;

use super::Dialect;
use super::command::Show;
use super::snapshot::Snapshot;
use super::table::{Column, Table};

/// What `show` answers now.
pub fn table(show: Show, dialect: Dialect, snapshot: &Snapshot) -> Table {
    let mut table = Table::new(columns(show));
    table.rows = match show {
        Show::Nodes => nodes::nodes(snapshot),
        Show::Standbys => standbys::standbys(snapshot),
        Show::Cluster => cluster::cluster(snapshot),
        Show::Events => cluster::events(snapshot, cluster::EVENTS_SHOWN),
        Show::Catalogs => catalogs::catalogs(snapshot),
        Show::PoolNodes => nodes::pool_nodes(snapshot),
        Show::Pools => pools::pools(dialect, snapshot),
        Show::Clients => connections::clients(snapshot),
        Show::Servers => connections::servers(snapshot),
        Show::Databases => inventory::databases(snapshot),
        Show::Users => inventory::users(snapshot),
        Show::Lists => inventory::lists(snapshot),
        Show::Mem => inventory::mem(snapshot),
        Show::Routes => routes::routes(snapshot),
        Show::Stats => stats::stats(snapshot),
        Show::StatsTotals => stats::totals_by_database(snapshot),
        Show::StatsAverages => stats::averages_by_database(snapshot),
        Show::Totals => stats::totals(snapshot),
        Show::Config => settings::config(snapshot),
        Show::State => settings::state(snapshot),
        Show::Version => settings::version(),
        Show::Help => settings::help(),
    };
    table
}

/// The last `count` events, the oldest of them first.
pub fn events(count: usize, snapshot: &Snapshot) -> Table {
    let mut table = Table::new(columns(Show::Events));
    table.rows = cluster::events(snapshot, count);
    table
}

/// The columns of what `show` answers: the same at any time.
pub fn columns(show: Show) -> &'static [Column] {
    match show {
        Show::Nodes => nodes::NODES,
        Show::Standbys => standbys::STANDBYS,
        Show::Cluster => cluster::CLUSTER,
        Show::Events => cluster::EVENTS,
        Show::Catalogs => catalogs::CATALOGS,
        Show::PoolNodes => nodes::POOL_NODES,
        Show::Pools => pools::POOLS,
        Show::Clients => connections::CLIENTS,
        Show::Servers => connections::SERVERS,
        Show::Databases => inventory::DATABASES,
        Show::Users => inventory::USERS,
        Show::Lists => inventory::LISTS,
        Show::Mem => inventory::MEM,
        Show::Routes => routes::ROUTES,
        Show::Stats => stats::STATS,
        Show::StatsTotals => stats::STATS_TOTALS,
        Show::StatsAverages => stats::STATS_AVERAGES,
        Show::Totals => stats::TOTALS,
        Show::Config => settings::CONFIG,
        Show::State => settings::STATE,
        Show::Version => settings::VERSION,
        Show::Help => settings::HELP,
    }
}

/// The text `SHOW HELP` sends as a notice.
pub fn help_text() -> String {
    settings::help_text()
}
