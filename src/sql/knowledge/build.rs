//! Rows → [`Knowledge`]: what a view, a policy or a domain's check does is told by the classifier, from its text.

use std::collections::HashMap;
use std::time::Instant;

use super::traces::Traces;
use super::{FunctionFact, Knowledge, OF_POSTGRESQL, RelationFact, RelationRow, Rows, TypeFact, TypeRow, Worst};
use crate::sql::catalog::{BuiltIn, Catalog, OperatorFact};
use crate::sql::class::Reason;
use crate::sql::classify::classify;

/// A longer definition of a view is not looked into.
const MAX_TEXT_BYTES: usize = 32 * 1024;

/// Views over views over views … deeper than this are not looked into.
const MAX_DEPTH: usize = 64;

pub(super) fn build(version: u64, changed_at: Option<Instant>, rows: Rows) -> Knowledge {
    let traces = Traces::of(&rows);
    let mut knowledge = Knowledge { version, changed_at, defaults: rows.defaults, traces, ..Knowledge::default() };
    for row in &rows.functions {
        let is_own = row.schema != OF_POSTGRESQL;
        let is_volatile = row.is_volatile || is_own && knowledge.traces.has(&row.name);
        let is_local = is_own && !is_volatile && knowledge.traces.is_local(&row.name);
        let fact =
            if is_local { Some(FunctionFact::NodeLocal) } else { function_fact(&row.schema, &row.name, is_volatile) };
        if let Some(fact) = fact {
            knowledge.functions.add(&row.schema, &row.name, fact);
        }
    }
    for row in &rows.operators {
        let fact = if row.is_volatile { OperatorFact::Unknown } else { OperatorFact::Harmless };
        knowledge.operators.add(&row.schema, &row.name, fact);
    }
    knowledge.add_types(&rows.types);
    knowledge.add_relations(&rows.relations, &rows.parents);
    knowledge.has_unlogged = rows.relations.iter().any(|row| row.is_unlogged);
    knowledge
}

/// `None`: one of PostgreSQL's that our own list has.
fn function_fact(schema: &str, name: &str, is_volatile: bool) -> Option<FunctionFact> {
    let is_of_postgresql = schema == OF_POSTGRESQL;
    match () {
        () if is_of_postgresql && BuiltIn.function(None, name) != FunctionFact::Unknown => None,
        () if is_volatile => Some(FunctionFact::Volatile),
        // Of a later PostgreSQL: by their names they may tell what is the node's own.
        () if is_of_postgresql && name.starts_with("pg_") => Some(FunctionFact::NodeLocal),
        () => Some(FunctionFact::Harmless),
    }
}

// === impl Knowledge ===

impl Knowledge {
    fn add_types(&mut self, rows: &[TypeRow]) {
        let fact = |is_volatile| if is_volatile { TypeFact::Unknown } else { TypeFact::Harmless };
        for row in rows {
            self.types.add(&row.schema, &row.name, fact(row.is_volatile));
        }
        let is_bad = |row: &TypeRow| row.is_volatile || row.checks.iter().any(|check| self.against(check).is_some());
        let mut bad: HashMap<u32, bool> = rows.iter().map(|row| (row.oid, is_bad(row))).collect();
        // A domain over a domain has its checks too.
        for _ in 0..MAX_DEPTH {
            let heirs = rows.iter().filter(|row| row.base.is_some_and(|base| bad.get(&base) == Some(&true)));
            let heirs: Vec<u32> = heirs.map(|row| row.oid).filter(|oid| bad.get(oid) == Some(&false)).collect();
            if heirs.is_empty() {
                break;
            }
            bad.extend(heirs.into_iter().map(|oid| (oid, true)));
        }
        for row in rows.iter().filter(|row| bad.get(&row.oid) == Some(&true)) {
            self.types.set(&row.schema, &row.name, TypeFact::Unknown);
        }
    }

    fn add_relations(&mut self, rows: &[RelationRow], parents: &[(u32, u32)]) {
        let mut facts: HashMap<u32, RelationFact> = rows.iter().map(|row| (row.oid, stored(row))).collect();
        // A query of the parent reads the children.
        for _ in 0..MAX_DEPTH {
            let mut changed = false;
            for (child, parent) in parents {
                let (Some(child), Some(known)) = (facts.get(child).copied(), facts.get(parent).copied()) else {
                    continue;
                };
                let worst = known.worst(child);
                changed |= worst != known;
                facts.insert(*parent, worst);
            }
            if !changed {
                break;
            }
        }
        let mut open = Vec::new();
        for row in rows {
            let is_open = row.definition.is_some() || !row.policies.is_empty();
            let fact = facts.get(&row.oid).copied().unwrap_or(RelationFact::Unknown);
            self.relations.add(&row.schema, &row.name, if is_open { RelationFact::Unknown } else { fact });
            if is_open {
                open.push((row, fact));
            }
        }
        self.look_into(open);
    }

