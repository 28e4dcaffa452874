//! Statements against a catalog that knows more than the built-in names.

use pgherd::sql::catalog::{BuiltIn, Catalog, FunctionFact, NothingKnown, OperatorFact, RelationFact, TypeFact};
use pgherd::sql::{Access, classify};

/// A database with a table `t` and something of each other kind, named for what it is.
struct Small;

impl Catalog for Small {
    fn version(&self) -> u64 {
        100
    }

    fn function(&self, schema: Option<&str>, name: &str) -> FunctionFact {
        match (schema, name) {
            (None | Some("public"), "pure") => FunctionFact::Harmless,
            (None | Some("public"), "touch" | "substring") => FunctionFact::Volatile,
            (None | Some("public"), "shadow") => FunctionFact::Writes,
            _ => BuiltIn.function(schema, name),
        }
    }

    fn operator(&self, schema: Option<&str>, name: &str) -> OperatorFact {
        match name {
            "~~" | "*" | "<#>" => OperatorFact::Unknown,
            "###" => OperatorFact::Harmless,
            _ => BuiltIn.operator(schema, name),
        }
    }

    fn relation(&self, schema: Option<&str>, name: &str) -> RelationFact {
        match (schema, name) {
            (None | Some("public"), "t" | "T" | "pg_class") => RelationFact::Ordinary,
            (None | Some("public"), "unlogged") => RelationFact::Unlogged,
            (None | Some("public"), "foreign_table") => RelationFact::Foreign,
            (None | Some("public"), "view_that_writes") => RelationFact::Writes,
            _ => NothingKnown.relation(schema, name),
        }
    }

    fn type_name(&self, schema: Option<&str>, name: &str) -> TypeFact {
        match (schema, name) {
            (None | Some("pg_catalog"), "text" | "int4" | "int8" | "timestamptz" | "numeric") => TypeFact::Harmless,
            (None | Some("public"), "mood") => TypeFact::Harmless,
            _ => TypeFact::Unknown,
        }
    }
}

#[track_caller]
fn check(text: &str, want: &str) {
    let class = classify(text.as_bytes(), 32 * 1024, &Small);
    let got = if class.target == Access::Read { "read" } else { class.reason.as_str() };
    assert_eq!(got, want, "{text}");
}

#[test]
fn a_relation_is_what_the_catalog_says() {
    check("select * from t", "read");
    check("select * from PUBLIC.\"t\"", "read");
    check("select * from \"T\"", "read");
    check("select * from other.t", "unknown-relation");
    check("select * from nowhere", "unknown-relation");
    check("select * from t join unlogged on true", "unlogged");
    check("select (select 1 from foreign_table)", "foreign");
    check("table view_that_writes", "view");
    check("select 1 union table unlogged", "unlogged");
    check("select 1 union table t", "read");
    check("select 1 union table \"Unlogged\"", "unknown-relation");
    check("copy unlogged to stdout", "unlogged");
    check("copy (select * from view_that_writes) to stdout", "view");
    check("explain select * from nowhere", "unknown-relation");
    check("select * from pg_catalog.pg_am, information_schema.tables", "read");
    check("select * from pg_stat_activity", "node-local");
    check("select 1", "read");
}

#[test]
fn names_of_with_queries_and_aliases_are_no_relations() {
    check("with x as (select * from t) select * from x", "read");
    check("with x as (select 1) table x", "read");
    check("with x as (select 1), y as (select * from x) select * from y, x as z", "read");
    check("with x as (select 1) select * from (select * from (select * from x) a) b", "read");
    check("with x as (select 1) select 1 union (with y as (select 2) select * from x, y)", "read");
    check("with recursive x(n) as (select 1 union all select n + 1 from x where n < 5) select * from x", "read");
    check("with recursive x as (select * from y), y as (select 1) select * from x", "read");
    check("with \"X\" as (select 1) select * from \"X\"", "read");
    check("select a.b, b.* from t as a, t b", "read");
    // each sees the ones before it only
    check("with x as (select * from x) select * from x", "unknown-relation");
    check("with x as (select * from y), y as (select 1) select * from x", "unknown-relation");
    check("with unlogged as (select * from unlogged) select * from unlogged", "unlogged");
    check("with unlogged as (select 1) select * from unlogged", "read");
    check("with unlogged as (select 1) select * from public.unlogged", "unlogged");
    check("select * from (with x as (select 1) select * from x) a, x", "unknown-relation");
    check("select 1 from (with x as (select 1) select * from x) a union select 1 from x", "unknown-relation");
    check("with \"X\" as (select 1) select * from x", "unknown-relation");
    check("with x as (with y as (select 1) select * from y) select * from y", "unknown-relation");
}

#[test]
fn a_function_is_what_the_catalog_says() {
    check("select pure(a), public.pure(b) from t", "read");
    check("select * from pure(1) as p, generate_series(1, 3) g, unnest(array[1]) u", "read");
    check("select * from t, lateral pure(t.a)", "read");
    check("select touch(1)", "volatile-function");
    check("select * from touch(1)", "volatile-function");
    check("select * from t, lateral public.touch(t.a) x", "volatile-function");
    check("select * from rows from (touch(1), pure(2)) as r", "volatile-function");
    check("select * from nobodys(1)", "unknown-function");
    check("select other.pure(1)", "unknown-function");
    // a row and a dot call it as well
    check("select t.touch from t", "volatile-function");
    check("select (t).shadow from t", "writing-function");
    check("select (t.*).touch, a from t", "volatile-function");
    check("select t.a, t.nextval, t.pure, t.lower from t", "read");
    check("select touch, shadow from t", "read");
    // special syntax, but found by the search path
    check("select substring(a, 1, 2) from t", "volatile-function");
    check("select ceil(a), floor(a) from t", "read");
}

#[test]
fn an_operator_is_what_the_catalog_says() {
    check("select a ### b from t", "read");
    check("select a <#> b from t", "unknown-operator");
    check("select a like 'x' from t", "unknown-operator");
    check("select a ilike 'x' from t", "read");
    check(
        "select a in (1, 2), a between 1 and 2, a is distinct from 3, nullif(a, 1), case a when 1 then 2 end from t",
        "read",
    );
    check("select * from t", "read");
    check("select t.*, count(*), 1 from t", "read");
    check("select distinct * from t", "read");
    check("select a * b from t", "unknown-operator");
    check("select (a) * 2 from t", "unknown-operator");
}

#[test]
fn a_type_is_what_the_catalog_says() {
    check("select 'ok'::mood, cast('x' as text), '1'::int, '1'::public.mood, array['ok']::mood[]", "read");
    check("select timestamp with time zone '2020-01-01', mood 'ok'", "read");
    check("select '1'::positive", "unknown-type");
    check("select cast(a as public.positive) from t", "unknown-type");
    check("select array[1]::positive[][]", "unknown-type");
    check("select positive '1'", "unknown-type");
    check("select public.mood 'ok', 1", "read");
    check("select other.mood 'ok'", "unknown-type");
    check("select 1 + positive '1'", "unsupported-syntax");
    check("select a from t where b = any ($1::positive[])", "unknown-type");
    check("select * from json_to_record('{}') as r (a int, b positive)", "unknown-type");
    check("select * from json_to_record('{}') as r (a int, b mood)", "read");
    check("select * from xmltable('/a' passing '<a/>' columns b positive)", "unknown-type");
    // words of other dialects' grammars are names here
    check("select '1'::tinyint", "unknown-type");
    check("select 1::datetime", "unknown-type");
    check("select 'x'::other.mood", "unknown-type");
}
