//! The untagged first packet of a connection, and what is said of it in return.
//! (Protocol chapter, "Start-up", "SSL Session Encryption", "Canceling Requests in Progress".)
//! The errors are PostgreSQL's own, word for word (`ProcessStartupPacket`).

use super::error::{PgError, sqlstate};
use super::frame;

/// Major version in the upper half, minor in the lower.
pub const PROTOCOL_3_0: u32 = 3 << 16;
/// The newest minor version of protocol 3 spoken with clients.
pub const NEWEST_MINOR: u16 = 2;
/// Longer names of users and databases are cut, as PostgreSQL cuts them (`NAMEDATALEN` - 1).
const MAX_NAME_BYTES: usize = 63;
/// Longest secret of a cancel request with protocol 3.2.
const MAX_CANCEL_KEY: usize = 256;

const CODE_CANCEL: u32 = 1234 << 16 | 5678;
const CODE_SSL: u32 = 1234 << 16 | 5679;
const CODE_GSS: u32 = 1234 << 16 | 5680;

/// Encryption requests this connection has had an answer to; a second one is read as the version it isn't.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    pub ssl: bool,
    pub gss: bool,
}

#[derive(PartialEq)]
pub enum Packet {
    SslRequest,
    GssRequest,
    Cancel { process_id: i32, key: Vec<u8> },
    Startup(Startup),
}

/// What a client asks for. All texts are UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Startup {
    /// Of protocol 3: what is spoken from now on (0..=2), the lower of the client's and ours.
    pub minor: u16,
    /// The client asked for a newer one.
    pub newer_asked: bool,
    /// Not empty.
    pub user: String,
    /// The user's name if the client gave none.
    pub database: String,
    /// `database` or a true boolean, as the client wrote it; `None` for a false one.
    pub replication: Option<String>,
    /// All others (`options`, `application_name`, `client_encoding` …), in the client's order.
    pub parameters: Vec<(String, String)>,
    /// Protocol options (`_pq_.…`), all of which are unknown.
    pub unknown_options: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub enum Malformed {
    /// PostgreSQL closes without a word.
    Length,
    /// PostgreSQL says so; `answer` is all that is sent.
    Error { error: PgError, answer: Vec<u8> },
}

// === impl Packet ===

impl Packet {
    /// Reads a packet without its length word.
    pub fn parse(body: &[u8], answered: Answered) -> Result<Self, Malformed> {
        let (code, rest) = body.split_first_chunk::<4>().ok_or(Malformed::Length)?;
        match u32::from_be_bytes(*code) {
            CODE_SSL if !answered.ssl => Ok(Packet::SslRequest),
            CODE_GSS if !answered.gss => Ok(Packet::GssRequest),
            CODE_CANCEL => cancel(rest).ok_or(Malformed::Length),
            version => Startup::parse(version, rest).map(Packet::Startup),
        }
    }
}

fn cancel(body: &[u8]) -> Option<Packet> {
    let (process_id, key) = body.split_first_chunk::<4>()?;
    let right_length = (1..=MAX_CANCEL_KEY).contains(&key.len());
    right_length.then(|| Packet::Cancel { process_id: i32::from_be_bytes(*process_id), key: key.to_vec() })
}

// === impl Startup ===

