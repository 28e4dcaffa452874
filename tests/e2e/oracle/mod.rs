//! PostgreSQL itself judges the classifier: each statement of `tests/data/classify/*.txt` is executed on a real standby
//! (by itself) and on the primary (inside BEGIN … ROLLBACK).
//!
//! A read that the standby refuses though the primary runs it, or answers otherwise, is a mistake. A write that the standby
//! runs with the same result is a read that was not sent there: counted by reason, within a bound that only goes down.

#[path = "../../it/classify/corpus.rs"]
mod corpus;
mod known;
mod node;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

use pgherd::sql::catalog::{BuiltIn, Catalog, FunctionFact};
use pgherd::sql::{Class, Kind, Reason, classify};

use crate::harness::shared;
use node::{Connection, Outcome};

/// Classified as writes though a standby gives the same answer, by reason. Lower a bound when the count goes down.
/// Answers about a node (sizes, states) agree by chance, so that bound has some room.
const NEEDLESS: [(&str, usize); 12] = [
    ("cursor", 6),
    ("data-change", 2),
    ("node-local", 36),
    ("prepared", 9),
    ("procedure", 2),
    ("select-into", 1),
    ("session-command", 68),
    ("unknown-function", 6),
    ("unparsed", 19),
    ("unsupported-syntax", 2),
    ("utility", 1),
    ("writing-function", 39),
];

/// The most of all statements, in percent, that may fail on both nodes for a name that is not there.
const MISSING_PERCENT: usize = 5;

/// Of what ORMs ask and a standby could answer, so many percent at least go to one.
const ORM_PERCENT: usize = 95;

/// Answers that differ between any two executions, or between nodes by their nature.
const VOLATILE: [&str; 6] = ["current_timestamp", "explain", "localtime", "now()", "random()", "tablesample"];

/// Harmless ones that answer otherwise each time they are called.
const VOLATILE_FUNCTIONS: [&str; 7] = [
    "clock_timestamp",
    "gen_random_uuid",
    "now",
    "random",
    "statement_timestamp",
    "timeofday",
    "transaction_timestamp",
];

#[derive(Default)]
struct Tally {
    mistakes: Vec<String>,
    needless: BTreeMap<&'static str, Vec<String>>,
    missing: Vec<String>,
    executed: usize,
    /// By file: so many queries does a standby answer as the primary does, so many of them go there.
    shares: BTreeMap<String, (usize, usize)>,
}

#[tokio::test]
async fn what_counts_as_a_read_runs_on_a_standby() {
    let [mut primary, mut standby] = database("db").await;
    let mut tally = Tally::default();
    for case in corpus::cases() {
        let class = classify(case.text.as_bytes(), 32 * 1024, &BuiltIn);
        if !can_be_rolled_back(class) {
            continue;
        }
        let text = node::without_parameters(&case.text);
        let there = standby.run_alone(&text).await;
        let here = primary.run_and_undo(&text).await;
        tally.judge(&case, class, &there, &here);
    }
    tally.report();
}

/// Whoever adds a function to `functions.txt` hears of it here if it fails on a standby, or lies there.
#[tokio::test]
async fn a_harmless_function_answers_on_a_standby_as_on_the_primary() {
    let [mut primary, mut standby] = database("calls").await;
    let mut mistakes = String::new();
    let (mut called, mut answered) = (0, 0);
    for [name, call] in primary.rows(include_str!("calls.sql")).await {
        if BuiltIn.function(None, &name) != FunctionFact::Harmless || name.starts_with("pg_sleep") {
            continue;
        }
        let (there, here) = (standby.run(&call).await, primary.run(&call).await);
        called += 1;
        answered += usize::from(matches!(there, Outcome::Done(_)));
        if there != here && !VOLATILE_FUNCTIONS.contains(&name.as_str()) {
            let _ = writeln!(mistakes, "{call}\n    standby: {there:?}\n    primary: {here:?}");
        }
    }
    eprintln!("{called} functions called, {answered} answered");
    assert!(mistakes.is_empty(), "{mistakes}");
    assert!(answered > 1_500, "only {answered} of {called} answered");
}

