//! What a statement is by its first word.

use super::scanner::{Scanner, Token, TokenKind};

/// The first word of a statement, as far as it decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// SELECT, VALUES, WITH, or an opening parenthesis.
    Query,
    Table,
    Explain,
    /// INSERT, UPDATE, DELETE, MERGE.
    Change,
    Copy,
    Begin,
    Start,
    /// COMMIT, END.
    Commit,
    /// ROLLBACK, ABORT.
    Rollback,
    Savepoint,
    Release,
    Set,
    Reset,
    Show,
    Discard,
    Prepare,
    Execute,
    Deallocate,
    Declare,
    /// FETCH, MOVE, CLOSE.
    Cursor,
    Listen,
    Unlisten,
    Load,
    /// DO, CALL.
    Procedure,
    Create,
    Alter,
    Drop,
    /// IMPORT FOREIGN SCHEMA.
    Import,
    /// The known rest: maintenance, GRANT, LOCK, NOTIFY …
    Utility,
    /// No command of PostgreSQL.
    Unknown,
}

/// The words of a statement, in lower case where they are keywords; a cursor for the small parsers.
pub(super) struct Words<'a> {
    text: &'a [u8],
    scanner: Scanner<'a>,
    peeked: Option<Option<Token>>,
}

/// The verb of `text` and where the text after it begins. `None`: an empty text.
pub(super) fn verb(text: &[u8]) -> Option<(Verb, usize)> {
    let mut scanner = Scanner::new(text);
    let token = scanner.find(|token| !token.is_symbol(text, b';'))?;
    let verb = match token.kind {
        TokenKind::Word => verb_of(token.text(text)),
        TokenKind::Symbol if token.is_symbol(text, b'(') => Verb::Query,
        _ => Verb::Unknown,
    };
    Some((verb, token.end))
}

fn verb_of(word: &[u8]) -> Verb {
    let mut lower = [0u8; 10];
    let Some(lower) = lower.get_mut(..word.len()) else { return Verb::Unknown };
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    match &*lower {
        b"select" | b"with" | b"values" => Verb::Query,
        b"insert" | b"update" | b"delete" | b"merge" => Verb::Change,
        b"begin" => Verb::Begin,
        b"commit" | b"end" => Verb::Commit,
        b"rollback" | b"abort" => Verb::Rollback,
        b"set" => Verb::Set,
        b"reset" => Verb::Reset,
        b"show" => Verb::Show,
        b"table" => Verb::Table,
        b"explain" => Verb::Explain,
        b"copy" => Verb::Copy,
        b"start" => Verb::Start,
        b"savepoint" => Verb::Savepoint,
        b"release" => Verb::Release,
        b"discard" => Verb::Discard,
        b"prepare" => Verb::Prepare,
        b"execute" => Verb::Execute,
        b"deallocate" => Verb::Deallocate,
        b"declare" => Verb::Declare,
        b"fetch" | b"move" | b"close" => Verb::Cursor,
        b"listen" => Verb::Listen,
        b"unlisten" => Verb::Unlisten,
        b"load" => Verb::Load,
        b"do" | b"call" => Verb::Procedure,
        b"create" => Verb::Create,
        b"alter" => Verb::Alter,
        b"drop" => Verb::Drop,
        b"import" => Verb::Import,
        b"truncate" | b"comment" | b"security" | b"refresh" | b"reassign" => Verb::Utility,
        b"grant" | b"revoke" | b"lock" | b"notify" | b"vacuum" | b"analyze" | b"analyse" | b"cluster" | b"reindex"
        | b"checkpoint" => Verb::Utility,
        _ => Verb::Unknown,
    }
}

// === impl Words ===

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, scanner: Scanner::new(text), peeked: None }
    }

    pub(super) fn peek(&mut self) -> Option<Token> {
        *self.peeked.get_or_insert_with(|| self.scanner.next())
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        self.peeked.take().unwrap_or_else(|| self.scanner.next())
    }

    pub(super) fn text_of(&self, token: Token) -> &'a [u8] {
        token.text(self.text)
    }

    /// Takes the keyword if it comes next.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_word(self.text, word));
        if found {
            self.next();
        }
        found
    }

    /// Takes the keywords if they come next, all of them or none.
    pub(super) fn take_all(&mut self, words: &[&str]) -> bool {
        let before = (self.scanner.clone(), self.peeked);
        let all = words.iter().all(|word| self.take(word));
        if !all {
            (self.scanner, self.peeked) = before;
        }
        all
    }

    pub(super) fn take_symbol(&mut self, symbol: u8) -> bool {
        let found = self.peek().is_some_and(|token| token.is_symbol(self.text, symbol));
        if found {
            self.next();
        }
        found
    }

    /// Nothing but `;` is left.
    pub(super) fn at_end(&mut self) -> bool {
        while self.take_symbol(b';') {}
        self.peek().is_none()
    }

    /// Where the next token starts (the end of the text if there is none).
    pub(super) fn position(&mut self) -> usize {
        self.peek().map_or(self.text.len(), |token| token.start)
    }

    /// After an opening parenthesis: past the closing one; the offset where that one stands.
    pub(super) fn skip_parenthesis(&mut self) -> Option<usize> {
        let mut depth = 1usize;
        while let Some(token) = self.next() {
            if token.is_symbol(self.text, b'(') {
                depth += 1;
            } else if token.is_symbol(self.text, b')') {
                depth -= 1;
                if depth == 0 {
                    return Some(token.start);
                }
            }
        }
        None
    }

    /// A name, folded as PostgreSQL folds it. `None` (nothing taken) if no plain identifier comes next.
    pub(super) fn name(&mut self) -> Option<String> {
        let token = self.peek()?;
        let name = identifier(token, self.text)?;
        self.next();
        Some(name)
    }

    /// `name` or `schema.name` (a database before it is dropped): (schema, name).
    pub(super) fn qualified_name(&mut self) -> Option<(Option<String>, String)> {
        let mut name = self.name()?;
        let mut schema = None;
        while self.take_symbol(b'.') {
            schema = Some(std::mem::replace(&mut name, self.name()?));
        }
        Some((schema, name))
    }
}

/// The identifier a token stands for: folded, or without its quotes.
pub(super) fn identifier(token: Token, text: &[u8]) -> Option<String> {
    let raw = std::str::from_utf8(token.text(text)).ok()?;
    match token.kind {
        TokenKind::Word => Some(raw.to_ascii_lowercase()),
        TokenKind::Quoted => Some(raw[1..raw.len() - 1].replace("\"\"", "\"")),
        _ => None,
    }
}
