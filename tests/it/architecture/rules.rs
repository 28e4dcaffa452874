//! The rules, one function each: `(file, …) -> findings`. Tables first.

use super::scan;

/// A source file, read and scanned once.
pub struct File {
    /// `src/pool/queue.rs`
    pub path: String,
    /// As written, by lines: for the comments.
    pub lines: Vec<String>,
    /// Code only, tests left out.
    pub code: String,
    pub paths: Vec<scan::Path>,
}

/// The floors, from below. A module imports only from floors below its own, or along [`ARROWS`].
const FLOORS: &[(&str, &[&str])] = &[
    ("words", &["config", "feed", "setup_sql", "stats", "version", "wire"]),
    ("decisions", &["cluster", "credential", "route", "sql"]),
    ("connections", &["agent", "catalogs", "client", "net", "orders", "pool", "server", "shared"]),
    ("tasks", &["admin", "catalog", "check", "monitor", "session"]),
    ("assembly", &["cli", "demo", "proxy", "reload", "worker"]),
    ("entry", &["lib", "main"]),
];

/// The allowed arrows inside a floor. There are no others.
const ARROWS: &[(&str, &[&str])] = &[
    ("config", &["setup_sql"]), // the default of auth.query is the function that setup-sql installs
    ("route", &["sql", "cluster"]),
    ("client", &["net"]),
    ("server", &["net"]),
    ("agent", &["net"]),
    ("pool", &["server"]),
    ("shared", &["pool", "server", "client", "orders", "catalogs"]),
    ("proxy", &["reload", "worker"]),
    ("demo", &["proxy"]),
    ("cli", &["demo", "proxy", "reload"]),
    ("main", &["lib"]),
];

/// Arrows that go down and are forbidden all the same: decisions know nothing of the protocol.
const FORBIDDEN_ARROWS: &[(&str, &[&str])] = &[("sql", &["wire"]), ("cluster", &["wire"])];

/// The pure modules (○): whole folders, or single files.
const PURE: &[&str] = &[
    "src/config/",
    "src/wire/",
    "src/stats.rs",
    "src/feed.rs",
    "src/setup_sql.rs",
    "src/version.rs",
    "src/credential.rs",
    "src/sql/",
    "src/cluster/",
    "src/route/",
    "src/client/scram.rs",
    "src/server/params.rs",
    "src/server/scram.rs",
    "src/server/prepared.rs",
    "src/pool/queue.rs",
    "src/agent/api.rs",
    "src/shared.rs",
    "src/session/names.rs",
    "src/check/facts.rs",
    "src/check/report.rs",
    "src/check/requirements/",
    "src/admin/command.rs",
    "src/admin/frame.rs",
    "src/admin/histograms.rs",
    "src/admin/lexer.rs",
    "src/admin/operation.rs",
    "src/admin/samples.rs",
    "src/admin/show/",
    "src/admin/table.rs",
];

/// What a pure module may do all the same: (file, banned thing, why).
const PURE_EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/config/load.rs", "std::fs", "the loader reads the one file everything else takes as an argument"),
    ("src/config/load.rs", "std::env", "the loader collects PGHERD__… once, at start and at reload"),
    ("src/config/load.rs", "std::thread", "the default of `workers` follows the number of cores"),
    (
        "src/shared.rs",
        "Instant::now",
        "the process' start, from which all marks count; `now_us` is the one clock of the registries",
    ),
    ("src/shared.rs", "SystemTime::now", "see `Instant::now`"),
    ("src/shared.rs", "rand", "made once, at the start: the seed of hashes that outsiders must not steer"),
    ("src/shared.rs", "SystemRandom", "see `rand`"),
    ("src/feed.rs", "async fn", "see `.await`"),
    ("src/feed.rs", ".await", "waiting for a change is what a feed is for; it waits on memory, not on I/O"),
];

