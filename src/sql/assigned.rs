//! Which settings a text gives which values, as far as they stand in it: `SET [LOCAL] name = value`, `set_config('name', 'value', …)`.

use super::keywords::{Verb, Words, verb};
use super::scanner::TokenKind;
use super::set;
use super::statements::Statements;

/// Names (in lower case) that begin with `prefix`, and the values they get. Values that are no constants are left out.
pub fn assigned(text: &[u8], prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let word = prefix.trim_end_matches('.').as_bytes();
    if !text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word)) {
        return found;
    }
    for statement in Statements::new(text) {
        match verb(statement) {
            Some((Verb::Set, after)) => found.extend(by_set(&statement[after..])),
            _ => by_function(statement, &mut found),
        }
    }
    found.retain(|(name, _)| name.starts_with(prefix));
    found
}

fn by_set(rest: &[u8]) -> Option<(String, String)> {
    let mut words = Words::new(rest);
    let _ = words.take("local") || words.take("session");
    let mut name = words.name()?;
    while words.take_symbol(b'.') {
        name.push('.');
        name.push_str(&words.name()?);
    }
    name.make_ascii_lowercase();
    let is_assigned = words.take("to") || words.next().is_some_and(|token| words.text_of(token) == b"=");
    if !is_assigned || words.take("default") {
        return None;
    }
    Some((name, set::element(&mut words)?))
}

fn by_function(statement: &[u8], found: &mut Vec<(String, String)>) {
    let mut words = Words::new(statement);
    while let Some(token) = words.next() {
        if !token.is_word(statement, "set_config") || !words.take_symbol(b'(') {
            continue;
        }
        let Some(mut name) = string(&mut words) else { continue };
        name.make_ascii_lowercase();
        if words.take_symbol(b',') {
            found.extend(string(&mut words).map(|value| (name, value)));
        }
    }
}

fn string(words: &mut Words<'_>) -> Option<String> {
    let kind = words.peek()?.kind;
    let is_string = matches!(kind, TokenKind::String | TokenKind::EscapeString | TokenKind::DollarString);
    is_string.then(|| set::element(words))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = assigned(text.as_bytes(), "pgherd.");
        let found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn values_are_found_wherever_they_are_given() {
        check("SET pgherd.route = 'primary'", &[("pgherd.route", "primary")]);
        check("set session PGHERD.Route to Primary;", &[("pgherd.route", "primary")]);
        check("SET LOCAL pgherd.notice = 1", &[("pgherd.notice", "1")]);
        check("SET \"pgherd.route\" = 'x'", &[("pgherd.route", "x")]);
        check("SET work_mem = 1; SET pgherd.route = x", &[("pgherd.route", "x")]);
        check(
            "SELECT pg_catalog.set_config('pgherd.min_lsn', '1:0/10', false), set_config('a.b', 'c', true)",
            &[("pgherd.min_lsn", "1:0/10")],
        );
        for text in [
            "SET pgherd.route TO DEFAULT",
            "SET pgherd.route = $1",
            "SELECT set_config('pgherd.route', $1, false)",
            "SELECT set_config($1, 'pgherd.route', false)",
            "SELECT * FROM pgherd.epoch WHERE pgherd.route = 'x'",
            "RESET pgherd.route",
            "SET pgherd",
        ] {
            check(text, &[]);
        }
    }
}
