//! What PostgreSQL's grammar has and the parser does not: words that decide nothing are left out before it parses. All of them
//! are reserved ("SQL Key Words"), so that without quotes they are nobody's names, unless AS or a dot stands before them.

use sqlparser::tokenizer::{Token, Word};

/// Built-in types whose constants (`inet '10.0.0.1'`) the parser takes for a name and a text.
const CONSTANTS: [&str; 22] = [
    "box",
    "bytea",
    "cidr",
    "circle",
    "inet",
    "int4range",
    "int8range",
    "json",
    "jsonb",
    "jsonpath",
    "macaddr",
    "macaddr8",
    "money",
    "numrange",
    "pg_lsn",
    "point",
    "polygon",
    "tsquery",
    "tsrange",
    "tstzrange",
    "tsvector",
    "uuid",
];

/// The tokens without white space and those words.
pub(super) fn without_what_decides_nothing(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    while let Some(token) = tokens.next() {
        let word = unquoted(&token).map(str::to_ascii_lowercase).unwrap_or_default();
        let before = kept.last();
        let after = |words: &[&str]| before.and_then(unquoted).is_some_and(|found| is_one(found, words));
        let in_list = matches!(before, Some(Token::LParen | Token::Comma));
        let is_left_out = match word.as_str() {
            "" => false,
            _ if after(&["as"]) || matches!(before, Some(Token::Period)) => false,
            "only" => in_list || after(&["from", "join", "table"]),
            "symmetric" | "asymmetric" => after(&["between"]),
            "variadic" => in_list,
            "from" => after(&["both", "leading", "trailing"]),
            "collate" => {
                skip_name(&mut tokens);
                true
            }
            constant => CONSTANTS.contains(&constant) && matches!(tokens.peek(), Some(Token::SingleQuotedString(_))),
        };
        if !is_left_out {
            kept.push(token);
        }
    }
    kept
}

/// `name` or `schema.name`.
fn skip_name(tokens: &mut std::iter::Peekable<impl Iterator<Item = Token>>) {
    tokens.next();
    while tokens.next_if(|token| *token == Token::Period).is_some() {
        tokens.next();
    }
}

fn unquoted(token: &Token) -> Option<&str> {
    match token {
        Token::Word(Word { value, quote_style: None, .. }) => Some(value),
        _ => None,
    }
}

fn is_one(word: &str, words: &[&str]) -> bool {
    words.iter().any(|one| word.eq_ignore_ascii_case(one))
}
