//! What holds for each statement of the corpora, however it is written and wherever it stands.

use pgherd::sql::catalog::BuiltIn;
use pgherd::sql::scanner::{Scanner, Token, TokenKind};
use pgherd::sql::statements::Statements;
use pgherd::sql::{Class, Kind, Reason, classify};

use super::corpus::{Case, cases};

fn class_of(text: &str) -> Class {
    classify(text.as_bytes(), 1 << 20, &BuiltIn)
}

#[test]
fn a_comment_between_any_two_tokens_changes_nothing() {
    for case in cases() {
        let text = case.text.as_bytes();
        let tokens: Vec<Token> = Scanner::new(text).collect();
        if tokens.iter().any(|token| token.kind == TokenKind::Bad) {
            continue;
        }
        let mut commented = String::new();
        for (at, token) in tokens.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| tokens[before]);
            if before.is_some_and(|before| !is_one_mark(before, *token, text)) {
                commented.push_str(" /* ; delete from 't */ -- \"\n ");
            } else if token.kind != TokenKind::Symbol && token.kind != TokenKind::Operator {
                commented.push(' ');
            }
            commented.push_str(std::str::from_utf8(token.text(text)).unwrap());
        }
        assert_eq!(class_of(&commented), class_of(&case.text), "{}: {commented}", case.at);
    }
}

/// `::` and `:=` are two tokens of ours; a text that ends must not go on in the next line's.
fn is_one_mark(before: Token, token: Token, text: &[u8]) -> bool {
    let is_text =
        |token: Token| matches!(token.kind, TokenKind::String | TokenKind::EscapeString | TokenKind::BitString);
    before.is_symbol(text, b':') && before.end == token.start || is_text(before) && is_text(token)
}

#[test]
fn what_is_no_read_is_none_inside_of_another_query_either() {
    let wrappers = [
        ("select * from (", ") as inner_query"),
        ("select 1 where exists (", ")"),
        ("with inner_query as (", ") select * from inner_query"),
        ("with a as (select 1), b as materialized (", ") select 1 from a"),
        ("explain analyze ", ""),
        ("copy (", ") to stdout"),
        ("select 1; ", ""),
        ("(", ") union select 1"),
        ("select array(", ")"),
        ("select case when 1 = (", ") then 1 end"),
        ("select * from t, lateral (", ") x order by 1 limit 5"),
    ];
    let mut wrapped = 0;
    // what is not understood may be a harmless one
    let is_known = |class: Class| !matches!(class.reason, Reason::Unparsed | Reason::UnsupportedSyntax);
    for case in queries().filter(|case| !class_of(&case.text).is_read() && is_known(class_of(&case.text))) {
        for (before, after) in wrappers {
            let text = format!("{before}{}\n{after}", case.text.trim_end_matches([' ', ';']));
            assert!(!class_of(&text).is_read(), "{}: {text}", case.at);
            wrapped += 1;
        }
    }
    assert!(wrapped > 3_000, "{wrapped}");
}

#[test]
fn what_is_a_read_stays_one_inside_of_another_query() {
    let wrappers = [
        ("select * from (", ") as inner_query"),
        ("with inner_query as (", ") select * from inner_query"),
        ("explain ", ""),
        ("copy (", ") to stdout"),
        ("select 1; ", ""),
    ];
    let (mut wrapped, mut unparsed) = (0, 0);
    for case in queries().filter(|case| class_of(&case.text).is_read()) {
        for (before, after) in wrappers {
            let text = format!("{before}{}\n{after}", case.text.trim_end_matches([' ', ';']));
            let class = class_of(&text);
            wrapped += 1;
            unparsed += usize::from(class.reason == Reason::Unparsed);
            assert!(class.is_read() || class.reason == Reason::Unparsed, "{}: {:?}: {text}", case.at, class.reason);
        }
    }
    assert!(wrapped > 1_500 && unparsed < 5, "{unparsed} of {wrapped}");
}

/// Single queries; a comment may hide what is put behind one.
fn queries() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| {
        let mut tokens = Scanner::new(case.text.as_bytes());
        let first = tokens.next();
        let is_query = first.is_some_and(|token| {
            ["select", "with", "values", "insert", "update", "delete"]
                .iter()
                .any(|word| token.is_word(case.text.as_bytes(), word))
        });
        let whole = Scanner::new(case.text.as_bytes()).all(|token| token.kind != TokenKind::Bad);
        is_query
            && whole
            && class_of(&case.text).kind == Kind::Other
            && Statements::new(case.text.as_bytes()).count() == 1
    })
}
