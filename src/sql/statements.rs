//! A text cut into its statements.

use super::scanner::{Scanner, Token};

/// The statements of a text, without their `;`; empty ones are left out.
pub struct Statements<'a> {
    text: &'a [u8],
    scanner: Scanner<'a>,
}

/// Where in a statement we are: a `;` inside parentheses (CREATE RULE) or a `BEGIN ATOMIC` body does not end it.
#[derive(Default)]
struct Nesting {
    words: usize,
    creates: bool,
    routine: bool,
    after_begin: bool,
    parentheses: usize,
    body: usize,
}

// === impl Statements ===

impl<'a> Statements<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, scanner: Scanner::new(text) }
    }
}

impl<'a> Iterator for Statements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut start = None;
        let mut nesting = Nesting::default();
        for token in self.scanner.by_ref() {
            if token.is_symbol(self.text, b';') && !nesting.is_open() {
                if let Some(start) = start {
                    return Some(&self.text[start..token.start]);
                }
                continue;
            }
            start = start.or(Some(token.start));
            nesting.enter(token, self.text);
        }
        start.map(|start| &self.text[start..])
    }
}

// === impl Nesting ===

impl Nesting {
    fn is_open(&self) -> bool {
        self.parentheses > 0 || self.body > 0
    }

    fn enter(&mut self, token: Token, text: &[u8]) {
        if token.is_symbol(text, b'(') {
            self.parentheses += 1;
        } else if token.is_symbol(text, b')') {
            self.parentheses = self.parentheses.saturating_sub(1);
        }
        self.words += 1;
        if self.words == 1 {
            self.creates = token.is_word(text, "create");
        }
        if !self.creates {
            return;
        }
        // CREATE [OR REPLACE] FUNCTION | PROCEDURE
        if self.words <= 4 && (token.is_word(text, "function") || token.is_word(text, "procedure")) {
            self.routine = true;
        }
        let atomic = self.routine && self.after_begin && token.is_word(text, "atomic");
        self.after_begin = token.is_word(text, "begin");
        if atomic {
            self.body = 1;
        } else if self.body > 0 && token.is_word(text, "case") {
            self.body += 1;
        } else if self.body > 0 && token.is_word(text, "end") {
            self.body -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[&str]) {
        let got: Vec<_> = Statements::new(text.as_bytes()).map(|s| std::str::from_utf8(s).unwrap()).collect();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn only_a_top_level_semicolon_ends_a_statement() {
        check("", &[]);
        check(" ;; -- nothing\n/* ; /* ; */ */ ;", &[]);
        check("select 1;;select 2;", &["select 1", "select 2"]);
        check(
            "select ';', \";\", $$;$$, $a$;$$;$a$, E'\\';', e''';' -- ;\r;x",
            &["select ';', \";\", $$;$$, $a$;$$;$a$, E'\\';', e''';' -- ;\r", "x"],
        );
        check(
            "create rule r as on insert to t do (select 1; select 2); select 3",
            &["create rule r as on insert to t do (select 1; select 2)", "select 3"],
        );
        check(
            "create function f() returns int begin atomic select case when a then b end; select 2; end; x",
            &["create function f() returns int begin atomic select case when a then b end; select 2; end", "x"],
        );
        check("begin; create table atomic(a int); end", &["begin", "create table atomic(a int)", "end"]);
    }

    #[test]
    fn strings_continue_over_a_newline_in_their_first_manner() {
        check("select E'a'\n 'b\\'; delete from t; --'", &["select E'a'\n 'b\\'; delete from t; --'"]);
        check("select E'a' 'b\\'; delete from t; --'", &["select E'a' 'b\\'", "delete from t"]);
        check("select 'a' -- x\n'b\\'; x", &["select 'a' -- x\n'b\\'", "x"]);
        check("select X'1\\'; delete from t; --'", &["select X'1\\'", "delete from t"]);
    }
}
