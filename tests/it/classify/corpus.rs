//! `tests/data/classify/*.txt`, read. The oracle of the end-to-end tests reads them too.

use std::path::Path;

#[allow(dead_code)] // each binary uses its part
pub struct Case {
    /// `file:line`
    pub at: String,
    /// As the file writes it: `read`, `write[data-change] effects=…`
    pub expected: String,
    pub text: String,
}

/// All of them, in the order of files and lines.
pub fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/classify");
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        for (number, line) in (1..).zip(std::fs::read_to_string(&file).unwrap().lines()) {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let (expected, text) = line.split_once('|').unwrap_or_else(|| panic!("{name}:{number}: no `|`"));
            let text = text.strip_prefix(' ').unwrap_or(text);
            match cases.last_mut() {
                Some(case) if expected.trim().is_empty() => {
                    case.text.push('\n');
                    case.text.push_str(text);
                }
                _ => cases.push(Case {
                    at: format!("{name}:{number}"),
                    expected: expected.trim().to_owned(),
                    text: text.to_owned(),
                }),
            }
        }
    }
    cases
}
