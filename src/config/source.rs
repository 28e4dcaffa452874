//! The text of the file: parsed into `Raw`, and able to say where each key stands.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Excerpt};
use super::raw::Raw;
use super::settings;

/// Sections written `[name]` and `[[name]]`.
pub(super) const SECTIONS: [&str; 9] =
    ["listen", "pool", "routing", "monitor", "auth", "admin", "limits", "http", "log"];
pub(super) const LISTS: [&str; 2] = ["node", "user"];

pub(super) struct Source {
    /// As given on the command line: what a message begins with.
    pub(super) name: String,
    pub(super) text: String,
    /// `pool.size`, `node.0.name` … → where the key and where the value stand, in bytes.
    spans: BTreeMap<String, Spans>,
}

struct Spans {
    key: Range<usize>,
    value: Range<usize>,
    is_section: bool,
}

// === impl Source ===

impl Source {
    /// # Errors
    /// No TOML, an unknown section or key, a section that is not one. Values are not looked at.
    pub(super) fn parse(name: &str, text: &str) -> Result<(Self, Raw), ConfigError> {
        let mut source = Self { name: name.to_owned(), text: text.to_owned(), spans: BTreeMap::new() };
        let document = DeTable::parse(text).map_err(|error| source.syntax(&error))?;
        source.collect("", document.get_ref());
        source.check_sections(document.get_ref())?;
        let raw = toml::from_str(text).map_err(|error| source.unfit(&error))?;
        Ok((source, raw))
    }

    /// The line, from 1, where this key stands.
    pub(super) fn line_of(&self, path: &str) -> Option<usize> {
        self.spans.get(path).map(|spans| self.position(spans.value.start).0)
    }

    /// An error about this key's value; about the whole file if the key is not in it.
    pub(super) fn error_at(&self, path: &str, problem: impl Into<String>) -> ConfigError {
        match self.spans.get(path) {
            Some(spans) => self.error(&spans.value, problem),
            None => ConfigError::new(&self.name, problem),
        }
    }

    fn error(&self, span: &Range<usize>, problem: impl Into<String>) -> ConfigError {
        let (line, column) = self.position(span.start);
        let mut error = ConfigError::new(format!("{}:{line}:{column}", self.name), problem);
        error.excerpt = self.excerpt(span, line, column);
        error
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let end = self.text.len();
        let span = error.span().unwrap_or(end..end);
        self.error(&span, format!("not TOML: {}", error.message()))
    }

    fn collect(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            self.collect_value(path, key.span(), value);
        }
    }

    fn collect_value(&mut self, path: String, key: Range<usize>, value: &toml::Spanned<DeValue<'_>>) {
        let mut is_section = false;
        if let DeValue::Table(table) = value.get_ref() {
            is_section = true;
            self.collect(&format!("{path}."), table);
        } else if let DeValue::Array(elements) = value.get_ref() {
            for (index, element) in elements.iter().enumerate() {
                is_section |= matches!(element.get_ref(), DeValue::Table(_));
                self.collect_value(format!("{path}.{index}"), element.span(), element);
            }
        }
        self.spans.insert(path, Spans { key, value: value.span(), is_section });
    }

    /// Serde would read an array as a struct's fields in order, and says "expected struct Pool": so sections come first.
    fn check_sections(&self, document: &DeTable<'_>) -> Result<(), ConfigError> {
        for (key, value) in document {
            let name: &str = key.get_ref();
            let (fits, form) = if SECTIONS.contains(&name) {
                (matches!(value.get_ref(), DeValue::Table(_)), format!("[{name}]"))
            } else if LISTS.contains(&name) {
                let all = |elements: &toml::de::DeArray<'_>| {
                    elements.iter().all(|element| matches!(element.get_ref(), DeValue::Table(_)))
                };
                (matches!(value.get_ref(), DeValue::Array(elements) if all(elements)), format!("[[{name}]]"))
            } else {
                continue;
            };
            if !fits {
                let error = self.error(&key.span(), format!("`{name}` is a section"));
                return Err(error.hint(format!("write {form} on a line of its own, and its keys below")));
            }
        }
        Ok(())
    }

    /// It is TOML, but `Raw` does not take it.
    fn unfit(&self, error: &toml::de::Error) -> ConfigError {
        let span = error.span().unwrap_or(0..0);
        match UnknownKey::in_message(error.message()) {
            Some(unknown) => self.unknown_key(&unknown, &span),
            None => match self.path_at(&span) {
                Some(path) => self.error(&span, format!("{}: {}", shown(path), error.message())),
                None => self.error(&span, error.message()),
            },
        }
    }

    fn unknown_key(&self, unknown: &UnknownKey, near: &Range<usize>) -> ConfigError {
        let tail = format!(".{}", unknown.key);
        let found = self
            .spans
            .iter()
            .filter(|(path, _)| **path == unknown.key || path.ends_with(&tail))
            .find(|(_, spans)| spans.key == *near || spans.value == *near || near.contains(&spans.key.start));
        match found {
            Some((path, spans)) => unknown.explain(path, spans.is_section, |problem| self.error(&spans.key, problem)),
            None => unknown.explain(&unknown.key, false, |problem| self.error(near, problem)),
        }
    }

    fn path_at(&self, span: &Range<usize>) -> Option<&str> {
        let around = |spans: &Spans| spans.value.start <= span.start && span.end <= spans.value.end;
        let inner = self.spans.iter().filter(|(_, spans)| around(spans)).min_by_key(|(_, spans)| spans.value.len());
        inner.map(|(path, _)| path.as_str())
    }

    /// Line and column, both from 1; a column is a character.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    fn excerpt(&self, span: &Range<usize>, line: usize, column: usize) -> Option<Excerpt> {
        let full = self.text.split('\n').nth(line - 1)?;
        let start = self.text.split('\n').take(line - 1).map(|line| line.len() + 1).sum::<usize>();
        // Inside a text of several lines: whose it is cannot be told from this line.
        let opened = |quotes| self.text[..start].matches(quotes).count() % 2 == 1;
        if opened("\"\"\"") || opened("'''") {
            return None;
        }
        let visible = visible_part(full.trim_end_matches('\r'));
        let shown_chars = visible.chars().count();
        let marked =
            self.text.get(span.clone()).map_or(1, |text| text.split('\n').next().unwrap_or("").chars().count());
        let hidden = if visible.len() < full.trim_end().len() { " ..." } else { "" };
        let mark = (column - 1 <= shown_chars)
            .then(|| (column - 1, marked.min(shown_chars + 1 - column.min(shown_chars + 1)).max(1)));
        let text: String = visible.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Some(Excerpt { line, text: format!("{text}{hidden}"), mark })
    }
}