/// Paths (whole segments) a pure module may not name, and what to do instead.
const IMPURE_PATHS: &[(&str, &str)] = &[
    ("std::fs", "take the text as an argument"),
    ("tokio::fs", "take the text as an argument"),
    ("std::env", "take the value as an argument"),
    ("std::process", "return an Action and let the caller perform it"),
    ("std::thread", "return an Action and let the caller perform it"),
    ("std::net::TcpStream", "take bytes, return bytes"),
    ("std::net::TcpListener", "take bytes, return bytes"),
    ("std::net::UdpSocket", "take bytes, return bytes"),
    ("std::net::ToSocketAddrs", "resolve names in net or server"),
    ("tokio::net", "take bytes, return bytes"),
    ("tokio::io", "take bytes, return bytes"),
    ("tokio::time", "return a deadline and take `now: Instant`"),
    ("tokio::task", "return an Action and let the caller spawn"),
    ("tokio::spawn", "return an Action and let the caller spawn"),
    ("tokio::process", "return an Action and let the caller perform it"),
    ("Instant::now", "take `now: Instant` as an argument"),
    ("SystemTime::now", "take `now: SystemTime` as an argument"),
    ("rand", "take the random bytes or a seed as an argument"),
    ("getrandom", "take the random bytes or a seed as an argument"),
    ("SystemRandom", "take the random bytes or a seed as an argument"),
];

/// Text a pure module may not contain.
const IMPURE_TEXT: &[(&str, &str)] = &[
    (".elapsed(", "take `now: Instant` and subtract"),
    (".await", "a decision waits for nothing; wait in the caller"),
    ("async fn", "a decision waits for nothing; wait in the caller"),
    ("println!", "return the text"),
];

/// Types a `static` may consist of; anything else may hide interior mutability, and a `const` does as well.
const PLAIN_TYPES: &[&str] = &[
    "static", "str", "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128",
    "isize", "f32", "f64", "Option",
];

const BANNED_WORDS: &[(&str, &str)] = &[
    ("master", "say primary"),
    ("slave", "say standby"),
    ("backends", "say servers; backend is the direction of a message, in wire/ only"),
    ("downstream", "say client"),
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Files past [`FILE_LINES_MAX`] lines of code, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions past [`FUNCTION_LINES_MAX`] lines, each with its reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

// === rules ===

pub fn floors(file: &File) -> Vec<String> {
    let module = top_module(&file.path);
    let Some(floor) = floor_of(module) else {
        return vec![finding(file, 1, &format!("module {module} stands on no floor"), "give it one in FLOORS")];
    };
    let mut findings = Vec::new();
    for (line, target) in imports(file) {
        let because = match floor_of(&target) {
            _ if target == module => continue,
            None => continue, // an item of lib.rs itself, or a macro
            Some(_) if lists(FORBIDDEN_ARROWS, module, &target) => format!("{module} must not know {target}"),
            Some(below) if below < floor => continue,
            Some(same) if same == floor && lists(ARROWS, module, &target) => continue,
            Some(same) if same == floor => format!("{module} imports {target} of its own floor"),
            Some(_) => format!("{module} (floor {floor}) imports {target} from above"),
        };
        findings.push(finding(
            file,
            line,
            &because,
            "move what both need to a floor below, or hand it in as an argument",
        ));
    }
    findings
}

pub fn purity(file: &File) -> Vec<String> {
    if !PURE.iter().any(|pure| file.path.starts_with(pure)) {
        return Vec::new();
    }
    let allowed = |what: &str| PURE_EXCEPTIONS.iter().any(|(path, thing, _)| *path == file.path && *thing == what);
    let mut findings = Vec::new();
    for (banned, instead) in IMPURE_PATHS.iter().filter(|(banned, _)| !allowed(banned)) {
        for path in file.paths.iter().filter(|path| contains(path, banned)) {
            findings.push(finding(file, path.line, &format!("{banned} in a pure module"), instead));
        }
    }
    for (banned, instead) in IMPURE_TEXT.iter().filter(|(banned, _)| !allowed(banned)) {
        for (at, _) in file.code.match_indices(banned) {
            let line = scan::line_of(&file.code, at);
            findings.push(finding(file, line, &format!("`{banned}` in a pure module"), instead));
        }
    }
    findings
}

pub fn globals(file: &File) -> Vec<String> {
    let instead = "put it into Shared and hand it in; for plain data use `const`";
    let mut findings = Vec::new();
    for mark in ["thread_local!", "lazy_static!", "#[thread_local]"] {
        for (at, _) in file.code.match_indices(mark) {
            findings.push(finding(file, scan::line_of(&file.code, at), &format!("global state by `{mark}`"), instead));
        }
    }
    for at in scan::words(&file.code, "static").filter(|&at| at == 0 || file.code.as_bytes()[at - 1] != b'\'') {
        let declaration = file.code[at..].split(['=', ';']).next().unwrap_or("");
        let typed = declaration.split_once(':').map_or("", |(_, typed)| typed);
        let plain = scan::identifiers(typed).all(|(_, word)| PLAIN_TYPES.contains(&word) || is_number(word));
        if !plain || declaration.starts_with("static mut") {
            let line = scan::line_of(&file.code, at);
            findings.push(finding(file, line, "a `static` that can hold state", instead));
        }
    }
    findings
}

pub fn banned_words(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, identifier) in scan::identifiers(&file.code) {
        for (word, instead) in BANNED_WORDS {
            if parts(identifier).iter().any(|part| part == word) {
                findings.push(finding(file, line, &format!("`{identifier}`: {word} is not our word"), instead));
            }
        }
    }
    findings
}

