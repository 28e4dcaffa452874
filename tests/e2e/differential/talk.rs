//! A connection that sends what it is given and keeps what it gets, byte for byte.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use pgherd::server::scram::ClientFirst;
use pgherd::wire::scram::{NONCE_BYTES, ScramKeys};

use super::script::{Expected, Sequence, Start, Step};

/// Where to, and the password of `app`.
pub struct Target<'a> {
    pub port: u16,
    pub password: &'a str,
}

/// How the bytes of a sequence are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the sequence says: it waits for the replies before it goes on.
    Step,
    /// All at once.
    Pipelined,
    /// All, without waiting for replies, in small pieces.
    Pieces,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    Closed,
    /// Nothing came for so long.
    TimedOut,
    /// Not what the sequence expects: the rest of it was not sent.
    Unexpected(String),
    Broken(String),
}

/// All that was answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Transcript {
    pub messages: Vec<Message>,
    pub end: End,
}

const TERMINATE: &[u8] = b"X\0\0\0\x04";

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Talk {
    stream: TcpStream,
    buffer: Vec<u8>,
    messages: Vec<Message>,
}

/// Runs `sequence`; `between` is called ahead of each step (in mode `Step`).
pub fn run(target: &Target<'_>, sequence: &Sequence, mode: Mode, mut between: impl FnMut()) -> Transcript {
    let mut talk = Talk::connect(target.port);
    let end = match talk.log_in(&sequence.start, target.password) {
        Err(end) => end,
        Ok(()) if mode == Mode::Step => {
            let mut steps = sequence.steps.iter();
            // The answer to the startup packet was looked at by `log_in`.
            loop {
                let Some(step) = steps.next() else { break talk.finish(sequence) };
                between();
                match talk.step(step) {
                    Ok(()) => {}
                    Err(end) => break end,
                }
            }
        }
        Ok(()) => {
            let mut bytes: Vec<u8> = sequence.steps.iter().flat_map(|step| &step.send).copied().collect();
            if !sequence.ends_by_itself() {
                bytes.extend_from_slice(TERMINATE);
            }
            talk.send(&bytes, mode == Mode::Pieces);
            talk.read_to_end()
        }
    };
    Transcript { messages: std::mem::take(&mut talk.messages), end }
}

// === impl Talk ===

