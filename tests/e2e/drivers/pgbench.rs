//! pgbench: many clients at once, in each protocol mode, and a sum that must come out.

use std::process::Output;

use crate::harness::{Proxy, shared, unique};

const CLIENTS: usize = 8;

#[test]
fn pgbench_runs_in_every_mode_and_its_books_balance() {
    let cluster = shared();
    let proxy = Proxy::start(cluster, "[pool]\nsize = 5"); // fewer than clients
    let database = unique("bench");
    proxy.psql(&format!("CREATE DATABASE {database}"));
    let bench = |arguments: &str| pgbench(&proxy, &database, arguments);
    bench("-i -s 1 -q");
    cluster.wait_caught_up().unwrap();

    let script = cluster.dir().join(format!("{database}.sql"));
    cluster.site().write(&script, PIPELINE).unwrap();
    let pipeline = format!("-f {}", script.display());
    let mut booked = 0;
    // It prepares in blocking calls: one that waits for a server must not keep its thread's other clients from ending
    // their transactions.
    for (mode, threads) in [("simple", 2), ("extended", 2), ("prepared", CLIENTS)] {
        for (kind, transactions) in [("-S", 200), ("-N", 30), ("", 30), ("-S -C", 10), (&*pipeline, 30)] {
            if mode == "simple" && kind == pipeline {
                continue; // pgbench has no pipelines there
            }
            bench(&format!("-n -M {mode} {kind} -c {CLIENTS} -j {threads} -t {transactions}"));
            booked += if kind.starts_with("-S") { 0 } else { CLIENTS * transactions };
        }
    }
    let books = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta), count(*) FROM pgbench_history";
    assert_eq!(cluster.pg1.psql_as(&database, "app", books).unwrap(), format!("t|{booked}"));
    cluster.pg1.psql(&format!("DROP DATABASE {database} WITH (FORCE)")).unwrap();
}

/// TPC-B's -N with all in one pipeline, a read-only one behind it.
const PIPELINE: &str = "\
\\set aid random(1, 100000)
\\set delta random(-5000, 5000)
\\startpipeline
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, :aid, :delta, CURRENT_TIMESTAMP);
END;
\\endpipeline
\\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid + 1;
\\endpipeline
";

fn pgbench(proxy: &Proxy<'_>, database: &str, arguments: &str) -> Output {
    let mut command = proxy.client_program("pgbench", database, "app");
    let output = command.args(arguments.split_whitespace()).output().unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "pgbench {arguments}: {}\n{out}{errors}", output.status);
    if arguments.contains("-t ") {
        assert!(out.contains("number of failed transactions: 0 "), "pgbench {arguments}: {out}{errors}");
        assert!(!errors.contains("error"), "pgbench {arguments}: {errors}");
    }
    output
}