pub fn file_length(file: &File) -> Vec<String> {
    let lines = file.code.lines().filter(|line| !line.trim().is_empty()).count();
    if lines <= FILE_LINES_MAX || LONG_FILES.iter().any(|(path, _)| *path == file.path) {
        return Vec::new();
    }
    let rule = format!("{lines} lines of code, more than {FILE_LINES_MAX}");
    vec![finding(file, 1, &rule, "split it by what its parts know, or write the reason into LONG_FILES")]
}

pub fn function_length(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for function in scan::functions(&file.code).into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX) {
        if LONG_FUNCTIONS.iter().any(|(path, name, _)| *path == file.path && *name == function.name) {
            continue;
        }
        let rule = format!("fn {} has {} lines, more than {FUNCTION_LINES_MAX}", function.name, function.lines);
        let instead = "extract what has a name of its own, or write the reason into LONG_FUNCTIONS";
        findings.push(finding(file, function.line, &rule, instead));
    }
    findings
}

/// An exception that is no longer needed is taken out of its table.
pub fn stale_exceptions(files: &[File]) -> Vec<String> {
    let file = |path: &str| files.iter().find(|file| file.path == path);
    let mut stale = Vec::new();
    for (path, _) in LONG_FILES {
        if file(path)
            .is_none_or(|file| file.code.lines().filter(|line| !line.trim().is_empty()).count() <= FILE_LINES_MAX)
        {
            stale.push(format!("{path}:1: LONG_FILES names it and it is not long; remove the entry"));
        }
    }
    for (path, thing, _) in PURE_EXCEPTIONS {
        if file(path).is_none_or(|file| !names(file, thing)) {
            stale.push(format!("{path}:1: PURE_EXCEPTIONS allows {thing} and nothing needs it; remove the entry"));
        }
    }
    for (path, name, _) in LONG_FUNCTIONS {
        let long =
            |file: &File| scan::functions(&file.code).iter().any(|f| f.name == *name && f.lines > FUNCTION_LINES_MAX);
        if !file(path).is_some_and(long) {
            stale.push(format!("{path}:1: LONG_FUNCTIONS names {name} and it is not long; remove the entry"));
        }
    }
    stale
}

/// `unwrap()` and `expect(…)` kill the session, or the process: only where they can't, and the invariant stands beside
/// them, as a comment or as the message of `expect`.
pub fn panics(file: &File) -> Vec<String> {
    let instead = "return an error, or write the invariant beside it: a comment, or a sentence in `expect`";
    let mut findings = Vec::new();
    for (index, code) in file.code.lines().enumerate() {
        let panics =
            [".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("].iter().find(|call| code.contains(**call));
        if let Some(call) = panics.filter(|_| !is_explained(file, index)) {
            findings.push(finding(file, index + 1, &format!("`{call}` outside tests"), instead));
        }
    }
    findings
}

