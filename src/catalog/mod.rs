//! Keeps what is known of the databases' catalogs true: asks the primary when a database is first used, when DDL was seen to
//! pass, and from time to time whether something has changed behind our back.

mod load;
mod questions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use load::{Loaded, Loader};
use tokio::task::{Id, JoinSet};

use crate::catalogs::CatalogOf;
use crate::cluster::NodeId;
use crate::server::credential::Credential;
use crate::shared::Shared;

/// A database that no client has used for so long is not asked any more.
const UNUSED: Duration = Duration::from_secs(600);

/// After a load that failed: so long to the next one, then twice as long each time, up to `routing.catalog_refresh`.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// From one load to the next at least as many times as long as it took: a migration is a thousand changes.
const REST: u32 = 2;

/// From one look because of a doubt to the next.
const BETWEEN_DOUBTS: Duration = Duration::from_millis(500);

/// Never returns.
pub async fn run(shared: Arc<Shared>) {
    if !shared.catalogs.are_asked() {
        return std::future::pending().await;
    }
    let mut keepers = JoinSet::new();
    let mut kept: Vec<(Id, Arc<str>)> = Vec::new();
    loop {
        for catalog in shared.catalogs.all() {
            if kept.iter().all(|(_, database)| *database != catalog.database) {
                let (shared, database) = (Arc::clone(&shared), Arc::clone(&catalog.database));
                let keeper = keepers.spawn(async move { keep(&shared, catalog).await });
                kept.push((keeper.id(), database));
            }
        }
        tokio::select! {
            () = shared.catalogs.new_one() => {}
            Some(ended) = keepers.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                kept.retain(|(keeper, _)| *keeper != id);
            }
        }
    }
}

/// Of one database, until nobody uses it.
async fn keep(shared: &Arc<Shared>, catalog: Arc<CatalogOf>) {
    let credential = Credential::Password(shared.config.load().monitor.password.clone());
    let mut topology = shared.topology.watch();
    let mut used_at = Instant::now();
    let mut retry = FIRST_RETRY;
    let mut signature: Option<(NodeId, String)> = None;
    loop {
        let config = shared.config.latest();
        let refresh = config.routing.catalog_refresh;
        let Some(primary) = shared.topology.load().primary else {
            topology.changed().await;
            continue;
        };
        let began = Instant::now();
        let loader = Loader { shared, config: &config, credential: &credential, node: primary };
        let since = catalog.since();
        let known = signature.as_ref().filter(|(node, _)| *node == primary && is_loaded(&catalog));
        let known = known.map(|(_, text)| text.as_str());
        let mut loaded = loader.load(&catalog, since, known).await;
        if loaded.is_err() {
            // What is dropped while it is asked for is an error.
            loaded = loader.load(&catalog, since, known).await;
        }
        let pause = match loaded {
            Ok(Loaded::Same) => refresh,
            Ok(Loaded::Outdated) => Duration::ZERO,
            Ok(Loaded::New(text)) => {
                signature = Some((primary, text));
                retry = FIRST_RETRY;
                refresh
            }
            Err(error) => {
                signature = None;
                if catalog.fail(error.to_string()) {
                    tracing::warn!(database = %catalog.database, %error,
                        "the catalog can't be asked: the database's reads stay on the primary");
                }
                let pause = retry.min(refresh);
                retry *= 2;
                pause
            }
        };
        tokio::time::sleep((began.elapsed() * REST).min(refresh)).await;
        let doubts = async {
            // Whoever names what is not there may do so all the time.
            tokio::time::sleep(BETWEEN_DOUBTS.min(refresh)).await;
            catalog.allow_doubts();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = doubts => {}
            () = catalog.changed() => {}
            () = async { while shared.topology.load().primary == Some(primary) { topology.changed().await } } => {}
        }
        match Arc::strong_count(&catalog) {
            0..=2 if used_at.elapsed() > UNUSED => {
                if shared.catalogs.forget_unused(&catalog) {
                    return;
                }
            }
            0..=2 => {}
            _ => used_at = Instant::now(),
        }
    }
}

fn is_loaded(catalog: &CatalogOf) -> bool {
    matches!(**catalog.known(), crate::sql::knowledge::Known::Loaded(_))
}
