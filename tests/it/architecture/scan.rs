//! A small scanner of Rust source: enough to check rules of architecture, and no parser.
//!
//! It blanks what is no code (comments, strings, test modules) and leaves every line where it was, so that a finding in
//! the blanked text has the line number of the file.

/// A `a::b::c` path as written, `use` trees spelled out, with the line (from 1) on which it starts.
#[derive(Debug, PartialEq)]
pub struct Path {
    pub line: usize,
    pub segments: Vec<String>,
}

/// A function with a body.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub line: usize,
    pub name: String,
    /// From the line of `fn` to the line of the closing brace, both counted.
    pub lines: usize,
}

/// The source with comments, strings and character literals blanked.
pub fn code(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => end_of_block_comment(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' | b'b' | b'c' if at == 0 || !is_word(bytes[at - 1]) => end_of_prefixed_string(bytes, at),
            b'\'' => end_of_char(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
        } else {
            blank(&mut out[at..end]);
            at = end;
        }
    }
    // Blanking works on whole bytes of a literal or comment, so what is left is still UTF-8.
    String::from_utf8(out).expect("blanked source is UTF-8")
}

/// `code` without what stands under `#[cfg(test)]`.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = code[from..].find(MARK) {
        let start = from + found;
        let end = end_of_item(code.as_bytes(), start + MARK.len());
        blank(&mut out[start..end]);
        from = end;
    }
    String::from_utf8(out).expect("blanked source is UTF-8")
}

/// All paths of two segments or more, and all `use` trees, in `code`.
pub fn paths(code: &str) -> Vec<Path> {
    let bytes = code.as_bytes();
    let mut found: Vec<Path> = Vec::new();
    // The line of the byte `counted`: asking `line_of` for each path would take quadratic time.
    let (mut line, mut counted) = (1, 0);
    let mut at = 0;
    while at < bytes.len() {
        let starts_path = is_word_start(bytes[at]) && (at == 0 || !is_word(bytes[at - 1]) && bytes[at - 1] != b':');
        if !starts_path {
            at += 1;
            continue;
        }
        let before = found.len();
        let end = path_tree(bytes, at, &mut Vec::new(), &mut |segments| {
            if segments.len() > 1 {
                found.push(Path { line: 0, segments: segments.to_vec() });
            }
        });
        line += newlines(&bytes[counted..at]);
        counted = at;
        found[before..].iter_mut().for_each(|path| path.line = line);
        at = if found.len() > before { end } else { end_of_word(bytes, at) };
    }
    found
}

/// All functions that have a body.
pub fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let name_at = skip_space(bytes, at + 2);
        let name_end = end_of_word(bytes, name_at);
        if name_at == name_end {
            continue; // a function pointer type: `fn(u8)`
        }
        let Some(open) = bytes[name_end..].iter().position(|byte| matches!(byte, b'{' | b';')) else { continue };
        // `[u8; 4]` in a signature: not the end of a declaration without a body.
        let open =
            if bytes[name_end + open] == b';' { body_after_array(bytes, name_end) } else { Some(name_end + open) };
        let Some(open) = open else { continue };
        let line = line_of(code, at);
        let last = line_of(code, end_of_block(bytes, open) - 1);
        found.push(Function { line, name: code[name_at..name_end].to_owned(), lines: last - line + 1 });
    }
    found
}

/// Where the whole word `word` stands in `code`.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let after = bytes.get(at + word.len());
        (at == 0 || !is_word(bytes[at - 1])) && !after.is_some_and(|&byte| is_word(byte))
    })
}

/// All identifiers and keywords, with their lines.
pub fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines().enumerate().flat_map(|(index, text)| {
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.filter(|word| !word.is_empty()).map(move |word| (index + 1, word))
    })
}

/// The line of the byte `at`, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    newlines(&text.as_bytes()[..at]) + 1
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

// === literals and comments ===

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    let found = bytes[from..].windows(what.len()).position(|window| window == what);
    found.map_or(bytes.len(), |offset| from + offset)
}

