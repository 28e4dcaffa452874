//! Frames from a console client, checked whole before pgwire decodes them: its decoders trust every length and count.
//! (PostgreSQL docs: "Message Formats".)

use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::{self, c_string};

/// The largest message the console takes, in bytes. No command is longer than a line.
pub const MAX_BYTES: usize = 64 * 1024;

/// The size of the first frame of `bytes`, if its header is there; the frame itself may not be.
///
/// # Errors
/// FATAL 08P01: not a frame, or too large for the console.
pub fn size(bytes: &[u8]) -> Result<Option<usize>, PgError> {
    match frame::header(bytes) {
        Ok(None) => Ok(None),
        Ok(Some(header)) if header.size <= MAX_BYTES => Ok(Some(header.size)),
        Ok(Some(_)) => Err(violation(format!("the console takes messages of at most {MAX_BYTES} bytes"))),
        Err(_) => Err(violation("invalid message length".to_owned())),
    }
}

/// Whether `frame` (whole, with its header) is a message of the console's with a well-formed body.
///
/// # Errors
/// FATAL 08P01 with PostgreSQL's words.
pub fn check(frame: &[u8]) -> Result<(), PgError> {
    let (tag, body) = (frame[0], &frame[frame::HEADER..]);
    let well_formed = match tag {
        b'Q' => rest_is_empty(c_string(body).map(|(_, rest)| rest)),
        b'P' => rest_is_empty(parse(body)),
        b'B' => rest_is_empty(bind(body)),
        b'D' | b'C' => rest_is_empty(body.split_first().and_then(|(kind, rest)| {
            matches!(kind, b'S' | b'P').then(|| c_string(rest).map(|(_, rest)| rest)).flatten()
        })),
        b'E' => c_string(body).is_some_and(|(_, rest)| rest.len() == 4),
        b'S' | b'H' | b'X' => body.is_empty(),
        _ => return Err(violation(format!("invalid frontend message type {tag}"))),
    };
    if well_formed { Ok(()) } else { Err(violation("invalid message format".to_owned())) }
}

fn rest_is_empty(rest: Option<&[u8]>) -> bool {
    rest.is_some_and(<[u8]>::is_empty)
}

/// Name, text, count, that many type OIDs.
fn parse(body: &[u8]) -> Option<&[u8]> {
    let (_, rest) = c_string(body)?;
    let (_, rest) = c_string(rest)?;
    let (count, rest) = count(rest)?;
    rest.get(4 * count..)
}

/// Portal, statement, formats, values with their lengths, result formats.
fn bind(body: &[u8]) -> Option<&[u8]> {
    let (_, rest) = c_string(body)?;
    let (_, rest) = c_string(rest)?;
    let (formats, rest) = count(rest)?;
    let (values, mut rest) = count(rest.get(2 * formats..)?)?;
    for _ in 0..values {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        rest = match i32::from_be_bytes(*length) {
            -1 => tail,
            length => tail.get(usize::try_from(length).ok()?..)?,
        };
    }
    let (formats, rest) = count(rest)?;
    rest.get(2 * formats..)
}

fn count(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<2>()?;
    Some((usize::from(u16::from_be_bytes(*count)), rest))
}

fn violation(message: String) -> PgError {
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(tag: u8, body: &[u8]) -> bool {
        let mut bytes = Vec::new();
        frame::push(&mut bytes, tag, |out| out.extend_from_slice(body));
        assert_eq!(size(&bytes).unwrap(), Some(bytes.len()));
        check(&bytes).is_ok()
    }

    #[test]
    fn well_formed_messages_pass_and_each_truncation_fails() {
        let good: [(u8, &[u8]); 9] = [
            (b'Q', b"show pools\0"),
            (b'P', b"s\0show pools\0\0\x01\0\0\0\x17"),
            (b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\x01"),
            (b'D', b"Ss\0"),
            (b'C', b"P\0"),
            (b'E', b"\0\0\0\0\0"),
            (b'S', b""),
            (b'H', b""),
            (b'X', b""),
        ];
        for (tag, body) in good {
            assert!(checked(tag, body), "{}", tag as char);
            for end in 0..body.len() {
                assert!(!checked(tag, &body[..end]), "{} {end}", tag as char);
            }
            assert!(!checked(tag, &[body, b"x"].concat()), "{}", tag as char);
        }
    }

    #[test]
    fn what_is_no_message_of_the_console_fails() {
        assert!(!checked(b'F', b""));
        assert!(!checked(b'p', b"secret\0"));
        assert!(!checked(b'D', b"Xs\0"));
        assert!(!checked(b'B', b"\0\0\0\0\0\x01\x80\0\0\0\0\0"));
        assert!(size(b"Q\0\x01\0\0").is_err());
        assert!(size(b"Q\0\0\0\x03").is_err());
        assert_eq!(size(b"Q\0\0"), Ok(None));
    }
}
