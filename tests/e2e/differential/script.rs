//! The language of the sequences in `tests/data/differential/*.txt`.
//!
//! ```text
//! # A comment.
//! setup CREATE TABLE …               run once, as `app` on the primary, before all sequences; not inside a sequence
//!
//! == a name of its own               begins a sequence; each runs in a connection of its own
//! start 3.0 user=app database=app    the startup packet; this one if absent. `start raw HEX`: any bytes
//! allow NAME                         a difference that `allowed.rs` knows
//! only step                          replies depend on when the messages are sent: never pipelined
//! > Q "select 1"                     Query (texts: \n \t \0 \\ \" \xHH, and "x"*1000)
//! > P "name" "text" 23 25            Parse, with parameter types
//! > B "portal" "stmt" [1] ("a" null) [0 1]   Bind: parameter formats, parameters, result formats
//! > D S "stmt" / > C P "portal"      Describe, Close
//! > E "portal" 10                    Execute, at most so many rows (0: all)
//! > S / > H / > c / > X              Sync, Flush, CopyDone, Terminate
//! > d "data" / > f "reason"          CopyData, CopyFail
//! > F 1598 [0] ("a") 0               FunctionCall: function, formats, arguments, result format
//! > msg z "body" / > msg Q len=3 ""  any message; with another length word than its own
//! > hex 5a00                         any bytes
//! repeat 100 … end                   the lines between, %i counts from 0
//! < 1 2 T D* C Z                     what PostgreSQL answers: tags, `D*` any number; `.` it closes the connection
//! ```

use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// `file.txt: name`.
    pub name: String,
    pub start: Start,
    pub allow: Option<String>,
    pub step_only: bool,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    Packet { version: u32, parameters: Vec<(String, String)> },
    Raw(Vec<u8>),
}

/// Messages sent together, and the tags PostgreSQL answers them with.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub send: Vec<u8>,
    pub expect: Vec<Expected>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `.`: the end of the connection.
    pub tag: u8,
    pub many: bool,
}

pub struct File {
    pub setup: Vec<String>,
    pub sequences: Vec<Sequence>,
}

// === impl Start ===

impl Default for Start {
    fn default() -> Self {
        Start::parse("3.0 user=app database=app")
    }
}

impl Start {
    fn parse(text: &str) -> Self {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        if first == "raw" {
            return Start::Raw(hex(rest));
        }
        let (major, minor) = first.split_once('.').expect("a version such as 3.0");
        let version = major.parse::<u32>().unwrap() << 16 | minor.parse::<u32>().unwrap();
        let pairs = rest.split_whitespace().map(|pair| pair.split_once('=').expect("name=value"));
        let spaces = |text: &str| text.replace('+', " ");
        Start::Packet { version, parameters: pairs.map(|(n, v)| (n.to_owned(), spaces(v))).collect() }
    }
}

// === impl Sequence ===

impl Sequence {
    pub fn ends_by_itself(&self) -> bool {
        self.steps.last().is_some_and(|step| step.expect.last().is_some_and(|last| last.tag == b'.'))
    }
}

// === impl File ===

