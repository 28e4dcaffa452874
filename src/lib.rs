//! pgherd: a PostgreSQL proxy that keeps a primary/hot-standby cluster usable.
//!
//! The map, floor by floor; a module imports only from floors below its own (`tests/it/architecture.rs` holds it to that).

// floor 0: words
pub mod config;
pub mod feed;
pub mod setup_sql;
pub mod stats;
pub mod version;
pub mod wire;

// floor 1: decisions
pub mod cluster;
pub mod credential;
pub mod route;
pub mod sql;

// floor 2: connections
pub mod catalogs;
pub mod client;
pub mod net;
pub mod orders;
pub mod pool;
pub mod server;
pub mod shared;

// floor 3: tasks
pub mod admin;
pub mod catalog;
pub mod check;
pub mod monitor;
pub mod session;

// floor 4: assembly
pub mod cli;
pub mod demo;
pub mod proxy;
pub mod reload;
pub mod worker;
