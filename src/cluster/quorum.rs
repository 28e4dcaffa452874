//! `synchronous_standby_names`: who must have a write before the primary acknowledges it, and so how many of them must be
//! cut off it before it can acknowledge none. (PostgreSQL docs, "Synchronous Replication".)

use std::fmt;

/// Every acknowledged write was flushed by at least `needed` of `names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    pub needed: usize,
    /// As the standbys call themselves (`application_name`), in lower case.
    pub names: Vec<String>,
}

// === impl Quorum ===

impl Quorum {
    /// `None`: empty (nothing is waited for), or it can't be told who is waited for (`*`).
    pub fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text)?;
        let words: Vec<&str> = tokens.iter().map(String::as_str).collect();
        let (needed, names) = match words.as_slice() {
            [method, count, "(", names @ .., ")"]
                if method.eq_ignore_ascii_case("any") || method.eq_ignore_ascii_case("first") =>
            {
                (count.parse().ok()?, names)
            }
            [count, "(", names @ .., ")"] => (count.parse().ok()?, names),
            names => (1, names),
        };
        let mut list: Vec<String> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match (index % 2, *name) {
                (1, ",") => {}
                (0, "*" | "," | "(" | ")") | (1, _) => return None,
                (_, name) => list.push(name.to_lowercase()),
            }
        }
        list.sort_unstable();
        list.dedup();
        (needed >= 1 && needed <= list.len()).then_some(Self { needed, names: list })
    }

    /// So many of them, cut off the primary, leave it too few to acknowledge anything; and one of them has every
    /// acknowledged write.
    pub fn to_revoke(&self) -> usize {
        self.names.len() - self.needed + 1
    }

    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "any {} of {}", self.needed, self.names.join(", "))
    }
}

/// `ANY`, `2`, `(`, `a`, `,` … ; quotes removed. `None`: a quote is not closed.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, tail) = match first {
            '(' | ')' | ',' => (first.to_string(), &rest[1..]),
            '"' => quoted(&rest[1..])?,
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "(),\"".contains(c)).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        tokens.push(token);
        rest = tail.trim_start();
    }
    Some(tokens)
}

/// A doubled quote is one.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut name, mut rest) = (String::new(), text);
    loop {
        let (before, after) = rest.split_once('"')?;
        name += before;
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgresql_accepts_is_read() {
        let cases = [
            ("ANY 1 (pg2, pg3)", Some((1, "pg2,pg3", 2))),
            ("any 2(a,b,c)", Some((2, "a,b,c", 2))),
            ("FIRST 2 (\"pg-2\", \"a\"\"b\", c)", Some((2, "a\"b,c,pg-2", 2))),
            ("2 (a, b)", Some((2, "a,b", 1))),
            ("pg2", Some((1, "pg2", 1))),
            ("Pg2, PG3", Some((1, "pg2,pg3", 2))),
            ("", None),
            ("*", None),
            ("ANY 1 (*)", None),
            ("ANY 3 (a, b)", None),
            ("ANY 0 (a)", None),
            ("\"a", None),
            ("a b", None),
        ];
        for (text, expected) in cases {
            let quorum = Quorum::parse(text);
            let got = quorum.as_ref().map(|q| (q.needed, q.names.join(","), q.to_revoke()));
            assert_eq!(got, expected.map(|(k, names, m)| (k, names.to_owned(), m)), "{text}");
        }
    }
}
