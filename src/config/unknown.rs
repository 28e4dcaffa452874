//! Serde's complaint about an unknown key, made into one that helps: what was meant, where it belongs, what there is.

use super::entries;
use super::error::{ConfigError, closest};
use super::source::{LISTS, SECTIONS, shown};

/// "unknown field `sise`, expected one of `mode`, `size`", taken apart.
pub(super) struct UnknownKey {
    pub(super) key: String,
    known: Vec<String>,
}

// === impl UnknownKey ===

impl UnknownKey {
    /// `None`: the message is about something else.
    pub(super) fn in_message(message: &str) -> Option<Self> {
        let message = &message[message.find("unknown field `")?..];
        // What the `config` crate adds.
        let message = message.split_once(" for key `").map_or(message, |(serde, _)| serde);
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
        let path = shown(path);
        match path.rsplit_once('.') {
            None if is_section => self.no_section(place(format!("there is no section [{path}]"))),
            None => {
                let error = place(format!("there is no key `{path}` outside the sections"));
                let keep = |name: &str| !is_section_name(name);
                self.no_key(error, keep).hint(self.keys("keys outside the sections", keep))
            }
            Some((section, _)) => {
                let error = place(format!("there is no key `{path}`"));
                self.no_key(error, |_| true).hint(self.keys(&format!("keys of {}", bracketed(section)), |_| true))
            }
        }
    }

    fn no_section(&self, error: ConfigError) -> ConfigError {
        let sections: Vec<&str> = self.known.iter().map(String::as_str).filter(|name| is_section_name(name)).collect();
        let error = match closest(&self.key, sections.iter().copied()) {
            Some(name) => error.hint(format!("did you mean {}?", bracketed(name))),
            None => error,
        };
        let all: Vec<String> = sections.into_iter().map(bracketed).collect();
        error.hint(format!("sections: {}", all.join(", ")))
    }

    /// A misspelling first; else the section it belongs to.
    fn no_key(&self, error: ConfigError, keep: fn(&str) -> bool) -> ConfigError {
        let elsewhere = entries::sections_with(&self.key).join(", ");
        match closest(&self.key, self.known.iter().map(String::as_str).filter(|name| keep(name))) {
            Some(name) => error.hint(format!("did you mean `{name}`?")),
            None if elsewhere.is_empty() => error,
            None => error.hint(format!("there is one in {elsewhere}")),
        }
    }

    fn keys(&self, what: &str, keep: fn(&str) -> bool) -> String {
        let keys = self.known.iter().map(String::as_str).filter(|name| keep(name));
        format!("{what}: {}", keys.collect::<Vec<_>>().join(", "))
    }
}

fn is_section_name(name: &str) -> bool {
    SECTIONS.contains(&name) || LISTS.contains(&name)
}

fn bracketed(name: &str) -> String {
    if LISTS.contains(&name) { format!("[[{name}]]") } else { format!("[{name}]") }
}
