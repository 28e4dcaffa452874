//! What one database's catalog says, by name. Built from rows the primary gave, immutable, stamped with a version.
//!
//! A name means the worst of all that bear it, over all schemas and overloads: so neither the search_path nor the types of
//! arguments need to be followed, and any doubt sends a statement to the primary.

mod build;
mod rows;
mod source;
mod traces;

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::catalog::{BuiltIn, Catalog, FunctionFact, NothingKnown, OperatorFact, RelationFact, Tracing, TypeFact};

use traces::Traces;

pub use rows::{DefaultRow, FunctionRow, OperatorRow, RelationRow, Rows, TypeRow};

/// The first version of a loaded catalog; smaller ones are the fixed catalogs'.
pub const FIRST_VERSION: u64 = 16;

/// A database's own catalog.
#[derive(Debug, Default)]
pub struct Knowledge {
    version: u64,
    /// When it was seen to have changed last: a standby that had not caught up to then may know another one.
    changed_at: Option<Instant>,
    functions: ByName<FunctionFact>,
    operators: ByName<OperatorFact>,
    types: ByName<TypeFact>,
    relations: ByName<RelationFact>,
    has_unlogged: bool,
    defaults: Vec<DefaultRow>,
    traces: Traces,
}

/// What is known of a database's catalog.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each database, behind an Arc")]
pub enum Known {
    /// The databases are not asked.
    BuiltIn,
    /// It is not loaded yet, or has changed since.
    Nothing,
    Loaded(Knowledge),
}

/// Facts by name, each name's by schema.
#[derive(Debug)]
struct ByName<F>(HashMap<Box<str>, Vec<(Box<str>, F)>>);

/// Facts of which one is worse than the other.
trait Worst: Copy {
    fn rank(self) -> u8;

    fn worst(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }
}

const OF_POSTGRESQL: &str = "pg_catalog";

// === impl Knowledge ===

impl Knowledge {
    /// `version`: of nothing else in this process, from [`FIRST_VERSION`] on.
    pub fn new(version: u64, changed_at: Option<Instant>, rows: Rows) -> Self {
        build::build(version, changed_at, rows)
    }

    pub fn changed_at(&self) -> Option<Instant> {
        self.changed_at
    }

    /// What a setting is for `user` when its session begins, by `ALTER ROLE` and `ALTER DATABASE`; the most particular one
    /// counts ("Setting Parameters"). Only settings that matter to routing are known.
    pub fn default_of(&self, user: &str, setting: &str) -> Option<&str> {
        let holds = |row: &&DefaultRow| row.setting == setting && row.role.as_deref().is_none_or(|role| role == user);
        let particular = |row: &&DefaultRow| (row.role.is_some(), row.of_database);
        self.defaults.iter().filter(holds).max_by_key(particular).map(|row| row.value.as_str())
    }

    /// How many functions, operators, types and relations.
    pub fn counts(&self) -> [usize; 4] {
        [self.functions.len(), self.operators.len(), self.types.len(), self.relations.len()]
    }
}

impl Catalog for Knowledge {
    fn version(&self) -> u64 {
        self.version
    }

    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        let own = self.functions.get(schema, name);
        match (own, BuiltIn.function(schema, name)) {
            (Some(own), FunctionFact::Unknown) => own,
            (Some(own), built_in) => own.worst(built_in),
            (None, built_in) => built_in,
        }
    }

    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact {
        self.operators.get(schema, name).unwrap_or_else(|| BuiltIn.operator(schema, name))
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact {
        match (self.relations.get(schema, name), NothingKnown.relation(schema, name)) {
            (Some(own), RelationFact::Unknown | RelationFact::Ordinary) => own,
            // Somebody's own relation with the name of one of PostgreSQL's.
            (Some(own), built_in) => own.worst(built_in),
            // Nobody's own: so it is PostgreSQL's, or there is none.
            (None, RelationFact::Unknown) if schema.is_none() && name.starts_with("pg_") => RelationFact::Ordinary,
            (None, built_in) => built_in,
        }
    }

    fn tracing(&self) -> Tracing {
        if self.traces.are_none() { Tracing::Nobody } else { Tracing::Some }
    }

    fn leaves_traces(&self, name: &str) -> bool {
        self.traces.has(name)
    }

    fn type_name(&self, schema: Option<&str>, name: &str) -> TypeFact {
        let row_type = || self.relations.get(schema, name).map(|_| TypeFact::Harmless);
        self.types.get(schema, name).or_else(row_type).unwrap_or(TypeFact::Unknown)
    }
}

// === impl ByName ===

impl<F> Default for ByName<F> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<F: Worst> ByName<F> {
    /// Beside what it has.
    fn add(&mut self, schema: &str, name: &str, fact: F) {
        let facts = match self.0.get_mut(name) {
            Some(facts) => facts,
            None => self.0.entry(name.into()).or_default(),
        };
        match facts.iter_mut().find(|(of, _)| **of == *schema) {
            Some((_, known)) => *known = known.worst(fact),
            None => facts.push((schema.into(), fact)),
        }
    }