impl Talk {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new(), messages: Vec::new() }
    }

    /// To the first ReadyForQuery.
    pub fn log_in(&mut self, start: &Start, password: &str) -> Result<(), End> {
        let packet = match start {
            Start::Raw(bytes) => bytes.clone(),
            Start::Packet { version, parameters } => startup_packet(*version, parameters),
        };
        self.send(&packet, false);
        let mut first = None;
        let mut challenge = None;
        loop {
            let message = self.read_message()?;
            match (message.tag, message.body.get(..4)) {
                (b'R', Some(&[0, 0, 0, 10])) => {
                    let client = ClientFirst::new(&[7; NONCE_BYTES]);
                    let text = client.message();
                    let length = (text.len() as u32).to_be_bytes();
                    let body = [b"SCRAM-SHA-256\0", &length[..], text.as_bytes()].concat();
                    first = Some(client);
                    self.send(&password_message(&body), false);
                }
                (b'R', Some(&[0, 0, 0, 11])) => {
                    let asked = first.take().unwrap().challenge(&message.body[4..]).unwrap();
                    let keys = keys(password, &asked.salt, asked.iterations);
                    let proved = asked.prove(&keys);
                    self.send(&password_message(proved.client_final.as_bytes()), false);
                    challenge = Some(proved);
                }
                (b'R', Some(&[0, 0, 0, 12])) => challenge.take().unwrap().check(&message.body[4..]).unwrap(),
                (b'Z', _) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Sends a step and waits for the answer it expects.
    pub fn step(&mut self, step: &Step) -> Result<(), End> {
        self.send(&step.send, false);
        let mut expected = Matcher { expected: &step.expect, at: 0 };
        while !expected.is_done() {
            let tag = match self.read_message() {
                Ok(message) => message.tag,
                Err(End::Closed) => b'.',
                Err(end) => return Err(end),
            };
            // A ParameterStatus may come at any time; whether it should have is seen in the end.
            if !expected.take(tag) && tag != b'S' {
                let text = format!("`{}` instead of `{}`", char::from(tag), expected.next());
                return Err(End::Unexpected(text));
            }
            if tag == b'.' {
                return Err(End::Closed);
            }
        }
        Ok(())
    }

    fn finish(&mut self, sequence: &Sequence) -> End {
        if !sequence.ends_by_itself() {
            self.send(TERMINATE, false);
        }
        self.read_to_end()
    }

    fn read_to_end(&mut self) -> End {
        loop {
            if let Err(end) = self.read_message() {
                return end;
            }
        }
    }

    /// Large ones from a thread of their own: the other side may want to be read from meanwhile. That it has closed
    /// the connection is seen when reading.
    fn send(&mut self, bytes: &[u8], in_pieces: bool) {
        let bytes = bytes.to_vec();
        let mut stream = self.stream.try_clone().unwrap();
        let small = bytes.len() < 16 * 1024;
        let mut write = move || {
            let piece = if in_pieces { 1 + bytes.len() / 1500 } else { bytes.len().max(1) };
            for piece in bytes.chunks(piece) {
                if stream.write_all(piece).is_err() {
                    return;
                }
                if in_pieces {
                    std::thread::yield_now();
                }
            }
        };
        if small && !in_pieces {
            write();
        } else {
            std::thread::spawn(write);
        }
    }

    fn read_message(&mut self) -> Result<&Message, End> {
        loop {
            if let Some(message) = self.buffered() {
                self.messages.push(message);
                return Ok(self.messages.last().unwrap());
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(self.closed()),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return Err(self.closed()),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Err(End::TimedOut),
                    ErrorKind::Interrupted => {}
                    _ => return Err(End::Broken(error.to_string())),
                },
            }
        }
    }

    fn closed(&self) -> End {
        if self.buffer.is_empty() { End::Closed } else { End::Broken(format!("closed behind {:?}", self.buffer)) }
    }

    fn buffered(&mut self) -> Option<Message> {
        let &[tag, a, b, c, d] = self.buffer.first_chunk()?;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let body = self.buffer.get(5..length + 1)?.to_vec();
        self.buffer.drain(..length + 1);
        Some(Message { tag, body })
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Ends a thread that still writes.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

struct Matcher<'a> {
    expected: &'a [Expected],
    at: usize,
}

// === impl Matcher ===

impl Matcher<'_> {
    fn is_done(&self) -> bool {
        self.at == self.expected.len()
    }

    fn take(&mut self, tag: u8) -> bool {
        while let Some(expected) = self.expected.get(self.at) {
            match (expected.tag == tag, expected.many) {
                (true, true) => return true,
                (true, false) => {
                    self.at += 1;
                    return true;
                }
                (false, true) => self.at += 1,
                (false, false) => return false,
            }
        }
        false
    }

    fn next(&self) -> char {
        self.expected.get(self.at).map_or('-', |expected| char::from(expected.tag))
    }
}

/// Whether these messages are what the sequence says that PostgreSQL answers.
pub fn is_expected(sequence: &Sequence, messages: &[Message]) -> bool {
    let expected: Vec<Expected> = sequence.steps.iter().flat_map(|step| &step.expect).copied().collect();
    let mut matcher = Matcher { expected: &expected, at: 0 };
    let all = messages.iter().all(|message| matcher.take(message.tag));
    all && expected[matcher.at..].iter().all(|expected| expected.many || expected.tag == b'.')
}

fn startup_packet(version: u32, parameters: &[(String, String)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(name.bytes().chain([0]).chain(value.bytes()).chain([0]));
    }
    body.push(0);
    [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat()
}

fn password_message(body: &[u8]) -> Vec<u8> {
    [b"p", &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

/// Deriving them takes a while: once for each salt.
fn keys(password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
    static KEYS: Mutex<Option<HashMap<Vec<u8>, ScramKeys>>> = Mutex::new(None);
    let mut known = KEYS.lock().unwrap();
    let derive = || ScramKeys::derive(password, salt, iterations);
    known.get_or_insert_default().entry(salt.to_vec()).or_insert_with(derive).clone()
}
