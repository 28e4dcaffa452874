//! `[[database]]`, and what a `[[user]]` says of reads: other words than `[routing]`'s for some. A user's win over a
//! database's.

use super::error::ConfigError;
use super::raw::{self, Value};
use super::reader::{Reader, is_name};
use super::{Config, Consistency};

/// What is not as the next wider one has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub split: Option<bool>,
    pub consistency: Option<Consistency>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    pub name: String,
    pub reads: Overrides,
}

/// How a session's reads are routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads {
    pub split: bool,
    pub consistency: Consistency,
}

// === impl Config ===

impl Config {
    /// What `[[user]]`, `[[database]]` and `[routing]` come to.
    pub fn reads_of(&self, database: &str, user: &str) -> Reads {
        let none = Overrides::default();
        let of_user = self.users.iter().find(|known| known.name == user).map_or(none, |user| user.reads);
        let of_database = self.databases.iter().find(|known| known.name == database).map_or(none, |found| found.reads);
        Reads {
            split: of_user.split.or(of_database.split).unwrap_or(self.routing.split),
            consistency: of_user.consistency.or(of_database.consistency).unwrap_or(self.routing.consistency),
        }
    }
}

// === impl Overrides ===

impl Overrides {
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The keys `split` and `consistency` of `section`.
    pub(super) fn read(
        section: &str,
        split: Option<Value>,
        consistency: Option<Value>,
        r: &Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let flag = |value| r.flag(&format!("{section}.split"), Some(value), true);
        let choice = |value| {
            let path = format!("{section}.consistency");
            r.choice(&path, Some(value), Consistency::Session, &Consistency::ALL, Consistency::as_str)
        };
        Ok(Self { split: split.map(flag).transpose()?, consistency: consistency.map(choice).transpose()? })
    }
}

pub(super) fn databases(raw: Vec<raw::Database>, r: &Reader<'_>) -> Result<Vec<Database>, ConfigError> {
    let mut databases: Vec<Database> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let section = format!("database.{index}");
        let path = format!("{section}.name");
        let name = match r.required(&section, "name", raw.name)? {
            Value::Text(name) if is_name(&name) && name.len() <= 63 => name,
            value => return Err(r.refuse(&path, &value, "a database's name: 1 to 63 bytes")),
        };
        if let Some(first) = databases.iter().position(|earlier| earlier.name == name) {
            let origin = r.origin(&format!("database.{first}.name"));
            let problem = format!("two databases are named \"{name}\" (the first: {origin})");
            return Err(r.error(&path, problem).allowed("one [[database]] for each name"));
        }
        databases.push(Database { name, reads: Overrides::read(&section, raw.split, raw.consistency, r)? });
    }
    Ok(databases)
}
