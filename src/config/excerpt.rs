//! The line of the file a message is about, with no secret in it.

use std::ops::Range;

use super::entries;
use super::error::Excerpt;

/// A longer line is cut.
const LONGEST: usize = 160;

/// Line and column of a byte, both from 1; a column is a character.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

/// The line where `span` begins, and the part of it that is meant; `None` inside a text of several lines, for whose it
/// is cannot be told from one line.
pub(super) fn excerpt(text: &str, span: &Range<usize>) -> Option<Excerpt> {
    let (line, column) = position(text, span.start);
    let full = text.split('\n').nth(line - 1)?;
    let before: usize = text.split('\n').take(line - 1).map(|line| line.len() + 1).sum();
    let opened = |quotes| text[..before].matches(quotes).count() % 2 == 1;
    if opened("\"\"\"") || opened("'''") {
        return None;
    }

    let full = full.trim_end();
    let visible = visible_part(full);
    let length = visible.chars().count();
    let meant = text.get(span.clone()).and_then(|meant| meant.split('\n').next()).unwrap_or("");
    let first = column - 1;
    let mark = (first <= length).then(|| (first, meant.chars().count().min(length - first).max(1)));
    let hidden = if visible.len() < full.len() { " ..." } else { "" };
    let visible: String = visible.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(Excerpt { line, text: visible + hidden, mark })
}

/// What of a line may be printed: a section's name, and a value only after a key that is known to hold no secret (a
/// misspelt `pasword` holds one too). Else up to the `=`, or the first word.
fn visible_part(line: &str) -> &str {
    let start = line.len() - line.trim_start().len();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let end = match line.find('=') {
        _ if line[start..].starts_with('[') => {
            let end = |c: char| !is_word(c) && !matches!(c, '[' | ']' | '.' | '-');
            line[start..].find(end).map_or(line.len(), |end| start + end)
        }
        Some(at) if is_plain(&line[..at], &line[at..]) => {
            line.char_indices().nth(LONGEST).map_or(line.len(), |(end, _)| end)
        }
        Some(at) => at + 1,
        None => line[start..].find(|c: char| !is_word(c)).map_or(line.len(), |end| start + end),
    };
    &line[..end]
}

fn is_plain(key: &str, value: &str) -> bool {
    entries::is_plain_key(key.trim()) && !value.to_ascii_lowercase().contains("pass")
}

#[cfg(test)]
mod tests {
    use super::visible_part;

    #[test]
    fn only_values_of_keys_that_hold_no_secret_are_visible() {
        for (line, expected) in [
            ("size = 20 # servers", "size = 20 # servers"),
            ("  pool.size = 20", "  pool.size = 20"),
            ("[[user]]", "[[user]]"),
            ("password = \"secret\"", "password ="),
            ("\"password\" = \"secret\"", "\"password\" ="),
            ("monitor.password='secret'", "monitor.password="),
            ("pasword = \"secret\"", "pasword ="),
            ("pasword \"secret\"", "pasword"),
            ("password: secret", "password"),
            ("\"secret\"", ""),
            ("monitor = { user = \"a\", password = \"secret\" }", "monitor ="),
            ("user = \"a\", password = \"secret\"", "user ="),
            ("users = [\"password=secret\"", "users ="),
            ("[{ password = \"secret\" }]", "["),
            ("[monitor] password = \"secret\"", "[monitor]"),
            ("  [pool", "  [pool"),
        ] {
            assert_eq!(visible_part(line), expected, "{line}");
        }
    }
}
