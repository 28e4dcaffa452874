//! The cluster: who is what (`node`, `topology`), and what to do about it (`election`, `failover`). Pure.

pub mod node;
pub mod topology;

pub use node::{Health, Lsn, NodeId, Observation, Role};
pub use topology::{Node, Topology, initial_topology};
