//! The differences from PostgreSQL that are meant, each with its reason. The shorter this table, the better.

use pgherd::wire::error::fields;

use super::talk::{End, Transcript};

pub struct Allowed {
    /// What a sequence says behind `allow`.
    pub name: &'static str,
    pub reason: &'static str,
    /// In which pool modes; empty = both.
    pub only_in: &'static str,
    /// Makes both sides the same.
    pub level: fn(&mut Transcript),
}

pub const ALLOWED: &[Allowed] = &[
    Allowed {
        name: "own-error",
        reason: "an error of the proxy's own has PostgreSQL's severity, code and words, \
                 but no file, line and routine of PostgreSQL's source",
        only_in: "",
        level: without_source,
    },
    Allowed {
        name: "newest-minor",
        reason: "the proxy speaks protocol 3.2 with clients whatever the server speaks, and says so",
        only_in: "",
        level: |transcript| {
            without_source(transcript);
            for message in transcript.messages.iter_mut() {
                match message.tag {
                    b'v' => drop(message.body.splice(..4, *b"(version)")),
                    b'E' => {
                        let text = String::from_utf8_lossy(&message.body);
                        message.body = text.replace("3.0 to 3.2", "3.0 to 3.0").into_bytes();
                    }
                    _ => {}
                }
            }
        },
    },
    Allowed {
        name: "reset-to-startup",
        reason: "a server is not opened for one client: RESET finds the server's own default, is answered, and then the \
                 client's value from its startup packet is set again; ParameterStatus tells of both",
        only_in: "",
        level: |transcript| transcript.messages.retain(|message| message.tag != b'S'),
    },
    Allowed {
        name: "injected-parse",
        reason: "a statement the server does not have is prepared ahead of its use: in a failed transaction PostgreSQL \
                 refuses that instead of the use, with the same words from another line of its source",
        only_in: "transaction",
        level: without_source,
    },
    Allowed {
        name: "skipped-unnamed",
        reason: "a Parse of the unnamed statement that is neither answered nor known to be skipped may have failed, \
                 which drops the one before: it counts as dropped",
        only_in: "transaction",
        level: |transcript| {
            transcript.messages.truncate(NOT_DROPPED);
            transcript.end = End::Closed;
        },
    },
];

// === impl Allowed ===

impl Allowed {
    pub fn is_for(&self, pool_mode: &str) -> bool {
        self.only_in.is_empty() || self.only_in == pool_mode
    }
}

/// Messages of that sequence up to where it is used.
const NOT_DROPPED: usize = 19;

fn without_source(transcript: &mut Transcript) {
    for message in transcript.messages.iter_mut().filter(|message| message.tag == b'E') {
        let kept = fields(&message.body).filter(|(code, _)| !matches!(code, b'F' | b'L' | b'R'));
        message.body = kept.flat_map(|(code, text)| [&[code], text, b"\0"].concat()).chain([0]).collect();
    }
}