    /// Views and policies, those over others when these are known.
    fn look_into(&mut self, mut open: Vec<(&RelationRow, RelationFact)>) {
        for _ in 0..MAX_DEPTH {
            let before = open.len();
            let mut told = Vec::new();
            open.retain(|(row, stored)| {
                let texts = row.definition.iter().cloned().chain(row.policies.iter().cloned());
                let fact = match texts.filter_map(|text| self.against(&text)).next() {
                    Some(Reason::UnknownRelation) => return true,
                    Some(reason) => fact_of(reason),
                    None => RelationFact::Ordinary,
                };
                told.push((*row, fact.worst(*stored)));
                false
            });
            for (row, fact) in told {
                self.relations.set(&row.schema, &row.name, fact);
            }
            if open.len() == before {
                break;
            }
        }
        for (row, _) in open {
            self.relations.set(&row.schema, &row.name, RelationFact::Writes);
        }
    }

    /// What speaks against running this query (or evaluating this expression) on a standby.
    fn against(&self, text: &str) -> Option<Reason> {
        let text = text.trim().trim_end_matches(';');
        let begins_with = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let is_query = ["select", "with", "values", "table"].into_iter().any(begins_with);
        let query = if is_query { text.to_owned() } else { format!("SELECT {text}") };
        let class = classify(query.as_bytes(), MAX_TEXT_BYTES, self);
        (!class.is_read()).then_some(class.reason)
    }
}

/// By how it is stored.
fn stored(row: &RelationRow) -> RelationFact {
    match row.kind {
        'f' => RelationFact::Foreign,
        // A standby sees it ahead of its time: values are logged before they are given away.
        'S' => RelationFact::NodeLocal,
        _ if row.is_unlogged => RelationFact::Unlogged,
        _ => RelationFact::Ordinary,
    }
}

