//! Statements that the proxy answers out of what it knows: `EXPLAIN ROUTE …`, `SHOW pgherd.…`. PostgreSQL would refuse the
//! first, and most of the second, so nothing is lost.

use super::class::{Class, Kind, Own, Reason};
use super::keywords::{Verb, Words, verb};
use super::scanner::{Scanner, TokenKind};
use super::statements::Statements;

/// The class of a text that is such a statement.
pub(super) fn class(text: &[u8]) -> Option<Class> {
    let (verb, after) = verb(text)?;
    let own = match verb {
        Verb::Explain if Words::new(&text[after..]).take("route") => {
            explained(text)?;
            Own::ExplainRoute
        }
        Verb::Show if shown(text)? == "last_lsn" => {
            return Some(of(Class::write(Reason::SessionCommand), Own::LastLsn));
        }
        Verb::Show => Own::Setting,
        _ => return None,
    };
    Some(of(Class::read(), own))
}

fn of(class: Class, own: Own) -> Class {
    class.with_kind(Kind::Own(own))
}

/// The statement that `EXPLAIN ROUTE` asks about, with the comments at both ends of the text.
pub fn explained(text: &[u8]) -> Option<Vec<u8>> {
    let mut tokens = Scanner::new(text).skip_while(|token| token.is_symbol(text, b';'));
    let (explain, route) = (tokens.next()?, tokens.next()?);
    if !explain.is_word(text, "explain") || !route.is_word(text, "route") {
        return None;
    }
    let asked = text[route.end..].trim_ascii_start();
    if Scanner::new(asked).next().is_none() || Statements::new(asked).nth(1).is_some() {
        return None;
    }
    Some([&text[..explain.start], asked].concat())
}

/// `x` of `SHOW pgherd.x`, in lower case.
pub fn shown(text: &[u8]) -> Option<String> {
    let (_, after) = verb(text).filter(|(verb, _)| *verb == Verb::Show)?;
    let mut words = Words::new(&text[after..]);
    let mut name = words.name()?;
    while words.take_symbol(b'.') {
        name.push('.');
        name.push_str(&words.name()?);
    }
    name.make_ascii_lowercase();
    let known = ["last_lsn", "route", "consistency", "min_lsn", "notice"];
    let name = name.strip_prefix("pgherd.").filter(|name| known.contains(name))?;
    words.at_end().then(|| name.to_owned())
}

/// The highest `$n` of a text; 0: none.
pub fn highest_parameter(text: &[u8]) -> usize {
    let number = |raw: &[u8]| std::str::from_utf8(&raw[1..]).ok().and_then(|digits| digits.parse().ok());
    let parameters = Scanner::new(text).filter(|token| token.kind == TokenKind::Param);
    parameters.filter_map(|token| number(token.text(text))).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_told_from_what_is_postgresqls() {
        let own = |text: &str| class(text.as_bytes()).map(|class| class.kind);
        for text in
            ["EXPLAIN ROUTE SELECT 1", " explain /* x */ route insert into t values ($1);", "explain route begin"]
        {
            assert_eq!(own(text), Some(Kind::Own(Own::ExplainRoute)), "{text}");
        }
        assert_eq!(own("show pgherd.last_lsn"), Some(Kind::Own(Own::LastLsn)));
        assert_eq!(own("SHOW \"pgherd.route\";"), Some(Kind::Own(Own::Setting)));
        for text in [
            "EXPLAIN SELECT 1",
            "EXPLAIN ROUTE",
            "EXPLAIN ROUTE SELECT 1; SELECT 2",
            "EXPLAIN (ROUTE) SELECT 1",
            "SHOW pgherd.x",
            "SHOW work_mem",
            "SHOW pgherd.route; SELECT 1",
            "SELECT 1",
            "",
        ] {
            assert_eq!(own(text), None, "{text}");
        }
    }

    #[test]
    fn the_statement_asked_about_keeps_its_hints() {
        let asked = |text: &str| explained(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(asked("EXPLAIN ROUTE SELECT 1;").as_deref(), Some("SELECT 1;"));
        let hinted = "/* pgherd: standby */ EXPLAIN ROUTE SELECT f() /* x */";
        assert_eq!(asked(hinted).as_deref(), Some("/* pgherd: standby */ SELECT f() /* x */"));
        assert_eq!(highest_parameter(b"select $2, '$9', $1"), 2);
    }
}
