//! Which names mean a WITH query ("SELECT", WITH clause): those are no relations of the catalog.

use sqlparser::ast::{Ident, Query};

/// The WITH clauses around the point that a walk has reached.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    open: Vec<Scope>,
}

/// One query that is being walked.
#[derive(Debug)]
struct Scope {
    /// Names, as PostgreSQL folds them, and the queries they stand for.
    with: Vec<(String, Place)>,
    /// So many of the names are known here: a query of a plain WITH sees the ones before it, the body sees all.
    known: usize,
    recursive: bool,
}

/// Where a query lies in the tree: what tells two of the same text apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(usize);

// === impl Scopes ===

impl Scopes {
    pub(super) fn enter(&mut self, query: &Query) {
        if let Some(around) = self.open.last_mut() {
            around.reach(Place::of(query), 0);
        }
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        let with: Vec<_> = with.map(|cte| (folded(&cte.alias.name), Place::of(&cte.query))).collect();
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        self.open.push(Scope { known: if recursive { with.len() } else { 0 }, with, recursive });
    }

    pub(super) fn leave(&mut self, query: &Query) {
        self.open.pop();
        if let Some(around) = self.open.last_mut() {
            around.reach(Place::of(query), 1);
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.open.iter().any(|scope| scope.with[..scope.known].iter().any(|(with, _)| with == name))
    }
}

// === impl Scope ===

impl Scope {
    /// The walk begins (0) or ends (1) a query; if it is one of this WITH, that decides what is known from now on.
    fn reach(&mut self, query: Place, after: usize) {
        if self.recursive {
            return;
        }
        if let Some(at) = self.with.iter().position(|(_, place)| *place == query) {
            self.known = at + after;
        }
    }
}

// === impl Place ===

impl Place {
    fn of(query: &Query) -> Self {
        Self(std::ptr::from_ref(query).addr())
    }
}

/// As PostgreSQL folds it.
pub(super) fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}
