//! One look at a database's catalog, over a connection made for it.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::questions::{self, Unreadable};
use crate::catalogs::{CatalogOf, Since};
use crate::cluster::NodeId;
use crate::config::Config;
use crate::net::Stream;
use crate::server::connect::{ConnectError, Login, connect};
use crate::server::credential::Credential;
use crate::server::query::{Rows as Answer, query};
use crate::shared::Shared;
use crate::sql::knowledge::{Knowledge, Rows};

pub(super) struct Loader<'a> {
    pub shared: &'a Arc<Shared>,
    pub config: &'a Config,
    pub credential: &'a Credential,
    pub node: NodeId,
}

pub(super) enum Loaded {
    /// As it was.
    Same,
    /// It changed while it was loaded.
    Outdated,
    /// With its signature.
    New(String),
}

pub(super) enum LoadError {
    Server(ConnectError),
    Unreadable,
}

// === impl Loader ===

impl Loader<'_> {
    /// Loads and publishes it, unless its signature is `known`.
    pub(super) async fn load(
        &self,
        catalog: &CatalogOf,
        since: Since,
        known: Option<&str>,
    ) -> Result<Loaded, LoadError> {
        let asked_at = Instant::now();
        let mut stream = self.connect(&catalog.database).await?;
        self.ask(&mut stream, questions::PREPARE).await?;
        let signature = questions::read_signature(&self.ask(&mut stream, questions::SIGNATURE).await?)?;
        if known == Some(signature.as_str()) {
            return Ok(Loaded::Same);
        }
        // Changed behind our back: since when is not known, but by now at the latest.
        let changed_at = if known.is_some() { Some(asked_at) } else { since.changed_at };
        let rows = self.rows(&mut stream).await?;
        self.ask(&mut stream, questions::FINISH).await?;
        let version = self.shared.catalogs.next_version();
        // Thousands of views are parsed: not where the monitor wants to run.
        let built = tokio::task::spawn_blocking(move || Knowledge::new(version, changed_at, rows)).await;
        let knowledge = built.map_err(|_| LoadError::Unreadable)?;
        let [functions, operators, types, relations] = knowledge.counts();
        if !catalog.publish(knowledge, since, Instant::now()) {
            return Ok(Loaded::Outdated);
        }
        tracing::debug!(database = %catalog.database, version, functions, operators, types, relations,
            took = ?asked_at.elapsed(), "catalog loaded");
        Ok(Loaded::New(signature))
    }

    async fn connect(&self, database: &str) -> Result<Stream, LoadError> {
        let node = self.shared.pools.node(self.node);
        let monitor = &self.config.monitor;
        let login = Login {
            host: &node.host,
            port: node.port,
            user: &monitor.user,
            database,
            parameters: &[("application_name".to_owned(), "pgherd catalog".to_owned())],
            credential: self.credential,
            timeout: monitor.timeout,
        };
        Ok(connect(login).await?.stream)
    }

    async fn rows(&self, stream: &mut Stream) -> Result<Rows, LoadError> {
        let mut rows = Rows::default();
        questions::read_functions(self.ask(stream, questions::FUNCTIONS).await?, &mut rows)?;
        questions::read_operators(self.ask(stream, questions::OPERATORS).await?, &mut rows)?;
        questions::read_types(self.ask(stream, questions::TYPES).await?, &mut rows)?;
        questions::read_relations(self.ask(stream, questions::RELATIONS).await?, &mut rows)?;
        questions::read_parents(self.ask(stream, questions::PARENTS).await?, &mut rows)?;
        questions::read_defaults(self.ask(stream, questions::DEFAULTS).await?, &mut rows)?;
        Ok(rows)
    }

    async fn ask(&self, stream: &mut Stream, sql: &str) -> Result<Answer, LoadError> {
        let routing = &self.config.routing;
        Ok(query(stream, sql, routing.catalog_timeout, routing.max_catalog_bytes).await?)
    }
}

// === impl LoadError ===

impl From<ConnectError> for LoadError {
    fn from(error: ConnectError) -> Self {
        LoadError::Server(error)
    }
}

impl From<Unreadable> for LoadError {
    fn from(_: Unreadable) -> Self {
        LoadError::Unreadable
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Server(error) => error.fmt(f),
            LoadError::Unreadable => f.write_str("the answer is not what was asked for"),
        }
    }
}
