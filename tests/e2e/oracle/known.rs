//! What only a database's catalog tells apart: the proxy's word (`EXPLAIN ROUTE`), and PostgreSQL's.

use pgherd::sql::catalog::BuiltIn;
use pgherd::sql::classify;
use pgherd::sql::statements::Statements;

use super::{corpus, database, is_refused};
use crate::harness::raw::{Answer, Raw};
use crate::harness::{Proxy, shared};

const CONFIG: &str = "[auth]\nmethod = 'trust'\n[[user]]\nname = 'oracle'\npassword = 'oracle'\n";

#[tokio::test]
async fn what_the_catalog_tells_apart_is_told_apart() {
    let [mut primary, mut standby] = database("known").await;
    let cluster = shared();
    cluster.pg1.psql_as("known", "postgres", include_str!("known.sql")).unwrap();
    cluster.wait_caught_up().unwrap();
    let proxy = Proxy::start(cluster, CONFIG);
    let mut client = Raw::connect(proxy.port(), &[("user", "oracle"), ("database", "known")]).await.unwrap();
    let mut mistakes = Vec::new();
    let (mut refused, mut needless) = (0, Vec::new());
    wait_until_loaded(&mut client, "select * from plain").await;
    for line in include_str!("known.txt").lines() {
        let (expected, text) = line.split_once(" | ").unwrap();
        let class = class(&mut client, text).await;
        let there = standby.run_alone(text).await;
        let here = primary.run_and_undo(text).await;
        if class.starts_with("read") != (expected == "read") {
            mistakes.push(format!("{text}: {class}"));
        }
        if expected == "read" && (there != here || is_refused(&there)) {
            mistakes.push(format!("{text}: {there:?}, {here:?}"));
        }
        refused += usize::from(is_refused(&there) && !is_refused(&here));
        if expected != "read" && there == here && !is_refused(&there) {
            needless.push(text);
        }
    }
    eprintln!("{refused} refused by the standby; it could have answered {needless:#?}");
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    assert!(refused >= 20, "only {refused} prove anything");
}

/// What the corpora's statements are by the built-in names alone, and with a catalog that has what they name.
#[tokio::test]
async fn a_loaded_catalog_sends_no_statement_astray() {
    let [mut primary, mut standby] = database("loaded").await;
    let proxy = Proxy::start(shared(), CONFIG);
    let mut client = Raw::connect(proxy.port(), &[("user", "oracle"), ("database", "loaded")]).await.unwrap();
    wait_until_loaded(&mut client, "select * from t").await;
    let (mut mistakes, mut lost) = (Vec::new(), Vec::new());
    let cases = corpus::cases().into_iter().filter(|case| Statements::new(case.text.as_bytes()).count() == 1);
    for case in cases.filter(|case| !case.text.contains('$')) {
        let blind = classify(case.text.as_bytes(), 32 * 1024, &BuiltIn);
        let answer = client.query(&format!("EXPLAIN ROUTE {}", case.text)).await;
        let Some(class) = class_in(&answer) else { continue };
        match (blind.is_read(), class.starts_with("read")) {
            (true, false) => lost.push(format!("{}: {}: {class}", case.at, case.text)),
            (false, true) => {
                let (there, here) = (standby.run_alone(&case.text).await, primary.run_and_undo(&case.text).await);
                if there != here {
                    mistakes.push(format!("{}: {}: {there:?}", case.at, case.text));
                }
            }
            _ => {}
        }
    }
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    // they name a type or a relation that is not there
    assert!(lost.len() <= 3, "{lost:#?}");
}

/// The first query of a database does not wait for the catalog.
async fn wait_until_loaded(client: &mut Raw, read: &str) {
    let started = std::time::Instant::now();
    while !class(client, read).await.starts_with("read") {
        assert!(started.elapsed() < std::time::Duration::from_secs(30), "the catalog is not loaded");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// `read, only reads, …` or `write, …`.
async fn class(client: &mut Raw, text: &str) -> String {
    let answer = client.query(&format!("EXPLAIN ROUTE {text}")).await;
    class_in(&answer).unwrap_or_else(|| panic!("no class of {text}: {answer:?}"))
}

fn class_in(answer: &Answer) -> Option<String> {
    let lines = answer.rows.iter().filter_map(|row| row[0].as_deref());
    lines.filter_map(|line| line.trim().strip_prefix("Class: ")).next().map(str::to_owned)
}
