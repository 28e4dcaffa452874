//! The untagged first packet of a connection. (Protocol chapter, "Start-up", "Canceling Requests in Progress".)

/// Major version in the upper half, minor in the lower.
pub const PROTOCOL_3_0: u32 = 3 << 16;

/// Appends a StartupMessage of protocol 3.0. Names and values must not hold a NUL byte.
pub fn encode_startup<'a>(out: &mut Vec<u8>, parameters: impl IntoIterator<Item = (&'a str, &'a str)>) {
    length_prefixed(out, |out| {
        out.extend_from_slice(&PROTOCOL_3_0.to_be_bytes());
        for (name, value) in parameters {
            put_cstr(out, name);
            put_cstr(out, value);
        }
        out.push(0);
    });
}

pub fn put_cstr(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// The length counts itself, not the tag. All callers stay far below 2 GiB.
fn length_prefixed(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}
