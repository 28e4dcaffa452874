//! Integration tests that need no service: pure parts, text scenarios, fake PostgreSQL.

mod architecture;
mod failover;
mod startup;
