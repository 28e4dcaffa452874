//! What must outlive the process: a restarted proxy never follows a node of an older epoch, and finishes what was begun.

/// As written to `failover.state_file`; nodes by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Record {
    /// The cluster's, in decimal.
    pub system_identifier: Option<u64>,
    /// Of the topology: the next one is higher.
    pub epoch: u64,
    /// Of the last primary that was served: none on an older one ever is again.
    pub timeline: u32,
    /// The last primary that was served.
    pub primary: Option<String>,
    /// Its `synchronous_standby_names`.
    pub sync_names: Option<String>,
    /// Somebody was told, or is just about to be told, to become the primary.
    pub promotion: Option<Promotion>,
    /// The operator has paused automatic failovers.
    pub is_paused: bool,
    /// Taken out by the operator.
    pub detached: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    pub lost: String,
    pub winner: String,
}
