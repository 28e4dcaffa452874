//! What the tokens of one statement tell without any parser: session effects, and marks of a write.

use super::carried::asks_for_carried;
use super::catalog::{Catalog, FunctionFact, OperatorFact, Tracing};
use super::class::{Effects, Reason};
use super::keywords::identifier;
use super::scanner::{Scanner, Token, TokenKind};

/// What one pass over a statement's tokens found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) effects: Effects,
    /// Speaks against a plain read, however the statement is built. The first one found.
    pub(super) against: Option<Reason>,
    /// Tokens that can nest or chain an expression: all but words, literals and commas between them.
    pub(super) links: usize,
}

/// The last tokens seen, newest first.
type Window = [Option<Token>; 3];

// === impl Traits ===

impl Traits {
    pub(super) fn of(text: &[u8], catalog: &impl Catalog) -> Self {
        let mut traits = Self::default();
        let mut window: Window = [None; 3];
        let mut tokens = Scanner::new(text);
        while let Some(token) = tokens.next() {
            traits.note(token, window, text, catalog);
            if token.is_symbol(text, b'(')
                && let Some(name) = window[0].and_then(|name| identifier(name, text))
            {
                traits.call(&name, window, text, tokens.clone(), catalog);
            }
            window = [Some(token), window[0], window[1]];
        }
        traits
    }

    fn say(&mut self, reason: Reason) {
        // Settings are the least of it: they are carried along.
        self.against = self.against.filter(|first| *first != Reason::SessionCommand).or(Some(reason));
    }

    fn note(&mut self, token: Token, window: Window, text: &[u8], catalog: &impl Catalog) {
        self.target(token, window, text);
        if matches!(token.kind, TokenKind::Word | TokenKind::Quoted)
            && catalog.tracing() == Tracing::Some
            && names_traces(token, text, catalog)
        {
            self.effects |= Effects::CODE;
        }
        match token.kind {
            TokenKind::Word => self.word(token, window, text, catalog),
            TokenKind::Operator => {
                self.links += 1;
                if !is_known_operator(token, window, text, catalog) {
                    self.say(Reason::UnknownOperator);
                }
            }
            // its escapes are not decoded, so the name is not known
            TokenKind::UnicodeQuoted => self.say(Reason::UnsupportedSyntax),
            TokenKind::Bad => self.say(Reason::Unparsed),
            TokenKind::Symbol if !token.is_symbol(text, b',') => self.links += 1,
            TokenKind::Quoted | TokenKind::Param | TokenKind::Number | TokenKind::Symbol => {}
            TokenKind::String | TokenKind::EscapeString | TokenKind::BitString => {}
            TokenKind::UnicodeString | TokenKind::DollarString => {}
        }
    }

    /// After INTO: SELECT makes a table of this name.
    fn target(&mut self, token: Token, [into, before, _]: Window, text: &[u8]) {
        let is = |token: Option<Token>, words: &[&str]| {
            token.is_some_and(|token| words.iter().any(|word| token.is_word(text, word)))
        };
        // INSERT and MERGE have their tables; `AS into` is a column's name
        if !is(into, &["into"]) || is(before, &["insert", "merge", "as"]) {
            return;
        }
        let temporary = is(Some(token), &["temp", "temporary", "local", "global", "pg_temp"]);
        self.effects |= if temporary { Effects::TEMP_TABLE } else { Effects::DDL };
    }

    fn word(&mut self, token: Token, window: Window, text: &[u8], catalog: &impl Catalog) {
        let is = |word| token.is_word(text, word);
        let after = |word| window[0].is_some_and(|token| token.is_word(text, word));
        match token.end - token.start {
            2 | 3 if is("or") || is("and") || is("is") || is("at") || is("not") => self.links += 1,
            4 | 5 | 7 if is("like") || is("ilike") || is("collate") || is("between") => self.links += 1,
            5 | 6 | 9 if is("union") || is("except") || is("intersect") => self.links += 1,
            _ => {}
        }
        if !meant(token, text).iter().all(|name| catalog.operator(None, name) == OperatorFact::Harmless) {
            self.say(Reason::UnknownOperator);
        }
        if is("into") {
            self.say(if after("insert") || after("merge") { Reason::DataChange } else { Reason::SelectInto });
        } else if after("for") && (is("update") || is("share") || is("no") || is("key")) {
            self.say(Reason::RowLock);
        }
    }

