//! What CREATE, ALTER and DROP leave behind: a temporary object of the session, another catalog, neither.

use super::class::Effects;
use super::keywords::Words;

/// Kinds of objects that no read is judged by.
const IRRELEVANT: [&str; 16] = [
    "database",
    "default",
    "event",
    "group",
    "language",
    "large",
    "publication",
    "role",
    "server",
    "statistics",
    "subscription",
    "system",
    "tablespace",
    "text",
    "unique",
    "user",
];

/// After CREATE.
pub(super) fn created(words: &mut Words) -> Effects {
    words.take_all(&["or", "replace"]);
    let _ = words.take("global") || words.take("local");
    if words.take("temp") || words.take("temporary") {
        return Effects::TEMP_TABLE;
    }
    let catalog = if words.take("index") || is_irrelevant(words) { Effects::NONE } else { Effects::DDL };
    match temporary(words) {
        Temporary::Not => catalog,
        Temporary::Named => Effects::TEMP_TABLE,
        Temporary::Mentioned => catalog | Effects::TEMP_TABLE,
    }
}

/// After DROP. What is gone can't be read, so a relation may be dropped unheard of; most that are dropped day by day are
/// temporary, and their names do not tell.
pub(super) fn dropped(words: &mut Words) -> Effects {
    let is_relation = ["table", "view", "index", "sequence"].iter().any(|kind| words.take(kind));
    if is_relation { Effects::NONE } else { altered(words) }
}

/// After ALTER. (ALTER INDEX … RENAME takes a table as well.)
pub(super) fn altered(words: &mut Words) -> Effects {
    if is_irrelevant(words) || temporary(words) == Temporary::Named { Effects::NONE } else { Effects::DDL }
}

fn is_irrelevant(words: &mut Words) -> bool {
    IRRELEVANT.iter().any(|kind| words.take(kind))
}

/// Where `pg_temp.` stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Temporary {
    Not,
    /// It is the schema of the one object that the statement is about.
    Named,
    /// Somewhere.
    Mentioned,
}

fn temporary(words: &mut Words) -> Temporary {
    let (mut found, mut in_name) = (Temporary::Not, true);
    while let Some(token) = words.next() {
        let text = words.text_of(token);
        if (text.eq_ignore_ascii_case(b"pg_temp") || text == b"\"pg_temp\"") && words.take_symbol(b'.') {
            let named = in_name && found == Temporary::Not;
            found = if named { Temporary::Named } else { Temporary::Mentioned };
            in_name = false;
        } else if text == b"," && found == Temporary::Named {
            // a list of names, or of columns: nobody looks closer
            found = Temporary::Mentioned;
        } else if text == b"(" || text == b"," {
            in_name = false;
            if found == Temporary::Named {
                return found;
            }
        } else if [&b"as"[..], b"on", b"from", b"to", b"of"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
            in_name = false;
        }
    }
    found
}
