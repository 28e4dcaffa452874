//! What a session is in the middle of.

use std::time::Instant;

use super::Token;
use crate::cluster::NodeId;
use crate::config::Consistency;

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
    pub consistency: Consistency,
    /// When the session (or, by `consistency`, any session) last wrote: a standby must have caught up to after that.
    pub last_write: Option<Instant>,
    /// A standby must have replayed as much.
    pub min_lsn: Option<Token>,
    pub preference: Preference,
    /// Standbys that were found unreachable for this request, though the topology has them.
    pub avoid: Avoid,
}

/// Where the session (`pgherd.route`) wants its reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    #[default]
    Auto,
    Primary,
    /// On a standby, even what is not proven to read only.
    Standby,
}

/// Some nodes. (A configuration has at most 64.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Avoid(u64);

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

// === impl Avoid ===

impl Avoid {
    pub const NOBODY: Self = Self(0);

    #[must_use]
    pub fn and(self, node: NodeId) -> Self {
        Self(self.0 | 1_u64.checked_shl(node.0.into()).unwrap_or(0))
    }

    pub fn has(self, node: NodeId) -> bool {
        self.0 & 1_u64.checked_shl(node.0.into()).unwrap_or(0) != 0
    }
}

// === impl Turn ===

impl Turn {
    /// Bound to the server it holds: everything goes there.
    pub fn holds_server(&self) -> bool {
        self.node.is_some() && (self.pinned || self.status != TxStatus::Idle)
    }
}
