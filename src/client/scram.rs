//! SCRAM-SHA-256 as the server of a client: three steps, each made from the one before. Pure.
//! Own, not pgwire's: that one compares in variable time, keeps the ClientKey to itself, and has other words for
//! what is malformed than PostgreSQL (`auth-scram.c`), whose order of checks and texts are kept here.

use crate::wire::error::{PgError, sqlstate};
use crate::wire::scram::{self, Key, ScramKeys, ScramVerifier};

/// Step 1: the client's first message was read.
#[derive(Debug, PartialEq)]
pub struct ClientFirst {
    /// `c=` of the final message must repeat what the first one said of channel binding.
    binding: &'static [u8],
    bare: Vec<u8>,
    nonce: Vec<u8>,
}

/// Step 2: the challenge was made.
pub struct Challenged {
    pub server_first: Vec<u8>,
    first: ClientFirst,
    /// The client's and ours.
    nonce: Vec<u8>,
}

/// Step 3.
#[derive(Debug)]
pub enum Verdict {
    /// The keys the client proved to know, and the message that proves us.
    Proved(ScramKeys, Vec<u8>),
    Wrong,
}

// === impl ClientFirst ===

impl ClientFirst {
    pub fn read(message: &[u8]) -> Result<Self, PgError> {
        let mut reader = Reader::new(message)?;
        let binding: &[u8] = match reader.peek() {
            b'n' => b"biws", // base64 of "n,,"
            b'y' => b"eSws", // base64 of "y,,"
            b'p' => {
                return Err(malformed(
                    "The client selected SCRAM-SHA-256 without channel binding, \
                     but the SCRAM message includes channel binding data.",
                ));
            }
            other => return Err(malformed(format!("Unexpected channel-binding flag \"{}\".", shown(other)))),
        };
        reader.rest = &reader.rest[1..];
        if reader.peek() != b',' {
            return Err(malformed(format!("Comma expected, but found character \"{}\".", shown(reader.peek()))));
        }
        reader.rest = &reader.rest[1..];
        match reader.peek() {
            b',' => reader.rest = &reader.rest[1..],
            b'a' => return Err(unsupported("client uses authorization identity, but it is not supported")),
            other => {
                let text = format!("Unexpected attribute \"{}\" in client-first-message.", shown(other));
                return Err(malformed(text));
            }
        }
        let bare = reader.rest.to_vec();
        if reader.peek() == b'm' {
            return Err(unsupported("client requires an unsupported SCRAM extension"));
        }
        reader.value_of(b'n')?; // PostgreSQL, too, takes the startup packet's user
        let nonce = reader.value_of(b'r')?.to_vec();
        if !nonce.iter().all(|b| (0x21..=0x7e).contains(b)) {
            return Err(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "non-printable characters in SCRAM nonce"));
        }
        while !reader.rest.is_empty() {
            reader.any()?;
        }
        Ok(Self { binding, bare, nonce })
    }

    pub fn challenge(self, random: &[u8; scram::NONCE_BYTES], verifier: &ScramVerifier) -> Challenged {
        let nonce = [&self.nonce, scram::nonce_text(random).as_bytes()].concat();
        let salt = scram::encode_base64(&verifier.salt);
        let tail = format!(",s={salt},i={}", verifier.iterations);
        Challenged { server_first: [b"r=", &nonce[..], tail.as_bytes()].concat(), first: self, nonce }
    }
}

// === impl Challenged ===

impl Challenged {
    /// Takes the same time for a right and for a wrong proof.
    pub fn verify(self, message: &[u8], verifier: &ScramVerifier) -> Result<Verdict, PgError> {
        let (without_proof, proof) = self.read_final(message)?;
        let sign = |key: &Key| scram::signature(key, &self.first.bare, &self.server_first, without_proof);

        let client_key = scram::xor(&proof, &sign(&verifier.stored_key));
        let server_signature = sign(&verifier.server_key);
        if !scram::same_secret(&scram::sha256(&client_key), &verifier.stored_key) {
            return Ok(Verdict::Wrong);
        }
        let keys = ScramKeys { client_key, server_key: verifier.server_key };
        Ok(Verdict::Proved(keys, format!("v={}", scram::encode_base64(&server_signature)).into_bytes()))
    }

    /// The message up to its proof, and the proof.
    fn read_final<'a>(&self, message: &'a [u8]) -> Result<(&'a [u8], Key), PgError> {
        let mut reader = Reader::new(message)?;
        if reader.value_of(b'c')? != self.first.binding {
            return Err(PgError::fatal(
                sqlstate::PROTOCOL_VIOLATION,
                "unexpected SCRAM channel-binding attribute in client-final-message",
            ));
        }
        let nonce = reader.value_of(b'r')?;
        let (before, proof) = loop {
            let before = message.len() - reader.rest.len();
            if let (b'p', value) = reader.any()? {
                break (before, value);
            }
        };
        let proof = scram::decode_key(proof).ok_or_else(|| malformed("Malformed proof in client-final-message."))?;
        if !reader.rest.is_empty() {
            return Err(malformed("Garbage found at the end of client-final-message."));
        }
        if nonce != self.nonce {
            let error = PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "invalid SCRAM response");
            return Err(error.with_detail("Nonce does not match."));
        }
        Ok((&message[..before - 1], proof)) // without the comma: two attributes stand before the proof
    }
}

/// Walks over `a=value,b=value`.
struct Reader<'a> {
    rest: &'a [u8],
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn new(message: &'a [u8]) -> Result<Self, PgError> {
        if message.is_empty() {
            return Err(malformed("The message is empty."));
        }
        if message.contains(&0) {
            return Err(malformed("Message length does not match input length."));
        }
        Ok(Self { rest: message })
    }

    /// NUL at the end, as in PostgreSQL's strings.
    fn peek(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    fn value_of(&mut self, attribute: u8) -> Result<&'a [u8], PgError> {
        if self.peek() != attribute {
            let (wanted, found) = (char::from(attribute), shown(self.peek()));
            return Err(malformed(format!("Expected attribute \"{wanted}\" but found \"{found}\".")));
        }
        Ok(self.any()?.1)
    }

    /// The next attribute, whatever it is.
    fn any(&mut self) -> Result<(u8, &'a [u8]), PgError> {
        let Some((&attribute, tail)) = self.rest.split_first() else {
            return Err(malformed("Attribute expected, but found end of string."));
        };
        if !attribute.is_ascii_alphabetic() {
            let text = format!("Attribute expected, but found invalid character \"{}\".", shown(attribute));
            return Err(malformed(text));
        }
        let Some(tail) = tail.strip_prefix(b"=") else {
            let text = format!("Expected character \"=\" for attribute \"{}\".", char::from(attribute));
            return Err(malformed(text));
        };
        let end = tail.iter().position(|b| *b == b',').unwrap_or(tail.len());
        self.rest = tail.get(end + 1..).unwrap_or_default();
        Ok((attribute, &tail[..end]))
    }
}

/// A byte as PostgreSQL shows it in these errors.
fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("'{}'", char::from(byte)) } else { format!("0x{byte:02x}") }
}

fn malformed(detail: impl Into<String>) -> PgError {
    PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "malformed SCRAM message").with_detail(detail)
}

fn unsupported(message: &str) -> PgError {
    PgError::fatal(sqlstate::FEATURE_NOT_SUPPORTED, message)
}
