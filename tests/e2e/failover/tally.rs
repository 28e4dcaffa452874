//! What the clients have seen, held against what is there: the set checker.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use pgherd::demo::Node;

#[derive(Debug, Default)]
pub struct Tally {
    /// By id.
    pub writes: BTreeMap<i64, Write>,
    /// Of writes and logins of writers, by SQLSTATE.
    pub errors: BTreeMap<String, u64>,
    /// Of readers, by SQLSTATE.
    pub read_errors: BTreeMap<String, u64>,
    /// Of writers that look for what they have written.
    pub own_read_errors: BTreeMap<String, u64>,
    /// (id, how often it was seen): acknowledged, and not seen once by the very session.
    pub unseen: Vec<(i64, usize)>,
    /// Writers that had to connect again.
    pub sessions_dropped: usize,
    pub idle_dropped: usize,
    pub longest_read: Duration,
    pub gaps: Vec<Gap>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Acknowledged,
    /// The answer says that it did not happen.
    Undone,
    InDoubt,
}

/// From one acknowledgement of a writer to the next.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    pub writer: usize,
    pub from: Instant,
    pub to: Instant,
}

/// What became of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: usize,
    pub in_doubt: usize,
    pub in_doubt_there: usize,
    pub lost: Vec<i64>,
    pub twice: Vec<i64>,
    /// There, though the client was told that they are not.
    pub undone_there: Vec<i64>,
    /// Written by nobody.
    pub foreign: Vec<i64>,
}

// === impl Write ===

impl Write {
    /// SQLSTATEs that say for sure that nothing was written: rolled back, cancelled, not begun, refused.
    pub fn after(code: &str) -> Self {
        match code {
            "40001" | "57P03" | "57014" | "25006" | "53300" | "53400" => Write::Undone,
            _ => Write::InDoubt,
        }
    }
}

// === impl Gap ===

impl Gap {
    pub fn longest(gaps: &[Gap], writer: usize, since: Instant) -> Option<Duration> {
        let own = gaps.iter().rev().take_while(|gap| gap.to > since).filter(|gap| gap.writer == writer);
        own.map(|gap| gap.to - gap.from).max()
    }
}

// === impl Tally ===

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.writes.extend(other.writes);
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
        for (code, count) in other.read_errors {
            *self.read_errors.entry(code).or_default() += count;
        }
        for (code, count) in other.own_read_errors {
            *self.own_read_errors.entry(code).or_default() += count;
        }
        self.unseen.extend(other.unseen);
        self.sessions_dropped += other.sessions_dropped;
        self.idle_dropped += other.idle_dropped;
        self.longest_read = self.longest_read.max(other.longest_read);
    }

    /// Looks at all rows of the table on `primary`.
    pub fn verdict(&self, primary: &Node) -> Verdict {
        let rows = primary.psql_as("app", "postgres", "SELECT id, count(*) FROM written GROUP BY id").unwrap();
        let rows = rows.lines().filter_map(|line| line.split_once('|'));
        let there: BTreeMap<i64, u32> = rows.map(|(id, count)| (id.parse().unwrap(), count.parse().unwrap())).collect();
        let mut verdict = Verdict::default();
        for (id, write) in &self.writes {
            let is_there = there.contains_key(id);
            match write {
                Write::Acknowledged => {
                    verdict.acknowledged += 1;
                    verdict.lost.extend((!is_there).then_some(*id));
                }
                Write::Undone => verdict.undone_there.extend(is_there.then_some(*id)),
                Write::InDoubt => {
                    verdict.in_doubt += 1;
                    verdict.in_doubt_there += usize::from(is_there);
                }
            }
        }
        verdict.twice = there.iter().filter(|(_, count)| **count > 1).map(|(id, _)| *id).collect();
        verdict.foreign = there.keys().filter(|id| !self.writes.contains_key(id)).copied().collect();
        verdict
    }

    /// Nothing lost, nothing twice, no read failed, own writes seen, idle clients still there. Says what it saw.
    pub fn check(&self, primary: &Node) -> Verdict {
        let verdict = self.verdict(primary);
        println!("{self}; {verdict}");
        assert_eq!(verdict.lost, Vec::<i64>::new(), "acknowledged, and lost");
        assert!(self.unseen.is_empty(), "not seen by the session that wrote it: {:?}", self.unseen);
        assert_eq!(self.own_read_errors, BTreeMap::new(), "reads of writers failed");
        self.check_all_but_loss(&verdict);
        verdict
    }

    /// The same where what no standby had may be lost.
    pub fn check_async(&self, primary: &Node) -> Verdict {
        let verdict = self.verdict(primary);
        println!("{self}; {verdict}");
        let unseen = self.unseen.iter().filter(|(id, _)| !verdict.lost.contains(id)).count();
        assert_eq!(unseen, 0, "not lost, and not seen by the session that wrote it");
        self.check_all_but_loss(&verdict);
        verdict
    }

    fn check_all_but_loss(&self, verdict: &Verdict) {
        assert_eq!(verdict.twice, Vec::<i64>::new(), "there twice");
        assert_eq!(verdict.undone_there, Vec::<i64>::new(), "said to be undone, and there");
        assert_eq!(verdict.foreign, Vec::<i64>::new(), "written by nobody");
        assert_eq!(self.read_errors, BTreeMap::new(), "reads failed");
        assert_eq!(self.idle_dropped, 0, "idle clients lost their connection");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "errors {:?}, {} sessions dropped, {} of them idle, reads failed {:?} and {:?}, longest read {} ms",
            self.errors,
            self.sessions_dropped + self.idle_dropped,
            self.idle_dropped,
            self.read_errors,
            self.own_read_errors,
            self.longest_read.as_millis()
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, in_doubt, in_doubt_there, lost, twice, .. } = self;
        write!(
            f,
            "{acknowledged} writes acknowledged, {} lost, {} twice; {in_doubt} in doubt, {in_doubt_there} of them there",
            lost.len(),
            twice.len()
        )
    }
}

/// Median, 99th of 100, and the longest; 0 of nothing.
pub fn spread(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
    [50, 99, 100].map(|share| at(share).unwrap_or_default())
}
