//! The second layer: `PGHERD__POOL__SIZE=30` over `size` of `[pool]`.
//!
//! One underscore (`PGHERD_…`) is not ours: Kubernetes makes such names for a service called pgherd.

use std::collections::{BTreeMap, HashMap};

use ::config::{Environment, File, FileFormat};

use super::error::ConfigError;
use super::raw::Raw;
use super::source::{LISTS, SECTIONS};
use super::unknown::UnknownKey;

const PREFIX: &str = "PGHERD__";

pub(super) struct Layer {
    pub(super) raw: Raw,
    /// Key path → the variable that gave its value.
    pub(super) variables: BTreeMap<String, String>,
}

/// `text`, which is known to fit `Raw`, with the variables over it; `None`: there is none of ours.
pub(super) fn layer(
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Option<Layer>, ConfigError> {
    let mut ours = BTreeMap::new();
    let mut values = HashMap::new();
    for (variable, value) in variables.filter(|(name, _)| name.starts_with(PREFIX)) {
        let path = path_of(&variable)?;
        if value.contains(['\u{FFFD}', '\0']) {
            return Err(error(&variable, "its value is not UTF-8"));
        }
        if let Some(other) = ours.insert(path.clone(), variable.clone()) {
            return Err(error(&variable, &format!("{other} gives {path} too")));
        }
        values.insert(variable, value);
    }
    if ours.is_empty() {
        return Ok(None);
    }
    match merged(text, values.clone()) {
        Ok(raw) => Ok(Some(Layer { raw, variables: ours })),
        Err(together) => Err(culprit(text, &values).unwrap_or_else(|| ConfigError::new("the environment", together))),
    }
}

/// `PGHERD__POOL__SIZE` → `pool.size`.
fn path_of(variable: &str) -> Result<String, ConfigError> {
    let parts: Vec<String> = variable[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let path = parts.join(".");
    let first = parts[0].as_str();
    if LISTS.contains(&first) {
        let problem = format!("[[{first}]] cannot be set from the environment");
        return Err(error(variable, &problem)
            .hint(format!("write [[{first}]] in the file; a password may stand in a password_file")));
    }
    match parts.as_slice() {
        [_] if !first.is_empty() && !SECTIONS.contains(&first) => Ok(path),
        [_, key] if !key.is_empty() => Ok(path),
        _ => Err(error(variable, "it names no key").hint("a name is PGHERD__SECTION__KEY, such as PGHERD__POOL__SIZE")),
    }
}

/// Never with `try_parsing(true)`: it makes the password "0123" the number 123.
fn merged(text: &str, values: HashMap<String, String>) -> Result<Raw, String> {
    let environment = Environment::with_prefix("PGHERD").prefix_separator("__").separator("__").source(Some(values));
    ::config::Config::builder()
        .add_source(File::from_str(text, FileFormat::Toml))
        .add_source(environment)
        .build()
        .and_then(::config::Config::try_deserialize)
        .map_err(|error| error.to_string())
}

/// The first variable that does not fit when it is alone, and why.
fn culprit(text: &str, values: &HashMap<String, String>) -> Option<ConfigError> {
    let mut names: Vec<&String> = values.keys().collect();
    names.sort();
    names.into_iter().find_map(|name| {
        let alone = HashMap::from([(name.clone(), values[name].clone())]);
        let message = merged(text, alone).err()?;
        let path = path_of(name).ok()?;
        Some(match UnknownKey::in_message(&message) {
            // A section that is unknown is the unknown key, and not the key below it.
            Some(unknown) => {
                let section = path.split('.').next().unwrap_or(&path);
                let is_section = path.contains('.') && !SECTIONS.contains(&section);
                let path = if is_section { section } else { path.as_str() };
                unknown.explain(path, is_section, |problem| error(name, &problem))
            }
            None => error(name, &message),
        })
    })
}

fn error(variable: &str, problem: &str) -> ConfigError {
    ConfigError::new(format!("environment variable {variable}"), problem)
}
