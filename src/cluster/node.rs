//! One PostgreSQL instance as the monitor sees it.

use std::fmt;
use std::time::Instant;

/// Index of a node in the configuration's order; stable for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

/// A position in the write-ahead log, printed as PostgreSQL does (`16/B374D848`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// Bytes; what PostgreSQL is built with unless it is built on purpose otherwise.
const WAL_PAGE: u64 = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Standby,
    /// Never observed yet, or refused (another system identifier).
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not probed to an answer yet.
    Starting,
    Up,
    /// The last probes failed; the reason in words an operator understands.
    Down(String),
    /// Answers, but must get no client: another system identifier, a primary on an older timeline …; the reason.
    Refused(String),
}

/// What one successful probe learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    pub at: Instant,
    /// How long the probe took.
    pub round_trip_us: u64,
    pub in_recovery: bool,
    pub system_identifier: u64,
    pub timeline: u32,
    /// Primary: the current write position. Standby: the last received position.
    pub received: Option<Lsn>,
    /// Standby: the last replayed position. Primary: same as `received`.
    pub replayed: Option<Lsn>,
    /// Primary: where its next record will go (`pg_current_wal_insert_lsn()`), see [`Lsn::without_page_header`].
    pub inserted: Option<Lsn>,
    /// Standby: somebody has paused its replay.
    pub is_replay_paused: bool,
    /// Age of the last replayed transaction's commit when more WAL is waiting to be replayed; 0 when all is replayed.
    pub replay_delay_ms: Option<u64>,
    /// Standby: there is a WAL receiver that is or was connected.
    pub has_receiver: bool,
    /// Host and port of the upstream the WAL receiver is connected to.
    pub upstream: Option<(String, u16)>,
    /// Standby: how long ago its WAL receiver heard something from its upstream, ms.
    pub heard_ms: Option<u64>,
    /// Standby: [`Command::Sever`](super::Command::Sever) has cut it off this upstream.
    pub severed_from: Option<(String, u16)>,
    /// Standby: what it calls itself to its upstream (`application_name`), as `synchronous_standby_names` would.
    pub sync_name: Option<String>,
    /// `synchronous_standby_names`; `None` if the monitor may not see it.
    pub sync_names: Option<String>,
    /// `server_version_num`, e.g. 150018, and `server_version`.
    pub version_num: u32,
    pub version: String,
}

// === impl Lsn ===

impl Lsn {
    /// After a segment switch an idle primary's insert position stands behind the header of an empty page, where no
    /// standby gets to before the next record: such a position is rounded down to the page's start.
    #[must_use]
    pub fn without_page_header(self) -> Lsn {
        /// At the start of a segment; 24 elsewhere.
        const LONGEST_HEADER: u64 = 40;
        let into_page = self.0 % WAL_PAGE;
        if into_page <= LONGEST_HEADER { Lsn(self.0 - into_page) } else { self }
    }

    /// Where one page of WAL ends and the next one begins.
    pub fn is_at_page_end(self) -> bool {
        self.0.is_multiple_of(WAL_PAGE)
    }

    /// Bytes from `self` to `later`; 0 if `later` is not later.
    pub fn distance_to(self, later: Lsn) -> u64 {
        later.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl std::str::FromStr for Lsn {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (high, low) = text.split_once('/').ok_or(())?;
        let high = u32::from_str_radix(high, 16).map_err(|_| ())?;
        let low = u32::from_str_radix(low, 16).map_err(|_| ())?;
        Ok(Lsn(u64::from(high) << 32 | u64::from(low)))
    }
}

// === impl Role ===

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Standby => "standby",
            Role::Unknown => "unknown",
        }
    }
}

// === impl Health ===

impl Health {
    pub fn as_str(&self) -> &'static str {
        match self {
            Health::Starting => "starting",
            Health::Up => "up",
            Health::Down(_) => "down",
            Health::Refused(_) => "refused",
        }
    }

    pub fn reason(&self) -> Option<&str> {
        match self {
            Health::Down(reason) | Health::Refused(reason) => Some(reason),
            Health::Starting | Health::Up => None,
        }
    }
}
