//! The prepared statements a client has, by its own names. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::server::prepared::StatementId;
use crate::sql::Class;
use crate::sql::shapes::Shape;

/// A statement as the client prepared it: enough to prepare it on any server, and to route it without its text.
#[derive(Clone, Debug)]
pub struct Statement {
    pub id: StatementId,
    /// Text, NUL, parameter types: the Parse message behind the name.
    pub tail: Box<[u8]>,
    pub class: Class,
    /// Of the catalog by which it has this class.
    pub version: u64,
    /// What it is counted by.
    pub shape: Option<Shape>,
}

/// Named statements, and the unnamed one.
#[derive(Default)]
pub struct Names {
    named: HashMap<Box<[u8]>, Arc<Statement>, RandomState>,
    /// Of all names and texts.
    bytes: usize,
    unnamed: Option<Class>,
    /// Of the catalog by which the unnamed statement has its class.
    unnamed_version: u64,
    unnamed_tail: Vec<u8>,
    /// What the unnamed statement is counted by.
    pub unnamed_shape: Option<Shape>,
    /// Counts the unnamed statements of this client, so that a server knows which one it has.
    unnamed_count: u64,
}

// === impl Statement ===

impl Statement {
    /// `version`: of the catalog that `class` is by. `seed`, `generation`: as for [`statement_id`].
    pub fn new(tail: &[u8], (class, version): (Class, u64), seed: u64, generation: u64) -> Self {
        Self { id: statement_id(tail, seed, generation), tail: tail.into(), class, version, shape: None }
    }

    /// The text, without its NUL.
    pub fn text(&self) -> &[u8] {
        text_of(&self.tail)
    }
}

/// Two independent 64-bit hashes: statements of the same pool with the same id are taken to be the same.
/// `seed`: a secret of the process, lest somebody makes a text with another's id.
/// `generation`: see [`crate::shared::Shared::statement_generation`].
pub fn statement_id(tail: &[u8], seed: u64, generation: u64) -> StatementId {
    use std::hash::BuildHasher;
    let hash = |seed| foldhash::quality::FixedState::with_seed(seed).hash_one((generation, tail));
    let low = hash(seed ^ 0x7067_6865_7264_0001);
    let high = hash(seed.rotate_left(32) ^ 0x7067_6865_7264_0002);
    StatementId(u128::from(high) << 64 | u128::from(low))
}

// === impl Names ===

impl Names {
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        self.named.get(known(name))
    }

    /// The class of a statement (empty: the unnamed one), told anew by `classify` if the catalog's version is another one.
    #[inline]
    pub fn class_by(&mut self, name: &[u8], version: u64, classify: impl FnOnce(&[u8]) -> Class) -> Option<Class> {
        if name.is_empty() {
            if self.unnamed_version != version && self.unnamed.is_some() {
                self.unnamed = Some(classify(text_of(&self.unnamed_tail)));
                self.unnamed_version = version;
            }
            return self.unnamed;
        }
        let statement = self.named.get_mut(known(name))?;
        if statement.version != version {
            let class = classify(statement.text());
            let statement = Arc::make_mut(statement);
            (statement.class, statement.version) = (class, version);
        }
        Some(statement.class)
    }

    /// The class of a statement (empty: the unnamed one) becomes what `class` makes of it, by that version of the catalog.
    pub fn reclassify(&mut self, name: &[u8], version: u64, class: impl FnOnce(Class) -> Class) {
        if name.is_empty() {
            self.unnamed = self.unnamed.map(class);
            self.unnamed_version = version;
        } else if let Some(statement) = self.named.get_mut(known(name)) {
            let statement = Arc::make_mut(statement);
            (statement.class, statement.version) = (class(statement.class), version);
        }
    }

    pub fn insert(&mut self, name: &[u8], statement: Arc<Statement>) {
        let name = known(name);
        self.bytes += name.len() + statement.tail.len();
        if let Some(old) = self.named.insert(name.into(), statement) {
            self.bytes -= name.len() + old.tail.len();
        }
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<Statement>> {
        let name = known(name);
        let statement = self.named.remove(name)?;
        self.bytes -= name.len() + statement.tail.len();
        Some(statement)
    }

    /// In as little room as it takes, if there is anything to keep: the count names no second statement.
    pub fn kept(mut self) -> Option<Box<Self>> {
        if self.unnamed.is_none() {
            self.unnamed_tail = Vec::new();
        }
        (!self.named.is_empty() || self.unnamed_count > 0).then(|| Box::new(self))
    }

    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Of all names and texts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// After DEALLOCATE ALL or DISCARD ALL, which leave the unnamed statement.
    pub fn clear(&mut self) {
        self.named.clear();
        self.bytes = 0;
    }

    /// Returns the count that names this unnamed statement.
    pub fn set_unnamed(&mut self, tail: &[u8], (class, version): (Class, u64)) -> u64 {
        self.unnamed_version = version;
        self.unnamed_tail.clear();
        self.unnamed_tail.extend_from_slice(tail);
        self.unnamed = Some(class);
        self.unnamed_count += 1;
        self.unnamed_count
    }

    /// PostgreSQL drops the unnamed statement at each simple Query, at a failed Parse of it, and when it is closed.
    #[inline]
    pub fn drop_unnamed(&mut self) {
        self.unnamed = None;
    }

    /// What dropped the one of this count did not happen.
    pub fn restore_unnamed(&mut self, count: u64, class: Option<Class>) {
        if self.unnamed_count == count {
            self.unnamed = class;
        }
    }

    /// Of the newest unnamed statement, dropped or not.
    pub fn unnamed_count(&self) -> u64 {
        self.unnamed_count
    }

    /// The client's name of such a statement, one of them if it has several.
    pub fn name_of(&self, is_it: impl Fn(&Statement) -> bool) -> Option<&[u8]> {
        self.named.iter().filter(|(_, statement)| is_it(statement)).map(|(name, _)| &name[..]).min()
    }

    pub fn unnamed(&self) -> Option<Unnamed<'_>> {
        let class = self.unnamed?;
        Some(Unnamed { count: self.unnamed_count, class, tail: &self.unnamed_tail })
    }
}

/// Up to the NUL.
fn text_of(tail: &[u8]) -> &[u8] {
    &tail[..memchr::memchr(0, tail).unwrap_or(tail.len())]
}

/// PostgreSQL tells statements apart by so many bytes of their names (`NAMEDATALEN` - 1).
#[inline]
pub fn known(name: &[u8]) -> &[u8] {
    &name[..name.len().min(63)]
}

#[derive(Clone, Copy)]
pub struct Unnamed<'a> {
    pub count: u64,
    pub class: Class,
    pub tail: &'a [u8],
}

// === impl Unnamed ===

impl<'a> Unnamed<'a> {
    /// The text, without its NUL.
    pub fn text(self) -> &'a [u8] {
        text_of(self.tail)
    }
}
