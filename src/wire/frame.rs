//! Frames: one tag byte, a big-endian length that counts itself, a body. (Protocol chapter, "Messages".)
//! Headers are read in place; bodies stay as they lie.

/// Tag and length.
pub const HEADER: usize = 5;

/// PostgreSQL's own bound on a message (`PQ_LARGE_MESSAGE_LIMIT`), in bytes of its length word.
pub const MAX_LENGTH: usize = 0x3fff_fffe;

/// PostgreSQL's bound on messages that have no business being large (`PQ_SMALL_MESSAGE_LIMIT`).
pub const SMALL_LENGTH: usize = 10_000;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub tag: u8,
    /// Of the whole frame, tag and length word included; at least 5.
    pub size: usize,
}

/// A length word that no frame can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLength;

/// The header at the start of `bytes`, or `None` if fewer than 5 bytes are there.
#[inline]
pub fn header(bytes: &[u8]) -> Result<Option<Header>, BadLength> {
    let Some(&[tag, a, b, c, d]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(4..=MAX_LENGTH).contains(&length) {
        return Err(BadLength);
    }
    Ok(Some(Header { tag, size: length + 1 }))
}

/// Bytes of all frames of this tag that stand at the front without another between them, the last one whole or not.
#[inline]
pub fn run_length(bytes: &[u8], tag: u8) -> usize {
    let mut length = 0;
    while let Some(rest) = bytes.get(length..)
        && let Ok(Some(next)) = header(rest)
        && next.tag == tag
    {
        length += next.size;
    }
    length
}

/// The text up to the first NUL, and what follows it. `None` if there is no NUL. Most are names of a few bytes.
#[inline]
pub fn c_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| *b == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The same of what is seldom short: a statement.
#[inline]
pub fn long_c_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Appends a frame whose body `write` appends.
pub fn push(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let length = (out.len() - at) as u32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_another_tag_and_holds_what_is_cut_off() {
        assert_eq!(run_length(b"D\0\0\0\x05aD\0\0\0\x04C\0\0\0\x04", b'D'), 11);
        assert_eq!(run_length(b"D\0\0\0\x05aD\0\0\0\x09b", b'D'), 16);
        assert_eq!(run_length(b"D\0\0\0\x05aD\0\0", b'D'), 6);
        assert_eq!(run_length(b"D\0\0\0\x05aD\0\0\0\0", b'D'), 6);
        assert_eq!(run_length(b"", b'D'), 0);
    }

    #[test]
    fn a_header_needs_five_bytes_and_a_possible_length() {
        assert_eq!(header(b"Q\0\0\0"), Ok(None));
        assert_eq!(header(b"S\0\0\0\x04"), Ok(Some(Header { tag: b'S', size: 5 })));
        assert_eq!(header(b"S\0\0\0\x03"), Err(BadLength));
        assert_eq!(header(b"S\x3f\xff\xff\xff"), Err(BadLength));
        assert_eq!(header(b"S\xff\xff\xff\xff"), Err(BadLength));
    }

    #[test]
    fn a_pushed_frame_has_its_length() {
        let mut out = Vec::new();
        push(&mut out, b'Q', |out| out.extend_from_slice(b"x\0"));
        assert_eq!(out, b"Q\0\0\0\x06x\0");
    }
}
