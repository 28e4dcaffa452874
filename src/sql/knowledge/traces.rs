//! Who may leave something behind in a session: functions by their source, tables by their triggers and defaults, views by
//! what they call, and whoever names one of these.

use std::collections::{HashMap, HashSet};

use super::source::Source;
use super::{FunctionFact, RelationFact, Rows};
use crate::sql::catalog::{BuiltIn, Catalog};

/// By name, over all schemas.
#[derive(Debug, Default)]
pub(super) struct Traces {
    names: HashSet<Box<str>>,
    /// Functions that tell what is the node's own, though they do not say so.
    local: HashSet<Box<str>>,
    /// Custom settings that they set.
    pub settings: Vec<String>,
    /// They may set others.
    pub hides: bool,
}

/// A function or a relation, and what it names.
struct Node<'a> {
    name: &'a str,
    names: Vec<String>,
}

/// Functions that call functions that call … deeper than this are not looked into.
const MAX_DEPTH: usize = 64;

// === impl Traces ===

impl Traces {
    pub(super) fn of(rows: &Rows) -> Self {
        let mut traces = Self::default();
        let mut nodes = Vec::new();
        for row in &rows.functions {
            if row.is_opaque {
                traces.names.insert(row.name.as_str().into());
                traces.hides = true;
            }
            for source in row.sources.iter().map(|source| Source::read(source)) {
                traces.note(&row.name, &source, row.is_volatile);
                nodes.push(Node { name: &row.name, names: source.names });
            }
        }
        for row in &rows.relations {
            let mut names = row.triggers.clone();
            for text in row.defaults.iter().chain(&row.definition) {
                names.extend(Source::read(text).names);
            }
            nodes.push(Node { name: &row.name, names });
        }
        let by_oid: HashMap<u32, &str> = rows.relations.iter().map(|row| (row.oid, row.name.as_str())).collect();
        for (child, parent) in &rows.parents {
            if let (Some(child), Some(parent)) = (by_oid.get(child), by_oid.get(parent)) {
                nodes.push(Node { name: parent, names: vec![(*child).to_owned()] });
            }
        }
        spread(&mut traces.names, &nodes);
        spread(&mut traces.local, &nodes);
        traces
    }

    fn note(&mut self, name: &str, source: &Source, is_volatile: bool) {
        if source.leaves || is_volatile && source.may_leave {
            self.names.insert(name.into());
            self.settings.extend(source.settings.iter().cloned());
            self.hides |= source.hides;
        }
        // Settings are carried along; few ask for the node's own.
        if source.names.iter().any(|name| name != "current_setting" && is_local(name)) {
            self.local.insert(name.into());
        }
    }

    pub(super) fn are_none(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn is_local(&self, name: &str) -> bool {
        self.local.contains(name)
    }
}

fn is_local(name: &str) -> bool {
    BuiltIn.function(None, name) == FunctionFact::NodeLocal || BuiltIn.relation(None, name) == RelationFact::NodeLocal
}

/// Whoever names one of them is one of them.
fn spread(found: &mut HashSet<Box<str>>, nodes: &[Node]) {
    for _ in 0..MAX_DEPTH {
        let before = found.len();
        for node in nodes {
            if !found.contains(node.name) && node.names.iter().any(|name| found.contains(name.as_str())) {
                found.insert(node.name.into());
            }
        }
        if found.len() == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FunctionRow, RelationRow};
    use super::*;

    fn function(name: &str, is_volatile: bool, source: &str) -> FunctionRow {
        let (name, sources) = (name.to_owned(), vec![source.to_owned()]);
        FunctionRow { schema: "public".into(), name, is_volatile, sources, is_opaque: false }
    }

    fn relation(oid: u32, name: &str) -> RelationRow {
        RelationRow { oid, schema: "public".into(), name: name.into(), kind: 'r', ..RelationRow::default() }
    }

    #[test]
    fn whoever_reaches_what_leaves_traces_leaves_them() {
        let mut triggered = relation(1, "triggered");
        triggered.triggers = vec!["outer".into()];
        let mut defaulted = relation(2, "defaulted");
        defaulted.defaults = vec!["public.inner(1)".into()];
        let mut view = relation(3, "view");
        view.definition = Some(" SELECT public.inner(1) AS inner;".into());
        let rows = Rows {
            functions: vec![
                function("outer", true, "BEGIN PERFORM inner(1); RETURN NEW; END"),
                function("inner", true, "BEGIN PERFORM set_config('app.a', 'x', false); RETURN 1; END"),
                function("writes", true, "BEGIN INSERT INTO parent VALUES (1); END"),
                function("harmless", true, "BEGIN INSERT INTO plain VALUES (1); END"),
                function("dynamic", false, "BEGIN RETURN QUERY EXECUTE a; END"),
                function("locks", false, "SELECT pg_advisory_lock(1)"),
                function("tells", false, "SELECT pg_is_in_recovery()"),
                function("passes_on", false, "SELECT tells()"),
                function("tenant", false, "SELECT current_setting('app.a')"),
                FunctionRow { is_opaque: true, ..function("opaque", true, "") },
            ],
            relations: vec![triggered, defaulted, view, relation(4, "parent"), relation(5, "plain")],
            parents: vec![(1, 4)],
            ..Rows::default()
        };
        let traces = Traces::of(&rows);
        for name in ["outer", "inner", "writes", "locks", "opaque", "triggered", "defaulted", "view", "parent"] {
            assert!(traces.has(name), "{name}");
        }
        for name in ["harmless", "dynamic", "tells", "tenant", "plain"] {
            assert!(!traces.has(name), "{name}");
        }
        assert_eq!(traces.settings, ["app.a"]);
        assert!(traces.is_local("tells") && traces.is_local("passes_on") && !traces.is_local("tenant"));
        assert!(traces.hides && !traces.are_none());
    }
}
