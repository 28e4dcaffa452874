//! What the catalog is told in: rows as the primary gave them, in no order.

/// All that is asked of one database. Temporary things are not among it: they are sessions' own.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// All functions and aggregates, pg_catalog's too.
    pub functions: Vec<FunctionRow>,
    /// All operators but pg_catalog's.
    pub operators: Vec<OperatorRow>,
    /// All types but arrays and the row types of relations.
    pub types: Vec<TypeRow>,
    /// Tables, views, sequences and the like, but PostgreSQL's own.
    pub relations: Vec<RelationRow>,
    /// Child and parent, by oid: partitions and inheritance.
    pub parents: Vec<(u32, u32)>,
    pub defaults: Vec<DefaultRow>,
}

#[derive(Clone, Debug, Default)]
pub struct FunctionRow {
    pub schema: String,
    pub name: String,
    /// VOLATILE; an aggregate by its support functions.
    pub is_volatile: bool,
    /// What is written of it in SQL or PL/pgSQL; each overload's.
    pub sources: Vec<String>,
    /// VOLATILE, and its source can't be read: another language, or too long.
    pub is_opaque: bool,
}

#[derive(Clone, Debug, Default)]
pub struct OperatorRow {
    pub schema: String,
    pub name: String,
    /// By its function.
    pub is_volatile: bool,
}

#[derive(Clone, Debug, Default)]
pub struct TypeRow {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// Its input function, or that of a cast to it.
    pub is_volatile: bool,
    /// Of a domain: what it is one of.
    pub base: Option<u32>,
    /// A domain's, as expressions.
    pub checks: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct RelationRow {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// `pg_class.relkind`
    pub kind: char,
    pub is_unlogged: bool,
    /// A view's query.
    pub definition: Option<String>,
    /// Of row-level security, as expressions.
    pub policies: Vec<String>,
    /// Names of the functions that its triggers call.
    pub triggers: Vec<String>,
    /// Its columns' defaults, as expressions.
    pub defaults: Vec<String>,
}

/// `ALTER ROLE … [IN DATABASE …] SET`, `ALTER DATABASE … SET`.
#[derive(Clone, Debug, Default)]
pub struct DefaultRow {
    pub of_database: bool,
    /// `None`: everybody.
    pub role: Option<String>,
    /// In lower case.
    pub setting: String,
    pub value: String,
}
