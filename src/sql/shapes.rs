//! Which shapes of statements there are, and where they went: one table per worker, bounded. The worker counts without a
//! lock and without an allocation, anybody sums.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::UnitWeighter;
use quick_cache::unsync::Cache as Bounded;

use super::fingerprint::{Hashing, Key, KeyState};
use super::outline::{self, outline};
use crate::stats::Counter;

/// A place in the table of one worker, to be kept with a statement. It may be another shape's by the time it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// 0: of all that has no place of its own.
    slot: u16,
    generation: u16,
}

/// Where a statement went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    ToPrimary = 0,
    ToStandby = 1,
}

/// What one worker counted; written by it alone.
pub struct Counts {
    slots: Box<[Slot]>,
    /// By where and by the number of the reason.
    routed: [Box<[Counter]>; 2],
}

/// How many reasons are told apart.
pub const REASONS: usize = 128;

#[derive(Default)]
struct Slot {
    generation: AtomicU32,
    counts: [Counter; 2],
    /// The number of the last reason.
    reasons: [AtomicU8; 2],
    replays: Counter,
    /// Locked when it gets another shape, and when somebody looks.
    what: Mutex<What>,
}

#[derive(Clone, Default)]
struct What {
    database: Arc<str>,
    text: Arc<str>,
}

/// One shape, as far as it went to the one or the other kind of node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub database: Arc<str>,
    /// Empty: all that has no place of its own.
    pub text: Arc<str>,
    pub went: Went,
    pub count: u64,
    pub replays: u64,
    /// The number of the last reason.
    pub reason: u8,
}

/// Finds the place of a text. Of one worker.
pub struct Shapes {
    pub counts: Arc<Counts>,
    hashing: Hashing,
    /// By outline and database.
    places: HashMap<Key, u16, KeyState>,
    /// By slot: its key, and its count when the hand last passed.
    keys: Vec<(Key, u64)>,
    /// By what the text has in common with its likes, or the text itself; and by database.
    texts: Bounded<Key, Shape, UnitWeighter, KeyState>,
    /// Goes round the slots when all are taken, and takes one that was not used since.
    hand: usize,
    buffer: Vec<u8>,
}

/// Slots looked at for one that can be had.
const LOOKED_AT: usize = 16;

// === impl Counts ===

impl Counts {
    /// With room for so many shapes.
    pub fn new(shapes: usize) -> Self {
        let routed = || (0..REASONS).map(|_| Counter::default()).collect();
        let slots = shapes.min(usize::from(u16::MAX) - 1) + 1;
        Self { slots: (0..slots).map(|_| Slot::default()).collect(), routed: [routed(), routed()] }
    }

    /// A statement of this shape (none: of no interest) went there for that reason.
    #[inline]
    pub fn count(&self, shape: Option<Shape>, went: Went, reason: u8) {
        self.routed[went as usize][usize::from(reason) % REASONS].add(1);
        if let Some(shape) = shape {
            let slot = self.slot(shape);
            slot.counts[went as usize].add(1);
            slot.reasons[went as usize].store(reason, Relaxed);
        }
    }

    /// It was run again elsewhere.
    pub fn replayed(&self, shape: Shape) {
        self.slot(shape).replays.add(1);
    }

    pub fn is_current(&self, shape: Shape) -> bool {
        self.slots[usize::from(shape.slot)].generation.load(Relaxed) as u16 == shape.generation
    }

    #[inline]
    fn slot(&self, shape: Shape) -> &Slot {
        if self.is_current(shape) { &self.slots[usize::from(shape.slot)] } else { &self.slots[0] }
    }

    /// What went where, in no order.
    pub fn rows(&self) -> Vec<Row> {
        let rows = |slot: &Slot| {
            let What { database, text } = slot.lock().clone();
            let replays = slot.replays.get();
            [Went::ToPrimary, Went::ToStandby].map(|went| Row {
                database: Arc::clone(&database),
                text: Arc::clone(&text),
                went,
                count: slot.counts[went as usize].get(),
                // What is run again began on a standby.
                replays: if went == Went::ToStandby { replays } else { 0 },
                reason: slot.reasons[went as usize].load(Relaxed),
            })
        };
        self.slots.iter().flat_map(rows).filter(|row| row.count > 0).collect()
    }

    /// How often a reason (by its number) sent a statement there.
    pub fn routed(&self, went: Went, reason: u8) -> u64 {
        self.routed[went as usize][usize::from(reason) % REASONS].get()
    }
}

// === impl Slot ===

impl Slot {
    fn lock(&self) -> MutexGuard<'_, What> {
        self.what.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn total(&self) -> u64 {
        self.counts[0].get() + self.counts[1].get()
    }
}

// === impl Shapes ===

impl Shapes {
    /// `counts`: of no other. `seed`: random, a secret of the process.
    pub fn new(counts: Arc<Counts>, seed: u64) -> Self {
        let texts = 4 * counts.slots.len();
        Self {
            hashing: Hashing::new(seed),
            places: HashMap::with_hasher(KeyState),
            keys: Vec::new(),
            texts: Bounded::with(texts, texts as u64, UnitWeighter, KeyState, Default::default()),
            hand: 0,
            buffer: Vec::new(),
            counts,
        }
    }

