//! The console's texts, split into words: just enough SQL to understand an operator and a driver's small talk.

use crate::wire::error::{PgError, sqlstate};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// An unquoted word or a number, in lower case.
    Word(String),
    /// `"…"`, as it stands.
    Quoted(String),
    /// `'…'`, as it stands.
    Text(String),
    Symbol(char),
}

/// The statements of `text`, without comments and without the empty ones.
pub fn statements(text: &str) -> Result<Vec<Vec<Token>>, PgError> {
    let mut statements = vec![Vec::new()];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == ';' {
            statements.push(Vec::new());
            rest = &rest[1..];
        } else if c.is_whitespace() {
            rest = &rest[c.len_utf8()..];
        } else if rest.starts_with("--") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest)?;
        } else {
            let (token, tail) = token(c, rest)?;
            if let Some(statement) = statements.last_mut() {
                statement.push(token);
            }
            rest = tail;
        }
    }
    statements.retain(|statement| !statement.is_empty());
    Ok(statements)
}

// === impl Token ===

impl Token {
    /// The token as it may have been written, for messages.
    pub fn written(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Quoted(name) => format!("\"{name}\""),
            Token::Text(text) => format!("'{text}'"),
            Token::Symbol(symbol) => symbol.to_string(),
        }
    }

    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(w) if w == word)
    }
}

fn token(first: char, rest: &str) -> Result<(Token, &str), PgError> {
    match first {
        '\'' => {
            let (text, tail) = until_quote(rest, '\'').ok_or_else(|| unterminated("quoted string"))?;
            Ok((Token::Text(text), tail))
        }
        '"' => {
            let (name, tail) = until_quote(rest, '"').ok_or_else(|| unterminated("quoted identifier"))?;
            Ok((Token::Quoted(name), tail))
        }
        c if is_word_character(c) => {
            let end = rest.find(|c| !is_word_character(c)).unwrap_or(rest.len());
            Ok((Token::Word(rest[..end].to_ascii_lowercase()), &rest[end..]))
        }
        c => Ok((Token::Symbol(c), &rest[c.len_utf8()..])),
    }
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What stands between `quote`s (a doubled one is one), and the rest.
fn until_quote(rest: &str, quote: char) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            content.push(c);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Some((content, &rest[at + 1..]));
        }
    }
    None
}

/// The text after a comment, which may hold comments.
fn after_comment(rest: &str) -> Result<&str, PgError> {
    let (mut depth, mut at) = (0, 0);
    let bytes = rest.as_bytes();
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (b'/', b'*') => (depth, at) = (depth + 1, at + 2),
            (b'*', b'/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Ok(&rest[at..]);
        }
    }
    Err(unterminated("/* comment"))
}

fn unterminated(what: &str) -> PgError {
    PgError::error(sqlstate::SYNTAX_ERROR, format!("unterminated {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Vec<Vec<String>> {
        let statements = statements(text).unwrap();
        statements.iter().map(|tokens| tokens.iter().map(Token::written).collect()).collect()
    }

    #[test]
    fn comments_and_empty_statements_vanish() {
        assert_eq!(written(" ;; -- x\n"), Vec::<Vec<String>>::new());
        assert_eq!(written("/* a /* b */ c */Show POOLS;--end"), [["show", "pools"]]);
        assert_eq!(written("a;b c;"), [vec!["a"], vec!["b", "c"]]);
    }

    #[test]
    fn quotes_keep_what_they_hold() {
        assert_eq!(written("set x='a;''b'"), [["set", "x", "=", "'a;'b'"]]);
        assert_eq!(written("\"A;\"\"\""), [["\"A;\"\""]]);
        assert_eq!(written("'é'—"), [["'é'", "—"]]);
    }

    #[test]
    fn what_never_ends_is_an_error() {
        for text in ["'a", "\"a", "/* /* */", "'", "/*"] {
            assert_eq!(statements(text).unwrap_err().sqlstate, "42601", "{text}");
        }
    }
}
