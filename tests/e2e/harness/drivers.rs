//! tokio-postgres, through the proxy or straight to a node.

use pgherd::demo::Node;
use tokio_postgres::{Client, Error, NoTls};

use super::Proxy;

/// The connection's own task ends with the client.
pub async fn connect(dsn: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

impl Proxy<'_> {
    /// As `app` in database `app`.
    pub async fn client(&self) -> Client {
        self.client_as("app", "app").await.unwrap_or_else(|error| panic!("no connection through the proxy: {error:?}"))
    }

    pub async fn client_as(&self, database: &str, user: &str) -> Result<Client, Error> {
        connect(&self.dsn(database, user)).await
    }
}

/// Straight to the node, as `app` in database `app`.
pub async fn direct(node: &Node) -> Client {
    connect(&node.dsn("app", "app")).await.unwrap_or_else(|error| panic!("no connection to {}: {error:?}", node.name()))
}