impl File {
    /// Panics with file and line.
    pub fn parse(file: &str, text: &str) -> Self {
        let mut parsed = Self { setup: Vec::new(), sequences: Vec::new() };
        let mut lines: Vec<(usize, String)> = Vec::new();
        let mut source = text.lines().enumerate();
        while let Some((at, line)) = source.next() {
            let Some(count) = line.strip_prefix("repeat ") else {
                lines.push((at, line.to_owned()));
                continue;
            };
            let body: Vec<_> = source.by_ref().take_while(|(_, line)| *line != "end").collect();
            for i in 0..count.parse().unwrap() {
                lines.extend(body.iter().map(|(at, line)| (*at, line.replace("%i", &i.to_string()))));
            }
        }
        for (at, line) in lines {
            let word = line.split(' ').next().unwrap_or_default();
            let rest = line[word.len()..].trim();
            let here = || format!("{file}:{}: {line}", at + 1);
            if word.is_empty() || word.starts_with('#') {
                continue;
            } else if word == "setup" {
                parsed.setup.push(rest.to_owned());
                continue;
            } else if word == "==" {
                parsed.sequences.push(Sequence { name: format!("{file}: {rest}"), ..Sequence::default() });
                continue;
            }
            let sequence = parsed.sequences.last_mut().unwrap_or_else(|| panic!("no sequence yet: {}", here()));
            match word {
                "start" => sequence.start = Start::parse(rest),
                "allow" => sequence.allow = Some(rest.to_owned()),
                "only" => sequence.step_only = true,
                ">" => sequence.open_step().send.extend(message(rest, &here())),
                "<" => sequence.expect(rest),
                _ => panic!("not understood: {}", here()),
            }
        }
        parsed
    }
}

impl Sequence {
    fn open_step(&mut self) -> &mut Step {
        if self.steps.last().is_none_or(|step| !step.expect.is_empty()) {
            self.steps.push(Step::default());
        }
        self.steps.last_mut().unwrap()
    }

    fn expect(&mut self, tags: &str) {
        if self.steps.is_empty() {
            self.steps.push(Step::default());
        }
        let expected = tags.split_whitespace().map(|tag| Expected { tag: tag.as_bytes()[0], many: tag.ends_with('*') });
        self.steps.last_mut().unwrap().expect.extend(expected);
    }
}

// === messages ===

fn message(text: &str, here: &str) -> Vec<u8> {
    let mut words = Words { chars: text.chars().peekable(), here };
    let tag = words.word();
    let mut body = Vec::new();
    match tag.as_str() {
        "hex" => return hex(words.rest().trim()),
        "msg" => return any_message(&mut words),
        "Q" | "f" => cstr(&mut body, &words.text()),
        "d" => body = words.text(),
        "S" | "H" | "c" | "X" => {}
        "P" => {
            cstr(&mut body, &words.text());
            cstr(&mut body, &words.text());
            let types: Vec<u32> = words.rest().split_whitespace().map(|oid| oid.parse().unwrap()).collect();
            body.extend((types.len() as u16).to_be_bytes());
            body.extend(types.iter().flat_map(|oid| oid.to_be_bytes()));
        }
        "B" => {
            cstr(&mut body, &words.text());
            cstr(&mut body, &words.text());
            formats(&mut body, &words.list('[', ']'));
            values(&mut body, &words.list('(', ')'));
            formats(&mut body, &words.list('[', ']'));
        }
        "D" | "C" => {
            body.push(words.word().as_bytes()[0]);
            cstr(&mut body, &words.text());
        }
        "E" => {
            cstr(&mut body, &words.text());
            body.extend(words.word().parse::<u32>().unwrap().to_be_bytes());
        }
        "F" => {
            body.extend(words.word().parse::<u32>().unwrap().to_be_bytes());
            formats(&mut body, &words.list('[', ']'));
            values(&mut body, &words.list('(', ')'));
            body.extend(words.word().parse::<u16>().unwrap().to_be_bytes());
        }
        _ => panic!("no such message: {here}"),
    }
    framed(tag.as_bytes()[0], &body, None)
}

fn any_message(words: &mut Words<'_>) -> Vec<u8> {
    let tag = words.word().as_bytes()[0];
    words.skip_space();
    let length = match words.chars.peek() {
        Some('l') => Some(words.word().trim_start_matches("len=").parse().unwrap()),
        _ => None,
    };
    framed(tag, &words.text(), length)
}

fn framed(tag: u8, body: &[u8], length: Option<u32>) -> Vec<u8> {
    let length = length.unwrap_or(body.len() as u32 + 4);
    [&[tag][..], &length.to_be_bytes(), body].concat()
}

