//! Many clients on few servers: whose answer is whose, who waits and how long, what travels with a session and what
//! must not, and what is left when clients, servers or the proxy go.

mod cancel;
mod crowd;
mod drain;
mod faults;
mod limits;
mod parked;
mod pins;
mod protocol;
mod state;

use std::time::{Duration, Instant};

use pgherd::demo::Node;
use tokio_postgres::Client;

use crate::harness::drivers;
use crate::harness::raw::{Raw, Role};

/// Asks again until it is so; panics with the last answer after 30 s.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(got) => assert!(started.elapsed() < Duration::from_secs(30), "{what}: not within 30 s: {got}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A column of `SHOW POOLS` over the pools of `role`.
async fn pools(console: &mut Raw, role: &Role, column: &str) -> usize {
    let pools = console.query("SHOW POOLS").await;
    pools.column(column, |get| get("user") == role.name).iter().map(|n| n.parse::<usize>().unwrap()).sum()
}

/// A column of `SHOW CLIENTS` over the clients of `role`.
async fn clients(console: &mut Raw, role: &Role, column: &str) -> Vec<String> {
    console.query("SHOW CLIENTS").await.column(column, |get| get("user") == role.name)
}

/// No server is lent, none waited for.
async fn until_all_free(console: &mut Raw, role: &Role) {
    until("all servers are free", async || {
        let pools = console.query("SHOW POOLS").await;
        let own = |column| pools.column(column, |get| get("user") == role.name);
        let busy = [own("sv_active"), own("sv_login"), own("cl_waiting")].concat();
        if busy.iter().all(|n| n == "0") { Ok(()) } else { Err(format!("{pools:?}")) }
    })
    .await;
}

/// A superuser straight on a node: sees what PostgreSQL says of the servers.
struct Witness {
    client: Client,
}

impl Witness {
    async fn on(node: &Node) -> Self {
        Self { client: drivers::connect(&node.dsn("postgres", "postgres")).await.unwrap() }
    }

    async fn all() -> [Self; 3] {
        let [pg1, pg2, pg3] = crate::harness::shared().nodes();
        [Self::on(pg1).await, Self::on(pg2).await, Self::on(pg3).await]
    }

    /// `SELECT expression FROM pg_stat_activity` over the servers of `role`.
    async fn activity(&self, role: &Role, expression: &str) -> String {
        let sql = format!("SELECT ({expression})::text FROM pg_stat_activity WHERE usename = $1");
        let row = self.client.query_one(&sql, &[&role.name]).await.unwrap();
        row.get::<_, Option<String>>(0).unwrap_or_default()
    }

    async fn count(&self, role: &Role) -> usize {
        self.activity(role, "count(*)").await.parse().unwrap()
    }

    /// Every server of `role` is idle, outside of a transaction.
    async fn until_idle(&self, role: &Role) {
        until("PostgreSQL has nothing to do", async || {
            let busy = "string_agg(state || ': ' || query, '; ') FILTER (WHERE state <> 'idle')";
            let busy = self.activity(role, busy).await;
            if busy.is_empty() { Ok(()) } else { Err(busy) }
        })
        .await;
    }
}
