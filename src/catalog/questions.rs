//! What a database's catalog is asked, in SQL ("System Catalogs"), and how the answers are read. Pure.

use crate::server::query::Rows as Answer;
use crate::sql::knowledge::{DefaultRow, FunctionRow, OperatorRow, RelationRow, Rows, TypeRow};

/// Definitions come with all names in full; nobody who changes the catalog is waited for long.
pub(super) const PREPARE: &str = "SET search_path = ''; SET lock_timeout = '2s'; SET jit = off; \
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

pub(super) const FINISH: &str = "COMMIT";

/// A text that is another one when anything of what is asked below has changed. (A tuple's xmin is new with each change; what
/// belongs to temporary tables is left out.)
pub(super) const SIGNATURE: &str = "SELECT concat_ws(' ', \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_proc), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_class \
      WHERE relpersistence <> 't' AND relkind IN ('r', 'v', 'm', 'S', 'f', 'p', 'c')), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_operator), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_cast), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_rewrite), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_policy), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_inherits), \
    (SELECT concat(count(*), '/', max(g.xmin::text::bigint)) FROM pg_catalog.pg_trigger g \
      JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid WHERE c.relpersistence <> 't'), \
    (SELECT concat(count(*), '/', max(d.xmin::text::bigint)) FROM pg_catalog.pg_attrdef d \
      JOIN pg_catalog.pg_class c ON c.oid = d.adrelid WHERE c.relpersistence <> 't'), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_namespace \
      WHERE nspname NOT LIKE 'pg\\_%temp\\_%'), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_type \
      WHERE typrelid = 0 AND typcategory <> 'A'), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_constraint WHERE contypid <> 0), \
    (SELECT concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.pg_db_role_setting))";

/// An aggregate is as volatile as its support functions. Sources longer than a program is are not read.
pub(super) const FUNCTIONS: &str = "SELECT n.nspname, p.proname, \
      bool_or(p.provolatile = 'v' OR p.oid IN ( \
        SELECT a.aggfnoid FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc s ON s.oid IN (a.aggtransfn, a.aggfinalfn, \
          a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn) \
        WHERE a.aggfnoid >= 16384 AND s.provolatile = 'v')), \
      string_agg(CASE WHEN p.oid >= 16384 AND p.prokind IN ('f', 'p') AND l.lanname IN ('sql', 'plpgsql') THEN \
        CASE WHEN p.prosrc = '' THEN pg_catalog.pg_get_functiondef(p.oid) ELSE pg_catalog.left(p.prosrc, 30000) END END, E'\\x01'), \
      bool_or(p.oid >= 16384 AND p.provolatile = 'v' AND CASE l.lanname WHEN 'internal' THEN false WHEN 'c' THEN false \
        WHEN 'sql' THEN pg_catalog.length(p.prosrc) > 30000 WHEN 'plpgsql' THEN pg_catalog.length(p.prosrc) > 30000 ELSE true END) \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
      JOIN pg_catalog.pg_language l ON l.oid = p.prolang GROUP BY 1, 2";

pub(super) const OPERATORS: &str = "SELECT n.nspname, o.oprname, bool_or(p.provolatile = 'v') \
    FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
      JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode \
    WHERE n.nspname <> 'pg_catalog' GROUP BY 1, 2";

pub(super) const TYPES: &str = "SELECT t.oid, n.nspname, t.typname, \
      EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.provolatile = 'v' AND p.oid >= 16384 AND ( \
        p.oid IN (t.typinput, t.typreceive) OR p.oid IN ( \
          SELECT c.castfunc FROM pg_catalog.pg_cast c WHERE c.casttarget = t.oid))), \
      nullif(t.typbasetype, 0), \
      (SELECT string_agg(pg_catalog.pg_get_constraintdef(c.oid), E'\\x01') FROM pg_catalog.pg_constraint c \
        WHERE c.contypid = t.oid AND c.contype = 'c') \
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
    WHERE t.typcategory <> 'A' \
      AND (t.typrelid = 0 OR (SELECT r.relkind = 'c' FROM pg_catalog.pg_class r WHERE r.oid = t.typrelid))";

pub(super) const RELATIONS: &str = "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence = 'u', \
      CASE WHEN c.relkind = 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END, \
      CASE WHEN c.relrowsecurity THEN ( \
        SELECT string_agg(pg_catalog.pg_get_expr(p.polqual, p.polrelid), E'\\x01') FROM pg_catalog.pg_policy p \
        WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*')) END, \
      (SELECT string_agg(DISTINCT f.proname, E'\\x01') FROM pg_catalog.pg_trigger g \
        JOIN pg_catalog.pg_proc f ON f.oid = g.tgfoid WHERE g.tgrelid = c.oid AND NOT g.tgisinternal), \
      (SELECT string_agg(pg_catalog.pg_get_expr(d.adbin, d.adrelid), E'\\x01') FROM pg_catalog.pg_attrdef d \
        WHERE d.adrelid = c.oid) \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'v', 'm', 'S', 'f', 'p') AND c.relpersistence <> 't' \
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";

pub(super) const PARENTS: &str = "SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i \
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('r', 'f', 'p')";

pub(super) const DEFAULTS: &str = "SELECT s.setdatabase <> 0, r.rolname, lower(split_part(x, '=', 1)), \
      substr(x, strpos(x, '=') + 1) \
    FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) x \
    WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())) \
      AND (lower(split_part(x, '=', 1)) LIKE 'pgherd.%' OR lower(split_part(x, '=', 1)) IN ( \
        'default_transaction_read_only', 'default_transaction_isolation', 'search_path', 'client_encoding', \
        'standard_conforming_strings'))";

/// An answer is not what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Between several expressions of one column.
const SEPARATOR: char = '\u{1}';

