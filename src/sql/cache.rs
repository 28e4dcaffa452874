//! The bounded memory of classes, one per worker.

use quick_cache::UnitWeighter;
use quick_cache::unsync::Cache as Bounded;

use super::catalog::{Catalog, Tracing};
use super::class::{Class, Reason};
use super::classify::classify;
use super::fingerprint::{Hashing, Key, KeyState, skeleton};
use super::keywords::{Verb, verb};
use super::scanner::{Scanner, Token};

/// Remembers the class of texts: first by the exact text, then by the text without its literals.
///
/// Changes of data, transaction control and other commands are told by their words and never kept.
pub struct Cache {
    /// With what each text has in common with its likes. Only texts that were met before, unless they have no skeleton: one that
    /// holds its values as literals is hardly met again, and would drive out those that are.
    exact: Bounded<Key, (Class, Key), UnitWeighter, KeyState>,
    skeletons: Bounded<Key, Class, UnitWeighter, KeyState>,
    met: Met,
    /// What was found out about texts and skeletons taken for reads, whatever version of the catalog they are by.
    learnt: Bounded<Key, Class, UnitWeighter, KeyState>,
    /// First statements of transactions that read, and wrote later.
    writers: Bounded<Key, (), UnitWeighter, KeyState>,
    hashing: Hashing,
    max_bytes: usize,
    /// Scratch for a skeleton.
    buffer: Vec<u8>,
}

/// What is told of a text.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub class: Class,
    /// Of the catalog that it is by.
    pub version: u64,
    /// What it has in common with texts that differ in literals, white space and comments only. None: nobody has looked.
    pub alike: Option<Key>,
}

// === impl Cache ===

impl Cache {
    /// At most `entries` texts and as many skeletons; a query longer than `max_bytes` counts as a write.
    /// `seed`: random, a secret of the process.
    pub fn new(entries: usize, max_bytes: usize, seed: u64) -> Self {
        let entries = entries.max(1);
        let (exact, skeletons, learnt, writers) =
            (bounded(entries), bounded(entries), bounded(entries), bounded(entries));
        let (met, hashing) = (Met::new(entries), Hashing::new(seed));
        Self { exact, skeletons, met, learnt, writers, hashing, max_bytes, buffer: Vec::new() }
    }

    /// The class of a Query's or a Parse's text (without its final NUL), as `catalog` has it. Classes of other versions of
    /// the catalog are not found any more, and make room in time.
    pub fn classify(&mut self, text: &[u8], catalog: &impl Catalog) -> Class {
        self.tell(text, catalog).class
    }

    /// The same, and what is found on the way.
    pub fn tell(&mut self, text: &[u8], catalog: &impl Catalog) -> Told {
        let (class, alike) = match verb(text) {
            None if Scanner::new(text).next().is_none() => (Class::EMPTY, None),
            Some((Verb::Change, after)) if catalog.tracing() == Tracing::Nobody && is_plain_change(&text[after..]) => {
                (Class::write(Reason::DataChange), None)
            }
            Some((Verb::Query | Verb::Table | Verb::Explain | Verb::Copy, _)) if text.len() <= self.max_bytes => {
                let (class, alike) = self.query(text, catalog);
                (class, Some(alike))
            }
            _ => (self.classify_anew(text, catalog), None),
        };
        Told { class, version: catalog.version(), alike }
    }

    /// From now on this text, and each of the same skeleton, has this class wherever it would be a read: something was found
    /// out about it.
    pub fn learn(&mut self, text: &[u8], class: Class, catalog: &impl Catalog) {
        if text.len() > self.max_bytes {
            return;
        }
        let version = catalog.version();
        let key = self.hashing.key(text);
        self.learnt.insert(key, class);
        let mut alike = key;
        if skeleton(text, &mut self.buffer) {
            alike = self.hashing.key(&self.buffer);
            self.learnt.insert(alike, class);
            self.skeletons.insert(alike.under(version), class);
        }
        self.exact.insert(key.under(version), (class, alike));
    }

    /// What was learnt of this text was wrong.
    pub fn unlearn(&mut self, text: &[u8], catalog: &impl Catalog) {
        let version = catalog.version();
        let key = self.hashing.key(text);
        let mut forget = |key: Key| {
            self.learnt.remove(&key);
            self.exact.remove(&key.under(version));
            self.skeletons.remove(&key.under(version));
        };
        forget(key);
        if skeleton(text, &mut self.buffer) {
            forget(self.hashing.key(&self.buffer));
        }
    }

