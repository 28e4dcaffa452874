//! The settings PostgreSQL reports by itself, as the client knows them. Pure.

use std::sync::Arc;

/// What the client was told when it connected, shared by all that were told the same, and what was changed since.
#[derive(Default)]
pub struct Told {
    welcome: Arc<Vec<(String, String)>>,
    /// Rarely more than one; no room is kept for others.
    since: Box<[(Box<str>, Box<str>)]>,
}

// === impl Told ===

impl Told {
    pub fn new(welcome: Arc<Vec<(String, String)>>) -> Self {
        Self { welcome, since: Box::default() }
    }

    /// The value of `name`, if PostgreSQL reports it.
    pub fn get(&self, name: &str) -> Option<&str> {
        let since = self.since.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value);
        since.or_else(|| self.welcome.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()))
    }

    /// Whether that is news to the client.
    pub fn tell(&mut self, name: &str, value: &str) -> bool {
        if let Some((_, known)) = self.since.iter_mut().find(|(n, _)| **n == *name) {
            let is_news = **known != *value;
            if is_news {
                *known = value.into();
            }
            return is_news;
        }
        let is_news = !self.welcome.iter().any(|(n, v)| n == name && v == value);
        if is_news {
            let since = std::mem::take(&mut self.since).into_iter();
            self.since = since.chain([(name.into(), value.into())]).collect();
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_value_is_news() {
        let mut told = Told::new(Arc::new(vec![("TimeZone".to_owned(), "UTC".to_owned())]));
        let said = ["UTC", "CET", "CET", "UTC", "UTC"].map(|zone| told.tell("TimeZone", zone));
        assert_eq!(said, [false, true, false, true, false]);
        assert!(told.tell("new", "x") && !told.tell("new", "x"));
        assert_eq!((told.get("TimeZone"), told.get("new"), told.get("old")), (Some("UTC"), Some("x"), None));
    }
}
