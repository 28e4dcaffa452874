//! The text of the file: parsed into `Raw`, and able to say where each key stands.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::excerpt::{excerpt, position};
use super::raw::Raw;
use super::unknown::UnknownKey;

/// Sections written `[name]` and `[[name]]`.
pub(super) const SECTIONS: [&str; 10] =
    ["listen", "pool", "routing", "monitor", "failover", "auth", "admin", "limits", "http", "log"];
pub(super) const LISTS: [&str; 3] = ["node", "user", "database"];

pub(super) struct Source {
    /// As given on the command line: what a message begins with.
    pub(super) name: String,
    text: String,
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
        self.spans.get(path).map(|spans| position(&self.text, spans.value.start).0)
    }

    /// An error about this key's value; about the whole file if the key is not in it.
    pub(super) fn error_at(&self, path: &str, problem: impl Into<String>) -> ConfigError {
        match self.spans.get(path) {
            Some(spans) => self.error(&spans.value, problem),
            None => ConfigError::new(&self.name, problem),
        }
    }

    fn error(&self, span: &Range<usize>, problem: impl Into<String>) -> ConfigError {
        let (line, column) = position(&self.text, span.start);
        let mut error = ConfigError::new(format!("{}:{line}:{column}", self.name), problem);
        error.excerpt = excerpt(&self.text, span).map(Box::new);
        error
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let end = self.text.len();
        let span = error.span().unwrap_or(end..end);
        let message = error.message();
        if message.starts_with("string values must be quoted") {
            return self.error(&span, "not TOML: a text or a time stands in quotes");
        }
        self.error(&span, format!("not TOML: {message}"))
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
}

/// `node.0.port` is `node.port` to the reader: the line says which.
pub(super) fn shown(path: &str) -> String {
    path.split('.').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}