    /// A transaction that began with this text, or one of the same skeleton, has written.
    pub fn learn_writer(&mut self, text: &[u8]) {
        let key = self.shape(text);
        self.writers.insert(key, ());
    }

    /// Whether one has.
    pub fn begins_writer(&mut self, text: &[u8]) -> bool {
        if self.writers.is_empty() {
            return false;
        }
        let key = self.shape(text);
        self.writers.get(&key).is_some()
    }

    fn shape(&mut self, text: &[u8]) -> Key {
        let is_skeleton = text.len() <= self.max_bytes && skeleton(text, &mut self.buffer);
        self.hashing.key(if is_skeleton { &self.buffer } else { text })
    }

    /// Not found: told by the text, and by what was learnt of it.
    fn classify_anew(&mut self, text: &[u8], catalog: &impl Catalog) -> Class {
        let class = classify(text, self.max_bytes, catalog);
        // What is in doubt may be tried on a standby as well (pgherd.route).
        let may_be_tried = class.is_read() || class.may_only_read();
        if !may_be_tried || self.learnt.is_empty() || text.len() > self.max_bytes {
            return class;
        }
        let learnt = self.learnt.get(&self.hashing.key(text)).copied();
        learnt
            .or_else(|| match skeleton(text, &mut self.buffer) {
                true => self.learnt.get(&self.hashing.key(&self.buffer)).copied(),
                false => None,
            })
            .unwrap_or(class)
    }

    /// With the key of its skeleton; of the text, if it has none.
    fn query(&mut self, text: &[u8], catalog: &impl Catalog) -> (Class, Key) {
        let version = catalog.version();
        let whole = self.hashing.key(text);
        let exact = whole.under(version);
        if let Some(told) = self.exact.get(&exact) {
            return *told;
        }
        if !skeleton(text, &mut self.buffer) {
            let told = (self.classify_anew(text, catalog), whole);
            self.exact.insert(exact, told);
            return told;
        }
        let alike = self.hashing.key(&self.buffer);
        let key = alike.under(version);
        let class = match self.skeletons.get(&key) {
            Some(class) => *class,
            None => {
                let class = self.classify_anew(text, catalog);
                if !is_for_this_text_only(class.reason) {
                    self.skeletons.insert(key, class);
                }
                class
            }
        };
        if self.met.again(exact) {
            self.exact.insert(exact, (class, alike));
        }
        (class, alike)
    }
}

/// Texts that were met lately: one place for each, which the next of the same place takes. Half of the key is enough, since
/// nothing is decided by it.
struct Met {
    places: Box<[u64]>,
}

// === impl Met ===

impl Met {
    fn new(entries: usize) -> Self {
        Self { places: vec![0; entries.clamp(1, MAX_MET).next_power_of_two()].into_boxed_slice() }
    }

    /// Whether it was met before, and not forgotten since. Now it was.
    #[inline]
    fn again(&mut self, key: Key) -> bool {
        let (place, half) = key.place(self.places.len());
        std::mem::replace(&mut self.places[place], half) == half
    }
}

/// More texts are not kept in mind.
const MAX_MET: usize = 4096;

fn bounded<V>(entries: usize) -> Bounded<Key, V, UnitWeighter, KeyState> {
    Bounded::with(entries, entries as u64, UnitWeighter, KeyState, Default::default())
}

/// A verdict that says nothing about texts of the same skeleton.
fn is_for_this_text_only(reason: Reason) -> bool {
    matches!(reason, Reason::TooLong | Reason::NotUtf8)
}

