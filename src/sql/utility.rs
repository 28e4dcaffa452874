//! All commands but queries and COPY, by their words: transaction control, session state, DDL.
//! (sqlparser misses many of their forms.)

use super::catalog::Catalog;
use super::class::{Begin, Class, Effects, Kind, Reason};
use super::keywords::{Verb, Words};
use super::{carried, ddl, set};

/// The class of a command whose text after its verb is `rest`.
pub(super) fn classify(verb: Verb, rest: &[u8]) -> Class {
    let mut words = Words::new(rest);
    let session = Class::write(Reason::SessionCommand);
    match verb {
        Verb::Begin => begin(&mut words),
        Verb::Start if words.take("transaction") => begin_modes(&mut words),
        Verb::Commit => commit(&mut words),
        Verb::Rollback => rollback(&mut words),
        Verb::Savepoint => control(Kind::Savepoint),
        Verb::Release => control(Kind::Release),
        Verb::Set => set::classify_set(&mut words),
        Verb::Reset => set::classify_reset(&mut words),
        Verb::Show => show(&mut words),
        Verb::Discard => discard(&mut words),
        Verb::Prepare if words.take("transaction") => Class::write(Reason::TransactionControl),
        Verb::Prepare => Class::write(Reason::Prepared).with_effects(Effects::SQL_PREPARE),
        Verb::Execute => Class::write(Reason::Prepared),
        Verb::Deallocate => deallocate(&mut words),
        Verb::Declare => declare(&mut words, rest),
        Verb::Cursor => Class::write(Reason::Cursor),
        Verb::Listen => session.with_effects(Effects::LISTEN),
        Verb::Unlisten => session.with_effects(Effects::UNLISTEN),
        Verb::Load => session.with_effects(Effects::LOAD),
        Verb::Procedure => Class::write(Reason::Procedure).with_effects(Effects::UNKNOWN),
        Verb::Create => Class::write(Reason::Utility).with_effects(ddl::created(&mut words)),
        Verb::Alter => Class::write(Reason::Utility).with_effects(ddl::altered(&mut words)),
        Verb::Drop => Class::write(Reason::Utility).with_effects(ddl::dropped(&mut words)),
        Verb::Import => Class::write(Reason::Utility).with_effects(Effects::DDL),
        Verb::Utility => Class::write(Reason::Utility),
        Verb::Start | Verb::Unknown => Class::write(Reason::Unparsed),
        // these are judged by their structure, elsewhere
        Verb::Query | Verb::Table | Verb::Explain | Verb::Copy | Verb::Change => Class::write(Reason::Unparsed),
    }
}

/// What `COPY relation TO STDOUT` reads.
pub(super) fn copied_relation(
    schema: Option<&str>,
    name: &str,
    against: Option<Reason>,
    catalog: &impl Catalog,
) -> Class {
    catalog.relation(schema, name).against().or(against).map_or(Class::read(), Class::write)
}

fn control(kind: Kind) -> Class {
    Class::write(Reason::TransactionControl).with_kind(kind)
}

fn begin(words: &mut Words) -> Class {
    let _ = words.take("work") || words.take("transaction");
    begin_modes(words)
}

/// `ISOLATION LEVEL …`, `READ ONLY`, `READ WRITE`, `[NOT] DEFERRABLE`, with or without commas; the last one counts.
fn begin_modes(words: &mut Words) -> Class {
    let mut begin = Begin::default();
    while !words.at_end() {
        match () {
            () if words.take_all(&["read", "only"]) => begin.read_only = Some(true),
            () if words.take_all(&["read", "write"]) => begin.read_only = Some(false),
            () if words.take_all(&["isolation", "level", "serializable"]) => begin.serializable = true,
            () if words.take_all(&["isolation", "level", "repeatable", "read"])
                || words.take_all(&["isolation", "level", "read", "committed"])
                || words.take_all(&["isolation", "level", "read", "uncommitted"]) =>
            {
                begin.serializable = false;
            }
            () if words.take_all(&["not", "deferrable"]) || words.take("deferrable") => {}
            () if words.take_symbol(b',') => {}
            () => return Class::write(Reason::Unparsed),
        }
    }
    let reason = if begin.fits_standby() { Reason::ReadOnlyTransaction } else { Reason::TransactionControl };
    Class::write(reason).with_kind(Kind::Begin(begin))
}

fn commit(words: &mut Words) -> Class {
    if words.take("prepared") {
        return Class::write(Reason::TransactionControl);
    }
    control(Kind::Commit)
}

fn rollback(words: &mut Words) -> Class {
    let _ = words.take("work") || words.take("transaction");
    if words.take("prepared") {
        return Class::write(Reason::TransactionControl);
    }
    control(if words.take("to") { Kind::RollbackTo } else { Kind::Rollback })
}

/// Settings belong to a node, but for those that belong to the session, the transaction or the database, and those that
/// were given to all nodes when the first one was made.
fn show(words: &mut Words) -> Class {
    let words_of_names = [&["time", "zone"][..], &["transaction", "isolation", "level"], &["session", "authorization"]];
    let harmless = words_of_names.iter().any(|name| words.take_all(name))
        || words.name().is_some_and(|name| carried::is_the_same(&name));
    if harmless && words.at_end() { Class::read() } else { Class::write(Reason::NodeLocal) }
}

fn discard(words: &mut Words) -> Class {
    let class = Class::write(Reason::SessionCommand).with_effects(Effects::DISCARD);
    if words.take("all") { class.with_kind(Kind::DiscardAll) } else { class }
}

fn deallocate(words: &mut Words) -> Class {
    words.take("prepare");
    Class::write(Reason::Prepared)
        .with_kind(Kind::Deallocate { all: words.take("all") })
        .with_effects(Effects::SQL_DEALLOCATE)
}

/// `DECLARE name … WITH HOLD FOR query`.
fn declare(words: &mut Words, text: &[u8]) -> Class {
    let class = Class::write(Reason::Cursor);
    while let Some(token) = words.next() {
        if token.is_word(text, "for") {
            break;
        }
        if token.is_word(text, "with") && words.take("hold") {
            return class.with_effects(Effects::HOLD_CURSOR);
        }
    }
    class
}
