//! Text → tokens, as PostgreSQL's scan.l cuts it ("Lexical Structure"), with `standard_conforming_strings` on.
//! One pass, no recursion, no allocation; works on bytes, because a client's text need not be UTF-8.

/// The tokens of a text; white space and comments are left out.
#[derive(Clone)]
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    /// Byte offsets into the text; quotes and prefixes belong to the token.
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or an identifier without quotes.
    Word,
    /// `"identifier"`
    Quoted,
    /// `U&"identifier"`
    UnicodeQuoted,
    /// `'text'`
    String,
    /// `E'text'`, backslash escapes
    EscapeString,
    /// `B'01'`, `X'1F'`
    BitString,
    /// `U&'text'`
    UnicodeString,
    /// `$tag$text$tag$`
    DollarString,
    Number,
    /// `$1`
    Param,
    /// One of `( ) [ ] { } , ; . :` and what fits nowhere else.
    Symbol,
    Operator,
    /// Unterminated, or a NUL: PostgreSQL refuses the whole text.
    Bad,
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Where the next token will be looked for.
    pub fn position(&self) -> usize {
        self.at
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Past white space and comments. False: a comment is not terminated.
    fn skip_blank(&mut self) -> bool {
        loop {
            match self.peek(0) {
                b if is_space(b) => self.at += 1,
                b'-' if self.peek(1) == b'-' => self.skip_line(),
                b'/' if self.peek(1) == b'*' => {
                    if !self.skip_block_comment() {
                        return false;
                    }
                }
                _ => return true,
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
    }

    /// `/* … */`, nested as often as it likes. False: it ends nowhere, and we stand at the end.
    fn skip_block_comment(&mut self) -> bool {
        let mut depth = 0usize;
        while self.at < self.text.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return true;
                    }
                }
                _ => self.at += 1,
            }
        }
        false
    }

    fn token(&mut self) -> TokenKind {
        let quote = |n: usize| self.peek(n) == b'\'';
        match self.peek(0) {
            b'\'' => self.string(0, false, TokenKind::String),
            b'"' => self.quoted(0, TokenKind::Quoted),
            b'e' | b'E' if quote(1) => self.string(1, true, TokenKind::EscapeString),
            b'b' | b'B' | b'x' | b'X' if quote(1) => self.string(1, false, TokenKind::BitString),
            b'n' | b'N' if quote(1) => self.string(1, false, TokenKind::String),
            b'u' | b'U' if self.peek(1) == b'&' && quote(2) => self.string(2, false, TokenKind::UnicodeString),
            b'u' | b'U' if self.peek(1) == b'&' && self.peek(2) == b'"' => self.quoted(2, TokenKind::UnicodeQuoted),
            b if is_word_start(b) => self.word(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            b'$' => self.dollar(),
            0 => self.bad(),
            b if is_operator(b) => self.operator(),
            _ => {
                self.at += 1;
                TokenKind::Symbol
            }
        }
    }

    fn bad(&mut self) -> TokenKind {
        self.at = self.text.len();
        TokenKind::Bad
    }

    fn word(&mut self) -> TokenKind {
        self.at += self.text[self.at..].iter().take_while(|b| is_word_part(**b)).count();
        TokenKind::Word
    }

    /// A string constant with its continuations: `'a'` newline `'b'` is one, in the manner of its first part.
    fn string(&mut self, prefix: usize, escapes: bool, kind: TokenKind) -> TokenKind {
        self.at += prefix + 1;
        // a bit string ends at '' and the next string begins: the same extent
        loop {
            let rest = &self.text[self.at..];
            let found = if escapes { memchr::memchr2(b'\'', b'\\', rest) } else { memchr::memchr(b'\'', rest) };
            let Some(found) = found else { return self.bad() };
            self.at += found;
            match (self.peek(0), self.peek(1)) {
                (b'\\', _) if self.at + 1 < self.text.len() => self.at += 2,
                (b'\\', _) => return self.bad(),
                (_, b'\'') => self.at += 2,
                _ => {
                    self.at += 1;
                    match self.continuation() {
                        Some(at) => self.at = at,
                        None => return kind,
                    }
                }
            }
        }
    }

    /// After a closing quote: only white space (line comments included) with a newline, then a quote → past that quote.
    fn continuation(&self) -> Option<usize> {
        let mut ahead = Scanner { text: self.text, at: self.at };
        let mut newline = false;
        loop {
            match ahead.peek(0) {
                b'\'' if newline => return Some(ahead.at + 1),
                b if is_space(b) => {
                    newline |= b == b'\n' || b == b'\r';
                    ahead.at += 1;
                }
                b'-' if ahead.peek(1) == b'-' => ahead.skip_line(),
                _ => return None,
            }
        }
    }

    fn quoted(&mut self, prefix: usize, kind: TokenKind) -> TokenKind {
        self.at += prefix + 1;
        loop {
            let Some(found) = memchr::memchr(b'"', &self.text[self.at..]) else { return self.bad() };
            self.at += found + 1;
            if self.peek(0) != b'"' {
                return kind;
            }
            self.at += 1;
        }
    }

    fn number(&mut self) -> TokenKind {
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X' | b'o' | b'O' | b'b' | b'B') {
            let digits = self.text[self.at + 2..].iter().take_while(|b| b.is_ascii_hexdigit() || **b == b'_').count();
            if digits > 0 {
                self.at += 2 + digits;
                return TokenKind::Number;
            }
        }
        self.digits();
        // `1..2` is 1, then `..`
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + sign).is_ascii_digit() {
                self.at += 1 + sign;
                self.digits();
            }
        }
        TokenKind::Number
    }

    /// Digits, with an underscore between two of them (PostgreSQL 16).
    fn digits(&mut self) {
        while self.peek(0).is_ascii_digit() || self.peek(0) == b'_' && self.peek(1).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn dollar(&mut self) -> TokenKind {
        let rest = &self.text[self.at + 1..];
        if self.peek(1).is_ascii_digit() {
            self.at += 1 + rest.iter().take_while(|b| b.is_ascii_digit()).count();
            return TokenKind::Param;
        }
        let tag = rest.iter().take_while(|b| is_word_part(**b) && **b != b'$').count();
        if rest.get(tag) != Some(&b'$') {
            self.at += 1;
            return TokenKind::Symbol;
        }
        let delimiter = &self.text[self.at..self.at + tag + 2];
        let body = self.at + delimiter.len();
        match memchr::memmem::find(&self.text[body..], delimiter) {
            Some(length) => {
                self.at = body + length + delimiter.len();
                TokenKind::DollarString
            }
            None => self.bad(),
        }
    }

    /// The longest run of operator characters that starts no comment; a trailing `+` or `-` stays only if one of
    /// `~ ! @ # % ^ & | \` ?` is in it ("Operators" in the documentation).
    fn operator(&mut self) -> TokenKind {
        let rest = &self.text[self.at..];
        let mut length = 0;
        while length < rest.len() && is_operator(rest[length]) {
            let pair = (rest[length], rest.get(length + 1).copied().unwrap_or(0));
            if length > 0 && (pair == (b'/', b'*') || pair == (b'-', b'-')) {
                break;
            }
            length += 1;
        }
        let ends_in_sign = |length: usize| length > 1 && matches!(rest[length - 1], b'+' | b'-');
        if ends_in_sign(length) && !rest[..length].iter().any(|b| b"~!@#^&|`?%".contains(b)) {
            while ends_in_sign(length) {
                length -= 1;
            }
        }
        self.at += length;
        TokenKind::Operator
    }
}

impl Iterator for Scanner<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let blank = self.at;
        if !self.skip_blank() {
            return Some(Token { kind: TokenKind::Bad, start: blank, end: self.at });
        }
        let start = self.at;
        if start >= self.text.len() {
            return None;
        }
        let kind = self.token();
        Some(Token { kind, start, end: self.at })
    }
}

// === impl Token ===

impl Token {
    pub fn text<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..self.end]
    }

    /// Is it this keyword (given in lower case), without quotes?
    pub fn is_word(&self, text: &[u8], word: &str) -> bool {
        self.kind == TokenKind::Word && self.text(text).eq_ignore_ascii_case(word.as_bytes())
    }

    pub fn is_symbol(&self, text: &[u8], symbol: u8) -> bool {
        self.kind == TokenKind::Symbol && text[self.start] == symbol
    }
}

/// `\v` is white space since PostgreSQL 16, an error before.
pub(super) fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_word_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

fn is_word_part(b: u8) -> bool {
    is_word_start(b) || b.is_ascii_digit() || b == b'$'
}

fn is_operator(b: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&b)
}