/// For `src` and `tests` alike; `code` with its tests.
pub fn ignored_tests(path: &str, code: &str) -> Vec<String> {
    let ignored = code.match_indices("#[ignore");
    let instead = "delete the test or make it pass; skip inside it, with a printed reason, when a service is missing";
    ignored.map(|(at, _)| format!("{path}:{}: an ignored test; {instead}", scan::line_of(code, at))).collect()
}

// === helpers ===

impl File {
    pub fn new(path: &str, source: &str) -> Self {
        let code = scan::without_tests(&scan::code(source));
        let paths = scan::paths(&code);
        Self { path: path.to_owned(), lines: source.lines().map(str::to_owned).collect(), code, paths }
    }
}

fn finding(file: &File, line: usize, rule: &str, instead: &str) -> String {
    format!("{}:{line}: {rule}; {instead}", file.path)
}

/// `src/pool/queue.rs` and `src/pool.rs` → `pool`.
fn top_module(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split(['/', '.']).next().unwrap_or(inside)
}

/// `tokio::net` in `tokio::net::TcpStream`: whole segments.
fn contains(path: &scan::Path, wanted: &str) -> bool {
    let wanted: Vec<&str> = wanted.split("::").collect();
    path.segments.windows(wanted.len()).any(|window| window == wanted)
}

/// Does the file use this entry of [`IMPURE_PATHS`] or [`IMPURE_TEXT`]?
fn names(file: &File, thing: &str) -> bool {
    file.code.contains(thing) || file.paths.iter().any(|path| contains(path, thing))
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

fn lists(arrows: &[(&str, &[&str])], from: &str, to: &str) -> bool {
    arrows.iter().any(|(module, targets)| *module == from && targets.contains(&to))
}

/// The top-level modules a file names: by `crate::x`, `pgherd::x` (from main.rs), or enough `super::`.
fn imports(file: &File) -> Vec<(usize, String)> {
    let is_root_of_module = file.path.ends_with("/mod.rs");
    let depth = file.path.matches('/').count() - usize::from(is_root_of_module);
    let mut targets = Vec::new();
    for path in &file.paths {
        let first = path.segments[0].as_str();
        let supers = path.segments.iter().take_while(|segment| *segment == "super").count();
        let target = match first {
            "crate" | "pgherd" => path.segments.get(1),
            "super" if supers >= depth => path.segments.get(supers),
            _ => None,
        };
        targets.extend(target.map(|target| (path.line, target.clone())));
    }
    targets
}

/// A comment on the line, or above the statement the line belongs to, or a sentence in `expect("…")`.
fn is_explained(file: &File, index: usize) -> bool {
    if says_why(&file.lines[index]) {
        return true;
    }
    let comment = |line: &str| line.contains("// ");
    let mut first = index;
    let code: Vec<&str> = file.code.lines().collect();
    while first > 0 && is_inside_statement(code[first - 1]) {
        first -= 1;
    }
    let above = first.checked_sub(1).is_some_and(|line| comment(&file.lines[line]));
    above || file.lines[first..=index].iter().any(|line| comment(line))
}

/// Four words are the least that can state an invariant.
fn says_why(line: &str) -> bool {
    let message = line.split_once("expect(\"").or_else(|| line.split_once("expect_err(\"")).map(|(_, message)| message);
    message.is_some_and(|message| message.split('"').next().unwrap_or("").split_whitespace().count() >= 4)
}

/// Does the statement go on after this line?
fn is_inside_statement(line: &str) -> bool {
    let line = line.trim_end();
    !line.is_empty() && !line.ends_with([';', '{', '}', ','])
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// `PgBackendKey`, `pg_backend_key` → `pg`, `backend`, `key`.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut previous_is_lower = false;
    for c in identifier.chars() {
        if c == '_' || (c.is_uppercase() && previous_is_lower) {
            parts.push(String::new());
        }
        if c != '_' {
            parts.last_mut().expect("it starts with one part").extend(c.to_lowercase());
        }
        previous_is_lower = c.is_lowercase();
    }
    parts
}
