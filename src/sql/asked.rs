//! What a catalog was asked for a statement, and what it said: for people.

use std::cell::RefCell;
use std::fmt::Debug;

use super::catalog::{Catalog, FunctionFact, OperatorFact, RelationFact, Tracing, TypeFact};

/// Asks another catalog, and notes it.
pub struct Asked<'a, C> {
    catalog: &'a C,
    said: RefCell<Vec<String>>,
}

/// Reserved words ("SQL Key Words") with a parenthesis behind them.
const SYNTAX: [&str; 29] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "by",
    "case",
    "distinct",
    "else",
    "except",
    "exists",
    "fetch",
    "filter",
    "from",
    "having",
    "in",
    "intersect",
    "limit",
    "not",
    "offset",
    "on",
    "or",
    "over",
    "select",
    "some",
    "then",
    "union",
    "values",
    "when",
];

/// A statement can name any number of things.
const MAX_NOTED: usize = 50;

// === impl Asked ===

impl<'a, C: Catalog> Asked<'a, C> {
    pub fn new(catalog: &'a C) -> Self {
        Self { catalog, said: RefCell::default() }
    }

    /// `function public.f is volatile`, each once, in the order of the questions.
    pub fn said(self) -> Vec<String> {
        self.said.into_inner()
    }

    fn note<F: Debug>(&self, what: &str, schema: Option<&str>, name: &str, fact: F) -> F {
        let mut words = String::new();
        for c in format!("{fact:?}").chars() {
            if c.is_ascii_uppercase() && !words.is_empty() {
                words.push('-');
            }
            words.push(c.to_ascii_lowercase());
        }
        let schema = schema.map(|schema| format!("{schema}.")).unwrap_or_default();
        let line = format!("{what} {schema}{name} is {words}");
        let mut said = self.said.borrow_mut();
        if said.len() < MAX_NOTED && !said.contains(&line) {
            said.push(line);
        }
        fact
    }
}

impl<C: Catalog> Catalog for Asked<'_, C> {
    fn version(&self) -> u64 {
        self.catalog.version()
    }

    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        let fact = self.catalog.function(schema, name);
        // `IN (…)` and the like look like calls, and are asked about like them.
        if schema.is_none() && SYNTAX.contains(&name) { fact } else { self.note("function", schema, name, fact) }
    }

    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact {
        self.note("operator", schema, name, self.catalog.operator(schema, name))
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact {
        self.note("relation", schema, name, self.catalog.relation(schema, name))
    }

    fn tracing(&self) -> Tracing {
        self.catalog.tracing()
    }

    fn leaves_traces(&self, name: &str) -> bool {
        self.catalog.leaves_traces(name)
    }

    fn type_name(&self, schema: Option<&str>, name: &str) -> TypeFact {
        self.note("type", schema, name, self.catalog.type_name(schema, name))
    }
}
