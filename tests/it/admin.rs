//! What an operator sees: the console's tables and protocol, and the metrics. No PostgreSQL is needed for any of it.

#[path = "admin/console.rs"]
mod console;
#[path = "admin/fixture.rs"]
mod fixture;
#[path = "admin/http.rs"]
mod http;
#[path = "admin/tables.rs"]
mod tables;
