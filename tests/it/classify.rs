//! Statement texts and their classes: `tests/data/classify/*.txt`.
//!
//! ```text
//! read | select 1
//! write[data-change] | with x as (
//!     | delete from t returning 1) select 1      (a line that begins with `|` goes on with the text)
//! write[session-command] kind=set effects=set_session | set work_mem = '64MB'
//! empty | -- nothing
//! ```
//!
//! Unless said, the kind is `other` and there are no effects. `#` begins a comment line.

#[path = "classify/corpus.rs"]
mod corpus;
#[path = "classify/known.rs"]
mod known;
#[path = "classify/variations.rs"]
mod variations;

use std::fmt::Write as _;

use corpus::cases;
use pgherd::sql::catalog::BuiltIn;
use pgherd::sql::scanner::{Scanner, TokenKind};
use pgherd::sql::statements::Statements;
use pgherd::sql::{Access, Begin, Cache, Class, Effects, Kind, Reason, classify, classify_prefix};
use proptest::prelude::*;

const MAX_BYTES: usize = 32 * 1024;

#[test]
fn statements_have_the_class_the_data_files_say() {
    let cases = cases();
    let mut cache = Cache::new(10_000, MAX_BYTES, 42);
    let mut failures = String::new();
    for case in &cases {
        let class = classify(case.text.as_bytes(), MAX_BYTES, &BuiltIn);
        let cached = cache.classify(case.text.as_bytes(), &BuiltIn);
        let hit = cache.classify(case.text.as_bytes(), &BuiltIn);
        for (how, class) in [("without a cache", class), ("on a miss", cached), ("on a hit", hit)] {
            let got = show(class);
            if got != case.expected {
                let _ = writeln!(failures, "{}: {got}, not {} ({how}): {}", case.at, case.expected, case.text);
                break;
            }
        }
        let pins = !class.effects.is_empty();
        assert!(!(pins && class.is_read()), "{}: what has effects is a write", case.at);
    }
    assert!(failures.is_empty(), "\n{failures}");
    assert!(cases.len() >= 1_400, "only {} statements", cases.len());
}

/// The pages of the documentation's command reference, as their titles have them.
#[test]
fn each_command_of_postgresql_has_rows() {
    let begins: Vec<String> = cases().iter().map(|case| first_words(&case.text)).collect();
    let missing: Vec<&str> = include_str!("classify/commands.txt")
        .lines()
        .filter(|command| !begins.iter().any(|begin| format!("{begin} ").starts_with(&format!("{command} "))))
        .collect();
    assert!(missing.is_empty(), "no rows: {missing:?}");
}

#[test]
fn another_case_of_letters_or_another_comment_changes_nothing() {
    for case in cases() {
        let class = classify(case.text.as_bytes(), MAX_BYTES, &BuiltIn);
        let commented = format!("/* a; 'b */ {}", case.text);
        assert_eq!(classify(commented.as_bytes(), MAX_BYTES, &BuiltIn), class, "{}", case.at);
        let folded = fold_words(&case.text);
        assert_eq!(classify(folded.as_bytes(), MAX_BYTES, &BuiltIn), class, "{}: {folded}", case.at);
    }
}

#[test]
fn a_text_that_is_not_utf8_is_no_read_but_keeps_its_effects() {
    let mut cache = Cache::new(100, MAX_BYTES, 42);
    assert_eq!(cache.classify(b"select '\xe9'", &BuiltIn), Class::write(Reason::NotUtf8));
    assert_eq!(cache.classify(b"insert into t values ('\xe9')", &BuiltIn), Class::write(Reason::DataChange));
    assert_eq!(cache.classify(b"listen \xe9", &BuiltIn).effects, Effects::LISTEN);
    assert_eq!(cache.classify(b"begin /* \xe9 */", &BuiltIn).kind, Kind::Begin(Begin::default()));
    assert!(cache.classify("select 'é', \"ü\" from täble".as_bytes(), &BuiltIn).is_read());
    assert!(!cache.classify(b"select 1\0; delete from t", &BuiltIn).is_read());
}

