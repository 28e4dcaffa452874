//! ErrorResponse and NoticeResponse bodies, read and written. (Protocol chapter, "Error and Notice Message Fields".)

use std::fmt;

/// An error as PostgreSQL reports it; ours carry a PostgreSQL SQLSTATE and say what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgError {
    /// `ERROR`, `FATAL`, `PANIC`, not localized.
    pub severity: String,
    /// Five characters.
    pub sqlstate: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// SQLSTATEs the proxy itself answers with. (PostgreSQL docs, appendix "PostgreSQL Error Codes".)
pub mod sqlstate {
    pub const PROTOCOL_VIOLATION: &str = "08P01";
    pub const CONNECTION_FAILURE: &str = "08006";
    pub const SERIALIZATION_FAILURE: &str = "40001";
    pub const IN_FAILED_TRANSACTION: &str = "25P02";
    pub const DUPLICATE_STATEMENT: &str = "42P05";
    pub const UNDEFINED_STATEMENT: &str = "26000";
    pub const UNDEFINED_CURSOR: &str = "34000";
    pub const CANNOT_CONNECT: &str = "08001";
    pub const TRANSACTION_RESOLUTION_UNKNOWN: &str = "08007";
    pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub const INVALID_AUTHORIZATION: &str = "28000";
    pub const INVALID_PASSWORD: &str = "28P01";
    pub const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
    pub const INVALID_PARAMETER_VALUE: &str = "22023";
    pub const UNDEFINED_OBJECT: &str = "42704";
    pub const UNDEFINED_DATABASE: &str = "3D000";
    pub const READ_ONLY_TRANSACTION: &str = "25006";
    pub const SYNTAX_ERROR: &str = "42601";
    pub const TOO_MANY_CONNECTIONS: &str = "53300";
    pub const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
    pub const NOT_IN_PREREQUISITE_STATE: &str = "55000";
    pub const QUERY_CANCELED: &str = "57014";
    pub const ADMIN_SHUTDOWN: &str = "57P01";
    pub const CANNOT_CONNECT_NOW: &str = "57P03";
    pub const IDLE_SESSION_TIMEOUT: &str = "57P05";
    pub const SYSTEM_ERROR: &str = "58000";
    pub const CONFIG_FILE_ERROR: &str = "F0000";
    pub const INTERNAL_ERROR: &str = "XX000";
}

// === impl PgError ===

impl PgError {
    pub fn error(sqlstate: &str, message: impl Into<String>) -> Self {
        Self::new("ERROR", sqlstate, message)
    }

    pub fn fatal(sqlstate: &str, message: impl Into<String>) -> Self {
        Self::new("FATAL", sqlstate, message)
    }

    fn new(severity: &str, sqlstate: &str, message: impl Into<String>) -> Self {
        Self { severity: severity.into(), sqlstate: sqlstate.into(), message: message.into(), detail: None, hint: None }
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Appends a whole ErrorResponse message (tag `E`).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(b'E');
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut field = |code: u8, text: &str| {
            out.push(code);
            out.extend(text.bytes().filter(|b| *b != 0));
            out.push(0);
        };
        field(b'S', &self.severity);
        field(b'V', &self.severity);
        field(b'C', &self.sqlstate);
        field(b'M', &self.message);
        if let Some(detail) = &self.detail {
            field(b'D', detail);
        }
        if let Some(hint) = &self.hint {
            field(b'H', hint);
        }
        out.push(0);
        let length = (out.len() - length_at) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.encode(&mut out);
        out
    }

    /// Reads the body of an ErrorResponse or NoticeResponse (without tag and length). Missing fields stay empty.
    pub fn parse(body: &[u8]) -> Self {
        let mut error = Self::new("ERROR", "XX000", "");
        for (code, text) in fields(body) {
            let text = String::from_utf8_lossy(text).into_owned();
            match code {
                b'S' if error.severity == "ERROR" => error.severity = text,
                b'V' => error.severity = text,
                b'C' => error.sqlstate = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                _ => {}
            }
        }
        error
    }
}

/// The fields of an ErrorResponse or NoticeResponse body, as (code, text).
pub fn fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (&code, tail) = rest.split_first()?;
        if code == 0 {
            return None;
        }
        let end = tail.iter().position(|b| *b == 0)?;
        rest = &tail[end + 1..];
        Some((code, &tail[..end]))
    })
}

/// One field of an ErrorResponse or NoticeResponse body, if it is there.
pub fn field(body: &[u8], wanted: u8) -> Option<&[u8]> {
    fields(body).find(|(code, _)| *code == wanted).map(|(_, text)| text)
}

/// The SQLSTATE of an ErrorResponse body, if it carries one.
pub fn sqlstate_of(body: &[u8]) -> Option<&[u8]> {
    field(body, b'C')
}

/// FATAL and PANIC that are not this client's doing: shutdown, crash, a conflict with recovery, a full disk …
pub fn is_goodbye(body: &[u8]) -> bool {
    let code = sqlstate_of(body).unwrap_or_default();
    match field(body, b'V') {
        Some(b"PANIC") => true,
        Some(b"FATAL") => {
            matches!(code, b"57P01" | b"57P02" | b"57P03" | b"40001")
                || code.starts_with(b"53")
                || code.starts_with(b"58")
        }
        _ => false,
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (SQLSTATE {})", self.severity, self.message, self.sqlstate)
    }
}

impl std::error::Error for PgError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire() {
        let error = PgError::fatal(sqlstate::TOO_MANY_CONNECTIONS, "full").with_hint("raise pool.size");
        let bytes = error.to_bytes();
        assert_eq!(bytes[0], b'E');
        assert_eq!(u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize + 1, bytes.len());
        assert_eq!(PgError::parse(&bytes[5..]), error);
        assert_eq!(sqlstate_of(&bytes[5..]), Some(&b"53300"[..]));
    }

    #[test]
    fn a_goodbye_is_not_what_a_client_has_brought_upon_itself() {
        let is = |severity: &str, code: &str| {
            is_goodbye(&PgError { severity: severity.into(), ..PgError::error(code, "") }.to_bytes()[5..])
        };
        for code in ["57P01", "57P02", "40001", "53200", "58030"] {
            assert!(is("FATAL", code) && is("PANIC", code) && !is("ERROR", code), "{code}");
        }
        for code in ["08P01", "25P03", "57P04", "57P05"] {
            assert!(!is("FATAL", code), "{code}");
        }
    }

    #[test]
    fn a_truncated_body_is_read_as_far_as_it_goes() {
        assert_eq!(PgError::parse(b"C08006\0Mno end").message, "");
        assert_eq!(PgError::parse(b"").sqlstate, "XX000");
    }
}
