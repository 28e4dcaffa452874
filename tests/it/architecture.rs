//! The house rules, held by a test: what ARCHITECTURE.md says of floors and purity is checked here, line by line.
//!
//! A finding reads `file:line: rule; do this instead`. The tables (floors, arrows, exceptions with their reasons) stand at
//! the top of `architecture/rules.rs`: change them on purpose, in the same commit as the code that needs it.

#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/scan.rs"]
mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use rules::File;

#[test]
fn modules_import_only_from_floors_below() {
    hold(rules::floors);
}

#[test]
fn pure_modules_touch_no_socket_file_clock_or_randomness() {
    hold(rules::purity);
}

#[test]
fn there_are_no_globals() {
    hold(rules::globals);
}

#[test]
fn identifiers_use_the_words_of_the_glossary() {
    hold(rules::banned_words);
}

#[test]
fn files_are_short_or_say_why_not() {
    hold(rules::file_length);
}

#[test]
fn functions_are_short_or_say_why_not() {
    hold(rules::function_length);
}

#[test]
fn exceptions_are_still_needed() {
    report(rules::stale_exceptions(&sources()));
}

#[test]
fn what_may_panic_says_why_it_does_not() {
    hold(rules::panics);
}

#[test]
fn no_test_is_ignored() {
    let files = rust_files("src").into_iter().chain(rust_files("tests"));
    report(files.flat_map(|(path, source)| rules::ignored_tests(&path, &scan::code(&source))).collect());
}

// === the rules themselves: each must fail on a bad input and pass a good one ===

#[test]
fn floors_rule_finds_each_kind_of_wrong_arrow() {
    let bad = [
        ("src/sql/mod.rs", "use crate::pool::Pools;", 1, "from above"),
        ("src/sql/mod.rs", "\nuse crate::{config::Config, session::Session};", 2, "from above"),
        ("src/cluster/node.rs", "fn f() -> super::super::route::Target {}", 1, "its own floor"),
        ("src/cluster/node.rs", "use crate::wire::frame;", 1, "must not know wire"),
        ("src/session/mod.rs", "fn f() { crate::admin::run() }", 1, "its own floor"),
        ("src/client/mod.rs", "use crate::server::Server;", 1, "its own floor"),
        ("src/stats.rs", "use super::wire::X;", 1, "its own floor"),
        ("src/novelty.rs", "", 1, "stands on no floor"),
    ];
    for (path, source, line, rule) in bad {
        let findings = rules::floors(&File::new(path, source));
        assert_eq!(findings.len(), 1, "{path}: {source}: {findings:?}");
        assert!(findings[0].starts_with(&format!("{path}:{line}: ")) && findings[0].contains(rule), "{findings:?}");
    }
    let good = [
        ("src/pool/checkout.rs", "use crate::{server::Server, config::Config};"),
        ("src/route/mod.rs", "use crate::cluster::Topology; use crate::sql::Class;"),
        ("src/cluster/node.rs", "use super::topology::Node;"),
        ("src/sql/mod.rs", "// use crate::pool::Pools;\nconst A: &str = \"crate::pool\";"),
        ("src/sql/mod.rs", "#[cfg(test)]\nmod tests { use crate::session::X; }"),
        ("src/main.rs", "use pgherd::proxy;"),
    ];
    for (path, source) in good {
        assert_eq!(rules::floors(&File::new(path, source)), Vec::<String>::new(), "{path}");
    }
}

#[test]
fn purity_rule_finds_io_clocks_and_randomness() {
    let bad = [
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "use tokio::net::TcpStream;",
        "fn f() -> Instant { Instant::now() }",
        "fn f() -> Instant { std::time::Instant::now() }",
        "fn f(since: Instant) -> Duration { since.elapsed() }",
        "fn f() { tokio::spawn(work()); }",
        "fn f() -> u8 { rand::random() }",
        "use ring::rand::SystemRandom;",
        "fn f() { println!(\"x\") }",
    ];
    for source in bad {
        assert!(!rules::purity(&File::new("src/route/mod.rs", source)).is_empty(), "{source}");
        assert!(rules::purity(&File::new("src/monitor/mod.rs", source)).is_empty(), "monitor is not pure: {source}");
    }
    let good = File::new("src/route/mod.rs", "// Instant::now()\nfn f(now: Instant) -> Instant { now + MAX }");
    assert!(rules::purity(&good).is_empty());
    assert!(rules::purity(&File::new("src/config/load.rs", "use std::fs;")).is_empty(), "the named exception");
}

#[test]
fn globals_rule_tells_state_from_plain_data() {
    let bad = [
        "static POOLS: Mutex<u8> = Mutex::new(0);",
        "fn f() { static ONCE: OnceLock<String> = OnceLock::new(); }",
        "pub(crate) static mut COUNT: u32 = 0;",
        "static HIDDEN: Registry = Registry::new();",
        "thread_local! { static X: u8 = 0; }",
    ];
    for source in bad {
        assert!(!rules::globals(&File::new("src/proxy.rs", source)).is_empty(), "{source}");
    }
    let good = "static TABLE: [&'static str; 2] = [\"a\", \"b\"];\nfn f(x: &'static Mutex<u8>) {}\nconst N: u8 = 1;";
    assert_eq!(rules::globals(&File::new("src/proxy.rs", good)), Vec::<String>::new());
}

