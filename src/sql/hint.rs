//! `/* pgherd: primary */`, `/* pgherd: standby */`: where the author of a statement wants it.
//!
//! A hint stands in a comment ahead of the text's first word or behind its last, alone or among a comment's
//! comma-separated parts (`/* app:shop,pgherd:primary */`), as ORMs and sqlcommenter (`pgherd='primary'`) write them.

use super::class::{Class, Kind, Reason};
use super::keywords::{Verb, verb};
use super::scanner::{Scanner, is_space};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hint {
    /// On the primary, though it only reads.
    Primary = 1,
    /// On a standby, for it only reads, whatever it looks like.
    Standby = 2,
}

/// The hint of a text. Of several the one that wants the primary counts; what is no hint of ours is a comment.
pub fn of(text: &[u8]) -> Option<Hint> {
    if !may_have_one(text) {
        return None;
    }
    let start = Scanner::new(text).next().map_or(text.len(), |token| token.start);
    // A text that only has comments (an open one too) is no statement.
    let end = Scanner::new(text).filter(|token| !token.is_symbol(text, b';')).last()?.end;
    let (ahead, behind) = (in_comments(&text[..start]), in_comments(&text[end..]));
    match (ahead, behind) {
        (Some(Hint::Primary), _) | (_, Some(Hint::Primary)) => Some(Hint::Primary),
        (ahead, behind) => ahead.or(behind),
    }
}

/// What becomes of one statement's class by the hint. Never turns a change of data, a command, or what must stay with the
/// session into a read; never takes back that a standby has refused it.
pub fn heed(hint: Option<Hint>, statement: &[u8], class: Class) -> Class {
    match hint {
        Some(Hint::Primary) if class.fits_standby() => Class { reason: Reason::Hint, ..class.on_primary() },
        // pgherd.route = standby would take it for a read
        Some(Hint::Primary) if class.may_only_read() => Class { reason: Reason::HintInDoubt, ..class },
        Some(Hint::Standby) if class.is_read() && class.kind != Kind::Empty => Class { reason: Reason::Hint, ..class },
        Some(Hint::Standby) if class.may_only_read() && is_query(statement) => {
            Class { reason: Reason::Claimed, ..class.on_standby() }
        }
        _ => class,
    }
}

fn is_query(statement: &[u8]) -> bool {
    matches!(verb(statement), Some((Verb::Query | Verb::Table | Verb::Explain | Verb::Copy | Verb::Show, _)))
}

/// Cheap: most texts have no comment at either end. (One ahead of the first word may be behind a line of `--`.)
#[inline]
fn may_have_one(text: &[u8]) -> bool {
    let starts = matches!(text.iter().find(|b| !is_space(**b)), Some(b'/' | b'-'));
    let ends = || text.iter().rev().find(|b| !is_space(**b) && **b != b';') == Some(&b'/');
    starts || ends()
}

/// Between tokens there are only white space, comments and `;`.
fn in_comments(mut gap: &[u8]) -> Option<Hint> {
    let mut found = None;
    while let Some(at) = memchr::memchr2(b'/', b'-', gap) {
        if gap[at] == b'-' {
            let length = memchr::memchr2(b'\n', b'\r', &gap[at..])?;
            gap = &gap[at + length..];
            continue;
        }
        let body = &gap[(at + 2).min(gap.len())..];
        let end = memchr::memmem::find(body, b"*/")?;
        match body[..end].split(|b| *b == b',').find_map(part) {
            Some(Hint::Primary) => return Some(Hint::Primary),
            hint => found = found.or(hint),
        }
        gap = &body[end + 2..];
    }
    found
}