impl Startup {
    /// The value of a parameter; the last one counts if it came more than once.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rfind(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn parse(version: u32, body: &[u8]) -> Result<Self, Malformed> {
        let (major, minor) = (version >> 16, version as u16);
        if major != 3 {
            let text =
                format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{NEWEST_MINOR}");
            return Err(unsupported(version, PgError::fatal(sqlstate::FEATURE_NOT_SUPPORTED, text)));
        }
        let newer_asked = minor > NEWEST_MINOR;
        let mut startup = Self { minor: minor.min(NEWEST_MINOR), newer_asked, ..Self::default() };
        startup.read_parameters(body)?;
        if startup.user.is_empty() {
            let text = "no PostgreSQL user name specified in startup packet";
            let error = PgError::fatal(sqlstate::INVALID_AUTHORIZATION, text);
            let mut answer = startup.negotiation().unwrap_or_default();
            error.encode(&mut answer);
            return Err(Malformed::Error { error, answer });
        }
        if startup.database.is_empty() {
            startup.database.clone_from(&startup.user);
        }
        Ok(startup)
    }

    /// Pairs of C strings up to an empty name, which must be the last byte.
    fn read_parameters(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let mut rest = body;
        while let Some((name, tail)) = frame::c_string(rest) {
            if name.is_empty() {
                rest = tail;
                return if rest.is_empty() { Ok(()) } else { Err(bad_layout()) };
            }
            let Some((value, tail)) = frame::c_string(tail) else { break };
            self.take(name, value)?;
            rest = tail;
        }
        // PostgreSQL looks only at where it has stopped: a last byte that is a name's beginning will do.
        if rest.len() == 1 { Ok(()) } else { Err(bad_layout()) }
    }

    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        if name == b"application_name" {
            // Like PostgreSQL, which shows it in logs of any encoding.
            let value = value.iter().map(|b| if (32..127).contains(b) { char::from(*b) } else { '?' }).collect();
            self.parameters.push(("application_name".to_owned(), value));
            return Ok(());
        }
        let (name, value) = (utf8(name)?, utf8(value)?);
        match name {
            "user" => self.user = clipped(value),
            "database" => self.database = clipped(value),
            "replication" => self.replication = replication(value)?,
            _ if name.starts_with("_pq_.") => self.unknown_options.push(name.to_owned()),
            _ => self.parameters.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// NegotiateProtocolVersion, if the client asked for more than is spoken here.
    pub fn negotiation(&self) -> Option<Vec<u8>> {
        if !self.newer_asked && self.unknown_options.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        frame::push(&mut out, b'v', |out| {
            out.extend_from_slice(&(PROTOCOL_3_0 | u32::from(self.minor)).to_be_bytes());
            out.extend_from_slice(&(self.unknown_options.len() as u32).to_be_bytes());
            for option in &self.unknown_options {
                put_cstr(out, option);
            }
        });
        Some(out)
    }
}

fn replication(value: &str) -> Result<Option<String>, Malformed> {
    if value == "database" {
        return Ok(Some(value.to_owned()));
    }
    match parse_bool(value) {
        Some(on) => Ok(on.then(|| value.to_owned())),
        None => {
            let text = format!("invalid value for parameter \"replication\": \"{value}\"");
            let hint = "Valid values are: \"false\", 0, \"true\", 1, \"database\".";
            Err(PgError::fatal(sqlstate::INVALID_PARAMETER_VALUE, text).with_hint(hint).into())
        }
    }
}

/// PostgreSQL's `parse_bool`: any unambiguous beginning, in any case.
fn parse_bool(text: &str) -> Option<bool> {
    let begins = |word: &str, at_least: usize| {
        text.len() >= at_least && word.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text))
    };
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || text == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// Names in other encodings would have to be guessed, and two users must never become one.
fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| {
        fatal(sqlstate::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\" in startup packet")
    })
}

fn clipped(name: &str) -> String {
    name[..name.floor_char_boundary(MAX_NAME_BYTES)].to_owned()
}

fn bad_layout() -> Malformed {
    fatal(sqlstate::PROTOCOL_VIOLATION, "invalid startup packet layout: expected terminator as last byte")
}

fn fatal(sqlstate: &str, message: &str) -> Malformed {
    PgError::fatal(sqlstate, message).into()
}

/// A client of an older protocol hears it in that protocol's form. (Version 0.0 counts as none at all.)
fn unsupported(version: u32, error: PgError) -> Malformed {
    if version == 0 || version >= PROTOCOL_3_0 {
        return error.into();
    }
    let answer = format!("E{}:  {}\n\0", error.severity, error.message).into_bytes();
    Malformed::Error { error, answer }
}

impl From<PgError> for Malformed {
    fn from(error: PgError) -> Self {
        let answer = error.to_bytes();
        Malformed::Error { error, answer }
    }
}

// === encoding ===

/// Appends a StartupMessage of protocol 3.0.
pub fn encode_startup<'a>(out: &mut Vec<u8>, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&PROTOCOL_3_0.to_be_bytes());
    for (name, value) in parameters {
        put_cstr(out, name);
        put_cstr(out, value);
    }
    out.push(0);
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Without its NUL bytes, which would end it early.
pub fn put_cstr(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|b| *b != 0));
    out.push(0);
}
