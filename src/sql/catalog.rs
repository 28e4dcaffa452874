//! What is known about functions, operators and relations by their names.
//! [`BuiltIn`] knows only what every PostgreSQL has; a probed catalog can know more.

use super::class::Reason;
use super::functions;

/// Facts by name. Names come folded as PostgreSQL folds them; `schema` is `None` when the text names none: then the worst
/// of all schemas counts, so nobody needs to follow the search_path.
pub trait Catalog {
    /// Unique over databases and loads. What was classified with another version must be classified anew.
    fn version(&self) -> u64;
    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact;
    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact;
    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact;
    fn type_name(&self, schema: Option<&str>, name: &str) -> TypeFact;

    /// Whose names need to be looked for to know what leaves something behind in its session.
    fn tracing(&self) -> Tracing {
        Tracing::Nobody
    }

    /// Whether a statement that names this, and does not only read, may leave something behind in its session.
    fn leaves_traces(&self, _name: &str) -> bool {
        false
    }
}

/// What of a database's own leaves something behind in a session that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing.
    Nobody,
    /// What has one of certain names.
    Some,
    /// That is not known.
    Anybody,
}

/// A function name, all its overloads together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionFact {
    /// Reads at most, and answers the same on every node.
    Harmless,
    NodeLocal,
    /// May write, or uses the state of the session.
    Writes,
    /// One of the database's own, declared VOLATILE (or not declared at all): it may write.
    Volatile,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorFact {
    Harmless,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationFact {
    /// Nothing speaks against reading it on a standby.
    Ordinary,
    /// A view of the node's own state (`pg_stat_activity`, `pg_locks`, …).
    NodeLocal,
    /// Temporary, or possibly so: only the session's own server has it.
    Temporary,
    /// Standbys have none of its rows.
    Unlogged,
    /// What reading it does is another server's.
    Foreign,
    /// A view that reaches what may write, or what is the primary's alone.
    Writes,
    Unknown,
}

// === impl RelationFact ===

impl RelationFact {
    /// Why reading it is the primary's. `None`: it is not.
    pub fn against(self) -> Option<Reason> {
        match self {
            RelationFact::Ordinary => None,
            RelationFact::NodeLocal => Some(Reason::NodeLocal),
            RelationFact::Temporary => Some(Reason::Temporary),
            RelationFact::Unlogged => Some(Reason::Unlogged),
            RelationFact::Foreign => Some(Reason::Foreign),
            RelationFact::Writes => Some(Reason::View),
            RelationFact::Unknown => Some(Reason::UnknownRelation),
        }
    }
}

// === impl FunctionFact ===

impl FunctionFact {
    /// Why calling it is the primary's. `None`: it is not.
    pub fn against(self) -> Option<Reason> {
        match self {
            FunctionFact::Harmless => None,
            FunctionFact::NodeLocal => Some(Reason::NodeLocal),
            FunctionFact::Writes => Some(Reason::WritingFunction),
            FunctionFact::Volatile => Some(Reason::VolatileFunction),
            FunctionFact::Unknown => Some(Reason::UnknownFunction),
        }
    }
}

/// A type's name, in a cast or a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeFact {
    Harmless,
    /// It, or a cast to or from it, is bound to code that may write; or it is not known.
    Unknown,
}

/// The names of pg_catalog in PostgreSQL 15. What it does not have counts as a plain table or type: for who has said that
/// the databases are not to be asked (`routing.catalog = false`).
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn;

/// The same, but what it does not have is unknown: while a database's own catalog is not loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingKnown;

/// Views of a node's or a session's own state that `pg_stat_*` and `pg_statio_*` do not cover.
const NODE_LOCAL_VIEWS: [&str; 20] = [
    "pg_aios",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_memory_contexts",
    "pg_buffercache",
    "pg_config",
    "pg_cursors",
    "pg_dsm_registry_allocations",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_locks",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_replication_origin_status",
    "pg_replication_slots",
    "pg_sequences",
    "pg_settings",
    "pg_shmem_allocations",
    "pg_shmem_allocations_numa",
];

// === impl BuiltIn ===

impl Catalog for BuiltIn {
    fn version(&self) -> u64 {
        0
    }

    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        match schema {
            None | Some("pg_catalog") => functions::function(name),
            Some(_) => FunctionFact::Unknown,
        }
    }

    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact {
        match schema {
            None | Some("pg_catalog") if functions::is_operator(name) => OperatorFact::Harmless,
            _ => OperatorFact::Unknown,
        }
    }

    /// A relation of an unknown name counts as a table, unless it is called as PostgreSQL calls a column's sequence: a
    /// standby sees sequences ahead of their time ("CREATE SEQUENCE": values are logged in advance).
    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact {
        let local = name.starts_with("pg_stat_") || name.starts_with("pg_statio_") || NODE_LOCAL_VIEWS.contains(&name);
        let local = local || name.ends_with("_seq");
        match schema {
            Some(schema) if schema.starts_with("pg_temp") => RelationFact::Temporary,
            _ if local => RelationFact::NodeLocal,
            _ => RelationFact::Ordinary,
        }
    }

    fn type_name(&self, _: Option<&str>, _: &str) -> TypeFact {
        TypeFact::Harmless
    }
}

// === impl NothingKnown ===

impl Catalog for NothingKnown {
    fn version(&self) -> u64 {
        1
    }

    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        BuiltIn.function(schema, name)
    }

    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact {
        BuiltIn.operator(schema, name)
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact {
        match BuiltIn.relation(schema, name) {
            RelationFact::Ordinary if !is_of_postgresql(schema) => RelationFact::Unknown,
            fact => fact,
        }
    }

    fn type_name(&self, _: Option<&str>, _: &str) -> TypeFact {
        TypeFact::Harmless
    }

    fn tracing(&self) -> Tracing {
        Tracing::Anybody
    }
}

/// Named by their schema; a bare `pg_class` may be somebody's own.
fn is_of_postgresql(schema: Option<&str>) -> bool {
    matches!(schema, Some("pg_catalog" | "information_schema"))
}
