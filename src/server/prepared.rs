//! Which prepared statements a server has, and under which names. Least recently used goes first. Pure.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

/// 128-bit hash of a Parse message's text and parameter types: what makes two statements the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatementId(pub u128);

// === impl StatementId ===

impl StatementId {
    /// The same text prepared under other settings is another statement: PostgreSQL reads literals by DateStyle,
    /// TimeZone and the encoding, and finds names by search_path, when it is prepared.
    #[inline]
    #[must_use]
    pub fn under(self, settings: u64) -> Self {
        Self(self.0 ^ u128::from(settings) ^ u128::from(settings) << 64)
    }
}

/// Names of ours start with this; a client's name reaches a server only to be refused, and never if it looks like ours.
pub const PREFIX: &[u8] = b"pgherd.";
/// Never there for longer than a message: what can be closed or deallocated in place of what must stay.
pub const NOBODYS: &[u8] = b"pgherd.none";

/// A name that no statement has: its Close is answered, and does nothing.
pub const NOBODY: &[u8] = b"pgherd.none";

pub struct Prepared {
    limit: usize,
    next: u64,
    clock: u64,
    by_id: HashMap<StatementId, Slot, RandomState>,
    /// Numbers of what the server has and nobody will use, to be closed.
    strays: BTreeSet<u64>,
}

struct Slot {
    number: u64,
    used: u64,
}

// === impl Prepared ===

impl Prepared {
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), next: 1, clock: 0, by_id: HashMap::default(), strays: BTreeSet::new() }
    }

    /// The name of `id` on this server, if it is prepared.
    #[inline]
    pub fn touch(&mut self, id: StatementId) -> Option<u64> {
        self.clock += 1;
        let slot = self.by_id.get_mut(&id)?;
        slot.used = self.clock;
        Some(slot.number)
    }

    /// Notes that `id` is being prepared. Returns its name, and the name of the statement to be closed for it.
    pub fn insert(&mut self, id: StatementId) -> (u64, Option<u64>) {
        let evicted = if self.by_id.len() >= self.limit { self.evict() } else { None };
        let number = self.next;
        self.next += 1;
        self.clock += 1;
        self.by_id.insert(id, Slot { number, used: self.clock });
        (number, evicted)
    }

    /// The Parse that gave it this name failed.
    pub fn remove(&mut self, id: StatementId, number: u64) {
        if self.by_id.get(&id).is_some_and(|slot| slot.number == number) {
            self.by_id.remove(&id);
        }
    }

    pub fn id_of(&self, number: u64) -> Option<StatementId> {
        self.by_id.iter().find(|(_, slot)| slot.number == number).map(|(id, _)| *id)
    }

    /// What is prepared is not known any more: all will be prepared again, under new names.
    pub fn forget(&mut self) {
        self.by_id.clear();
    }

    /// After DEALLOCATE ALL or DISCARD ALL.
    pub fn clear(&mut self) {
        self.by_id.clear();
        self.strays.clear();
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn add_stray(&mut self, number: u64) {
        self.strays.insert(number);
    }

    pub fn take_strays(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.strays)
    }

    pub fn has_strays(&self) -> bool {
        !self.strays.is_empty()
    }

    fn evict(&mut self) -> Option<u64> {
        let (&id, _) = self.by_id.iter().min_by_key(|(_, slot)| slot.used)?;
        self.by_id.remove(&id).map(|slot| slot.number)
    }
}

/// Appends the name of statement `number` on its server.
#[inline]
pub fn push_name(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(PREFIX);
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_statement_goes_first() {
        let mut prepared = Prepared::new(2);
        assert_eq!(prepared.insert(StatementId(1)), (1, None));
        assert_eq!(prepared.insert(StatementId(2)), (2, None));
        assert_eq!(prepared.touch(StatementId(1)), Some(1));
        assert_eq!(prepared.insert(StatementId(3)), (3, Some(2)));
        assert_eq!(prepared.touch(StatementId(2)), None);
        assert_eq!(prepared.len(), 2);
    }

    #[test]
    fn a_text_prepared_under_other_settings_is_another_statement() {
        assert_eq!(StatementId(7).under(0), StatementId(7));
        assert_ne!(StatementId(7).under(1), StatementId(7).under(2));
    }

    #[test]
    fn names_are_decimal() {
        let mut out = Vec::new();
        push_name(&mut out, 0);
        push_name(&mut out, 1234567890);
        assert_eq!(out, b"pgherd.0pgherd.1234567890");
    }
}
