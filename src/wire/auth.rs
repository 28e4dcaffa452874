//! What a client hears while it logs in. (Protocol chapter, "Message Formats": Authentication…, ParameterStatus,
//! BackendKeyData, ReadyForQuery.) By hand: each is a few lines, and pgwire's types would want an allocation
//! per message and lossy UTF-8.

use super::frame;
use super::startup::put_cstr;

/// An Authentication request: 0 = ok, 5 = md5 (`data` = 4 bytes of salt), 10 = SASL (mechanisms),
/// 11 = SASL continue, 12 = SASL final.
fn push_authentication(out: &mut Vec<u8>, kind: u32, data: &[u8]) {
    frame::push(out, b'R', |out| {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(data);
    });
}

pub fn push_authentication_ok(out: &mut Vec<u8>) {
    push_authentication(out, 0, &[]);
}

pub fn push_authentication_md5(out: &mut Vec<u8>, salt: [u8; 4]) {
    push_authentication(out, 5, &salt);
}

/// Offers one mechanism.
pub fn push_authentication_sasl(out: &mut Vec<u8>, mechanism: &str) {
    let mut list = Vec::with_capacity(mechanism.len() + 2);
    put_cstr(&mut list, mechanism);
    list.push(0);
    push_authentication(out, 10, &list);
}

pub fn push_sasl_continue(out: &mut Vec<u8>, data: &[u8]) {
    push_authentication(out, 11, data);
}

pub fn push_sasl_final(out: &mut Vec<u8>, data: &[u8]) {
    push_authentication(out, 12, data);
}

pub fn push_parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    frame::push(out, b'S', |out| {
        put_cstr(out, name);
        put_cstr(out, value);
    });
}

/// `key`: 4 bytes with protocol 3.0, 4 to 256 with 3.2.
pub fn push_backend_key_data(out: &mut Vec<u8>, process_id: i32, key: &[u8]) {
    frame::push(out, b'K', |out| {
        out.extend_from_slice(&process_id.to_be_bytes());
        out.extend_from_slice(key);
    });
}

/// `status`: `I`, `T` or `E`.
pub fn push_ready_for_query(out: &mut Vec<u8>, status: u8) {
    frame::push(out, b'Z', |out| out.push(status));
}

/// The body of a SASLInitialResponse: mechanism, and the client's first message unless it waits to be asked.
#[derive(Debug, PartialEq, Eq)]
pub struct SaslInitial<'a> {
    pub mechanism: &'a [u8],
    pub data: Option<&'a [u8]>,
}

/// PostgreSQL's words for what is wrong with the body of a `p` message.
pub type Complaint = &'static str;

pub fn sasl_initial(body: &[u8]) -> Result<SaslInitial<'_>, Complaint> {
    let (mechanism, rest) = frame::c_string(body).ok_or("invalid string in message")?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("insufficient data left in message")?;
    let length = i32::from_be_bytes(*length);
    let (data, rest) = if length == -1 {
        (None, rest)
    } else {
        let length = usize::try_from(length).map_err(|_| "insufficient data left in message")?;
        let (data, rest) = rest.split_at_checked(length).ok_or("insufficient data left in message")?;
        (Some(data), rest)
    };
    if rest.is_empty() { Ok(SaslInitial { mechanism, data }) } else { Err("invalid message format") }
}
