//! The cluster: who is what (`node`, `topology`), and what to do about it (`controller`). Pure.
//!
//! `judgement` holds the rules (who is down, who is refused, who is the primary), `chain` finds out who streams from
//! whom, `story` words what changed. `failover` decides what to do about a lost primary: `witness` whether it is dead,
//! `election` who takes its place, `orphans` who is to follow that one.

mod chain;
pub mod controller;
mod election;
mod failover;
mod judgement;
pub mod node;
mod orphans;
mod story;
mod tide;
pub mod topology;
mod witness;

pub use controller::{Action, Command, Controller, Event, Failure, FailureKind, Level, Outcome, Settings};
pub use node::{Health, Lsn, NodeId, Observation, Role};
pub use topology::{Node, Topology, initial_topology};
