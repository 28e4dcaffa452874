//! The cluster: who is what (`node`, `topology`), and what to do about it (`controller`). Pure.
//!
//! `judgement` holds the rules (who is down, who is refused, who is the primary), `chain` finds out who streams from
//! whom, `story` words what changed.

mod chain;
pub mod controller;
mod judgement;
pub mod node;
mod story;
mod tide;
pub mod topology;

pub use controller::{Action, Controller, Event, Failure, FailureKind, Level, Settings};
pub use node::{Health, Lsn, NodeId, Observation, Role};
pub use topology::{Node, Topology, initial_topology};
