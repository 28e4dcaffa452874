//! Settings of a session that must hold on whichever server it gets, and the SQL that carries them there. Pure.

use std::hash::{BuildHasher, Hash};

/// Settings by lower-case name, sorted; compared by hash first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    hash: u64,
    /// See [`Settings::reading`].
    reading: u64,
    values: Vec<(String, String)>,
}

/// Settings that change nothing about how PostgreSQL reads a statement.
const NO_MATTER_TO_STATEMENTS: [&str; 5] = [
    "application_name",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
];

/// Startup parameters that are no settings.
const NOT_SETTINGS: [&str; 4] = ["user", "database", "options", "replication"];

// === impl Settings ===

impl Settings {
    /// From the parameters of a startup packet, `options` taken apart (`-c name=value`, `--name=value`).
    /// `Err`: what in `options` can't be understood.
    pub fn from_startup(parameters: &[(String, String)]) -> Result<Self, String> {
        let mut settings = Self::default();
        if let Some((_, options)) = parameters.iter().find(|(name, _)| name == "options") {
            for (name, value) in parse_options(options)? {
                settings.insert(&name, &value);
            }
        }
        for (name, value) in parameters {
            if !NOT_SETTINGS.contains(&name.as_str()) && !name.starts_with("_pq_.") {
                settings.insert(name, value);
            }
        }
        settings.rehash();
        Ok(settings)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.values.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(&self.values[at].1)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut changed = self.clone();
        changed.insert(name, value);
        changed.rehash();
        changed
    }

    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut changed = self.clone();
        changed.values.retain(|(n, _)| n != name);
        changed.rehash();
        changed
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Cheap: tells nearly all different settings apart, and equal ones are equal.
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        self.hash == other.hash && self.values == other.values
    }

    /// Differs where a statement prepared under the one settings may not be what it is under the other. 0: none are set.
    #[inline]
    pub fn reading(&self) -> u64 {
        self.reading
    }

    /// One Query that turns `have` into `self`; `None` if nothing is to be done.
    /// `set_config` takes any value as text, lists such as `search_path` included.
    pub fn sql_from(&self, have: &Settings) -> Option<String> {
        let mut sql = String::new();
        for (name, _) in have.values.iter().filter(|(name, _)| self.get(name).is_none()) {
            sql.push_str("RESET ");
            push_quoted(&mut sql, name, '"');
            sql.push_str("; ");
        }
        let mut first = true;
        for (name, value) in self.values.iter().filter(|(name, value)| have.get(name) != Some(value)) {
            sql.push_str(if first { "SELECT " } else { ", " });
            first = false;
            sql.push_str("pg_catalog.set_config(");
            push_literal(&mut sql, name);
            sql.push_str(", ");
            push_literal(&mut sql, value);
            sql.push_str(", false)");
        }
        (!sql.is_empty()).then_some(sql)
    }

    fn insert(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        match self.values.binary_search_by(|(n, _)| n.cmp(&name)) {
            Ok(at) => self.values[at].1 = value.to_owned(),
            Err(at) => self.values.insert(at, (name, value.to_owned())),
        }
    }

    fn rehash(&mut self) {
        let hasher = foldhash::fast::FixedState::default();
        self.hash = hasher.hash_one(&self.values);
        let mut reading = self.values.iter().filter(|(name, _)| matters_to_statements(name));
        self.reading = reading.clone().next().map_or(0, |_| hasher.hash_one(reading.by_ref().collect::<Vec<_>>()));
    }
}

/// Whether this setting (in lower case) may change how PostgreSQL reads a statement.
pub fn matters_to_statements(name: &str) -> bool {
    !NO_MATTER_TO_STATEMENTS.contains(&name) && !name.starts_with("pgherd.")
}

/// `options` as PostgreSQL splits them: by white space, a backslash takes the next character as it is.
fn parse_options(options: &str) -> Result<Vec<(String, String)>, String> {
    let words = split_words(options);
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let assignment = if let Some(long) = word.strip_prefix("--") {
            long.to_owned()
        } else if word == "-c" {
            words.next().ok_or("invalid command-line argument for server process: -c")?
        } else if let Some(short) = word.strip_prefix("-c") {
            short.to_owned()
        } else {
            return Err(format!("invalid command-line argument for server process: {word}"));
        };
        let option = if word.starts_with("--") { "--" } else { "-c " };
        let (name, value) = assignment.split_once('=').ok_or(format!("{option}{assignment} requires a value"))?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn push_quoted(out: &mut String, text: &str, quote: char) {
    out.push(quote);
    for c in text.chars() {
        if c == quote {
            out.push(quote);
        }
        out.push(c);
    }
    out.push(quote);
}

/// An `E''` literal when a backslash is inside, so that `standard_conforming_strings` does not matter.
pub fn push_literal(out: &mut String, text: &str) {
    if text.contains('\\') {
        out.push('E');
        push_quoted(out, &text.replace('\\', "\\\\"), '\'');
    } else {
        push_quoted(out, text, '\'');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Settings::from_startup(&pairs).unwrap()
    }

    #[test]
    fn startup_parameters_and_options_become_settings() {
        let all = settings(&[
            ("user", "u"),
            ("options", r"-c search_path=a,b --geqo=off -cwork_mem=4MB -c x=a\ b"),
            ("TimeZone", "UTC"),
        ]);
        let want = [("geqo", "off"), ("search_path", "a,b"), ("timezone", "UTC"), ("work_mem", "4MB"), ("x", "a b")];
        assert_eq!(all.values, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn bad_options_are_named() {
        for bad in ["-x", "-c", "-c foo", "--foo", "word"] {
            let pairs = [("options".to_owned(), bad.to_owned())];
            assert!(Settings::from_startup(&pairs).is_err(), "{bad}");
        }
    }

    #[test]
    fn statements_are_read_alike_whatever_the_application_is_called() {
        let reading = |pairs: &[(&str, &str)]| settings(pairs).reading();
        assert_eq!(reading(&[("application_name", "a"), ("statement_timeout", "5s")]), 0);
        let utc = reading(&[("TimeZone", "UTC")]);
        assert_eq!(utc, reading(&[("TimeZone", "UTC"), ("application_name", "a")]));
        assert_ne!(utc, reading(&[("TimeZone", "Asia/Tokyo")]));
        assert_eq!(settings(&[("TimeZone", "UTC")]).without("timezone").reading(), 0);
    }

    #[test]
    fn only_the_difference_is_sent() {
        let have = settings(&[("application_name", "a"), ("geqo", "off")]);
        let want = settings(&[("application_name", r"it's \"), ("TimeZone", "UTC")]);
        assert_eq!(
            want.sql_from(&have).unwrap(),
            r#"RESET "geqo"; SELECT pg_catalog.set_config('application_name', E'it''s \\', false), "#.to_owned()
                + "pg_catalog.set_config('timezone', 'UTC', false)"
        );
        assert_eq!(want.sql_from(&want.clone()), None);
        assert!(want.same(&have.with("application_name", r"it's \").without("geqo").with("TIMEZONE", "UTC")));
    }
}