/// After INSERT, UPDATE, DELETE or MERGE: surely one statement without session effects, told without scanning it.
fn is_plain_change(rest: &[u8]) -> bool {
    let mut from = 0;
    while let Some(found) = memchr::memchr2(b';', b'_', &rest[from..]) {
        let at = from + found;
        if rest[at] == b';' {
            return Scanner::new(&rest[at..]).all(|token: Token| token.is_symbol(&rest[at..], b';'));
        }
        // pg_advisory_lock, pg_try_advisory_lock, set_config
        let word = rest[at + 1..].get(..6);
        if word.is_some_and(|w| w.eq_ignore_ascii_case(b"adviso") || w.eq_ignore_ascii_case(b"config")) {
            return false;
        }
        from = at + 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::BuiltIn;
    use crate::sql::{Access, Effects, Kind};

    #[test]
    fn a_literal_never_changes_what_is_remembered() {
        let mut cache = Cache::new(16, 1000, 1);
        for text in ["select a from t where b = 1", "select a from t where b = 2", "select a from t where b = 1"] {
            assert!(cache.classify(text.as_bytes(), &BuiltIn).is_read());
        }
        // One text was met twice.
        assert_eq!((cache.exact.len(), cache.skeletons.len()), (1, 1));
        for last in ["true", "false", "'t'"] {
            let class = cache.classify(format!("select set_config('a', 'b', {last})").as_bytes(), &BuiltIn);
            assert_eq!(class.effects.contains(Effects::SET_CONFIG), last != "true", "{last}");
            assert_eq!(class.target, Access::Write);
        }
    }

    #[test]
    fn an_odd_literal_does_not_spoil_its_likes() {
        let mut cache = Cache::new(16, 1 << 20, 1);
        let long = format!("select '{}'", "x".repeat(40_000));
        for odd in [
            &b"select '\xe9'"[..],
            b"select '\\'",
            b"select E'a'\n'b\\''",
            long.as_bytes(),
            b"select 1_000",
            b"select X'\\'",
        ] {
            cache.classify(odd, &BuiltIn);
        }
        for plain in ["select 'a'", "select E'a'", "select 1", "select X'1F'"] {
            assert!(cache.classify(plain.as_bytes(), &BuiltIn).is_read(), "{plain}");
        }
    }

    #[test]
    fn what_was_learnt_outlives_the_catalog_s_versions_until_it_is_unlearnt() {
        let catalog = |version| crate::sql::knowledge::Knowledge::new(version, None, Default::default());
        let mut cache = Cache::new(16, 1000, 1);
        let class = Class::write(Reason::RefusedByStandby);
        let copy = "copy (select 1) to stdout";
        cache.learn(b"select 1", class, &catalog(5));
        cache.learn(copy.as_bytes(), class, &catalog(5));
        for version in [5, 6] {
            for text in ["select 1", "select 2", copy] {
                assert_eq!(cache.classify(text.as_bytes(), &catalog(version)), class, "{text}");
            }
            assert!(cache.classify(b"select 1, 1", &catalog(version)).is_read());
        }
        cache.unlearn(b"select 1", &catalog(6));
        for text in ["select 1", "select 3"] {
            assert!(cache.classify(text.as_bytes(), &catalog(6)).is_read(), "{text}");
        }
        assert_eq!(cache.classify(copy.as_bytes(), &catalog(6)), class);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut cache = Cache::new(10, 1000, 1);
        for n in 0..1000 {
            cache.classify(format!("select a{n} from t").as_bytes(), &BuiltIn);
        }
        assert!(cache.exact.len() <= 10 && cache.skeletons.len() <= 10);
    }

    #[test]
    fn changes_are_told_without_a_scan_unless_something_hides_in_them() {
        let mut cache = Cache::new(10, 20, 1);
        for text in ["insert into t values ('a;b')", "update some_table set x = 1 ; -- done", "delete from t;;"] {
            assert_eq!(cache.classify(text.as_bytes(), &BuiltIn), Class::write(Reason::DataChange), "{text}");
        }
        let class = cache.classify(b"insert into t select PG_Advisory_Lock(1)", &BuiltIn);
        assert_eq!(class.effects, Effects::ADVISORY_LOCK);
        let class = cache.classify(b"insert into t values (1); listen x", &BuiltIn);
        assert_eq!((class.kind, class.effects), (Kind::Several, Effects::LISTEN));
        let class = cache.classify(b"insert into t values (1); commit", &BuiltIn);
        assert_eq!(class.kind, Kind::Mixed);
        assert_eq!(cache.classify(b"select 1 from a_table_too_long", &BuiltIn).reason, Reason::TooLong);
        assert_eq!(cache.exact.len(), 0);
    }

    #[test]
    fn an_unterminated_comment_is_not_empty() {
        let mut cache = Cache::new(10, 1000, 1);
        assert_eq!(cache.classify(b" ; -- x\n /* y */", &BuiltIn), Class::EMPTY);
        assert!(!cache.classify(b" /* y ", &BuiltIn).is_read());
    }
}
