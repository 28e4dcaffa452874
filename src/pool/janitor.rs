//! Looks after idle servers: closes dead, old and superfluous ones, opens spare ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Pool, Pools};
use crate::server::IdleCheck;

const ROUND: Duration = Duration::from_secs(1);

/// Never returns. Needs no reactor of the workers': spare servers move to whoever asks for them.
pub async fn run(pools: &Pools) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        for pool in pools.all() {
            sweep(&pool, Instant::now());
            fill(&pool).await;
        }
        pools.forget_unproven();
    }
}

fn sweep(pool: &Pool, now: Instant) {
    let settings = pool.settings.load();
    let older = |since: Instant, limit: Duration| !limit.is_zero() && now.saturating_duration_since(since) > limit;
    let mut dead = 0;
    let gone = pool.lock().sweep(pool.slot, |server, since, open| {
        if server.check_idle() == IdleCheck::Spoke {
            dead += 1;
            return true;
        }
        older(server.connected_at, settings.lifetime)
            || (open > settings.min_size && older(since, settings.idle_timeout))
    });
    if dead > 0 {
        let node = &pool.node;
        tracing::info!(host = node.host, port = node.port, database = %pool.key.database, user = %pool.key.user, dead,
            "idle servers were closed by PostgreSQL");
    }
    drop(gone);
}

async fn fill(pool: &Arc<Pool>) {
    // One failure ends the round: the next one tries again.
    while let Ok(true) = pool.open_spare().await {}
}
