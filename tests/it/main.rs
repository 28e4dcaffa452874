//! Integration tests that need no service: pure parts, text scenarios, fake PostgreSQL.

mod admin;
mod architecture;
mod config;
mod docker;
mod failover;
mod startup;
