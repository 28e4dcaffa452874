//! The same bytes sent to PostgreSQL and to the proxy are answered with the same bytes, save keys and authentication.
//! What may differ in spite of that stands in `allowed.rs`. The sequences are data: `tests/data/differential/*.txt`.
//!
//! Each sequence is sent step by step, all at once, and in pieces. `DIFFERENTIAL=word` picks those whose name has the word.

mod allowed;
mod compare;
mod script;
mod talk;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use allowed::ALLOWED;
use script::{File, Sequence, Start};
use talk::{End, Mode, Talk, Target, Transcript};

use crate::harness::{Proxy, shared};

const MODES: [Mode; 3] = [Mode::Step, Mode::Pipelined, Mode::Pieces];

/// Fewer would not be worth the name.
const AT_LEAST: usize = 60;

#[test]
fn session_mode_answers_as_postgresql_does() {
    let proxy = Proxy::start(shared(), "[pool]\nmode = 'session'");
    compare_all(&proxy, "session", || ());
}

#[test]
fn transaction_mode_answers_as_postgresql_does() {
    let proxy = Proxy::start(
        shared(),
        "workers = 2\n[pool]\nmode = 'transaction'\nprepared_statements = 3\n[routing]\nsplit = true",
    );
    let mut rival = Rival::new(&proxy);
    compare_all(&proxy, "transaction", || rival.disturb());
}

/// Each COMMIT takes a question along, and each statement is searched for what would weaken it.
#[test]
fn what_failover_adds_is_not_seen() {
    let proxy = Proxy::start(shared(), "[failover]\ndurability = 'quorum'\noutcome = 'resolve'");
    let mut rival = Rival::new(&proxy);
    compare_all(&proxy, "transaction", || rival.disturb());
}

#[test]
fn there_are_sequences_enough_and_each_allowance_has_its_reason() {
    let sequences: Vec<&Sequence> = sequences().collect();
    assert!(sequences.len() >= AT_LEAST, "{} sequences", sequences.len());
    for allowed in ALLOWED {
        assert!(!allowed.reason.is_empty());
    }
}

/// Another client that takes the server the sequence has just left, and leaves statements of its own on it.
struct Rival {
    talk: Talk,
    in_transaction: bool,
}

// === impl Rival ===

impl Rival {
    fn new(proxy: &Proxy<'_>) -> Self {
        let mut talk = Talk::connect(proxy.port());
        talk.log_in(&Start::default(), password()).unwrap_or_else(|end| panic!("{end:?}"));
        Self { talk, in_transaction: false }
    }

    fn disturb(&mut self) {
        let text = match self.in_transaction {
            false => {
                "== begin\n> Q \"begin\"\n> P \"\" \"select 'rival'\"\n> P \"s1\" \"select 'rival s1'\"\n> C S \"s1\"\n> S\n< C Z 1 1 3 Z"
            }
            true => "== end\n> Q \"rollback\"\n< C Z",
        };
        self.in_transaction ^= true;
        let sequence = &File::parse("rival", text).sequences[0];
        self.talk.step(&sequence.steps[0]).unwrap_or_else(|end| panic!("the rival: {end:?}"));
    }
}

/// The sequences share their tables: one test at a time.
static TABLES: Mutex<()> = Mutex::new(());

fn compare_all(proxy: &Proxy<'_>, pool_mode: &'static str, mut between: impl FnMut()) {
    let _alone = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    let password = password();
    let direct = Target { port: shared().pg1.port(), password };
    let proxied = Target { port: proxy.port(), password };
    let only = std::env::var("DIFFERENTIAL").unwrap_or_default();
    let (mut failures, mut needed) = (Vec::new(), BTreeSet::new());
    for sequence in sequences().filter(|sequence| sequence.name.contains(&only)) {
        let want = compare::normal(&talk::run(&direct, sequence, Mode::Step, || ()));
        if let Some(failure) = false_script(sequence, &want) {
            failures.push(failure);
            continue;
        }
        for mode in MODES {
            if sequence.step_only && mode != Mode::Step {
                continue;
            }
            let mut got = compare::normal(&talk::run(&proxied, sequence, mode, &mut between));
            if mode == Mode::Pipelined {
                let again = compare::normal(&talk::run(&direct, sequence, mode, || ()));
                let difference = compare::difference(&want, &again).unwrap_or_default();
                assert!(
                    difference.is_empty(),
                    "{}: PostgreSQL answers otherwise when pipelined\n{difference}",
                    sequence.name
                );
            }
            let mut want = want.clone();
            let same = want == got;
            if let Some(allowed) = allowed_for(sequence, pool_mode) {
                needed.extend((!same).then_some(allowed.name));
                (allowed.level)(&mut want);
                (allowed.level)(&mut got);
            }
            if let Some(difference) = compare::difference(&want, &got) {
                failures.push(format!("{} ({mode:?}, {pool_mode}):\n{difference}", sequence.name));
            }
        }
    }
    for allowed in ALLOWED.iter().filter(|allowed| only.is_empty() && allowed.is_for(pool_mode)) {
        if !needed.contains(allowed.name) {
            failures.push(format!("{} ({pool_mode}): allowed for nothing", allowed.name));
        }
    }
    assert!(failures.is_empty(), "{} differences\n\n{}\n", failures.len(), failures.join("\n"));
}

/// What the sequence says that PostgreSQL answers must be true.
fn false_script(sequence: &Sequence, direct: &Transcript) -> Option<String> {
    let begun = direct.messages.iter().position(|message| message.tag == b'Z').map_or(0, |at| at + 1);
    let answers = &direct.messages[begun..];
    let tags: String = answers.iter().map(|message| format!("{} ", char::from(message.tag))).collect();
    let is_true = direct.end == End::Closed && talk::is_expected(sequence, answers);
    (!is_true).then(|| format!("{}: PostgreSQL answers {tags}{:?}", sequence.name, direct.end))
}

fn allowed_for(sequence: &Sequence, pool_mode: &str) -> Option<&'static allowed::Allowed> {
    let name = sequence.allow.as_deref()?;
    let allowed = ALLOWED.iter().find(|allowed| allowed.name == name);
    let allowed = allowed.unwrap_or_else(|| panic!("{}: nothing named {name} is allowed", sequence.name));
    allowed.is_for(pool_mode).then_some(allowed)
}

fn password() -> &'static str {
    shared().passwords().of("app").unwrap().expose()
}

/// Of all files; what they want to find in the database is there, on the standbys too.
fn sequences() -> impl Iterator<Item = &'static Sequence> {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/differential");
        let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let parse = |path: &std::path::PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            File::parse(&name, &std::fs::read_to_string(path).unwrap())
        };
        let files: Vec<File> = paths.iter().map(parse).collect();
        let setup: Vec<&str> = files.iter().flat_map(|file| &file.setup).map(String::as_str).collect();
        shared().pg1.psql_as("app", "app", &setup.join("\n")).unwrap();
        shared().wait_caught_up().unwrap();
        files
    });
    files.iter().flat_map(|file| &file.sequences)
}