fn fact_of(reason: Reason) -> RelationFact {
    match reason {
        Reason::NodeLocal => RelationFact::NodeLocal,
        Reason::Unlogged => RelationFact::Unlogged,
        Reason::Foreign => RelationFact::Foreign,
        _ => RelationFact::Writes,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DefaultRow, FIRST_VERSION, FunctionRow, OperatorRow};
    use super::*;

    fn function(schema: &str, name: &str, is_volatile: bool) -> FunctionRow {
        FunctionRow { schema: schema.into(), name: name.into(), is_volatile, ..FunctionRow::default() }
    }

    fn relation(oid: u32, name: &str, kind: char, definition: Option<&str>) -> RelationRow {
        let definition = definition.map(str::to_owned);
        RelationRow { oid, schema: "public".into(), name: name.into(), kind, definition, ..RelationRow::default() }
    }

    fn a_type(oid: u32, name: &str, base: Option<u32>, checks: &[&str]) -> TypeRow {
        let checks = checks.iter().map(|check| (*check).to_owned()).collect();
        TypeRow { oid, schema: "public".into(), name: name.into(), base, checks, is_volatile: false }
    }

    fn rows() -> Rows {
        let mut unlogged = relation(2, "u", 'r', None);
        unlogged.is_unlogged = true;
        let mut guarded = relation(3, "guarded", 'r', None);
        guarded.policies = vec!["(owner = public.who())".into()];
        let mut harmlessly = relation(4, "harmlessly_guarded", 'r', None);
        harmlessly.policies = vec!["(owner = CURRENT_USER)".into()];
        Rows {
            functions: vec![
                function("public", "tax", false),
                function("public", "who", true),
                function("public", "lower", true),
                function("other", "tax", false),
                function("other", "mixed", false),
                function("public", "mixed", true),
                function("pg_catalog", "nextval", true),
                function("pg_catalog", "of_a_later_version", false),
                function("pg_catalog", "pg_of_a_later_version", false),
            ],
            operators: vec![
                OperatorRow { schema: "public".into(), name: "@@@".into(), is_volatile: false },
                OperatorRow { schema: "public".into(), name: "+".into(), is_volatile: true },
            ],
            types: vec![
                a_type(1, "mood", None, &[]),
                a_type(2, "positive", None, &["((VALUE > 0))"]),
                a_type(3, "odd", None, &["((VALUE <> public.who()))"]),
                a_type(4, "odder", Some(3), &[]),
            ],
            relations: vec![
                relation(1, "t", 'r', None),
                unlogged,
                guarded,
                harmlessly,
                relation(10, "over_over", 'v', Some(" SELECT over.a FROM public.over;")),
                relation(11, "over", 'v', Some(" SELECT t.a,\n    t.b\n   FROM public.t;")),
                relation(12, "counts", 'v', Some(" SELECT nextval('public.s'::regclass) AS n;")),
                relation(13, "over_counts", 'v', Some(" SELECT counts.n FROM public.counts;")),
                relation(14, "over_u", 'v', Some(" SELECT u.a FROM public.u;")),
                relation(15, "loop", 'v', Some(" SELECT loop.a FROM public.loop;")),
                relation(16, "activity", 'v', Some(" SELECT pg_stat_activity.pid FROM pg_stat_activity;")),
                relation(17, "over_nothing", 'v', Some(" SELECT gone.a FROM public.gone;")),
                relation(20, "parent", 'p', None),
                relation(21, "child", 'p', None),
                relation(22, "foreign_grandchild", 'f', None),
                relation(23, "s", 'S', None),
                relation(24, "pg_stat_mine", 'r', None),
            ],
            parents: vec![(21, 20), (22, 21)],
            defaults: vec![
                default(false, None, "off"),
                default(true, None, "on"),
                default(false, Some("reader"), "reader's"),
                default(true, Some("reader"), "reader's here"),
            ],
        }
    }

    fn default(of_database: bool, role: Option<&str>, value: &str) -> DefaultRow {
        let (setting, role) = ("default_transaction_read_only".to_owned(), role.map(str::to_owned));
        DefaultRow { of_database, role, setting, value: value.into() }
    }

    #[test]
    fn a_name_is_the_worst_that_bears_it() {
        use FunctionFact::{Harmless, NodeLocal, Unknown, Volatile, Writes};
        let knowledge = Knowledge::new(FIRST_VERSION, None, rows());
        for (schema, name, fact) in [
            (None, "tax", Harmless),
            (None, "who", Volatile),
            (None, "lower", Volatile),
            (Some("pg_catalog"), "lower", Harmless),
            (None, "upper", Harmless),
            (None, "mixed", Volatile),
            (Some("other"), "mixed", Harmless),
            (Some("nowhere"), "mixed", Unknown),
            (None, "nextval", Writes),
            (None, "nothing", Unknown),
            (None, "of_a_later_version", Harmless),
            (None, "pg_of_a_later_version", NodeLocal),
        ] {
            assert_eq!(knowledge.function(schema, name), fact, "{schema:?}.{name}");
        }
        for (name, fact) in [
            ("@@@", OperatorFact::Harmless),
            ("+", OperatorFact::Unknown),
            ("-", OperatorFact::Harmless),
            ("###", OperatorFact::Unknown),
        ] {
            assert_eq!(knowledge.operator(None, name), fact, "{name}");
        }
        assert_eq!(knowledge.operator(Some("pg_catalog"), "+"), OperatorFact::Harmless);
    }

    #[test]
    fn views_policies_and_children_are_looked_into() {
        use RelationFact::{Foreign, NodeLocal, Ordinary, Unknown, Unlogged, Writes};
        let knowledge = Knowledge::new(FIRST_VERSION, None, rows());
        for (name, fact) in [
            ("t", Ordinary),
            ("u", Unlogged),
            ("s", NodeLocal),
            ("guarded", Writes),
            ("harmlessly_guarded", Ordinary),
            ("over", Ordinary),
            ("over_over", Ordinary),
            ("counts", Writes),
            ("over_counts", Writes),
            ("over_u", Unlogged),
            ("loop", Writes),
            ("activity", NodeLocal),
            ("over_nothing", Writes),
            ("parent", Foreign),
            ("child", Foreign),
            ("gone", Unknown),
            ("pg_class", Ordinary),
            ("pg_locks", NodeLocal),
            ("pg_stat_mine", NodeLocal),
        ] {
            assert_eq!(knowledge.relation(None, name), fact, "{name}");
        }
        assert_eq!(knowledge.relation(Some("public"), "over"), Ordinary);
        assert_eq!(knowledge.relation(Some("other"), "over"), Unknown);
        assert_eq!(knowledge.relation(Some("information_schema"), "tables"), Ordinary);
    }

    #[test]
    fn a_domain_has_the_checks_of_what_it_is_over() {
        let knowledge = Knowledge::new(FIRST_VERSION, None, rows());
        for (name, is_harmless) in
            [("mood", true), ("positive", true), ("odd", false), ("odder", false), ("t", true), ("nothing", false)]
        {
            assert_eq!(knowledge.type_name(None, name) == TypeFact::Harmless, is_harmless, "{name}");
        }
    }

    #[test]
    fn the_most_particular_default_counts() {
        let knowledge = Knowledge::new(FIRST_VERSION, None, rows());
        let default = |user| knowledge.default_of(user, "default_transaction_read_only");
        assert_eq!((default("reader"), default("anybody")), (Some("reader's here"), Some("on")));
        assert_eq!(knowledge.default_of("reader", "search_path"), None);
    }
}
