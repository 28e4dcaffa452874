//! The log of slow statements: what was asked last, without what the client put into it.

use std::time::Duration;

use super::Session;
use super::names::Statement;

/// Bytes of a statement's text that the log of slow statements may show.
const LOGGED_BYTES: usize = 1000;

impl Session {
    /// Keeps the beginning of the text at these positions of the inbox.
    #[inline]
    pub(super) fn remember_text(&mut self, from: usize, to: usize) {
        if !self.config.log.slow_statement.is_zero() {
            self.last_text.clear();
            self.last_text.extend_from_slice(self.inbox.range(from, to.min(from + LOGGED_BYTES)));
        }
    }

    #[inline]
    pub(super) fn remember_statement(&mut self, statement: &Statement) {
        if !self.config.log.slow_statement.is_zero() {
            self.last_text.clear();
            let tail = &statement.tail;
            self.last_text.extend_from_slice(&tail[..tail.len().min(LOGGED_BYTES)]);
        }
    }

    #[inline]
    pub(super) fn remember_unnamed(&mut self) {
        if let Some(unnamed) = self.names.unnamed()
            && !self.config.log.slow_statement.is_zero()
        {
            self.last_text.clear();
            let tail = unnamed.tail;
            self.last_text.extend_from_slice(&tail[..tail.len().min(LOGGED_BYTES)]);
        }
    }

    pub(super) fn log_slow(&self, took: Duration) {
        self.shared.counters.slow_statements.add(1);
        let text = self.last_text.split(|b| *b == 0).next().unwrap_or_default();
        tracing::warn!(
            took_ms = took.as_millis() as u64,
            client = %self.entry.addr,
            user = %self.user,
            database = %self.database,
            node = self.pool.node.host,
            port = self.pool.node.port,
            statement = %without_literals(text),
            "slow statement"
        );
    }
}

/// Numbers and quoted texts become `?`: what a client put into its statement stays out of the log.
fn without_literals(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut in_word = false;
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\'' if chars.peek() == Some(&'\'') => drop(chars.next()),
                        '\'' => break,
                        '\\' => drop(chars.next()),
                        _ => {}
                    }
                }
                out.push('?');
            }
            // A dollar quote, or a parameter: the rest of a text with the former is not worth the risk.
            '$' if !chars.peek().is_some_and(char::is_ascii_digit) => {
                out.push_str("$…");
                break;
            }
            '$' => {
                out.push('$');
                in_word = true;
                continue;
            }
            c if c.is_ascii_digit() && !in_word => {
                while chars.peek().is_some_and(|c| c.is_ascii_alphanumeric() || *c == '.') {
                    chars.next();
                }
                out.push('?');
            }
            c => out.push(c),
        }
        in_word = c.is_alphanumeric() || c == '_';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_stay_out_of_the_log() {
        let cases = [
            (
                "SELECT * FROM t2 WHERE a = 12 AND b = 'it''s' AND c = $1",
                "SELECT * FROM t2 WHERE a = ? AND b = ? AND c = $1",
            ),
            (r"SELECT E'a\'b', 1.5e3", "SELECT E?, ?"),
            ("SELECT $$secret$$", "SELECT $…"),
        ];
        for (text, logged) in cases {
            assert_eq!(without_literals(text.as_bytes()), logged);
        }
    }
}