pub(super) fn read_signature(answer: &Answer) -> Result<String, Unreadable> {
    match &answer[..] {
        [row] => text(row, 0),
        _ => Err(Unreadable),
    }
}

pub(super) fn read_functions(answer: Answer, rows: &mut Rows) -> Result<(), Unreadable> {
    for row in answer {
        rows.functions.push(FunctionRow {
            schema: text(&row, 0)?,
            name: text(&row, 1)?,
            is_volatile: flag(&row, 2)?,
            sources: several(&row, 3)?.into_iter().map(str::to_owned).collect(),
            is_opaque: flag(&row, 4)?,
        });
    }
    Ok(())
}

pub(super) fn read_operators(answer: Answer, rows: &mut Rows) -> Result<(), Unreadable> {
    for row in answer {
        rows.operators.push(OperatorRow { schema: text(&row, 0)?, name: text(&row, 1)?, is_volatile: flag(&row, 2)? });
    }
    Ok(())
}

pub(super) fn read_types(answer: Answer, rows: &mut Rows) -> Result<(), Unreadable> {
    for row in answer {
        let base = match maybe(&row, 4)? {
            Some(_) => Some(oid(&row, 4)?),
            None => None,
        };
        rows.types.push(TypeRow {
            oid: oid(&row, 0)?,
            schema: text(&row, 1)?,
            name: text(&row, 2)?,
            is_volatile: flag(&row, 3)?,
            base,
            checks: several(&row, 5)?.iter().map(|check| expression(check)).collect(),
        });
    }
    Ok(())
}

pub(super) fn read_relations(answer: Answer, rows: &mut Rows) -> Result<(), Unreadable> {
    for row in answer {
        rows.relations.push(RelationRow {
            oid: oid(&row, 0)?,
            schema: text(&row, 1)?,
            name: text(&row, 2)?,
            kind: text(&row, 3)?.chars().next().ok_or(Unreadable)?,
            is_unlogged: flag(&row, 4)?,
            definition: maybe(&row, 5)?.map(str::to_owned),
            policies: several(&row, 6)?.into_iter().map(str::to_owned).collect(),
            triggers: several(&row, 7)?.into_iter().map(str::to_owned).collect(),
            defaults: several(&row, 8)?.into_iter().map(str::to_owned).collect(),
        });
    }
    Ok(())
}

pub(super) fn read_parents(answer: Answer, rows: &mut Rows) -> Result<(), Unreadable> {
    for row in answer {
        rows.parents.push((oid(&row, 0)?, oid(&row, 1)?));
    }
    Ok(())
}

pub(super) fn read_defaults(answer: Answer, rows: &mut Rows) -> Result<(), Unreadable> {
    for row in answer {
        rows.defaults.push(DefaultRow {
            of_database: flag(&row, 0)?,
            role: maybe(&row, 1)?.map(str::to_owned),
            setting: text(&row, 2)?,
            value: text(&row, 3)?,
        });
    }
    Ok(())
}

/// `CHECK ((VALUE > 0)) NOT VALID` → `((VALUE > 0))`
fn expression(check: &str) -> String {
    let check = check.strip_prefix("CHECK ").unwrap_or(check);
    check.strip_suffix(" NOT VALID").unwrap_or(check).to_owned()
}

type Row = [Option<String>];

fn maybe(row: &Row, at: usize) -> Result<Option<&str>, Unreadable> {
    row.get(at).map(Option::as_deref).ok_or(Unreadable)
}

fn text(row: &Row, at: usize) -> Result<String, Unreadable> {
    maybe(row, at)?.map(str::to_owned).ok_or(Unreadable)
}

fn several(row: &Row, at: usize) -> Result<Vec<&str>, Unreadable> {
    Ok(maybe(row, at)?.map(|all| all.split(SEPARATOR).collect()).unwrap_or_default())
}

/// NULL, of an aggregate over nothing, is false.
fn flag(row: &Row, at: usize) -> Result<bool, Unreadable> {
    match maybe(row, at)? {
        Some("t") => Ok(true),
        Some("f") | None => Ok(false),
        Some(_) => Err(Unreadable),
    }
}

fn oid(row: &Row, at: usize) -> Result<u32, Unreadable> {
    maybe(row, at)?.and_then(|text| text.parse().ok()).ok_or(Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[&[Option<&str>]]) -> Answer {
        rows.iter().map(|row| row.iter().map(|value| value.map(str::to_owned)).collect()).collect()
    }

    #[test]
    fn answers_become_rows() {
        let mut rows = Rows::default();
        let check = Some("CHECK ((VALUE > 0)) NOT VALID\u{1}CHECK ((VALUE < 9))");
        let types = answer(&[&[Some("7"), Some("public"), Some("small"), Some("f"), Some("23"), check]]);
        read_types(types, &mut rows).unwrap();
        assert_eq!(rows.types[0].checks, ["((VALUE > 0))", "((VALUE < 9))"]);
        assert_eq!(rows.types[0].base, Some(23));
        let relations = answer(&[&[
            Some("8"),
            Some("public"),
            Some("v"),
            Some("v"),
            Some("f"),
            Some(" SELECT 1;"),
            None,
            Some("f\u{1}g"),
            None,
        ]]);
        read_relations(relations, &mut rows).unwrap();
        assert_eq!((rows.relations[0].kind, rows.relations[0].policies.len()), ('v', 0));
        assert_eq!(rows.relations[0].triggers, ["f", "g"]);
        assert_eq!(read_parents(answer(&[&[Some("1")]]), &mut rows), Err(Unreadable));
        assert_eq!(read_functions(answer(&[&[Some("a"), Some("b"), Some("maybe")]]), &mut rows), Err(Unreadable));
    }
}
