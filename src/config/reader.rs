//! One value of `Raw` → one checked value, or the error that names key, value, place and what is allowed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::raw::Value;
use super::source::{Source, shown};
use super::{Secret, units};

/// No wait is longer: a typo such as `30d` for `30s` should be seen.
const LONGEST_TIME: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    /// Key path → the environment variable that gave its value.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Reads a `password_file`; the pure callers have one that refuses.
    pub(super) read_secret: &'a dyn Fn(&str) -> Result<String, String>,
}

// === impl Reader ===

impl Reader<'_> {
    /// An error about the value at `path`, placed where it came from.
    pub(super) fn error(&self, path: &str, problem: impl Into<String>) -> ConfigError {
        match self.variables.get(path) {
            Some(variable) => ConfigError::new(format!("environment variable {variable}"), problem),
            None => self.source.error_at(path, problem),
        }
    }

    /// In the file or in the environment.
    pub(super) fn is_given(&self, path: &str) -> bool {
        self.variables.contains_key(path) || self.source.line_of(path).is_some()
    }

    /// Where the value at `path` came from, for messages about another key.
    pub(super) fn origin(&self, path: &str) -> String {
        match (self.variables.get(path), self.source.line_of(path)) {
            (Some(variable), _) => variable.clone(),
            (None, Some(line)) => format!("line {line}"),
            (None, None) => "the default".to_owned(),
        }
    }

    pub(super) fn refuse(&self, path: &str, value: &Value, allowed: &str) -> ConfigError {
        self.error(path, format!("{} cannot be {}", shown(path), written(value))).allowed(allowed)
    }

    pub(super) fn number<T: TryFrom<u64>>(
        &self,
        path: &str,
        raw: Option<Value>,
        default: T,
        range: RangeInclusive<u64>,
    ) -> Result<T, ConfigError> {
        let Some(value) = raw else { return Ok(default) };
        let number = match &value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) if self.variables.contains_key(path) => text.trim().parse().ok(),
            Value::Text(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => None,
        };
        let number = number.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| {
            self.refuse(path, &value, &format!("a whole number from {} to {}", range.start(), range.end()))
        })
    }

    pub(super) fn size(
        &self,
        path: &str,
        raw: Option<Value>,
        default: usize,
        range: RangeInclusive<u64>,
    ) -> Result<usize, ConfigError> {
        let Some(value) = raw else { return Ok(default) };
        let bytes = match &value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => units::parse_size(text.trim()),
            Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => None,
        };
        let bytes = bytes.filter(|bytes| range.contains(bytes)).and_then(|bytes| usize::try_from(bytes).ok());
        bytes.ok_or_else(|| {
            let text = |bytes: u64| units::format_size(bytes).unwrap_or_else(|| bytes.to_string());
            let range = format!("{} to {}", text(*range.start()), text(*range.end()));
            self.refuse(path, &value, &format!("a size from {range}, as bytes or such as \"64kB\" or \"1MB\""))
        })
    }

    /// `zero`: what `"0"` means here; `None`: it is not possible.
    pub(super) fn time(
        &self,
        path: &str,
        raw: Option<Value>,
        default: Duration,
        shortest: Duration,
        zero: Option<&str>,
    ) -> Result<Duration, ConfigError> {
        let Some(value) = raw else { return Ok(default) };
        let time = match &value {
            Value::Text(text) => units::parse_time(text.trim()),
            Value::Integer(0) => Some(Duration::ZERO),
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => None,
        };
        let fits = |time: &Duration| {
            if time.is_zero() { zero.is_some() } else { (shortest..=LONGEST_TIME).contains(time) }
        };
        time.filter(fits).ok_or_else(|| {
            let range = format!("{} to {}", units::format_time(shortest), units::format_time(LONGEST_TIME));
            let zero = zero.map_or(String::new(), |zero| format!("; \"0\": {zero}"));
            let error = self.refuse(
                path,
                &value,
                &format!("a time from {range} with its unit, such as \"250ms\", \"5s\", \"10m\" or \"2h\"{zero}"),
            );
            let number = match &value {
                Value::Integer(number) => number.to_string(),
                Value::Text(text) => text.trim().to_owned(),
                Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => String::new(),
            };
            // `30` is seconds to most people; `0` is not possible here.
            match number.parse::<u32>() {
                Ok(1..) => error.hint(format!("did you mean \"{number}s\"?")),
                Ok(0) | Err(_) => error,
            }
        })
    }

    pub(super) fn flag(&self, path: &str, raw: Option<Value>, default: bool) -> Result<bool, ConfigError> {
        let Some(value) = raw else { return Ok(default) };
        let from_environment = self.variables.contains_key(path);
        match &value {
            Value::Bool(flag) => Ok(*flag),
            Value::Text(text) if from_environment => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Ok(true),
                "false" | "off" | "no" | "0" => Ok(false),
                _ => Err(self.refuse(path, &value, "true or false")),
            },
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) | Value::Other(_) => {
                Err(self.refuse(path, &value, "true or false, without quotes"))
            }
        }
    }

    pub(super) fn choice<T: Copy>(
        &self,
        path: &str,
        raw: Option<Value>,
        default: T,
        choices: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<T, ConfigError> {
        let Some(value) = raw else { return Ok(default) };
        let text = match &value {
            Value::Text(text) => text.as_str(),
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => "",
        };
        if let Some(choice) = choices.iter().find(|choice| name(**choice) == text) {
            return Ok(*choice);
        }
        let names: Vec<String> = choices.iter().map(|choice| format!("\"{}\"", name(*choice))).collect();
        let error = self.refuse(path, &value, &names.join(", "));
        Err(error.did_you_mean(text, choices.iter().map(|choice| name(*choice))))
    }

    pub(super) fn address(&self, path: &str, raw: Option<Value>, default: IpAddr) -> Result<IpAddr, ConfigError> {
        let Some(value) = raw else { return Ok(default) };
        let address = match &value {
            Value::Text(text) => text.trim().parse().ok(),
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::List(_) | Value::Other(_) => None,
        };
        address.ok_or_else(|| {
            self.refuse(
                path,
                &value,
                "an IP address: \"127.0.0.1\", \"::1\", \"0.0.0.0\" (every IPv4), \"::\" (every one)",
            )
        })
    }

    /// A text of one line, not empty.
    pub(super) fn text(&self, path: &str, raw: Option<Value>, default: &str) -> Result<String, ConfigError> {
        match raw {
            None => Ok(default.to_owned()),
            Some(Value::Text(text)) if is_name(&text) => Ok(text),
            Some(value) => Err(self.refuse(path, &value, "a text of one line, not empty")),
        }
    }

    /// A text of one line, or none.
    pub(super) fn label(&self, path: &str, raw: Option<Value>) -> Result<String, ConfigError> {
        match raw {
            Some(Value::Text(text)) if text.is_empty() => Ok(text),
            raw => self.text(path, raw, ""),
        }
    }

    pub(super) fn names(
        &self,
        path: &str,
        raw: Option<Value>,
        default: Vec<String>,
    ) -> Result<Vec<String>, ConfigError> {
        let Some(value) = raw else { return Ok(default) };
        let names = match &value {
            Value::List(names) => Some(names.clone()),
            Value::Text(text) if self.variables.contains_key(path) => {
                Some(text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
            }
            Value::Text(_) | Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Other(_) => None,
        };
        names.filter(|names| names.iter().all(|name| is_name(name))).ok_or_else(|| {
            self.refuse(path, &value, "a list of names, such as [\"alice\", \"bob\"]; in the environment: alice,bob")
        })
    }

    /// `password` or what stands in `password_file`; empty if neither is given. The environment beats the file.
    pub(super) fn secret(
        &self,
        section: &str,
        password: Option<Value>,
        password_file: Option<Value>,
    ) -> Result<Secret, ConfigError> {
        let (path, file_path) = (format!("{section}.password"), format!("{section}.password_file"));
        let from_environment = |path| self.variables.contains_key(path);
        let (password, password_file) = match (password, password_file) {
            (Some(_), Some(_)) if from_environment(&path) == from_environment(&file_path) => {
                let both = format!("{} and {} are both given", shown(&path), shown(&file_path));
                return Err(self.error(&file_path, both).allowed("one of them"));
            }
            (Some(password), Some(_)) if from_environment(&path) => (Some(password), None),
            (Some(_), file @ Some(_)) => (None, file),
            other => other,
        };
        let secret = match (password, password_file) {
            (Some(Value::Text(password)), _) => password,
            (Some(_), _) => {
                return Err(self.error(&path, format!("{} is not a text", shown(&path))).allowed("a text, in quotes"));
            }
            (None, None) => return Ok(Secret::default()),
            (None, Some(Value::Text(file))) => (self.read_secret)(&file)
                .map_err(|reason| self.error(&file_path, format!("{}: {reason}", shown(&file_path))))?,
            (None, Some(value)) => {
                return Err(self.refuse(&file_path, &value, "the path of a file, relative to this one"));
            }
        };
        if secret.contains('\0') {
            return Err(self.error(&path, format!("{} holds a NUL character", shown(&path))));
        }
        Ok(Secret::new(secret))
    }

    /// A value that must be there.
    pub(super) fn required(&self, section: &str, key: &str, raw: Option<Value>) -> Result<Value, ConfigError> {
        raw.ok_or_else(|| {
            let list = shown(section);
            self.error(section, format!("this [[{list}]] has no `{key}`"))
        })
    }
}

pub(super) fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(char::is_control)
}

fn written(value: &Value) -> String {
    fn list(items: &[String]) -> String {
        let items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
        format!("[{}]", items.join(", "))
    }
    fn short(text: &dyn Display) -> String {
        let text = text.to_string();
        match text.char_indices().nth(80) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }
    match value {
        Value::Integer(number) => short(number),
        Value::Float(number) => short(number),
        Value::Bool(flag) => short(flag),
        Value::Text(text) => short(&format!("{text:?}")),
        Value::List(items) => short(&list(items)),
        Value::Other(what) => (*what).to_owned(),
    }
}
