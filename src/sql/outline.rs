//! A statement without what varies from call to call: what people know it by.

use super::scanner::{Scanner, TokenKind};

/// So much of a text is looked at.
pub const MAX_BYTES: usize = 512;

/// Writes `text` to `out` with `?` for each constant and parameter, white space and comments as one space; a list of
/// constants is one. Of a longer text its beginning.
pub fn outline(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let text = &text[..text.len().min(MAX_BYTES)];
    let mut at = 0;
    let mut since = Since::Start;
    // Where the parenthesis before the last constant begins, with the space ahead of it.
    let mut group = 0;
    for token in Scanner::new(text) {
        let gap = token.start > at && !out.is_empty();
        at = token.end;
        if token.is_symbol(text, b';') {
            continue;
        }
        let before = out.len();
        if gap {
            out.push(b' ');
        }
        match token.kind {
            TokenKind::Bad => {
                out.extend_from_slice("…".as_bytes());
                return;
            }
            TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted | TokenKind::Operator => {
                out.extend_from_slice(token.text(text));
                since = Since::Start;
            }
            TokenKind::Symbol => {
                out.extend_from_slice(token.text(text));
                since = match (token.text(text), since) {
                    (b",", Since::Constant(end)) => Since::Comma(end),
                    (b"(", _) => {
                        group = before;
                        Since::Opened
                    }
                    (b")", Since::Constant(_)) => {
                        // (?), (?) → (?)
                        if let Some(row) = out[..group].strip_suffix(b",")
                            && row.ends_with(b"?)")
                        {
                            out.truncate(group - 1);
                        }
                        Since::Start
                    }
                    _ => Since::Start,
                };
            }
            _ => match since {
                // ?, ? → ?
                Since::Comma(end) => {
                    out.truncate(end);
                    since = Since::Constant(end);
                }
                _ => {
                    out.push(b'?');
                    since = Since::Constant(out.len());
                }
            },
        }
    }
    if text.len() == MAX_BYTES {
        out.extend_from_slice("…".as_bytes());
    }
}

/// The last tokens, as far as a list of constants is concerned.
#[derive(Clone, Copy)]
enum Since {
    Start,
    Opened,
    /// A constant that ends there in the outline.
    Constant(usize),
    /// … and a comma.
    Comma(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        outline(text.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_varies_is_left_out() {
        check("select  a, 'x', 1.5 from t\n where b = $1 -- it\n;", "select a, ? from t where b = ?");
        check("/* x */ SELECT 1", "SELECT ?");
        check("select * from t where a in (1,2, 3) and b = $x$y$x$", "select * from t where a in (?) and b = ?");
        check("insert into t (a, b) values (1, 'x'), (2, 'y'),(3,'z')", "insert into t (a, b) values (?)");
        check("insert into t values (1, f(2)), (2, f(3))", "insert into t values (?, f(?)), (?, f(?))");
        check("select -1, a = -2", "select -?, a = -?");
        check("select 'open", "select …");
        check("", "");
        let long = format!("select '{}'", "x".repeat(600));
        check(&long, "select …");
        check(&format!("select {}", "a".repeat(600)), &format!("select {}…", "a".repeat(505)));
    }
}
