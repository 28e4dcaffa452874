//! The configuration as written: sections and keys, every one optional, values not looked at yet.
//!
//! An unknown key fails here; what a value must be is `resolve`'s. No `Debug`: a raw value may be a password.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A value before anybody knows what it should be: TOML types it, the environment knows only text.
pub(super) enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<String>),
    /// What no key takes: "a table" …
    Other(&'static str),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) listen: Listen,
    pub(super) workers: Option<Value>,
    pub(super) node: Vec<Node>,
    pub(super) pool: Pool,
    pub(super) routing: Routing,
    pub(super) monitor: Monitor,
    pub(super) failover: Failover,
    pub(super) auth: Auth,
    pub(super) user: Vec<User>,
    pub(super) database: Vec<Database>,
    pub(super) admin: Admin,
    pub(super) limits: Limits,
    pub(super) http: Http,
    pub(super) log: Log,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Listen {
    pub(super) host: Option<Value>,
    pub(super) port: Option<Value>,
    pub(super) backlog: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Node {
    pub(super) name: Option<Value>,
    pub(super) host: Option<Value>,
    pub(super) port: Option<Value>,
    pub(super) max_servers: Option<Value>,
    pub(super) weight: Option<Value>,
    pub(super) zone: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pool {
    pub(super) mode: Option<Value>,
    pub(super) size: Option<Value>,
    pub(super) min_size: Option<Value>,
    pub(super) max_waiting: Option<Value>,
    pub(super) wait_timeout: Option<Value>,
    pub(super) connect_timeout: Option<Value>,
    pub(super) idle_timeout: Option<Value>,
    pub(super) lifetime: Option<Value>,
    pub(super) prepared_statements: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Routing {
    pub(super) split: Option<Value>,
    pub(super) transactions: Option<Value>,
    pub(super) consistency: Option<Value>,
    pub(super) max_lag: Option<Value>,
    pub(super) max_lag_bytes: Option<Value>,
    pub(super) slow_start: Option<Value>,
    pub(super) primary_weight: Option<Value>,
    pub(super) zone: Option<Value>,
    pub(super) catalog: Option<Value>,
    pub(super) catalog_refresh: Option<Value>,
    pub(super) catalog_timeout: Option<Value>,
    pub(super) max_catalog_bytes: Option<Value>,
    pub(super) retry_deadline: Option<Value>,
    pub(super) notice: Option<Value>,
    pub(super) max_classified_bytes: Option<Value>,
    pub(super) cache_entries: Option<Value>,
    pub(super) max_shapes: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Monitor {
    pub(super) user: Option<Value>,
    pub(super) password: Option<Value>,
    pub(super) password_file: Option<Value>,
    pub(super) database: Option<Value>,
    pub(super) interval: Option<Value>,
    pub(super) write_interval: Option<Value>,
    pub(super) timeout: Option<Value>,
    pub(super) failures: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Failover {
    pub(super) mode: Option<Value>,
    pub(super) durability: Option<Value>,
    pub(super) grace: Option<Value>,
    pub(super) witnesses: Option<Value>,
    pub(super) pause: Option<Value>,
    pub(super) drain: Option<Value>,
    pub(super) state_file: Option<Value>,
    pub(super) hold_timeout: Option<Value>,
    pub(super) max_held: Option<Value>,
    pub(super) max_held_bytes: Option<Value>,
    pub(super) outcome: Option<Value>,
    pub(super) weaker_commit: Option<Value>,
    pub(super) on_failover: Option<Value>,
    pub(super) fence: Option<Value>,
    pub(super) promote: Option<Value>,
    pub(super) on_promote: Option<Value>,
    pub(super) hook_timeout: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Auth {
    pub(super) method: Option<Value>,
    pub(super) lookup: Option<Value>,
    pub(super) query: Option<Value>,
    pub(super) database: Option<Value>,
    pub(super) cache_ttl: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct User {
    pub(super) name: Option<Value>,
    pub(super) password: Option<Value>,
    pub(super) password_file: Option<Value>,
    pub(super) split: Option<Value>,
    pub(super) consistency: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Database {
    pub(super) name: Option<Value>,
    pub(super) split: Option<Value>,
    pub(super) consistency: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) users: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) max_clients: Option<Value>,
    pub(super) login_timeout: Option<Value>,
    pub(super) max_startup_bytes: Option<Value>,
    pub(super) max_login_message_bytes: Option<Value>,
    pub(super) max_statement_bytes: Option<Value>,
    pub(super) max_client_statements: Option<Value>,
    pub(super) max_client_statement_bytes: Option<Value>,
    pub(super) buffer_bytes: Option<Value>,
    pub(super) drain_timeout: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    pub(super) enabled: Option<Value>,
    pub(super) host: Option<Value>,
    pub(super) port: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: Option<Value>,
    pub(super) level: Option<Value>,
    pub(super) slow_statement: Option<Value>,
}

// === impl Value ===

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value or a list of texts")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Integer(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Some(Vec::new());
        while let Some(element) = elements.next_element()? {
            list = match (list, element) {
                (Some(mut list), Value::Text(text)) => {
                    list.push(text);
                    Some(list)
                }
                _ => None,
            };
        }
        Ok(list.map_or(Value::Other("a list of other things than texts"), Value::List))
    }

    // A date (`2024-01-01`, `10:00:00`) reaches a visitor as a map, as does a table.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other("a table or a date"))
    }
}
