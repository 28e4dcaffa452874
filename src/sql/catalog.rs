//! What is known about functions, operators and relations by their names.
//! [`BuiltIn`] knows only what every PostgreSQL has; a probed catalog can know more.

use super::functions;

/// Facts by name. Names come folded as PostgreSQL folds them; `schema` is `None` when the text names none.
pub trait Catalog {
    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact;
    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact;
    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact;
}

/// A function name, all its overloads together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionFact {
    /// Reads at most, and answers the same on every node.
    Harmless,
    NodeLocal,
    /// May write, or uses the state of the session.
    Writes,
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
}

/// The names of pg_catalog in PostgreSQL 15.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltIn;

/// Views of a node's or a session's own state that `pg_stat_*` and `pg_statio_*` do not cover.
const NODE_LOCAL_VIEWS: [&str; 19] = [
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
];

// === impl BuiltIn ===

impl Catalog for BuiltIn {
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

    /// A relation of an unknown name counts as a table.
    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact {
        let local = name.starts_with("pg_stat_") || name.starts_with("pg_statio_") || NODE_LOCAL_VIEWS.contains(&name);
        match schema {
            Some(schema) if schema.starts_with("pg_temp") => RelationFact::Temporary,
            _ if local => RelationFact::NodeLocal,
            _ => RelationFact::Ordinary,
        }
    }
}
