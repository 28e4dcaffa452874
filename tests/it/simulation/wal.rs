//! Who has which WAL: a tree of branches, one per promotion. A timeline is a number, a branch is what was written on it: two
//! nodes promoted from the same one would have the same timeline, and different branches.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) branch: usize,
    pub(super) lsn: u64,
}

pub(super) struct Branches(Vec<Branch>);

struct Branch {
    timeline: u32,
    parent: Option<Position>,
}

// === impl Branches ===

impl Branches {
    pub(super) fn new() -> Self {
        Self(vec![Branch { timeline: 1, parent: None }])
    }

    pub(super) fn timeline(&self, branch: usize) -> u32 {
        self.0[branch].timeline
    }

    /// Where the branch begins.
    pub(super) fn start(&self, branch: usize) -> u64 {
        self.0[branch].parent.map_or(0, |parent| parent.lsn)
    }

    /// A promotion at `parent`.
    pub(super) fn fork(&mut self, parent: Position) -> Position {
        self.0.push(Branch { timeline: self.timeline(parent.branch) + 1, parent: Some(parent) });
        Position { branch: self.0.len() - 1, lsn: parent.lsn }
    }

    /// Whether who is at `whole` has everything up to `part`.
    pub(super) fn contains(&self, whole: Position, part: Position) -> bool {
        let mut at = Some(whole);
        while let Some(here) = at {
            if here.branch == part.branch {
                return part.lsn <= here.lsn;
            }
            at = self.0[here.branch].parent;
        }
        false
    }

    /// Where a standby gets by one message of an upstream at `to`, which contains `from`.
    pub(super) fn advance(&self, from: Position, to: Position, most: u64) -> Position {
        if from.branch == to.branch {
            return Position { lsn: to.lsn.min(from.lsn + most), ..from };
        }
        let mut next = to.branch;
        while let Some(parent) = self.0[next].parent {
            if parent.branch == from.branch {
                return match from.lsn < parent.lsn {
                    true => Position { lsn: parent.lsn.min(from.lsn + most), ..from },
                    false => Position { branch: next, lsn: parent.lsn },
                };
            }
            next = parent.branch;
        }
        from
    }
}