fn cstr(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

fn formats(out: &mut Vec<u8>, list: &[Option<Vec<u8>>]) {
    out.extend((list.len() as u16).to_be_bytes());
    for format in list.iter().flatten() {
        let format: u16 = std::str::from_utf8(format).unwrap().parse().unwrap();
        out.extend(format.to_be_bytes());
    }
}

fn values(out: &mut Vec<u8>, list: &[Option<Vec<u8>>]) {
    out.extend((list.len() as u16).to_be_bytes());
    for value in list {
        match value {
            None => out.extend((-1i32).to_be_bytes()),
            Some(value) => {
                out.extend((value.len() as u32).to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

struct Words<'a> {
    chars: Peekable<Chars<'a>>,
    here: &'a str,
}

// === impl Words ===

impl Words<'_> {
    fn skip_space(&mut self) {
        while self.chars.next_if(|c| *c == ' ').is_some() {}
    }

    fn word(&mut self) -> String {
        self.skip_space();
        let mut word = String::new();
        while let Some(c) = self.chars.next_if(|c| !matches!(c, ' ' | ')' | ']')) {
            word.push(c);
        }
        assert!(!word.is_empty(), "a word is missing: {}", self.here);
        word
    }

    fn rest(&mut self) -> String {
        self.chars.by_ref().collect()
    }

    /// `"text"` or `"text"*times`.
    fn text(&mut self) -> Vec<u8> {
        self.skip_space();
        assert_eq!(self.chars.next(), Some('"'), "a text is missing: {}", self.here);
        let mut text = Vec::new();
        loop {
            match self.chars.next().unwrap_or_else(|| panic!("a text has no end: {}", self.here)) {
                '"' => break,
                '\\' => text.push(self.escaped()),
                c => text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        match self.chars.next_if_eq(&'*') {
            Some(_) => text.repeat(self.word().parse().unwrap()),
            None => text,
        }
    }

    fn escaped(&mut self) -> u8 {
        match self.chars.next() {
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('x') => {
                let digits: String = self.chars.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            Some(c @ ('"' | '\\')) => c as u8,
            other => panic!("no such escape: {other:?}: {}", self.here),
        }
    }

    /// Texts or plain words between brackets; `null` is none. An absent list is empty.
    fn list(&mut self, open: char, close: char) -> Vec<Option<Vec<u8>>> {
        self.skip_space();
        let mut list = Vec::new();
        if self.chars.next_if_eq(&open).is_none() {
            return list;
        }
        loop {
            self.skip_space();
            if self.chars.next_if_eq(&close).is_some() {
                return list;
            }
            list.push(match self.chars.peek() {
                Some('"') => Some(self.text()),
                _ => Some(self.word().into_bytes()).filter(|word| word != b"null"),
            });
        }
    }
}

#[test]
fn a_script_is_understood() {
    let text = "setup A\n== one\n> P \"s\" \"a\\x41\" 23\nrepeat 2\n> D S \"%i\"\nend\n< 1 D* .\n> X\n";
    let file = File::parse("f", text);
    assert_eq!(file.setup, ["A"]);
    let sequence = &file.sequences[0];
    assert_eq!(sequence.name, "f: one");
    assert_eq!(sequence.steps.len(), 2);
    let parse = b"P\0\0\0\x0fs\0aA\0\0\x01\0\0\0\x17D\0\0\0\x07S0\0D\0\0\0\x07S1\0";
    assert_eq!(sequence.steps[0].send, parse);
    assert_eq!(sequence.steps[0].expect[1], Expected { tag: b'D', many: true });
    let bind = message(r#"B "" "s" [1] ("x"*3 null) [0 1]"#, "here");
    assert_eq!(&bind[5..], b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x03xxx\xff\xff\xff\xff\0\x02\0\0\0\x01");
    assert_eq!(message("msg Q len=3 \"x\"", "here"), b"Q\0\0\0\x03x");
}
