//! Hints, `pgherd.*` settings, and what the proxy says about its decisions.

mod explain;
mod routes;
mod settings;
