//! Integration tests that need no service: pure parts, text scenarios, fake PostgreSQL.

mod admin;
mod architecture;
mod auth;
mod check;
mod classify;
mod config;
mod docker;
mod docs;
mod failover;
mod route;
mod simulation;
mod startup;
