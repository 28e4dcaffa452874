//! The manuals hold what the program says: every reason has its word, every link its heading.

use std::collections::BTreeSet;
use std::path::Path;

use pgherd::client::registry::Pin;
use pgherd::route::Why;

#[test]
fn the_manual_of_routing_names_every_reason() {
    let manual = read("docs/routing.md");
    let missing: Vec<_> = (0..=u8::MAX)
        .filter_map(Why::of_number)
        .map(Why::as_str)
        .filter(|word| !manual.contains(&format!("`{word}`")))
        .collect();
    assert!(missing.is_empty(), "docs/routing.md does not name {missing:?}");
}

#[test]
fn the_manual_of_routing_has_no_reason_of_its_own() {
    let known: BTreeSet<_> = (0..=u8::MAX).filter_map(Why::of_number).map(Why::as_str).collect();
    let manual = read("docs/routing.md");
    let mut named = 0;
    for row in rows_under(&manual, "| statement | goes to |").chain(rows_under(&manual, "### Reasons")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
        // Of statements the third column has the words, of reasons the first.
        let words = if cells.len() == 3 { cells[2] } else { cells[0] };
        for word in words.split('`').skip(1).step_by(2).filter(|word| *word != "pg_temp") {
            assert!(known.contains(word), "docs/routing.md: `{word}` is no reason");
            named += 1;
        }
    }
    assert!(named >= known.len(), "{named} of {}: are the tables where they were?", known.len());
}

#[test]
fn the_manual_of_pooling_names_every_pin() {
    let manual = read("docs/pooling.md");
    let missing: Vec<_> =
        Pin::ALL.iter().map(|pin| pin.as_str()).filter(|word| !manual.contains(&format!("| `{word}` |"))).collect();
    assert_eq!(missing, [""], "docs/pooling.md does not name a pin");
}

#[test]
fn each_link_between_the_manuals_has_its_heading() {
    for page in
        ["README.md", "docs/routing.md", "docs/pooling.md", "docs/console.md", "docs/metrics.md", "docs/failover.md"]
    {
        let text = read(page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let of_page = Path::new(page).parent().unwrap_or(Path::new("")).join(file);
            let of_page = if file.is_empty() { page.to_owned() } else { of_page.display().to_string() };
            assert!(root().join(&of_page).exists(), "{page}: there is no {of_page}");
            assert!(
                anchor.is_empty() || headings(&read(&of_page)).contains(anchor),
                "{page}: {of_page} has no #{anchor}"
            );
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    std::fs::read_to_string(root().join(page)).unwrap()
}

/// The rows of the first table at or behind `start`, without its head.
fn rows_under<'a>(manual: &'a str, start: &str) -> impl Iterator<Item = &'a str> {
    let from = manual.find(start).unwrap_or_else(|| panic!("docs/routing.md: no {start}"));
    let table = manual[from..].lines().skip_while(|line| !line.starts_with("|---"));
    table.skip(1).take_while(|line| line.starts_with('|'))
}

/// As a page's reader on the web jumps to them.
fn headings(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix('#'));
    let slug = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
    };
    lines.map(slug).collect()
}
