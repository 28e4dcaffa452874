//! Is anything left? Processes are told by the cluster's directory in their command line.

use std::path::Path;

/// Command lines of the processes that have `needle` in theirs.
pub fn processes_naming(needle: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(needle))
        .collect()
}

pub fn assert_nothing_left(dir: &Path) {
    let processes = processes_naming(&dir.display().to_string());
    assert!(processes.is_empty(), "still running: {processes:#?}");
    assert!(!dir.exists(), "{} still exists", dir.display());
}
