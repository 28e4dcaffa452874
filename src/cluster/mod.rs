//! The cluster: who is what (`node`, `topology`), and what to do about it (`controller`). Pure.
//!
//! `judgement` holds the rules (who is down, who is refused, who is the primary), `chain` finds out who streams from
//! whom, `story` words what changed. `failover` decides what to do about a lost primary: `witness` whether it is dead,
//! `election` who takes its place, `orphans` who is to follow that one.

mod chain;
pub mod command;
pub mod controller;
mod election;
mod failover;
pub mod journal;
mod judgement;
mod lag;
pub mod node;
pub mod order;
mod orphans;
mod policy;
pub mod quorum;
mod reads;
pub mod record;
pub mod status;
mod story;
mod tide;
pub mod topology;
mod witness;

pub use command::{Action, Command, Event, Failure, FailureKind, Hook, Level, Outcome};
pub use controller::{Controller, Settings};
pub use journal::Journal;
pub use node::{Health, Lsn, NodeId, Observation, Role};
pub use order::{Order, OrderId};
pub use policy::{Policy, Share};
pub use record::Record;
pub use status::{Opened, State, Status};
pub use topology::{Node, Topology, initial_topology};