fn end_of_block_comment(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn end_of_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `b"…"`, `r#"…"#`, `br"…"`, `c"…"`, `b'x'`; `start` itself when it is none of these.
fn end_of_prefixed_string(bytes: &[u8], start: usize) -> usize {
    let prefix_end = end_of_word(bytes, start);
    let prefix = &bytes[start..prefix_end];
    let hashes = bytes[prefix_end..].iter().take_while(|&&byte| byte == b'#').count();
    match bytes.get(prefix_end + hashes) {
        Some(b'"') if matches!(prefix, b"r" | b"br" | b"cr") => {
            let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            (find(bytes, prefix_end + hashes + 1, &close) + close.len()).min(bytes.len())
        }
        Some(b'"') if hashes == 0 && matches!(prefix, b"b" | b"c") => end_of_string(bytes, prefix_end),
        Some(b'\'') if hashes == 0 && prefix == b"b" => end_of_char(bytes, prefix_end),
        _ => start,
    }
}

/// The end of a character literal; `quote` itself for a lifetime.
fn end_of_char(bytes: &[u8], quote: usize) -> usize {
    match bytes.get(quote + 1) {
        Some(b'\\') => (find(bytes, quote + 3, b"'") + 1).min(bytes.len()),
        Some(&first) => {
            let width = match first {
                0xF0.. => 4,
                0xE0.. => 3,
                0xC0.. => 2,
                _ => 1,
            };
            if bytes.get(quote + 1 + width) == Some(&b'\'') { quote + 2 + width } else { quote }
        }
        None => quote,
    }
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

// === items and paths ===

/// The end of the item that follows an attribute: its block, or its semicolon.
fn end_of_item(bytes: &[u8], from: usize) -> usize {
    match bytes[from..].iter().position(|byte| matches!(byte, b'{' | b';')) {
        Some(offset) if bytes[from + offset] == b'{' => end_of_block(bytes, from + offset),
        Some(offset) => from + offset + 1,
        None => bytes.len(),
    }
}

/// The byte after the brace that closes the one at `open`.
fn end_of_block(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in bytes[open..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset + 1;
        }
    }
    bytes.len()
}

/// The opening brace of a body, skipping `;` inside brackets of the signature.
fn body_after_array(bytes: &[u8], from: usize) -> Option<usize> {
    let mut brackets = 0usize;
    for (offset, byte) in bytes[from..].iter().enumerate() {
        match byte {
            b'[' => brackets += 1,
            b']' => brackets -= 1,
            b'{' if brackets == 0 => return Some(from + offset),
            b';' if brackets == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Walks `a::b::{c, d::e}` from `at`, emits each full path, returns where it ends.
fn path_tree(bytes: &[u8], at: usize, prefix: &mut Vec<String>, emit: &mut dyn FnMut(&[String])) -> usize {
    let end = end_of_word(bytes, at);
    prefix.push(String::from_utf8_lossy(&bytes[at..end]).into_owned());
    let after = if bytes[end..].starts_with(b"::") { skip_space(bytes, end + 2) } else { end };
    let result = match bytes.get(after) {
        Some(b'{') if after > end => group(bytes, after, prefix, emit),
        Some(&byte) if after > end && is_word_start(byte) => path_tree(bytes, after, prefix, emit),
        _ => {
            emit(prefix);
            end
        }
    };
    prefix.pop();
    result
}

/// The members of a `{…}` of a use tree.
fn group(bytes: &[u8], open: usize, prefix: &mut Vec<String>, emit: &mut dyn FnMut(&[String])) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != b'}' {
        if is_word_start(bytes[at]) {
            at = path_tree(bytes, at, prefix, emit);
            at = skip_rename(bytes, at);
        } else {
            at += 1;
        }
    }
    at + 1
}

/// Skips ` as name`.
fn skip_rename(bytes: &[u8], at: usize) -> usize {
    let word = skip_space(bytes, at);
    if bytes[word..].starts_with(b"as ") { end_of_word(bytes, skip_space(bytes, word + 2)) } else { at }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn end_of_word(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|&&byte| is_word(byte)).count()
}

fn skip_space(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}
