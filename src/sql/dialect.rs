//! Where PostgreSQL and sqlparser differ, in tokens and in grammar.
//!
//! sqlparser lexes a few things otherwise (`X'1\'`): its tokens must agree with our scanner's before its tree is believed.

use sqlparser::tokenizer::{Token, Word};

use super::scanner::{Scanner, TokenKind};

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

/// Do both lexers see the same words, literals and punctuation? (Operators may be cut differently.)
pub(super) fn same_tokens(tokens: &[Token], text: &str) -> bool {
    let mut ours = Scanner::new(text.as_bytes()).filter(|token| token.kind != TokenKind::Operator);
    for token in tokens {
        let expected = match token {
            Token::Whitespace(_) => continue,
            Token::Word(word) if word.quote_style.is_some() => TokenKind::Quoted,
            Token::Word(word) => {
                let same = ours.next().is_some_and(|token| token.text(text.as_bytes()) == word.value.as_bytes());
                if same {
                    continue;
                }
                return false;
            }
            Token::Number(..) => TokenKind::Number,
            Token::Placeholder(name) if name.starts_with('$') => TokenKind::Param,
            Token::SingleQuotedString(_) | Token::NationalStringLiteral(_) => TokenKind::String,
            Token::EscapedStringLiteral(_) => TokenKind::EscapeString,
            Token::HexStringLiteral(_) | Token::SingleQuotedByteStringLiteral(_) => TokenKind::BitString,
            Token::UnicodeStringLiteral(_) => TokenKind::UnicodeString,
            Token::DollarQuotedString(_) => TokenKind::DollarString,
            // two symbols of ours
            Token::DoubleColon => {
                if ours.next().map(|token| token.kind) != Some(TokenKind::Symbol) {
                    return false;
                }
                TokenKind::Symbol
            }
            Token::Comma | Token::LParen | Token::RParen => TokenKind::Symbol,
            Token::Period | Token::Colon | Token::SemiColon => TokenKind::Symbol,
            Token::LBracket | Token::RBracket => TokenKind::Symbol,
            Token::LBrace | Token::RBrace | Token::Backslash => TokenKind::Symbol,
            Token::Assignment => TokenKind::Symbol,
            Token::EOF => continue,
            // operators; any literal of another dialect would leave a literal of ours unmatched
            _ => continue,
        };
        if ours.next().map(|token| token.kind) != Some(expected) {
            return false;
        }
    }
    ours.next().is_none()
}

/// What PostgreSQL's grammar has, the parser has not, and decides nothing is left out or put in other words, and white space with it. All these words
/// are reserved ("SQL Key Words"), so that without quotes they are nobody's names, unless AS or a dot stands before them.
pub(super) fn in_plainer_words(tokens: Vec<Token>) -> Vec<Token> {
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
            "only" => in_list || after(&["from", "join"]),
            "symmetric" | "asymmetric" => after(&["between"]),
            "variadic" => in_list,
            "from" => after(&["both", "leading", "trailing"]),
            "collate" => {
                skip_name(&mut tokens);
                true
            }
            constant => CONSTANTS.contains(&constant) && matches!(tokens.peek(), Some(Token::SingleQuotedString(_))),
        };
        match word.as_str() {
            _ if is_left_out => {}
            // TABLE t, which the parser takes at some places only, and without its quotes
            "table" if !after(&["as"]) && !matches!(before, Some(Token::Period)) => {
                kept.extend([Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")]);
            }
            _ => kept.push(token),
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
