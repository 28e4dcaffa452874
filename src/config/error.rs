//! What is wrong with the configuration, as one message: where, what, and what is allowed instead.

use std::fmt;

/// Displays as, for example,
///
/// ```text
/// proxy.toml:12:8: pool.size cannot be "many"
///    |
/// 12 | size = "many"
///    |        ^^^^^^
///    = allowed: a whole number from 1 to 100000
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `proxy.toml:12:8`, `proxy.toml` or `environment variable PGHERD__POOL__SIZE`.
    pub(super) place: String,
    pub(super) problem: String,
    pub(super) excerpt: Option<Box<Excerpt>>,
    /// What is allowed, what was probably meant, what to do.
    pub(super) hints: Vec<String>,
}

/// A line of the file, with no secret in it, and what to underline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) line: usize,
    pub(super) text: String,
    /// First character and number of characters; `None` when they are hidden.
    pub(super) mark: Option<(usize, usize)>,
}

// === impl ConfigError ===

impl ConfigError {
    pub(super) fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into(), excerpt: None, hints: Vec::new() }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(super) fn allowed(self, allowed: &str) -> Self {
        self.hint(format!("allowed: {allowed}"))
    }

    /// A hint, if one of `known` looks like `written`.
    pub(super) fn did_you_mean<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(written, known) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)?;
        let width = self.excerpt.as_ref().map_or(1, |excerpt| excerpt.line.to_string().len());
        if let Some(Excerpt { line, text, mark }) = self.excerpt.as_deref() {
            write!(f, "\n {:width$} |\n {line} | {text}", "")?;
            if let Some((first, length)) = mark {
                write!(f, "\n {:width$} | {:first$}{}", "", "", "^".repeat(*length))?;
            }
        }
        for hint in &self.hints {
            write!(f, "\n {:width$} = {hint}", "")?;
        }
        Ok(())
    }
}

/// The name most like `written`, if any is like it: by letters, or because one holds the other (`pool_size`, `size`).
pub(super) fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    known
        .into_iter()
        .map(|name| {
            let held = name.len() > 3 && written.len() > 3 && (written.contains(name) || name.contains(&*written));
            (strsim::jaro_winkler(&written, name).max(if held { 0.85 } else { 0.0 }), name)
        })
        .filter(|(likeness, _)| *likeness >= 0.82)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let keys = ["mode", "size", "min_size", "max_waiting", "wait_timeout", "prepared_statements"];
        for (written, expected) in [
            ("sise", Some("size")),
            ("MODE", Some("mode")),
            ("pool_size", Some("size")),
            ("pool_mode", Some("mode")),
            ("minsize", Some("min_size")),
            ("prepared", Some("prepared_statements")),
            ("colour", None),
        ] {
            assert_eq!(closest(written, keys), expected, "{written}");
        }
    }
}