/// What of a line may be printed: a value only after a key that is known to be no secret, for a misspelt `pasword` is
/// one too.
fn visible_part(line: &str) -> &str {
    const LONGEST: usize = 160;
    let trimmed = line.trim_start();
    let plain = match line.split_once('=') {
        _ if trimmed.starts_with(['[', '#']) && !line.contains('{') => true,
        Some((key, value)) => settings::is_plain_key(key.trim()) && !value.to_ascii_lowercase().contains("pass"),
        None => false,
    };
    let end = if plain {
        line.char_indices().nth(LONGEST).map_or(line.len(), |(index, _)| index)
    } else {
        let indent = line.len() - trimmed.len();
        line.find('=').map_or_else(
            || indent + trimmed.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(trimmed.len()),
            |equals| equals + 1,
        )
    };
    &line[..end]
}

/// `node.0.port` is `node.port` to the reader: the line says which.
pub(super) fn shown(path: &str) -> String {
    path.split('.').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}

/// Serde's "unknown field `sise`, expected one of `mode`, `size`", taken apart.
pub(super) struct UnknownKey {
    key: String,
    known: Vec<String>,
}

// === impl UnknownKey ===

impl UnknownKey {
    pub(super) fn in_message(message: &str) -> Option<Self> {
        let message = &message[message.find("unknown field `")?..];
        let mut names = message.split('`').skip(1).step_by(2).map(str::to_owned);
        Some(Self { key: names.next()?, known: names.collect() })
    }

    /// `place` makes the error for a problem at `path`.
    pub(super) fn explain(
        &self,
        path: &str,
        is_section: bool,
        place: impl FnOnce(String) -> ConfigError,
    ) -> ConfigError {
        let known = || self.known.iter().map(String::as_str);
        let list = |form: fn(&str) -> String, keep: fn(&&str) -> bool| {
            known().filter(keep).map(form).collect::<Vec<_>>().join(", ")
        };
        let bracketed = |name: &str| if LISTS.contains(&name) { format!("[[{name}]]") } else { format!("[{name}]") };
        let is_key = |name: &&str| !SECTIONS.contains(name) && !LISTS.contains(name);
        let path = shown(path);
        match path.rsplit_once('.') {
            None if is_section => place(format!("there is no section [{path}]"))
                .did_you_mean(&self.key, known().filter(|name| !is_key(name)))
                .hint(format!("sections: {}", list(bracketed, |name| SECTIONS.contains(name) || LISTS.contains(name)))),
            None => {
                let error = place(format!("there is no key `{path}` outside the sections"));
                let error = match settings::sections_with(&self.key).as_slice() {
                    [] => error.did_you_mean(&self.key, known().filter(is_key)),
                    sections => error.hint(format!("there is one in {}", sections.join(", "))),
                };
                error.hint(format!(
                    "keys: {}",
                    list(str::to_owned, |name| !SECTIONS.contains(name) && !LISTS.contains(name))
                ))
            }
            Some((section, _)) => {
                let error = place(format!("there is no key `{path}`"));
                let error = match super::error::closest(&self.key, known()) {
                    Some(name) => error.hint(format!("did you mean `{name}`?")),
                    None => match settings::sections_with(&self.key).as_slice() {
                        [] => error,
                        sections => error.hint(format!("there is one in {}", sections.join(", "))),
                    },
                };
                error.hint(format!("keys of {}: {}", bracketed(section), list(str::to_owned, |_| true)))
            }
        }
    }
}
