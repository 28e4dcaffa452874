//! What one database's catalog says, by name. Built from rows the primary gave, immutable, stamped with a version.

use super::catalog::{BuiltIn, Catalog, FunctionFact, NothingKnown, OperatorFact, RelationFact, TypeFact};

/// The first version of a loaded catalog; smaller ones are the fixed catalogs'.
pub const FIRST_VERSION: u64 = 16;

/// A database's own catalog.
#[derive(Debug, Default)]
pub struct Knowledge {
    version: u64,
}

/// What is known of a database's catalog.
#[derive(Debug)]
pub enum Known {
    /// The databases are not asked.
    BuiltIn,
    /// It is not loaded yet, or has changed since.
    Nothing,
    Loaded(Knowledge),
}

// === impl Knowledge ===

impl Knowledge {
    /// `version`: of nothing else in this process, from [`FIRST_VERSION`] on.
    pub fn new(version: u64) -> Self {
        Self { version }
    }
}

impl Catalog for Knowledge {
    fn version(&self) -> u64 {
        self.version
    }

    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        NothingKnown.function(schema, name)
    }

    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact {
        NothingKnown.operator(schema, name)
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact {
        NothingKnown.relation(schema, name)
    }

    fn type_name(&self, schema: Option<&str>, name: &str) -> TypeFact {
        NothingKnown.type_name(schema, name)
    }
}

// === impl Known ===

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

    fn type_name(&self, schema: Option<&str>, name: &str) -> TypeFact {
        match self {
            Known::BuiltIn => BuiltIn.type_name(schema, name),
            Known::Nothing => NothingKnown.type_name(schema, name),
            Known::Loaded(knowledge) => knowledge.type_name(schema, name),
        }
    }
}
