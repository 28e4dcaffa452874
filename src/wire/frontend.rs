//! Messages a client sends: what may come, and the names inside those that carry a statement's name.
//! (Protocol chapter, "Message Formats", those marked F.)

use super::frame::{self, Header, SMALL_LENGTH, c_string, long_c_string};

/// Whether PostgreSQL would accept this header outside of the start-up: a known tag, and no absurd length for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Fine,
    UnknownTag,
    TooLong,
}

#[inline]
pub fn check(header: Header) -> Check {
    match header.tag {
        b'Q' | b'P' | b'B' | b'd' | b'F' => Check::Fine,
        b'S' | b'H' | b'E' | b'D' | b'C' | b'X' | b'c' | b'f' if header.size - 1 <= SMALL_LENGTH => Check::Fine,
        b'S' | b'H' | b'E' | b'D' | b'C' | b'X' | b'c' | b'f' => Check::TooLong,
        _ => Check::UnknownTag,
    }
}

/// The query text of a whole Query frame, without its NUL.
#[inline]
pub fn query_text(frame: &[u8]) -> Option<&[u8]> {
    let (text, rest) = long_c_string(&frame[frame::HEADER..])?;
    rest.is_empty().then_some(text)
}

/// A whole Parse frame, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    pub name: &'a [u8],
    pub text: &'a [u8],
    /// All behind the name: text, NUL, parameter types. What makes two statements the same.
    pub tail: &'a [u8],
}

#[inline]
pub fn parse(frame: &[u8]) -> Option<Parse<'_>> {
    let (name, tail) = c_string(&frame[frame::HEADER..])?;
    let (text, types) = long_c_string(tail)?;
    (types.len() >= 2).then_some(Parse { name, text, tail })
}

/// The head of a Bind frame: portal, statement, and how many bytes of the frame they take (header included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    pub head: usize,
}

/// `bytes`: the frame, or its beginning. `None` if both names are not there yet (or never will be).
#[inline]
pub fn bind(bytes: &[u8]) -> Option<Bind<'_>> {
    let (portal, rest) = c_string(bytes.get(frame::HEADER..)?)?;
    let (statement, rest) = c_string(rest)?;
    Some(Bind { portal, statement, head: bytes.len() - rest.len() })
}

/// What a whole Describe or Close frame names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    Statement(&'a [u8]),
    Portal(&'a [u8]),
}

#[inline]
pub fn named(frame: &[u8]) -> Option<Named<'_>> {
    let (&what, rest) = frame[frame::HEADER..].split_first()?;
    let (name, rest) = c_string(rest)?;
    match what {
        b'S' if rest.is_empty() => Some(Named::Statement(name)),
        b'P' if rest.is_empty() => Some(Named::Portal(name)),
        _ => None,
    }
}

// Messages of our own making, appended to `out`.

pub fn push_query(out: &mut Vec<u8>, sql: &str) {
    frame::push(out, b'Q', |out| {
        out.extend(sql.bytes().filter(|b| *b != 0));
        out.push(0);
    });
}

/// `tail` as in [`Parse::tail`].
pub fn push_parse(out: &mut Vec<u8>, name: &[u8], tail: &[u8]) {
    frame::push(out, b'P', |out| {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(tail);
    });
}

/// The head of a Bind whose frame keeps the `rest` bytes that followed the names.
pub fn push_bind_head(out: &mut Vec<u8>, portal: &[u8], statement: &[u8], rest: usize) {
    let length = 4 + portal.len() + 1 + statement.len() + 1 + rest;
    out.push(b'B');
    out.extend_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(portal);
    out.push(0);
    out.extend_from_slice(statement);
    out.push(0);
}

pub fn push_describe_statement(out: &mut Vec<u8>, name: &[u8]) {
    push_named(out, b'D', name);
}

pub fn push_close_statement(out: &mut Vec<u8>, name: &[u8]) {
    push_named(out, b'C', name);
}

pub fn push_sync(out: &mut Vec<u8>) {
    out.extend_from_slice(b"S\0\0\0\x04");
}

fn push_named(out: &mut Vec<u8>, tag: u8, name: &[u8]) {
    frame::push(out, tag, |out| {
        out.push(b'S');
        out.extend_from_slice(name);
        out.push(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_place() {
        let mut out = Vec::new();
        push_parse(&mut out, b"s1", b"select 1\0\0\0");
        assert_eq!(parse(&out), Some(Parse { name: b"s1", text: b"select 1", tail: b"select 1\0\0\0" }));
        out.clear();
        push_bind_head(&mut out, b"p", b"s1", 6);
        let head = out.len();
        out.extend_from_slice(&[0; 6]);
        assert_eq!(bind(&out), Some(Bind { portal: b"p", statement: b"s1", head }));
        assert_eq!(frame::header(&out).unwrap().unwrap().size, out.len());
        out.clear();
        push_close_statement(&mut out, b"s1");
        assert_eq!(named(&out), Some(Named::Statement(b"s1")));
    }

    #[test]
    fn broken_bodies_are_none_never_a_panic() {
        for body in [&b""[..], b"x", b"\0", b"a\0b", b"a\0b\0", b"a\0b\0\0", b"S", b"Sx", b"Sx\0y", b"Zx\0"] {
            let mut out = Vec::new();
            frame::push(&mut out, b'P', |out| out.extend_from_slice(body));
            let _ = (query_text(&out), bind(&out), named(&out));
            assert_eq!(parse(&out), None, "{body:?}");
        }
        assert_eq!(bind(b"B"), None);
    }

    #[test]
    fn small_messages_may_not_be_large() {
        assert_eq!(check(Header { tag: b'S', size: 10_001 }), Check::Fine);
        assert_eq!(check(Header { tag: b'S', size: 10_002 }), Check::TooLong);
        assert_eq!(check(Header { tag: b'Q', size: 1 << 29 }), Check::Fine);
        assert_eq!(check(Header { tag: b'z', size: 5 }), Check::UnknownTag);
    }
}