    /// `name (`, whatever it is: a call, a column list, a type. Only names of known writers count.
    fn call(&mut self, name: &str, window: Window, text: &[u8], arguments: Scanner, catalog: &impl Catalog) {
        let schema = match (window[1], window[2]) {
            (Some(dot), Some(schema)) if dot.is_symbol(text, b'.') => identifier(schema, text),
            _ => None,
        };
        if schema.as_deref().is_some_and(|schema| schema != "pg_catalog") {
            return;
        }
        match name {
            "pg_advisory_lock" | "pg_advisory_lock_shared" | "pg_try_advisory_lock" | "pg_try_advisory_lock_shared" => {
                self.effects |= Effects::ADVISORY_LOCK;
            }
            "set_config" if !last_argument_is_true(arguments.clone(), text) => self.effects |= Effects::SET_CONFIG,
            // the generator's state is the session's, as the setting `seed` is
            "setseed" => self.effects |= Effects::SET_CONFIG,
            "pg_replication_origin_session_setup" => self.effects |= Effects::UNKNOWN,
            _ => {}
        }
        match catalog.function(schema.as_deref(), name) {
            // It writes nothing: the session's it is.
            FunctionFact::Writes if name == "set_config" => self.say(Reason::SessionCommand),
            FunctionFact::Writes => self.say(Reason::WritingFunction),
            FunctionFact::NodeLocal if name == "current_setting" && asks_for_carried(arguments, text) => {}
            FunctionFact::NodeLocal => self.say(Reason::NodeLocal),
            FunctionFact::Volatile => self.say(Reason::VolatileFunction),
            // Whose it is nobody knows yet.
            FunctionFact::Unknown if catalog.tracing() == Tracing::Anybody && !is_of_grammar(name, window, text) => {
                self.effects |= Effects::CODE;
            }
            FunctionFact::Harmless | FunctionFact::Unknown => {}
        }
    }
}

/// By what the token is as an identifier.
fn names_traces(token: Token, text: &[u8], catalog: &impl Catalog) -> bool {
    let raw = token.text(text);
    let is_folded = token.kind == TokenKind::Word && !raw.iter().any(u8::is_ascii_uppercase);
    match std::str::from_utf8(raw) {
        Ok(name) if is_folded => catalog.leaves_traces(name),
        _ => identifier(token, text).is_some_and(|name| catalog.leaves_traces(&name)),
    }
}

/// A word of the grammar, or a table with its columns: what stands before a parenthesis and calls nothing.
fn is_of_grammar(name: &str, window: Window, text: &[u8]) -> bool {
    const WORDS: [&str; 24] = [
        "and",
        "as",
        "by",
        "else",
        "filter",
        "from",
        "group",
        "having",
        "in",
        "is",
        "join",
        "like",
        "not",
        "on",
        "or",
        "over",
        "returning",
        "select",
        "set",
        "then",
        "using",
        "values",
        "when",
        "where",
    ];
    let is_table =
        |before: Token| ["into", "update", "table", "with", "as"].iter().any(|word| before.is_word(text, word));
    WORDS.binary_search(&name).is_ok() || window[1].is_some_and(is_table)
}

/// The operator as it stands, `OPERATOR(schema.x)` included.
fn is_known_operator(token: Token, window: Window, text: &[u8], catalog: &impl Catalog) -> bool {
    let schema = match (window[0], window[1]) {
        // `t.*` has a dot before it too
        (Some(dot), Some(schema)) if dot.is_symbol(text, b'.') && token.text(text) != b"*" => identifier(schema, text),
        _ => None,
    };
    match std::str::from_utf8(token.text(text)) {
        // no operators of the catalog: a named argument, all columns
        Ok("=>") if schema.is_none() => true,
        Ok("*") if schema.is_none() && is_start(window[0], text) => true,
        // another spelling
        Ok("!=") if schema.is_none() => catalog.operator(None, "<>") == OperatorFact::Harmless,
        Ok(name) => catalog.operator(schema.as_deref(), name) == OperatorFact::Harmless,
        Err(_) => false,
    }
}

/// The operators that a word of the grammar stands for ("Parser Stage": they are looked up by name as any other).
fn meant(token: Token, text: &[u8]) -> &'static [&'static str] {
    const MEANINGS: [(&str, &[&str]); 9] = [
        ("in", &["="]),
        ("case", &["="]),
        ("like", &["~~", "!~~"]),
        ("ilike", &["~~*", "!~~*"]),
        ("using", &["="]),
        ("nullif", &["="]),
        ("similar", &["~", "!~"]),
        ("between", &["<", "<=", ">", ">="]),
        ("distinct", &["="]),
    ];
    let meaning = MEANINGS.iter().find(|(word, _)| token.is_word(text, word));
    meaning.map_or(&[], |(_, operators)| operators)
}

/// Does an expression start behind this token, and not go on?
fn is_start(before: Option<Token>, text: &[u8]) -> bool {
    before.is_none_or(|token| {
        [b'(', b',', b'.'].iter().any(|symbol| token.is_symbol(text, *symbol))
            || ["select", "distinct", "all", "returning"].iter().any(|word| token.is_word(text, word))
    })
}

/// After `(`: is the last thing before its `)` the bare word `true`?
fn last_argument_is_true(arguments: Scanner, text: &[u8]) -> bool {
    let mut depth = 1usize;
    let (mut last, mut before) = (None::<Token>, None::<Token>);
    for token in arguments {
        if token.is_symbol(text, b'(') {
            depth += 1;
        } else if token.is_symbol(text, b')') {
            depth -= 1;
            if depth == 0 {
                break;
            }
        }
        (last, before) = (Some(token), last);
    }
    let separated = before.is_some_and(|token| token.is_symbol(text, b',') || token.text(text) == b"=>");
    separated && last.is_some_and(|token| token.is_word(text, "true"))
}
