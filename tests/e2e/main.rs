//! End-to-end tests: a real PostgreSQL cluster, real drivers, real faults.

#![allow(clippy::disallowed_methods, reason = "the tests wait for processes in threads of their own")]
#![allow(clippy::print_stderr, reason = "what a failed test needs to be understood")]

mod admin;
mod check;
mod cluster;
mod consistency;
mod cost;
mod demo;
mod differential;
mod drivers;
mod failover;
mod features;
mod harness;
mod hostile;
mod login;
mod monitor;
mod monitor_commands;
mod monitor_shell;
mod oracle;
mod outcomes;
mod pooling;
mod routing;
mod service;
mod walkthrough;
