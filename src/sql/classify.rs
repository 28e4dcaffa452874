//! Text → [`Class`], without a cache.

use super::catalog::{Catalog, Tracing};
use super::class::{Class, Effects, Reason};
use super::keywords::{Verb, Words, verb};
use super::scanner::{Scanner, Token};
use super::statements::Statements;
use super::traits::Traits;
use super::{hint, own, query, utility};

/// Beyond this only the first word of a text is looked at, so that one huge text costs no pause.
const MAX_SCANNED_BYTES: usize = 1 << 20;

/// What a query's `INTO` leaves behind.
const MADE_BY_INTO: Effects = Effects::TEMP_TABLE.and(Effects::DDL);

/// The class of a text of one or several statements. A query longer than `max_bytes` is a write.
pub fn classify(text: &[u8], max_bytes: usize, catalog: &impl Catalog) -> Class {
    if text.len() > MAX_SCANNED_BYTES {
        return classify_prefix(text);
    }
    if let Some(class) = own::class(text) {
        return class;
    }
    let hint = hint::of(text);
    let mut class = Class::EMPTY;
    for statement in Statements::new(text) {
        let limits = Limits { whole_text: text.len(), max_bytes };
        class = class.and(hint::heed(hint, statement, classify_one(statement, limits, catalog)));
    }
    class
}

/// For a text of which only the beginning is at hand, or worth a look: a write that may leave anything behind,
/// unless it begins as a change of data.
pub fn classify_prefix(prefix: &[u8]) -> Class {
    match verb(prefix) {
        Some((Verb::Change, _)) => Class::write(Reason::DataChange),
        _ => Class::write(Reason::TooLong).with_effects(Effects::UNKNOWN.and(Effects::DDL)),
    }
}

#[derive(Clone, Copy)]
struct Limits {
    whole_text: usize,
    max_bytes: usize,
}

fn classify_one(statement: &[u8], limits: Limits, catalog: &impl Catalog) -> Class {
    let Some((verb, after)) = verb(statement) else { return Class::EMPTY };
    let rest = &statement[after..];
    let traits = Traits::of(statement, catalog);
    match verb {
        Verb::Query | Verb::Table => read(statement, traits, limits, catalog),
        Verb::Explain => explain(rest, limits, catalog).noting(traits.effects),
        Verb::Copy => copy(rest, traits, limits, catalog).noting(traits.effects),
        // INTO makes nothing in them: INSERT INTO temp … names a table so
        Verb::Change => {
            let unseen = if catalog.tracing() == Tracing::Anybody { Effects::CODE } else { Effects::NONE };
            Class::write(Reason::DataChange).with_effects(traits.effects.without(MADE_BY_INTO) | unseen)
        }
        _ => {
            let unmade = if runs_what_it_names(verb, rest) { MADE_BY_INTO } else { MADE_BY_INTO.and(Effects::CODE) };
            utility::classify(verb, rest).with_effects(traits.effects.without(unmade))
        }
    }
}

/// Whether a command runs code that it names, other than to define it, or to speak of it.
fn runs_what_it_names(verb: Verb, rest: &[u8]) -> bool {
    let stored = |token: Token| ["table", "materialized", "index"].iter().any(|word| token.is_word(rest, word));
    match verb {
        Verb::Declare | Verb::Prepare | Verb::Execute => true,
        // TABLE … AS, and what an index is over; past OR REPLACE, UNLOGGED, UNIQUE and the like.
        Verb::Create | Verb::Alter => Scanner::new(rest).take(3).any(stored),
        // TRUNCATE t, REFRESH MATERIALIZED VIEW v: not GRANT … ON, COMMENT ON.
        Verb::Utility => !Scanner::new(rest).any(|token| token.is_word(rest, "on")),
        _ => false,
    }
}

/// SELECT, VALUES, TABLE, WITH, `(`.
fn read(statement: &[u8], traits: Traits, limits: Limits, catalog: &impl Catalog) -> Class {
    let class = match check(statement, traits, limits, catalog) {
        Ok(()) => Class::read(),
        Err(reason) => Class::write(reason),
    };
    class.noting(traits.effects)
}

fn check(statement: &[u8], traits: Traits, limits: Limits, catalog: &impl Catalog) -> Result<(), Reason> {
    if let Some(reason) = traits.against {
        return Err(reason);
    }
    if limits.whole_text > limits.max_bytes.min(query::MAX_PARSED_BYTES) || traits.links > query::MAX_LINKS {
        return Err(Reason::TooLong);
    }
    let text = std::str::from_utf8(statement).map_err(|_| Reason::NotUtf8)?;
    query::check(text, catalog)
}

/// EXPLAIN of a statement goes where the statement itself would, ANALYZE or not.
fn explain(rest: &[u8], limits: Limits, catalog: &impl Catalog) -> Class {
    let mut words = Words::new(rest);
    let bare = words.position();
    if words.take_symbol(b'(') {
        let query =
            ["select", "with", "values", "table"].iter().any(|word| words.take(word)) || words.take_symbol(b'(');
        let start = if query || words.skip_parenthesis().is_none() { bare } else { words.position() };
        return explained(&rest[start..], limits, catalog);
    }
    while words.take("analyze") || words.take("analyse") || words.take("verbose") {}
    let start = words.position();
    explained(&rest[start..], limits, catalog)
}

fn explained(statement: &[u8], limits: Limits, catalog: &impl Catalog) -> Class {
    let Some((verb, after)) = verb(statement) else { return Class::write(Reason::Unparsed) };
    let traits = Traits::of(statement, catalog);
    match verb {
        Verb::Query | Verb::Table => read(statement, traits, limits, catalog),
        Verb::Change => Class::write(Reason::DataChange),
        Verb::Execute => Class::write(Reason::Prepared),
        // EXPLAIN ANALYZE makes the table
        Verb::Create => utility::classify(verb, &statement[after..]),
        Verb::Utility => Class::write(Reason::Utility),
        Verb::Declare => Class::write(Reason::Cursor),
        _ => Class::write(Reason::Unparsed),
    }
}

/// `COPY (query) TO STDOUT` and `COPY t TO STDOUT` read; everything else writes somewhere.
fn copy(rest: &[u8], traits: Traits, limits: Limits, catalog: &impl Catalog) -> Class {
    let mut words = Words::new(rest);
    let class = if words.take_symbol(b'(') {
        let start = words.position();
        let Some(end) = words.skip_parenthesis() else { return Class::write(Reason::Unparsed) };
        explained(&rest[start..end], limits, catalog)
    } else {
        words.take("binary");
        let Some((schema, name)) = words.qualified_name() else { return Class::write(Reason::Unparsed) };
        if words.take_symbol(b'(') && words.skip_parenthesis().is_none() {
            return Class::write(Reason::Unparsed);
        }
        utility::copied_relation(schema.as_deref(), &name, traits.against, catalog)
    };
    match () {
        () if words.take("from") => Class::write(Reason::CopyIn),
        () if words.take_all(&["to", "stdout"]) => class,
        () if words.take("to") => Class::write(Reason::CopyFile),
        () => Class::write(Reason::Unparsed),
    }
}
