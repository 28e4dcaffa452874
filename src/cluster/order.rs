//! What an operator may want of the cluster, on the console.

use super::node::NodeId;

/// Tells answers apart.
pub type OrderId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The primary lives: another node becomes the primary, nothing is lost. `None`: the fittest.
    Switchover {
        to: Option<NodeId>,
    },
    /// The primary is lost, or to be given up. `force`: also if it lives, or if writes may be lost.
    Failover {
        to: NodeId,
        force: bool,
    },
    /// The node gets no client, and is never promoted, until it is attached.
    Detach(NodeId),
    Attach(NodeId),
    /// Nothing is promoted by the proxy's own decision until it is resumed.
    Pause,
    Resume,
}
