//! Settings whose values are the same on every node for a session that is carried from one to another.

use super::scanner::{Scanner, Token, TokenKind};

/// They belong to the session, the transaction or the database, or were given to all nodes when the first one was made.
const SAME_EVERYWHERE: [&str; 24] = [
    "application_name",
    "block_size",
    "client_encoding",
    "data_checksums",
    "datestyle",
    "integer_datetimes",
    "intervalstyle",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_function_args",
    "max_identifier_length",
    "max_index_keys",
    "search_path",
    "segment_size",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
    "standard_conforming_strings",
    "timezone",
    "transaction_isolation",
    "wal_block_size",
    "wal_segment_size",
];

/// Whether a setting is the same everywhere. Custom ones (`app.tenant`) are the client's own.
pub(super) fn is_carried(name: &str) -> bool {
    is_custom(name) || is_the_same(&name.to_ascii_lowercase())
}

/// By its lower-case name.
pub(super) fn is_the_same(name: &str) -> bool {
    SAME_EVERYWHERE.contains(&name)
}

fn is_custom(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    name.contains('.') && name.split('.').all(is_part)
}

/// Behind `current_setting (`: is that called with the name of such a setting?
pub(super) fn asks_for_carried(mut arguments: Scanner, text: &[u8]) -> bool {
    let Some(name) = arguments.next().filter(|token| token.kind == TokenKind::String) else { return false };
    let ends = |token: Token| [b',', b')', b':'].iter().any(|symbol| token.is_symbol(text, *symbol));
    let raw = std::str::from_utf8(name.text(text)).unwrap_or_default();
    let name = raw.strip_prefix('\'').and_then(|raw| raw.strip_suffix('\'')).unwrap_or_default();
    arguments.next().is_some_and(ends) && is_carried(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_plain_is_none() {
        for name in ["app.tenant", "App.Tenant.Id", "TimeZone", "search_path"] {
            assert!(is_carried(name), "{name}");
        }
        for name in ["", ".", "app.", "port", "a.b c", "transaction_read_only", "in_hot_standby"] {
            assert!(!is_carried(name), "{name}");
        }
    }
}
