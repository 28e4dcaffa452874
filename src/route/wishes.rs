//! What a session wishes for by its `pgherd.*` settings.

use super::{Preference, Token};
use crate::config::Consistency;
use crate::sql::set;

/// Told once from the settings, when they change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `pgherd.route`
    pub preference: Preference,
    /// `pgherd.consistency`; none: as configured.
    pub consistency: Option<Consistency>,
    /// `pgherd.min_lsn`
    pub min_lsn: Option<Token>,
    /// `pgherd.notice`; none: as configured.
    pub notice: Option<bool>,
    /// Another setting speaks against standbys (`sql::set::force_primary`).
    pub reads_on_primary: bool,
}

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// No setting of ours. What may have been meant.
    Name(Option<&'static str>),
    /// What is allowed.
    Value(&'static str),
}

/// What all our settings' names begin with.
pub const PREFIX: &str = "pgherd.";

const ROUTE: &str = "pgherd.route";
const CONSISTENCY: &str = "pgherd.consistency";
const MIN_LSN: &str = "pgherd.min_lsn";
const NOTICE: &str = "pgherd.notice";

/// Each setting of a session's, and what may be its value.
pub const SETTINGS: [(&str, &str); 4] = [
    (ROUTE, "auto, primary, standby"),
    (CONSISTENCY, "session, global, eventual, primary"),
    (MIN_LSN, "what SHOW pgherd.last_lsn said, such as 1:0/16B3748; empty: none"),
    (NOTICE, "on, off"),
];

// === impl Wishes ===

impl Wishes {
    /// `get`: the value of a setting by its lower-case name. An empty value is none, as after RESET.
    pub fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        Self {
            preference: get(ROUTE).and_then(preference).unwrap_or_default(),
            consistency: get(CONSISTENCY).and_then(consistency),
            min_lsn: get(MIN_LSN).and_then(|text| text.parse().ok()),
            notice: get(NOTICE).and_then(flag),
            reads_on_primary: set::force_primary(get),
        }
    }
}

/// Whether a setting (its name in lower case) may have this value. What is no setting of ours may have any.
///
/// # Errors
/// With what is allowed.
pub fn check(name: &str, value: &str) -> Result<(), Invalid> {
    if !name.starts_with(PREFIX) {
        return Ok(());
    }
    let Some((_, allowed)) = SETTINGS.iter().find(|(known, _)| *known == name) else {
        return Err(Invalid::Name(similar(name)));
    };
    let is_fine = match name {
        _ if value.trim().is_empty() => true,
        ROUTE => preference(value).is_some(),
        CONSISTENCY => consistency(value).is_some(),
        MIN_LSN => value.parse::<Token>().is_ok(),
        _ => flag(value).is_some(),
    };
    if is_fine { Ok(()) } else { Err(Invalid::Value(allowed)) }
}

fn similar(name: &str) -> Option<&'static str> {
    let likeness = |known: &str| strsim::jaro_winkler(&name[PREFIX.len()..], &known[PREFIX.len()..]);
    let best = SETTINGS.iter().map(|(known, _)| (likeness(known), *known)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= 0.7).map(|(_, known)| known)
}

fn preference(text: &str) -> Option<Preference> {
    one_of(text, &[("auto", Preference::Auto), ("primary", Preference::Primary), ("standby", Preference::Standby)])
}

fn consistency(text: &str) -> Option<Consistency> {
    one_of(text, &Consistency::ALL.map(|known| (known.as_str(), known)))
}

/// As PostgreSQL spells booleans, save abbreviations.
fn flag(text: &str) -> Option<bool> {
    let words = ["on", "true", "yes", "1"].map(|word| (word, true)).into_iter();
    one_of(text, &words.chain(["off", "false", "no", "0"].map(|word| (word, false))).collect::<Vec<_>>())
}

fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim())).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_wishes() {
        let set = [
            ("pgherd.route", "Standby"),
            ("pgherd.consistency", "eventual"),
            ("pgherd.min_lsn", "3:0/10"),
            ("pgherd.notice", "on"),
            ("search_path", "a, pg_catalog"),
        ];
        let wishes = Wishes::of(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
        let expected = Wishes {
            preference: Preference::Standby,
            consistency: Some(Consistency::Eventual),
            min_lsn: "3:0/10".parse().ok(),
            notice: Some(true),
            reads_on_primary: true,
        };
        assert_eq!(wishes, expected);
        assert_eq!(Wishes::of(|_| Some("")), Wishes { reads_on_primary: true, ..Wishes::default() });
        assert_eq!(Wishes::of(|_| None), Wishes::default());
    }

    #[test]
    fn what_is_refused_says_what_is_meant() {
        for (name, value) in [
            ("pgherd.route", "auto"),
            ("pgherd.route", ""),
            ("pgherd.min_lsn", "0/1"),
            ("pgherd.notice", "Off"),
            ("work_mem", "x"),
            ("myapp.user", "x"),
        ] {
            assert_eq!(check(name, value), Ok(()), "{name} {value}");
        }
        for name in ["pgherd.route", "pgherd.consistency", "pgherd.min_lsn", "pgherd.notice"] {
            assert!(matches!(check(name, "x"), Err(Invalid::Value(_))), "{name}");
        }
        assert_eq!(check("pgherd.rout", "auto"), Err(Invalid::Name(Some("pgherd.route"))));
        assert_eq!(check("pgherd.last_lsn", ""), Err(Invalid::Name(None)));
    }
}