    /// In place of what it has.
    fn set(&mut self, schema: &str, name: &str, fact: F) {
        let facts = self.0.get_mut(name).into_iter().flatten();
        facts.filter(|(of, _)| **of == *schema).for_each(|(_, known)| *known = fact);
    }

    fn get(&self, schema: Option<&str>, name: &str) -> Option<F> {
        let facts = self.0.get(name)?.iter().filter(|(of, _)| schema.is_none_or(|schema| schema == &**of));
        facts.map(|(_, fact)| *fact).reduce(Worst::worst)
    }

    fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

impl Worst for FunctionFact {
    fn rank(self) -> u8 {
        match self {
            FunctionFact::Harmless => 0,
            FunctionFact::NodeLocal => 1,
            FunctionFact::Volatile => 2,
            FunctionFact::Writes => 3,
            FunctionFact::Unknown => 4,
        }
    }
}

impl Worst for OperatorFact {
    fn rank(self) -> u8 {
        u8::from(self == OperatorFact::Unknown)
    }
}

impl Worst for TypeFact {
    fn rank(self) -> u8 {
        u8::from(self == TypeFact::Unknown)
    }
}

impl Worst for RelationFact {
    fn rank(self) -> u8 {
        match self {
            RelationFact::Ordinary => 0,
            RelationFact::NodeLocal => 1,
            RelationFact::Foreign => 2,
            RelationFact::Unlogged => 3,
            RelationFact::Writes => 4,
            RelationFact::Temporary => 5,
            RelationFact::Unknown => 6,
        }
    }
}

// === impl Known ===

impl Known {
    /// When the catalog was seen to have changed last, if it was.
    #[inline]
    pub fn changed_at(&self) -> Option<Instant> {
        match self {
            Known::BuiltIn | Known::Nothing => None,
            Known::Loaded(knowledge) => knowledge.changed_at,
        }
    }

    /// Whether there are tables that standbys do not have.
    pub fn has_unlogged(&self) -> bool {
        matches!(self, Known::Loaded(knowledge) if knowledge.has_unlogged)
    }

    /// Those of a user, each setting (its name in lower case) once.
    pub fn defaults_of(&self, user: &str) -> Vec<(String, String)> {
        let Known::Loaded(knowledge) = self else { return Vec::new() };
        let settings: BTreeSet<&str> = knowledge.defaults.iter().map(|row| row.setting.as_str()).collect();
        let of_user = |name| Some((name, knowledge.default_of(user, name)?));
        settings.into_iter().filter_map(of_user).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Custom settings that the database's code sets, as far as their names can be seen; and whether it may set others.
    pub fn settings_of_code(&self) -> (&[String], bool) {
        match self {
            Known::BuiltIn => (&[], false),
            Known::Nothing => (&[], true),
            Known::Loaded(knowledge) => (&knowledge.traces.settings, knowledge.traces.hides),
        }
    }
}

impl Catalog for Known {
    fn version(&self) -> u64 {
        match self {
            Known::BuiltIn => BuiltIn.version(),
            Known::Nothing => NothingKnown.version(),
            Known::Loaded(knowledge) => knowledge.version(),
        }
    }

    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        match self {
            Known::BuiltIn => BuiltIn.function(schema, name),
            Known::Nothing => NothingKnown.function(schema, name),
            Known::Loaded(knowledge) => knowledge.function(schema, name),
        }
    }

    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact {
        match self {
            Known::BuiltIn => BuiltIn.operator(schema, name),
            Known::Nothing => NothingKnown.operator(schema, name),
            Known::Loaded(knowledge) => knowledge.operator(schema, name),
        }
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact {
        match self {
            Known::BuiltIn => BuiltIn.relation(schema, name),
            Known::Nothing => NothingKnown.relation(schema, name),
            Known::Loaded(knowledge) => knowledge.relation(schema, name),
        }
    }

    fn tracing(&self) -> Tracing {
        match self {
            Known::BuiltIn => BuiltIn.tracing(),
            Known::Nothing => NothingKnown.tracing(),
            Known::Loaded(knowledge) => knowledge.tracing(),
        }
    }

    fn leaves_traces(&self, name: &str) -> bool {
        match self {
            Known::BuiltIn | Known::Nothing => false,
            Known::Loaded(knowledge) => knowledge.leaves_traces(name),
        }
    }

    fn type_name(&self, schema: Option<&str>, name: &str) -> TypeFact {
        match self {
            Known::BuiltIn => BuiltIn.type_name(schema, name),
            Known::Nothing => NothingKnown.type_name(schema, name),
            Known::Loaded(knowledge) => knowledge.type_name(schema, name),
        }
    }
}
