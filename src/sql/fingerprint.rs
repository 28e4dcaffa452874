//! Keys of the cache: the exact text, and the text without its literals.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use super::hint;
use super::keywords::{Verb, verb};
use super::scanner::{Scanner, Token, TokenKind};

/// 128 bits. Two texts with equal keys count as equal, so the seed must be a secret of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64, u64);

// === impl Key ===

impl Key {
    /// One of so many places, a power of two; and the half of it that says nothing of the place.
    #[inline]
    pub fn place(self, places: usize) -> (usize, u64) {
        (self.1 as usize & (places - 1), self.0)
    }

    /// The key of the same text as another catalog understands it.
    #[inline]
    #[must_use]
    pub fn under(self, version: u64) -> Self {
        Self(self.0 ^ version.wrapping_mul(0x9e37_79b9_7f4a_7c15), self.1 ^ version.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }
}

/// Makes keys with two differently seeded 64-bit hashes.
#[derive(Clone, Debug)]
pub struct Hashing {
    first: FixedState,
    second: FixedState,
}

/// For maps keyed by [`Key`]: the key is a hash already.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyState;

#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

/// Writes the literal-free skeleton of `text` to `out`, its hint ahead: two texts with one skeleton have one class, because no
/// literal of a query decides between a read and a write (functions that write do so whatever their arguments).
/// False: not a text to be known by its skeleton (a utility command, several statements, odd literals).
pub fn skeleton(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    if !matches!(verb(text), Some((Verb::Query | Verb::Table, _))) {
        return false;
    }
    // what stands for literals is below it, no token begins with it
    out.extend(hint::of(text).map(|hint| 5 + hint as u8));
    let mut ended = false;
    let mut before = [None; 2];
    for token in Scanner::new(text) {
        if token.is_symbol(text, b';') {
            ended = true;
            continue;
        }
        if ended {
            return false;
        }
        let raw = token.text(text);
        // an identifier can't hold these bytes outside its quotes, nor a NUL anywhere
        match token.kind {
            TokenKind::Word | TokenKind::Quoted | TokenKind::Operator | TokenKind::Symbol => out.extend_from_slice(raw),
            TokenKind::Number if raw.iter().all(|b| b.is_ascii_digit() || *b == b'.') => out.push(1),
            // `1e5`, `0xff`, `1_000`: parsers differ about them
            TokenKind::Number => out.push(5),
            TokenKind::Param => out.push(2),
            TokenKind::DollarString => out.push(3),
            TokenKind::BitString if !raw.contains(&b'\\') => out.push(4),
            // which setting is asked for decides
            TokenKind::String if names_setting(before, text) => out.extend_from_slice(raw),
            // strings that the parser may read otherwise than we do keep apart from plain ones
            TokenKind::String => out.push(0x10 | oddness(raw)),
            TokenKind::EscapeString => out.push(0x14 | oddness(raw)),
            TokenKind::BitString | TokenKind::UnicodeString | TokenKind::UnicodeQuoted | TokenKind::Bad => {
                return false;
            }
        }
        out.push(0);
        before = [Some(token), before[0]];
    }
    true
}

/// Behind `current_setting (`.
fn names_setting([parenthesis, name]: [Option<Token>; 2], text: &[u8]) -> bool {
    let is_call = |token: Token| {
        let raw = token.text(text);
        let name = raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")).unwrap_or(raw);
        name.eq_ignore_ascii_case(b"current_setting")
    };
    parenthesis.is_some_and(|token| token.is_symbol(text, b'(')) && name.is_some_and(is_call)
}

/// A backslash (1), more than one line (2).
fn oddness(string: &[u8]) -> u8 {
    u8::from(string.contains(&b'\\')) | u8::from(string.iter().any(|b| matches!(b, b'\n' | b'\r'))) << 1
}

// === impl Hashing ===

impl Hashing {
    pub fn new(seed: u64) -> Self {
        Self {
            first: FixedState::with_seed(seed),
            // any other seed that can't be told from the first key: one round of splitmix64
            second: FixedState::with_seed(splitmix(seed)),
        }
    }

    #[inline]
    pub fn key(&self, bytes: &[u8]) -> Key {
        let hash = |state: &FixedState| {
            let mut hasher = state.build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        // the length too: write() alone does not promise to tell "a" from "a\0"
        Key(hash(&self.first), hash(&self.second) ^ bytes.len() as u64)
    }
}

fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

// === impl KeyState ===

impl BuildHasher for KeyState {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(0)
    }
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[inline]
    fn write_u64(&mut self, half: u64) {
        self.0 ^= half;
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skeleton_of(text: &str) -> Option<String> {
        let mut out = Vec::new();
        skeleton(text.as_bytes(), &mut out).then(|| {
            let shown: Vec<u8> = out.iter().map(|b| if *b == 0 { b' ' } else { *b }).collect();
            String::from_utf8(shown).unwrap()
        })
    }

    #[track_caller]
    fn same(a: &str, b: &str, expected: bool) {
        let (x, y) = (skeleton_of(a).expect(a), skeleton_of(b).expect(b));
        assert_eq!(x == y, expected, "{a} | {b}");
    }

    #[test]
    fn literals_comments_and_space_are_left_out() {
        same("select a from t where b = 1", "select a from t -- x\n where b=27.5;", true);
        same("select 'a', $$b$$, E'\\n', X'1F', $1", "select 'it''s', $x$c$x$, E'\\t', B'1', $2", true);
        same("select /* trace=1 */ a", "select /* trace=2 */ a", true);
        same("/* pgherd: primary */ select 1", "select 2 /* pgherd: primary */", true);
        same("select interval '1 day' limit 5", "select interval '2 days' limit 6", true);
        same("select -1", "select - 2", true);
    }

    #[test]
    fn all_that_can_decide_stays() {
        same("select f(1)", "select g(1)", false);
        same("select 1", "/* pgherd: primary */ select 1", false);
        same("/* pgherd: standby */ select 1", "/* pgherd: primary */ select 1", false);
        same("select set_config('a', 'b', true)", "select set_config('a', 'b', false)", false);
        same("select a from t", "select \"a\" from t", false);
        same("select a b", "select ab", false);
        same("select 1", "select '1'", false);
        same("select 1000", "select 1_000", false);
        same("select '\\'", "select 'a'", false);
        same("select 'a'\n'b'", "select 'a'", false);
        same("select 1 + 1", "select 1 - 1", false);
        same("select a from t", "select a from t for update", false);
        same("values (1)", "values (1, 2)", false);
        same("select current_setting('a.b')", "select current_setting('port')", false);
        same("select \"current_setting\" ('a.b')", "select \"current_setting\" ('port')", false);
    }

    #[test]
    fn other_texts_have_no_skeleton() {
        for text in ["", "insert into t values (1)", "set a = 1", "select 1; select 2", "select U&'x'", "select 'x"] {
            assert_eq!(skeleton_of(text), None, "{text}");
        }
    }

    #[test]
    fn keys_depend_on_seed_length_and_every_byte() {
        let hashing = Hashing::new(7);
        assert_eq!(hashing.key(b"select 1"), hashing.key(b"select 1"));
        assert_ne!(hashing.key(b"select 1"), Hashing::new(8).key(b"select 1"));
        assert_ne!(hashing.key(b"select 1"), hashing.key(b"select 2"));
        assert_ne!(hashing.key(b""), hashing.key(b"\0"));
        assert_ne!(hashing.key(b"a"), hashing.key(b"a\0"));
        let Key(first, second) = hashing.key(b"select 1");
        assert_ne!(first, second);
    }
}
