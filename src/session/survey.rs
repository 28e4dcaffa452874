//! Looks ahead, before a server is chosen: what does the client ask for, up to the next Query, Sync or Flush? Pure.

use crate::sql::Class;
use crate::wire::frame::{self, HEADER};
use crate::wire::frontend::{self, Named};

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
    Sync { empty: bool },
    /// Flush: the implicit transaction stays open. `executes`: something in it is run.
    Flush { executes: bool },
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
    let (mut at, mut executes) = (0, false);
    let ends = loop {
        let Ok(header) = frame::header(&bytes[at..]) else { return Survey::Opaque };
        let Some(header) = header else { return Survey::Unfinished { at_least: at + HEADER } };
        match header.tag {
            b'X' => break Ends::Terminate,
            b'S' => break Ends::Sync { empty: at == 0 },
            b'H' => break Ends::Flush { executes },
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
            b'P' => merge(frontend::parse(frame).and_then(|parse| class_of(Piece::Text(parse.text)))),
            b'B' => merge(frontend::bind(frame).and_then(|bind| class_of(Piece::Statement(bind.statement)))),
            b'D' => match frontend::named(frame) {
                Some(Named::Statement(name)) => merge(class_of(Piece::Statement(name))),
                Some(Named::Portal(_)) | None => {}
            },
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