#[test]
fn a_long_text_is_a_write_whose_effects_are_still_seen() {
    let long = format!("select {}", "1, ".repeat(20_000));
    assert_eq!(classify(long.as_bytes(), 1 << 20, &BuiltIn), Class::write(Reason::TooLong));
    assert_eq!(classify(b"select a from t", 10, &BuiltIn), Class::write(Reason::TooLong));
    let script = format!("select '{}'; create temp table x (a int)", "x".repeat(50_000));
    let class = classify(script.as_bytes(), MAX_BYTES, &BuiltIn);
    assert_eq!((class.kind, class.effects), (Kind::Several, Effects::TEMP_TABLE));
    let huge = format!("select '{}'", "x".repeat(2 << 20));
    assert_eq!(classify(huge.as_bytes(), MAX_BYTES, &BuiltIn).effects, Effects::UNKNOWN | Effects::DDL);
    assert_eq!(classify_prefix(b"insert into t values ("), Class::write(Reason::DataChange));
    assert_eq!(classify_prefix(b"select ").effects, Effects::UNKNOWN | Effects::DDL);
}

/// On the 2 MiB stack of a test's thread, unoptimized: what does not overflow here does so nowhere.
#[test]
fn no_shape_of_text_overflows_the_stack_or_takes_for_ever() {
    let shapes: [(&str, &str, &str); 24] = [
        ("select ", "1+", "1"),
        ("select ", "- ", "1"),
        ("select ", "(", "1"),
        ("select ", "a or ", "b"),
        ("select ", "a and not ", "b"),
        ("select ", "a||", "b"),
        ("select a", "::b", ""),
        ("select a", "[1]", ""),
        ("select a", " is null", ""),
        ("select a", " collate b", ""),
        ("select a", " at time zone b", ""),
        ("select a", ".b", ""),
        ("select ", "case when ", "1"),
        ("select ", "f(", "1"),
        ("select ", "array[", "1"),
        ("select 1 from ", "(", "t"),
        ("select 1 from t", " join t on true", ""),
        ("select 1 from ", "(select 1 from ", "t"),
        ("select 1", " union select 1", ""),
        ("select 1", " union all (select 1", ""),
        ("with a as (", "with a as (", "select 1"),
        ("explain ", "explain ", "select 1"),
        ("select 1", "; select 1", ""),
        ("/*", "/*", "*/"),
    ];
    for (start, link, end) in shapes {
        for bytes in [500, 5_000, MAX_BYTES - 100] {
            let text = format!("{start}{}{end}", link.repeat(bytes / link.len()));
            let began = std::time::Instant::now();
            classify(text.as_bytes(), MAX_BYTES, &BuiltIn);
            let took = began.elapsed();
            assert!(took.as_secs() < 5, "{start}{link}…: {} bytes took {took:?}", text.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn the_scanner_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_tokens(&bytes);
        Cache::new(4, MAX_BYTES, 1).classify(&bytes, &BuiltIn);
    }

    #[test]
    fn the_scanner_takes_any_mixture_of_its_own_marks(
        text in prop::collection::vec(prop::sample::select(&MARKS[..]), 0..40).prop_map(|marks| marks.concat())
    ) {
        check_tokens(text.as_bytes());
        let mut cache = Cache::new(4, MAX_BYTES, 1);
        let first = cache.classify(text.as_bytes(), &BuiltIn);
        prop_assert_eq!(cache.classify(text.as_bytes(), &BuiltIn), first);
        prop_assert_eq!(classify(text.as_bytes(), MAX_BYTES, &BuiltIn), first, "{}", text);
    }

    #[test]
    fn statements_are_counted_as_they_were_put_together(
        parts in prop::collection::vec(prop::collection::vec(prop::sample::select(&PIECES[..]), 0..5), 0..8)
    ) {
        let text = parts.iter().map(|pieces| pieces.join(" ")).collect::<Vec<_>>().join(";");
        let blank = |piece: &&str| piece.starts_with("--") || piece.starts_with("/*") || piece.trim().is_empty();
        let expected = parts.iter().filter(|pieces| !pieces.iter().all(blank)).count();
        prop_assert_eq!(Statements::new(text.as_bytes()).count(), expected, "{}", text);
    }
}

/// Complete pieces of statements: no `;` of theirs ends one.
const PIECES: [&str; 20] = [
    "select",
    "a$b$",
    "1.5",
    "$1",
    "'x;''y'",
    "'\\'",
    // the comma, lest a string after a newline go on in their manner
    "E'\\';\\\\',",
    "e'a'\n'\\';',",
    "X'1;\\'",
    "U&'\\;'",
    "\"a;\"\"b\"",
    "U&\";\"",
    "$$;'$$",
    "$x$;$$;$y$;$x$",
    "(a;b)",
    "+-*/ ",
    "-- ; '\n",
    "/* ; /* ' */ ; */",
    "::",
    " ",
];

const MARKS: [&str; 30] = [
    "'",
    "\"",
    "$",
    "$$",
    "$a$",
    "\\",
    "E'",
    "X'",
    "U&'",
    "U&\"",
    "/*",
    "*/",
    "--",
    "\n",
    ";",
    "(",
    ")",
    " ",
    "select ",
    "a",
    "1",
    ".",
    "::",
    "+",
    "begin",
    "create function ",
    "atomic ",
    "end",
    "delete from t",
    "nextval(",
];

/// Tokens are in order, apart, and within the text; only the last one may be bad.
fn check_tokens(bytes: &[u8]) {
    let tokens: Vec<_> = Scanner::new(bytes).collect();
    let mut end = 0;
    for (at, token) in tokens.iter().enumerate() {
        assert!(token.start >= end && token.end <= bytes.len(), "{tokens:?}");
        assert!(token.end > token.start, "{tokens:?}");
        assert!(token.kind != TokenKind::Bad || at + 1 == tokens.len(), "{tokens:?}");
        end = token.end;
    }
}

/// In capitals, one space apart, without comments and punctuation.
fn first_words(text: &str) -> String {
    let tokens = Scanner::new(text.as_bytes()).filter(|token| token.kind == TokenKind::Word).take(8);
    tokens.map(|token| text[token.start..token.end].to_ascii_uppercase()).collect::<Vec<_>>().join(" ")
}

/// As the data files write it.
fn show(class: Class) -> String {
    let mut shown = match (class.kind, class.target) {
        (Kind::Empty, Access::Read) => "empty".to_owned(),
        (_, Access::Read) => "read".to_owned(),
        (_, Access::Write) => format!("write[{}]", class.reason.as_str()),
    };
    let kind = match class.kind {
        Kind::Empty | Kind::Other => String::new(),
        Kind::Begin(begin) => {
            let access = begin.read_only.map_or("", |only| if only { "-ro" } else { "-rw" });
            format!("begin{access}{}", if begin.serializable { "-serializable" } else { "" })
        }
        Kind::Commit => "commit".into(),
        Kind::Rollback => "rollback".into(),
        Kind::Savepoint => "savepoint".into(),
        Kind::RollbackTo => "rollback-to".into(),
        Kind::Release => "release".into(),
        Kind::Set => "set".into(),
        Kind::Deallocate { all: false } => "deallocate".into(),
        Kind::Deallocate { all: true } => "deallocate-all".into(),
        Kind::DiscardAll => "discard-all".into(),
        Kind::Several => "several".into(),
        Kind::Own(own) => format!("{own:?}").to_lowercase(),
        Kind::Mixed => "mixed".into(),
    };
    if !kind.is_empty() {
        let _ = write!(shown, " kind={kind}");
    }
    if !class.effects.is_empty() {
        let _ = write!(shown, " effects={}", class.effects.names().collect::<Vec<_>>().join(","));
    }
    shown
}

/// Words without quotes with their case turned; everything else as it is.
fn fold_words(text: &str) -> String {
    let mut folded = text.as_bytes().to_vec();
    for token in Scanner::new(text.as_bytes()).filter(|token| token.kind == TokenKind::Word) {
        for byte in &mut folded[token.start..token.end] {
            *byte = if byte.is_ascii_lowercase() { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        }
    }
    String::from_utf8(folded).unwrap()
}