/// A database with all that the statements name: connections to it on the primary and on a standby.
async fn database(name: &'static str) -> [Connection<'static>; 2] {
    static ROLE: OnceLock<()> = OnceLock::new();
    let cluster = shared();
    ROLE.get_or_init(|| {
        cluster.pg1.psql("CREATE ROLE oracle LOGIN PASSWORD 'oracle' IN ROLE pg_monitor").unwrap();
    });
    cluster.pg1.psql(&format!("CREATE DATABASE {name} OWNER oracle")).unwrap();
    let mut primary = Connection::open(&cluster.pg1, name).await;
    let made = primary.run(include_str!("schema.sql")).await;
    assert!(matches!(made, Outcome::Done(_)), "{made:?}");
    cluster.wait_caught_up().unwrap();
    [primary, Connection::open(&cluster.pg2, name).await]
}

/// Transaction control inside of our own transaction would end it.
fn can_be_rolled_back(class: Class) -> bool {
    class.kind != Kind::Empty && !class.kind.is_transaction_control() && class.reason != Reason::TransactionControl
}

// === impl Tally ===

impl Tally {
    fn judge(&mut self, case: &corpus::Case, class: Class, standby: &Outcome, primary: &Outcome) {
        self.executed += 1;
        let line = |what: &str| {
            format!("{}: {what}: {}\n    standby: {standby:?}\n    primary: {primary:?}", case.at, case.text)
        };
        if !is_refused(standby) && !is_refused(primary) && !is_of_the_session(class) {
            let share = self.shares.entry(case.at.split(':').next().unwrap_or_default().to_owned()).or_default();
            share.0 += usize::from(class.is_read() || standby == primary);
            share.1 += usize::from(class.is_read());
        }
        if standby == primary {
            match standby {
                Outcome::Done(_) if !class.is_read() => {
                    self.needless.entry(class.reason.as_str()).or_default().push(line("needless"));
                }
                Outcome::Refused { sqlstate, .. } if is_missing(sqlstate) => self.missing.push(line("missing")),
                Outcome::Done(_) | Outcome::Refused { .. } => {}
            }
        } else if class.is_read() && (is_refused(standby) || !is_volatile(&case.text)) {
            self.mistakes.push(line("classified as a read"));
        }
    }

    fn report(&self) {
        let mut text = String::new();
        for (reason, lines) in &self.needless {
            let _ = writeln!(text, "{:>4} needless writes: {reason}", lines.len());
        }
        for (file, (all, there)) in &self.shares {
            let _ = writeln!(text, "{there:>4} of {all} queries that a standby could answer go there: {file}");
        }
        let share = self.missing.len() * 100 / self.executed;
        let _ = writeln!(text, "{:>4} of {} name what is not there ({share} %)", self.missing.len(), self.executed);
        eprintln!("{text}");
        if std::env::var_os("ORACLE").is_some() {
            let lines = self.needless.values().flatten().chain(&self.missing);
            lines.for_each(|line| eprintln!("{line}"));
        }
        assert!(self.mistakes.is_empty(), "{} mistakes:\n{}", self.mistakes.len(), self.mistakes.join("\n"));
        for (reason, lines) in &self.needless {
            let bound = NEEDLESS.iter().find(|(name, _)| name == reason).map_or(0, |(_, bound)| *bound);
            assert!(lines.len() <= bound, "{reason}: {} > {bound}:\n{}", lines.len(), lines.join("\n"));
        }
        let orms = self.shares.iter().filter(|(file, _)| file.starts_with("orm-"));
        let (all, there) = orms.fold((0, 0), |sum, (_, share)| (sum.0 + share.0, sum.1 + share.1));
        assert!(there * 100 >= all * ORM_PERCENT, "{there} of {all}");
        assert!(share <= MISSING_PERCENT, "{}", self.missing.join("\n"));
    }
}

/// No such column, function, table, type, schema …: the statement proves nothing.
fn is_missing(sqlstate: &str) -> bool {
    matches!(sqlstate, "42703" | "42883" | "42P01" | "42704" | "3F000" | "42P02" | "42846" | "42804" | "42725")
}

/// Not a query: a standby runs it too, and it means nothing there.
fn is_of_the_session(class: Class) -> bool {
    !class.effects.is_empty() || matches!(class.reason, Reason::SessionCommand | Reason::Cursor | Reason::Prepared)
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { .. })
}

fn is_volatile(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    VOLATILE.iter().any(|word| text.contains(word))
}
