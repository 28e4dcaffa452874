//! What a session is in the middle of.

use std::time::Instant;

use crate::cluster::NodeId;

/// The status byte of the last ReadyForQuery ("Message Formats").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TxStatus {
    /// `I`: outside a transaction block.
    #[default]
    Idle,
    /// `T`
    InTransaction,
    /// `E`: in a failed transaction block; only its end helps.
    Failed,
}

/// Lives on the session's stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    pub status: TxStatus,
    /// The node of the server the session holds, if it holds one.
    pub node: Option<NodeId>,
    /// The session keeps its server past the transaction.
    pub pinned: bool,
    /// A setting of the session speaks against standbys (`sql::set::force_primary`).
    pub reads_on_primary: bool,
    /// When the session last wrote: a standby must have caught up to after that.
    pub last_write: Option<Instant>,
}

// === impl TxStatus ===

impl TxStatus {
    /// From the byte in ReadyForQuery. `None`: no byte PostgreSQL sends.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InTransaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    pub fn as_byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }
}

// === impl Turn ===

impl Turn {
    /// Bound to the server it holds: everything goes there.
    pub fn holds_server(&self) -> bool {
        self.node.is_some() && (self.pinned || self.status != TxStatus::Idle)
    }
}
