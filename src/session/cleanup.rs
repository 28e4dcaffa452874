//! What becomes of a server when its session is done with it: given back, cleaned and given back, or closed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Session, greet};
use crate::client::registry::{Pin, Running};
use crate::net::Stream;
use crate::pool::Checkout;
use crate::route::TxStatus;
use crate::server::cancel::cancel;

/// Cleaning is one short statement; a server that does not manage it in time is closed.
const CLEAN_TIMEOUT: Duration = Duration::from_secs(5);

/// From the first cancel request to the second, then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

impl Session {
    /// The server is free: the next client gets it.
    pub(super) fn release(&mut self, checkout: Checkout) {
        self.entry.server_id.store(0, Relaxed);
        let resets = std::mem::take(&mut self.resets);
        if std::mem::take(&mut self.dirty) {
            tokio::spawn(clean(checkout, "DISCARD ALL"));
        } else if resets {
            tokio::spawn(clean(checkout, "RESET ALL"));
        } else {
            checkout.give_back(self.request_at);
        }
    }

    /// As `release`, once the cancel requests for it have arrived: none may hit its next client.
    pub(super) async fn release_after_cancel(&mut self, checkout: Checkout) {
        loop {
            let arrived = {
                let mut target = self.entry.lock_cancel();
                if target.in_flight == 0 {
                    target.what = Running::Nothing;
                    break;
                }
                target.arrived()
            };
            arrived.notified().await;
        }
        self.release(checkout);
    }

    /// The session ends while it has the server.
    pub(super) fn abandon(&mut self, checkout: Checkout, lost: bool) {
        self.entry.server_id.store(0, Relaxed);
        let in_flight = {
            let mut target = self.entry.lock_cancel();
            target.what = Running::Nothing;
            target.in_flight > 0
        };
        if lost || in_flight {
            self.shared.counters.servers_discarded.add(1);
            checkout.discard();
        } else if !self.is_quiet() {
            self.shared.counters.servers_discarded.add(1);
            tokio::spawn(stop(checkout));
        } else {
            let rollback = self.status != TxStatus::Idle;
            let discard = self.dirty || self.resets || self.doubts.is_some() || self.pin != Pin::None;
            match (rollback, discard) {
                (false, false) => checkout.give_back(Instant::now()),
                (true, false) => drop(tokio::spawn(clean(checkout, "ROLLBACK"))),
                (false, true) => drop(tokio::spawn(clean(checkout, "DISCARD ALL"))),
                (true, true) => drop(tokio::spawn(async {
                    if let Some(checkout) = run(checkout, "ROLLBACK").await {
                        clean(checkout, "DISCARD ALL").await;
                    }
                })),
            }
        }
    }
}

/// Runs `sql` and gives the server back; closes it if that fails.
async fn clean(checkout: Checkout, sql: &'static str) {
    if let Some(checkout) = run(checkout, sql).await {
        checkout.give_back(Instant::now());
    }
}

async fn run(mut checkout: Checkout, sql: &'static str) -> Option<Checkout> {
    let cleaned = tokio::time::timeout(CLEAN_TIMEOUT, greet::run(&mut checkout, sql)).await;
    match cleaned.map_err(|_| "no answer in time".to_owned()).and_then(|done| done.map_err(|error| error.to_string())) {
        Ok(()) => {
            if sql == "DISCARD ALL" {
                checkout.settings = Arc::default();
                checkout.prepared.clear();
            }
            if sql == "RESET ALL" {
                checkout.settings = Arc::default();
            }
            Some(checkout)
        }
        Err(error) => {
            tracing::warn!(process_id = checkout.key.process_id, %error, sql, "a server can't be cleaned; it is closed");
            None
        }
    }
}

/// Nobody waits for what it is running any more: PostgreSQL is told to stop, until it has closed the connection.
///
/// Once is not enough: a request that comes before the statement does hits nothing.
async fn stop(mut checkout: Checkout) {
    let node = Arc::clone(&checkout.pool().node);
    let key = Arc::clone(&checkout.key);
    let stopped = async {
        // Behind what was sent last there is nothing more: PostgreSQL ends when it gets there.
        checkout.stream.shutdown().await?;
        let mut pause = FIRST_PAUSE;
        loop {
            let _ = cancel(&node.host, node.port, &key, CLEAN_TIMEOUT).await;
            match tokio::time::timeout(pause, drain(&mut checkout.stream)).await {
                Ok(drained) => return drained,
                Err(_) => pause *= 2,
            }
        }
    };
    let stopped: Result<std::io::Result<()>, _> = tokio::time::timeout(CLEAN_TIMEOUT, stopped).await;
    if stopped.is_err() {
        tracing::warn!(
            process_id = key.process_id,
            "a server does not stop for a cancel request; its connection is closed"
        );
    }
    checkout.discard();
}

/// Reads to the end.
async fn drain(stream: &mut Stream) -> std::io::Result<()> {
    let mut unread = vec![0; 8192];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
