//! End-to-end tests: a real PostgreSQL cluster, real drivers, real faults.

mod cluster;
mod harness;
mod monitor;