    /// The shape of a text in a database, whose name has that `salt`. `alike`: what the text has in common with its likes, by
    /// a cache of the same seed, if that is known.
    pub fn of(&mut self, text: &[u8], alike: Option<Key>, database: &Arc<str>, salt: u64) -> Shape {
        if self.counts.slots.len() == 1 {
            return Shape::default();
        }
        let text = &text[..text.len().min(outline::MAX_BYTES)];
        let exact = alike.unwrap_or_else(|| self.hashing.key(text)).under(salt);
        if let Some(shape) = self.texts.get(&exact).copied().filter(|shape| self.counts.is_current(*shape)) {
            return shape;
        }
        outline(text, &mut self.buffer);
        let key = self.hashing.key(&self.buffer).under(salt);
        let slot = match self.places.get(&key) {
            Some(slot) => *slot,
            None => self.take_place(key, database),
        };
        let generation = self.counts.slots[usize::from(slot)].generation.load(Relaxed) as u16;
        let shape = Shape { slot, generation };
        self.texts.insert(exact, shape);
        shape
    }

    fn take_place(&mut self, key: Key, database: &Arc<str>) -> u16 {
        let at = if self.keys.len() + 1 < self.counts.slots.len() {
            self.keys.push((key, 0));
            self.keys.len()
        } else {
            let at = self.unused();
            self.places.remove(&self.keys[at - 1].0);
            self.vacate(at);
            self.keys[at - 1] = (key, 0);
            at
        };
        let text = String::from_utf8_lossy(&self.buffer).into();
        *self.counts.slots[at].lock() = What { database: Arc::clone(database), text };
        // There are no more of them than fit.
        let slot = at as u16;
        self.places.insert(key, slot);
        slot
    }

    /// Of the next few slots one that was not used since the hand came by, or the least used.
    fn unused(&mut self) -> usize {
        let mut least = (u64::MAX, 1);
        for _ in 0..LOOKED_AT.min(self.keys.len()) {
            self.hand = self.hand % self.keys.len() + 1;
            let total = self.counts.slots[self.hand].total();
            if std::mem::replace(&mut self.keys[self.hand - 1].1, total) == total {
                return self.hand;
            }
            least = least.min((total, self.hand));
        }
        least.1
    }

    /// What was counted there counts among the others from now on.
    fn vacate(&self, at: usize) {
        let (slot, others) = (&self.counts.slots[at], &self.counts.slots[0]);
        for (count, other) in slot.counts.iter().zip(&others.counts) {
            other.add(count.take());
        }
        others.replays.add(slot.replays.take());
        slot.generation.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(counts: &Counts) -> Vec<(String, u64)> {
        let mut rows: Vec<_> = counts.rows().into_iter().map(|row| (row.text.to_string(), row.count)).collect();
        rows.sort();
        rows
    }

    #[test]
    fn statements_of_a_shape_count_together() {
        let mut shapes = Shapes::new(Arc::new(Counts::new(10)), 1);
        let (app, shop): (Arc<str>, Arc<str>) = ("app".into(), "shop".into());
        for n in 0..5 {
            let shape = shapes.of(format!("select {n}").as_bytes(), None, &app, 1);
            shapes.counts.count(Some(shape), Went::ToStandby, 3);
        }
        let shape = shapes.of(b"select 1", None, &shop, 2);
        shapes.counts.count(Some(shape), Went::ToPrimary, 4);
        shapes.counts.replayed(shape);
        shapes.counts.count(None, Went::ToPrimary, 4);
        let rows = shapes.counts.rows();
        let row = |database: &Arc<str>| rows.iter().find(|row| row.database == *database).unwrap();
        assert_eq!((row(&app).count, row(&app).went, row(&app).reason), (5, Went::ToStandby, 3));
        assert_eq!((row(&shop).count, row(&shop).went), (1, Went::ToPrimary));
        assert_eq!(shapes.counts.routed(Went::ToPrimary, 4), 2);
    }

    #[test]
    fn the_table_is_bounded_and_nothing_is_lost_of_the_sum() {
        let mut shapes = Shapes::new(Arc::new(Counts::new(3)), 1);
        let app: Arc<str> = "app".into();
        let often = shapes.of(b"select often", None, &app, 1);
        for n in 0..1000 {
            shapes.counts.count(Some(often), Went::ToStandby, 1);
            let rare = shapes.of(format!("select a{n}").as_bytes(), None, &app, 1);
            shapes.counts.count(Some(rare), Went::ToStandby, 1);
        }
        let rows = texts(&shapes.counts);
        assert!(rows.len() <= 4 && rows.contains(&("select often".to_owned(), 1000)), "{rows:?}");
        assert_eq!(rows.iter().map(|(_, count)| count).sum::<u64>(), 2000);
        // A place that was given away is nobody else's count.
        let first = shapes.of(b"select a0", None, &app, 1);
        for n in 0..10 {
            shapes.of(format!("select b{n}").as_bytes(), None, &app, 1);
        }
        assert!(!shapes.counts.is_current(first));
        shapes.counts.count(Some(first), Went::ToStandby, 1);
        assert_eq!(texts(&shapes.counts).iter().map(|(_, count)| count).sum::<u64>(), 2001);
        let mut none = Shapes::new(Arc::new(Counts::new(0)), 1);
        assert_eq!(none.of(b"select 1", None, &app, 1), Shape::default());
    }
}
