//! Looks ahead, before a server is chosen: what does the client ask for, up to the next Query, Sync or Flush? Pure.

use crate::sql::Class;
use crate::wire::frame::{self, HEADER};
use crate::wire::frontend::{self, Check, Named};

/// Something in the request that has a class.
pub enum Piece<'a> {
    Text(&'a [u8]),
    /// A statement prepared earlier, by the client's name; empty = the unnamed one.
    Statement(&'a [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survey {
    /// The request is whole. `class` is that of all its statements together; `None` if it has none (Sync alone,
    /// Close).
    Whole { class: Option<Class>, ends: Ends },
    /// More bytes are to come; at least so many in all for the frame that is cut off.
    Unfinished { at_least: usize },
    /// A frame whose class can't be known before it is sent: a FunctionCall, or garbage for PostgreSQL to refuse.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Query,
    /// `empty`: nothing comes before it.
    Sync {
        empty: bool,
    },
    /// Flush: the implicit transaction stays open. `executes`: something in it is run.
    Flush {
        executes: bool,
    },
    Terminate,
}

pub fn survey(bytes: &[u8], mut class_of: impl FnMut(Piece<'_>) -> Option<Class>) -> Survey {
    let mut class: Option<Class> = None;
    let mut merge = |new: Option<Class>| match (class, new) {
        (None, new) => class = new,
        // A statement described, bound or parsed with itself stays what it is.
        (Some(old), Some(new)) if old != new => class = Some(old.then(new)),
        _ => {}
    };
    // What is bound behind a Parse of the unnamed statement is that one, not the client's last.
    let mut unnamed_is_here = false;
    let (mut at, mut executes) = (0, false);
    let ends = loop {
        let Ok(header) = frame::header(&bytes[at..]) else { return Survey::Opaque };
        let Some(header) = header else { return Survey::Unfinished { at_least: at + HEADER } };
        match header.tag {
            b'X' => break Ends::Terminate,
            // With a body they are broken; PostgreSQL says so.
            b'S' | b'H' if header.size != HEADER => return Survey::Opaque,
            b'S' => break Ends::Sync { empty: at == 0 },
            b'H' => break Ends::Flush { executes },
            _ if frontend::check(header) != Check::Fine => return Survey::Opaque,
            _ => {}
        }
        let whole = bytes.get(at..at + header.size);
        let Some(frame) = whole.or((header.tag == b'B').then_some(&bytes[at..])) else {
            return Survey::Unfinished { at_least: at + header.size };
        };
        match header.tag {
            b'Q' if at > 0 => return Survey::Opaque,
            b'Q' => {
                merge(frontend::query_text(frame).and_then(|text| class_of(Piece::Text(text))));
                break Ends::Query;
            }
            b'P' => {
                let parse = frontend::parse(frame);
                unnamed_is_here |= parse.as_ref().is_some_and(|parse| parse.name.is_empty());
                merge(parse.and_then(|parse| class_of(Piece::Text(parse.text))));
            }
            b'B' | b'D' => {
                let named = match header.tag {
                    b'B' => frontend::bind(frame).map(|bind| bind.statement),
                    _ => frontend::named(frame).and_then(|named| match named {
                        Named::Statement(name) => Some(name),
                        Named::Portal(_) => None,
                    }),
                };
                let named = named.filter(|name| !(name.is_empty() && unnamed_is_here));
                merge(named.and_then(|name| class_of(Piece::Statement(name))));
            }
            b'E' => executes = true,
            b'C' | b'd' | b'c' | b'f' => {}
            _ => return Survey::Opaque,
        }
        if whole.is_none() {
            return Survey::Unfinished { at_least: at + header.size };
        }
        at += header.size;
    };
    Survey::Whole { class, ends }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Kind, Reason};
    use crate::wire::frontend::{push_bind_head, push_close_statement, push_parse, push_query};

    /// `r…` reads, anything else writes; statements have the class of their names.
    fn class_of(piece: Piece<'_>) -> Option<Class> {
        let (Piece::Text(text) | Piece::Statement(text)) = piece;
        match text.first()? {
            b'r' => Some(Class::read()),
            b'?' => None,
            _ => Some(Class::write(Reason::DataChange)),
        }
    }

    fn look(build: impl FnOnce(&mut Vec<u8>)) -> Survey {
        let mut bytes = Vec::new();
        build(&mut bytes);
        let whole = survey(&bytes, class_of);
        // Whatever is cut off is asked for, and never more than there is.
        for end in 0..bytes.len() {
            match survey(&bytes[..end], class_of) {
                Survey::Unfinished { at_least } => assert!(at_least > end && at_least <= bytes.len()),
                cut => assert_eq!(cut, whole, "at {end}"),
            }
        }
        whole
    }

    fn bind(out: &mut Vec<u8>, statement: &str) {
        push_bind_head(out, b"", statement.as_bytes(), 6);
        out.extend_from_slice(&[0; 6]);
    }

    const EXECUTE: &[u8] = b"E\0\0\0\x09\0\0\0\0\0";
    const SYNC: &[u8] = b"S\0\0\0\x04";
    const FLUSH: &[u8] = b"H\0\0\0\x04";

    fn reads(ends: Ends) -> Survey {
        Survey::Whole { class: Some(Class::read()), ends }
    }

    #[test]
    fn a_query_has_the_class_of_its_text() {
        assert_eq!(look(|out| push_query(out, "read")), reads(Ends::Query));
        let Survey::Whole { class: Some(class), .. } = look(|out| push_query(out, "write")) else { panic!() };
        assert!(!class.is_read());
    }

    #[test]
    fn one_write_makes_the_whole_batch_a_write() {
        let batch = |names: &'static [&str]| {
            look(move |out| {
                for name in names {
                    bind(out, name);
                    out.extend_from_slice(EXECUTE);
                }
                out.extend_from_slice(SYNC);
            })
        };
        assert_eq!(batch(&["r1", "r1"]), reads(Ends::Sync { empty: false }));
        let Survey::Whole { class: Some(class), .. } = batch(&["r1", "w", "r2"]) else { panic!() };
        assert_eq!((class.is_read(), class.kind), (false, Kind::Several));
        assert_eq!(batch(&["?"]), Survey::Whole { class: None, ends: Ends::Sync { empty: false } });
    }

    #[test]
    fn what_is_bound_behind_its_parse_is_not_what_was_parsed_before() {
        // The client's unnamed statement of before is a write.
        let class_of = |piece: Piece<'_>| match piece {
            Piece::Statement(b"") => Some(Class::write(Reason::DataChange)),
            piece => class_of(piece),
        };
        let mut bytes = Vec::new();
        push_parse(&mut bytes, b"", b"read\0\0\0");
        bind(&mut bytes, "");
        bytes.extend_from_slice(SYNC);
        assert_eq!(survey(&bytes, class_of), reads(Ends::Sync { empty: false }));
        let mut bytes = Vec::new();
        bind(&mut bytes, "");
        bytes.extend_from_slice(SYNC);
        assert_ne!(survey(&bytes, class_of), reads(Ends::Sync { empty: false }));
    }

    #[test]
    fn a_flush_tells_whether_something_was_run() {
        let prepared = look(|out| {
            push_parse(out, b"s", b"read\0\0\0");
            out.extend_from_slice(FLUSH);
        });
        assert_eq!(prepared, reads(Ends::Flush { executes: false }));
        let run = look(|out| {
            bind(out, "r");
            out.extend_from_slice(EXECUTE);
            out.extend_from_slice(FLUSH);
        });
        assert_eq!(run, reads(Ends::Flush { executes: true }));
    }

    #[test]
    fn what_has_no_class_is_still_whole() {
        assert_eq!(
            look(|out| out.extend_from_slice(SYNC)),
            Survey::Whole { class: None, ends: Ends::Sync { empty: true } }
        );
        assert_eq!(
            look(|out| {
                push_close_statement(out, b"s");
                out.extend_from_slice(SYNC);
            }),
            Survey::Whole { class: None, ends: Ends::Sync { empty: false } }
        );
        assert_eq!(
            look(|out| out.extend_from_slice(b"X\0\0\0\x04")),
            Survey::Whole { class: None, ends: Ends::Terminate }
        );
    }

    #[test]
    fn a_function_call_is_opaque() {
        assert_eq!(survey(b"F\0\0\0\x04", class_of), Survey::Opaque);
        assert_eq!(survey(b"Q\0\0\0\x01", class_of), Survey::Opaque);
        assert_eq!(survey(b"E\0\0\x50\0", class_of), Survey::Opaque);
        assert_eq!(survey(b"S\0\0\0\x06ab", class_of), Survey::Opaque);
    }
}
