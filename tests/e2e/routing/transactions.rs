//! One transaction, one node.