#[test]
fn word_rule_looks_at_parts_of_identifiers_and_not_at_text() {
    let bad = ["let master = 1;", "fn is_slave() {}", "struct MasterNode;"];
    for source in bad {
        assert_eq!(rules::banned_words(&File::new("src/x.rs", source)).len(), 1, "{source}");
    }
    let good = File::new("src/x.rs", "// master\nlet mastery = \"slave\"; let enslaved = 'm';");
    assert_eq!(rules::banned_words(&good), Vec::<String>::new());
}

#[test]
fn length_rules_count_code_and_nothing_else() {
    let long = "let x = 1;\n".repeat(401);
    assert_eq!(rules::file_length(&File::new("src/x.rs", &long)).len(), 1);
    let commented = format!("{}{}", "// a reason\n\n".repeat(300), "let x = 1;\n".repeat(400));
    assert!(rules::file_length(&File::new("src/x.rs", &commented)).is_empty());
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert!(rules::file_length(&File::new("src/x.rs", &tested)).is_empty());

    let function = |lines: usize| format!("\nfn f(a: [u8; 4]) {{\n{}}}\n", "x();\n".repeat(lines - 2));
    assert!(rules::function_length(&File::new("src/x.rs", &function(70))).is_empty());
    let findings = rules::function_length(&File::new("src/x.rs", &function(71)));
    assert!(findings.len() == 1 && findings[0].starts_with("src/x.rs:2: fn f has 71 lines"), "{findings:?}");
}

#[test]
fn panic_rule_wants_the_invariant_beside_the_call() {
    let bad =
        ["fn f() {\n    x.unwrap();\n}", "fn f() {\n    // why\n    y();\n    x\n        .expect(\"said so\");\n}"];
    for source in bad {
        assert_eq!(rules::panics(&File::new("src/x.rs", source)).len(), 1, "{source}");
    }
    let good = [
        "fn f() {\n    x.unwrap(); // never empty: pushed above\n}",
        "fn f() {\n    // never empty: pushed above\n    x\n        .last()\n        .unwrap();\n}",
        "fn f() { x.unwrap_or(1); }\n#[cfg(test)]\nmod tests { fn g() { x.unwrap(); } }",
        "/// `x.unwrap()`\nfn f() {}",
        "fn f() {\n    x.expect(\"it was put in above\");\n}",
    ];
    for source in good {
        assert_eq!(rules::panics(&File::new("src/x.rs", source)), Vec::<String>::new(), "{source}");
    }
}

#[test]
fn ignored_tests_are_found_with_and_without_a_reason() {
    let attribute = ["#[", "ignore"].concat(); // spelled apart: this file is checked as well
    for end in ["]", " = \"later\"]"] {
        let source = format!("#[test]\n{attribute}{end}\nfn f() {{}}");
        let findings = rules::ignored_tests("tests/it/x.rs", &scan::code(&source));
        assert!(findings.len() == 1 && findings[0].starts_with("tests/it/x.rs:2: "), "{findings:?}");
    }
}

#[test]
fn scanner_blanks_all_that_is_no_code() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("a\"b", x)"#, "f(      , x)"),
        (r##"f(r#"a"b"#, x)"##, "f(        , x)"),
        ("f(b'x', '\\'', 'é', 'a)", "f(    ,     ,     , 'a)"),
    ];
    for (source, code) in cases {
        assert_eq!(scan::code(source), code);
    }
}

#[test]
fn scanner_spells_out_use_trees() {
    let found = scan::paths("use a::{b, c::{d as e, f}, self};\nlet x = g::h::<u8>(i);");
    let found: Vec<String> = found.iter().map(|path| format!("{} {}", path.line, path.segments.join("::"))).collect();
    assert_eq!(found, ["1 a::b", "1 a::c::d", "1 a::c::f", "1 a::self", "2 g::h"]);
}

// === helpers ===

fn hold(rule: fn(&File) -> Vec<String>) {
    report(sources().iter().flat_map(rule).collect());
}

fn report(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} findings:\n{}\n", findings.len(), findings.join("\n"));
}

fn sources() -> Vec<File> {
    rust_files("src").iter().map(|(path, source)| File::new(path, source)).collect()
}

/// All `.rs` files under `folder`, as (path from the repository's top, text), sorted.
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![top.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("readable folder").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((relative(&path, top), fs::read_to_string(&path).expect("readable source")));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust source under {folder}: the test looks in the wrong place");
    found.sort();
    found
}

fn relative(path: &Path, top: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(top).expect("found below the top").to_owned();
    relative.to_string_lossy().into_owned()
}
