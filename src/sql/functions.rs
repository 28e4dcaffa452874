//! The functions and operators every PostgreSQL has, from the lists that `functions.sql` makes.

use std::cmp::Ordering;

use super::catalog::FunctionFact;

/// `name mark` lines, sorted by bytes.
const FUNCTIONS: &str = include_str!("functions.txt");
const OPERATORS: &str = include_str!("operators.txt");

/// What the grammar itself calls, but for functions of pg_catalog.
const GRAMMAR: [&str; 39] = [
    "all",
    "any",
    "array",
    "coalesce",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "exists",
    "greatest",
    "grouping",
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_value",
    "least",
    "localtime",
    "localtimestamp",
    "nullif",
    "row",
    "some",
    "system_user",
    "treat",
    "trim",
    "user",
    "xmlconcat",
    "xmlelement",
    "xmlforest",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
];

/// A function of pg_catalog, or of the grammar.
pub(super) fn function(name: &str) -> FunctionFact {
    match find(FUNCTIONS, name) {
        Some(b"r") => FunctionFact::Harmless,
        Some(b"l") => FunctionFact::NodeLocal,
        Some(_) => FunctionFact::Writes,
        // later versions have more of them
        None if name.starts_with("pg_stat_get_") => FunctionFact::NodeLocal,
        None if name.starts_with("pg_stat_reset") => FunctionFact::Writes,
        None if GRAMMAR.binary_search(&name).is_ok() => FunctionFact::Harmless,
        None => FunctionFact::Unknown,
    }
}

pub(super) fn is_operator(name: &str) -> bool {
    find(OPERATORS, name).is_some()
}

/// The line of a sorted list whose first word is `name`: what stands behind the word.
/// A binary search over the bytes of the list itself: nothing to build, nothing to keep.
fn find(list: &'static str, name: &str) -> Option<&'static [u8]> {
    let list = list.as_bytes();
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let start = list[..middle].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let end = list[middle..].iter().position(|b| *b == b'\n').map_or(list.len(), |at| middle + at);
        let line = &list[start..end];
        let split = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
        match line[..split].cmp(name.as_bytes()) {
            Ordering::Equal => return Some(line.get(split + 1..).unwrap_or_default()),
            Ordering::Less => low = end + 1,
            Ordering::Greater => high = start,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_lists_is_found_and_no_other() {
        for line in FUNCTIONS.lines() {
            let (name, mark) = line.split_once(' ').unwrap();
            assert_eq!(find(FUNCTIONS, name), Some(mark.as_bytes()), "{name}");
            assert!(matches!(mark, "r" | "l" | "w"), "{line}");
            assert_eq!(find(FUNCTIONS, &format!("{name}~")), None);
            assert_eq!(find(FUNCTIONS, &format!("!{name}")), None);
        }
        assert!(OPERATORS.lines().all(is_operator));
        assert!(!is_operator("###") && !is_operator("") && !is_operator("~~~~"));
        assert_eq!(find(FUNCTIONS, ""), None);
        assert!(GRAMMAR.is_sorted());
    }

    #[test]
    fn marks_are_as_meant() {
        use FunctionFact::{Harmless, NodeLocal, Unknown, Writes};
        for (name, fact) in [
            ("lower", Harmless),
            ("count", Harmless),
            ("now", Harmless),
            ("random", Harmless),
            ("coalesce", Harmless),
            ("pg_get_viewdef", Harmless),
            ("inet_same_family", Harmless),
            ("nextval", Writes),
            ("currval", Writes),
            ("set_config", Writes),
            ("pg_advisory_xact_lock", Writes),
            ("txid_current", Writes),
            ("query_to_xml", Writes),
            ("ts_stat", Writes),
            ("lo_get", Writes),
            ("pg_export_snapshot", Writes),
            ("pg_is_in_recovery", NodeLocal),
            ("pg_backend_pid", NodeLocal),
            ("inet_server_addr", NodeLocal),
            ("pg_stat_get_activity", NodeLocal),
            ("pg_relation_size", NodeLocal),
            ("pg_walfile_name", NodeLocal),
            ("pg_stat_get_io", NodeLocal),
            ("pg_stat_reset_backend_stats", Writes),
            ("table_to_xml", Writes),
            ("json_value", Harmless),
            ("uuidv7", Harmless),
            ("current_setting", NodeLocal),
            ("my_function", Unknown),
            ("dblink", Unknown),
            ("NEXTVAL", Unknown),
        ] {
            assert_eq!(function(name), fact, "{name}");
        }
    }
}