/// `pgherd: primary`, `pgherd='standby'`, in any case of letters.
fn part(part: &[u8]) -> Option<Hint> {
    let rest = part.trim_ascii();
    let rest = rest.get(..6).filter(|name| name.eq_ignore_ascii_case(b"pgherd")).map(|_| rest[6..].trim_ascii())?;
    let value = rest.strip_prefix(b":").or(rest.strip_prefix(b"="))?.trim_ascii();
    let value = value.strip_prefix(b"'").and_then(|value| value.strip_suffix(b"'")).unwrap_or(value);
    match () {
        () if value.eq_ignore_ascii_case(b"primary") => Some(Hint::Primary),
        () if value.eq_ignore_ascii_case(b"standby") => Some(Hint::Standby),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::BuiltIn;
    use crate::sql::classify;

    #[test]
    fn a_hint_stands_at_either_end() {
        for text in [
            "/* pgherd: primary */ select 1",
            "  /*PGHERD:Primary*/select 1",
            "select 1 /* pgherd: primary */",
            "select 1; /* pgherd = primary */ ;\n",
            "/* app:shop,pgherd:primary,action:x */ select 1",
            "select 1 /*action='x',pgherd='primary'*/",
            "-- a line\n/* a comment */ /* pgherd: primary */ -- another\n select 1",
            "/* pgherd: standby */ select 1 /* pgherd: primary */",
        ] {
            assert_eq!(of(text.as_bytes()), Some(Hint::Primary), "{text}");
        }
        assert_eq!(of(b"/* pgherd: standby */ select 1"), Some(Hint::Standby));
        for text in [
            "",
            "select 1",
            "/* pgherd: primary */",
            "select /* pgherd: primary */ 1",
            "select 1 -- /* pgherd: primary */",
            "-- /* pgherd: primary */\nselect 1 /* x */",
            "select '/* pgherd: primary */'",
            "/* pgherd: secondary */ select 1",
            "/* pgherd primary */ select 1",
            "/* my pgherd: primary */ select 1",
            "/* pgherd: primary select 1",
            "/",
            "-/",
        ] {
            assert_eq!(of(text.as_bytes()), None, "{text}");
        }
    }

    #[track_caller]
    fn check(text: &str, reads: bool, reason: Reason) {
        let class = classify(text.as_bytes(), 1000, &BuiltIn);
        assert_eq!((class.is_read(), class.reason), (reads, reason), "{text}");
    }

    #[test]
    fn a_read_is_kept_on_the_primary() {
        check("/* pgherd: primary */ select 1", false, Reason::Hint);
        check("/* pgherd: primary */ select 1; select 2", false, Reason::Hint);
        check("/* pgherd: primary */ select 1; insert into t values (1)", false, Reason::DataChange);
        check("/* pgherd: primary */ select my_function(1)", false, Reason::HintInDoubt);
        check("/* pgherd: primary */ insert into t values (1)", false, Reason::DataChange);
        check("/* pgherd: primary */ begin read only", false, Reason::Hint);
        check("/* pgherd: primary */ ;", true, Reason::Empty);
    }

    #[test]
    fn what_looks_like_a_write_is_believed_to_read_unless_it_says_that_it_writes() {
        check("/* pgherd: standby */ select 1", true, Reason::Hint);
        check("/* pgherd: standby */ select my_function(1)", true, Reason::Claimed);
        check("select * from pg_stat_activity /* pgherd: standby */", true, Reason::Claimed);
        check("/* pgherd: standby */ select my_function(1); select 1", true, Reason::Claimed);
        check("/* pgherd: standby */ select 1; select my_function(1)", true, Reason::Claimed);
        for (text, reason) in [
            ("insert into t values (1)", Reason::DataChange),
            ("with x as (delete from t returning 1) select * from x", Reason::DataChange),
            ("select nextval('s')", Reason::WritingFunction),
            ("select my_function(1); delete from t", Reason::DataChange),
            ("select * from t for update", Reason::RowLock),
            ("create table t (a int)", Reason::Utility),
            ("begin read write", Reason::TransactionControl),
            ("set work_mem = 1", Reason::SessionCommand),
            ("call p()", Reason::Procedure),
            ("listen x", Reason::SessionCommand),
            ("copy t from stdin", Reason::CopyIn),
            ("frobnicate", Reason::Unparsed),
        ] {
            check(&format!("/* pgherd: standby */ {text}"), false, reason);
        }
    }
}
