//! What is remembered of a request that a standby has refused: its statement is the primary's from now on.

use super::Session;
use super::survey::Piece;
use crate::sql::catalog::Catalog;
use crate::sql::{Access, Class, Reason};
use crate::wire::frame::{self, HEADER};
use crate::wire::frontend::{self, Named};

/// Texts, and what they were before.
#[derive(Debug, Default)]
pub struct Lesson {
    texts: Vec<Box<[u8]>>,
    /// Prepared statements, by the client's names.
    names: Vec<Box<[u8]>>,
}

/// The statements of the request at the front of `bytes` one of which has failed, after so many were `completed`: those that
/// were parsed, bound or described for the one that was to be completed next.
pub fn culprits(bytes: &[u8], completed: usize) -> Vec<Piece<'_>> {
    let (mut found, mut parsed) = (Vec::new(), Vec::<(&[u8], &[u8])>::new());
    let (mut rest, mut executed) = (bytes, 0);
    while let Ok(Some(header)) = frame::header(rest) {
        let Some((message, behind)) = rest.split_at_checked(header.size) else { break };
        rest = behind;
        let mut push = |name| match parsed.iter().rfind(|(known, _)| *known == name) {
            Some((_, text)) => found.push(Piece::Text(text)),
            None => found.push(Piece::Statement(name)),
        };
        match header.tag {
            b'Q' => {
                found.extend(frontend::query_text(message).map(Piece::Text));
                break;
            }
            b'P' => {
                if let Some(parse) = frontend::parse(message) {
                    parsed.push((parse.name, parse.text));
                    found.push(Piece::Text(parse.text));
                }
            }
            b'B' => frontend::bind(message).into_iter().for_each(|bind| push(bind.statement)),
            b'D' => {
                if let Some(Named::Statement(name)) = frontend::named(message) {
                    push(name);
                }
            }
            b'E' if executed == completed => break,
            b'E' => {
                executed += 1;
                found.clear();
            }
            b'S' if header.size == HEADER => break,
            _ => {}
        }
    }
    found
}

// === impl Session ===

impl Session {
    /// The request at the front was refused by a standby after so many of its statements were completed.
    pub(super) fn learn(&mut self, completed: usize) {
        let mut lesson = Lesson::default();
        for culprit in culprits(self.inbox.filled(), completed) {
            match culprit {
                Piece::Text(text) => lesson.texts.push(text.into()),
                Piece::Statement(name) => {
                    let text = match self.names.get(name) {
                        _ if name.is_empty() => self.names.unnamed().map(|unnamed| unnamed.text()),
                        statement => statement.map(|statement| statement.text()),
                    };
                    lesson.texts.extend(text.map(Box::from));
                    lesson.names.push(name.into());
                }
            }
        }
        let known = self.catalog.known();
        let mut news = false;
        for text in &lesson.texts {
            let mut classes = self.worker.classes();
            let class = classes.classify(text, &**known);
            // Of a request of several statements the others are what they are. (By pgherd.route even what is in doubt was tried.)
            if class.is_read() || class.may_only_read() {
                classes.learn(text, refused(class), &**known);
                news = true;
            }
        }
        for name in &lesson.names {
            self.names.reclassify(name, known.version(), refused);
        }
        drop(known);
        if news {
            // What is known of the catalog may be out of date.
            self.catalog.doubt();
        }
        self.net.lesson = Some(Box::new(lesson));
    }

    /// The primary has refused it as well: it is no more the primary's than before.
    pub(super) fn unlearn(&mut self, lesson: &Lesson) {
        let known = self.catalog.known();
        for text in &lesson.texts {
            self.worker.classes().unlearn(text, &**known);
        }
        for name in &lesson.names {
            // Told anew when it is used next.
            self.names.reclassify(name, u64::MAX, |class| class);
        }
    }
}

fn refused(class: Class) -> Class {
    if !class.is_read() && !class.may_only_read() {
        return class;
    }
    Class { target: Access::Write, reason: Reason::RefusedByStandby, ..class }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frontend::{push_bind_head, push_parse, push_query, push_sync};

    fn said(bytes: &[u8], completed: usize) -> String {
        let words = culprits(bytes, completed).into_iter().map(|piece| match piece {
            Piece::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Piece::Statement(name) => format!("[{}]", String::from_utf8_lossy(name)),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn execute(out: &mut Vec<u8>, name: &str) {
        push_bind_head(out, b"", name.as_bytes(), 6);
        out.extend_from_slice(b"\0\0\0\0\0\0E\0\0\0\x09\0\0\0\0\0");
    }

    #[test]
    fn a_query_is_its_text() {
        let mut bytes = Vec::new();
        push_query(&mut bytes, "one; two");
        push_query(&mut bytes, "three");
        assert_eq!((said(&bytes, 0), said(&bytes, 1)), ("one; two".to_owned(), "one; two".to_owned()));
    }

    #[test]
    fn of_a_batch_it_is_what_was_to_be_completed_next() {
        let mut bytes = Vec::new();
        push_parse(&mut bytes, b"", b"one\0\0\0");
        execute(&mut bytes, "");
        execute(&mut bytes, "b");
        push_parse(&mut bytes, b"c", b"three\0\0\0");
        execute(&mut bytes, "c");
        push_sync(&mut bytes);
        execute(&mut bytes, "of another request");
        let told = [0, 1, 2, 3].map(|completed| said(&bytes, completed));
        assert_eq!(told, ["one one", "[b]", "three three", ""]);
        assert_eq!(said(b"", 0), "");
    }
}
