//! What is counted: the loads of `benches/peers`, one client.

use pgherd::wire::frontend;

use crate::harness::raw::{Raw, push_execute, push_parse};

pub struct Script {
    pub name: &'static str,
    kind: Kind,
}

enum Kind {
    /// Bind, Execute, Sync of a statement prepared ahead.
    PreparedRead,
    /// A Query, no two of the same text.
    SimpleRead,
    /// A Query, always the same.
    SameRead,
    /// Parse, Bind, Describe, Execute, Sync, no parameters left in the text.
    UnnamedRead,
    /// BEGIN, UPDATE, SELECT, INSERT, COMMIT, each prepared.
    PreparedWrites,
    /// The same as Queries.
    SimpleWrites,
    /// Fifty prepared reads, one Sync.
    Pipeline,
    /// A million bytes of rows.
    CopyOut,
    /// Parse, Bind, Execute, Close of a named statement in one request.
    Prepares,
    /// Connect, one Query, close.
    Connection,
}

pub const SCRIPTS: &[Script] = &[
    Script { name: "prepared-read", kind: Kind::PreparedRead },
    Script { name: "simple-read", kind: Kind::SimpleRead },
    Script { name: "same-read", kind: Kind::SameRead },
    Script { name: "unnamed-read", kind: Kind::UnnamedRead },
    Script { name: "prepared-writes", kind: Kind::PreparedWrites },
    Script { name: "simple-writes", kind: Kind::SimpleWrites },
    Script { name: "pipeline-of-50", kind: Kind::Pipeline },
    Script { name: "copy-of-1-mb", kind: Kind::CopyOut },
    Script { name: "parse-and-close", kind: Kind::Prepares },
    Script { name: "connection", kind: Kind::Connection },
];

pub const SETUP: &[&str] = &[
    "CREATE TABLE accounts (aid int PRIMARY KEY, balance int, filler text)",
    "INSERT INTO accounts SELECT n, 0, '' FROM generate_series(1, 100) n",
    "CREATE TABLE history (aid int, delta int, filler text)",
];

/// The port of the node that reads.
pub const WHERE: &str = "/* pgherd: standby */ SELECT inet_server_port()";

const SAME_READ: &str = "SELECT balance FROM accounts WHERE aid = 1";

const READ: &str = "SELECT balance FROM accounts WHERE aid = $1";
const UPDATE: &str = "UPDATE accounts SET balance = balance + $1 WHERE aid = $2";
const INSERT: &str = "INSERT INTO history VALUES ($1, $2, '')";
const COPY: &str = "COPY (SELECT repeat('x', 99) FROM generate_series(1, 10000)) TO STDOUT";
const PIPELINE: usize = 50;

// === impl Script ===

impl Script {
    pub async fn run(&self, client: &mut Raw, transactions: usize) {
        if self.is_connection() {
            assert_eq!(client.query(SAME_READ).await.kinds, "TDCZ");
            return;
        }
        let prepared = [("r", READ), ("b", "BEGIN"), ("u", UPDATE), ("i", INSERT), ("c", "COMMIT")];
        for (name, sql) in prepared {
            assert_eq!(client.prepare(name, sql).await.kinds, "1Z");
        }
        for number in 0..transactions {
            self.transaction(client, number).await;
        }
    }

    /// A window is one of them, whatever the number of transactions.
    pub fn is_connection(&self) -> bool {
        matches!(self.kind, Kind::Connection)
    }

    /// A tenth where one does much.
    pub fn transactions(&self, usual: usize) -> usize {
        if matches!(self.kind, Kind::CopyOut) { usual / 10 } else { usual }
    }

    async fn transaction(&self, client: &mut Raw, number: usize) {
        let aid = (number % 100 + 1).to_string();
        let fresh = format!("{} < {number}", -client.key.process_id);
        let read = format!("SELECT balance FROM accounts WHERE aid = {aid} AND {fresh}");
        match self.kind {
            Kind::PreparedRead => assert_eq!(client.execute("r", &[&aid]).await.kinds, "2DCZ"),
            Kind::SimpleRead => assert_eq!(client.query(&read).await.kinds, "TDCZ"),
            Kind::SameRead => assert_eq!(client.query(SAME_READ).await.kinds, "TDCZ"),
            Kind::UnnamedRead => assert_eq!(client.unnamed(READ, &[&aid]).await.kinds, "12DCZ"),
            Kind::PreparedWrites => {
                let texts: [(&str, &[&str]); 5] =
                    [("b", &[]), ("u", &["1", &aid]), ("r", &[&aid]), ("i", &[&aid, "1"]), ("c", &[])];
                for (name, parameters) in texts {
                    assert!(client.execute(name, parameters).await.errors.is_empty());
                }
            }
            Kind::SimpleWrites => {
                let update = format!("UPDATE accounts SET balance = balance + 1 WHERE aid = {aid}");
                let insert = format!("INSERT INTO history VALUES ({aid}, 1, '')");
                for text in ["BEGIN", &update, &read, &insert, "COMMIT"] {
                    assert!(client.query(text).await.errors.is_empty());
                }
            }
            Kind::Pipeline => {
                let mut out = Vec::new();
                (0..PIPELINE).for_each(|_| push_execute(&mut out, "r", &[&aid]));
                frontend::push_sync(&mut out);
                client.send(&out).await;
                assert_eq!(client.answer().await.rows.len(), PIPELINE);
            }
            Kind::Connection => unreachable!("it has none"),
            Kind::CopyOut => assert_eq!(client.query(COPY).await.tags, ["COPY 10000"]),
            Kind::Prepares => {
                let mut out = Vec::new();
                push_parse(&mut out, "p", READ);
                push_execute(&mut out, "p", &[&aid]);
                frontend::push_close_statement(&mut out, b"p");
                frontend::push_sync(&mut out);
                client.send(&out).await;
                assert_eq!(client.answer().await.kinds, "12DC3Z");
            }
        }
    }
}
