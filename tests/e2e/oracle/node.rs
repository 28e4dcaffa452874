//! One connection to one node that is made anew when a statement broke it.

use pgherd::config::Secret;
use pgherd::demo::Node;
use pgherd::sql::scanner::{Scanner, TokenKind};
use pgherd::wire::frame;

use crate::harness::raw::{Answer, Raw};

pub struct Connection<'a> {
    node: &'a Node,
    database: &'a str,
    raw: Raw,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Columns, rows and tags, as text.
    Done(String),
    Refused {
        sqlstate: String,
        message: String,
    },
}

// === impl Connection ===

impl<'a> Connection<'a> {
    pub async fn open(node: &'a Node, database: &'a str) -> Self {
        let raw = Raw::direct_to(node, database, "oracle", Secret::new("oracle")).await;
        let mut connection = Self { node, database, raw };
        connection.run("SET statement_timeout = '5s'; SET lock_timeout = '2s'").await;
        connection
    }

    /// In a transaction of its own; nothing of it stays in the session.
    pub async fn run_alone(&mut self, sql: &str) -> Outcome {
        let outcome = self.run(sql).await;
        self.clean().await;
        outcome
    }

    /// Nothing of it stays, but what sequences have given away.
    pub async fn run_and_undo(&mut self, sql: &str) -> Outcome {
        self.run("BEGIN").await;
        let outcome = self.run(sql).await;
        self.run("ROLLBACK").await;
        self.clean().await;
        outcome
    }

    /// A simple Query; whoever wants to COPY in is told that nothing comes.
    pub async fn run(&mut self, sql: &str) -> Outcome {
        let mut answer = self.raw.query(sql).await;
        while answer.status == 0 && answer.kinds.ends_with('G') {
            let mut fail = Vec::new();
            frame::push(&mut fail, b'f', |out| out.extend_from_slice(b"nothing comes\0"));
            self.raw.send(&fail).await;
            let rest = self.raw.answer().await;
            answer = Answer { errors: [answer.errors, rest.errors].concat(), ..rest };
        }
        if answer.status == 0 {
            *self = Box::pin(Self::open(self.node, self.database)).await;
        }
        Outcome::of(&answer)
    }

    /// All of two columns.
    pub async fn rows(&mut self, sql: &str) -> Vec<[String; 2]> {
        let answer = self.raw.query(sql).await;
        assert_eq!(answer.errors, []);
        let text = |row: &[Option<String>], at: usize| row[at].clone().unwrap_or_default();
        answer.rows.iter().map(|row| [text(row, 0), text(row, 1)]).collect()
    }

    async fn clean(&mut self) {
        // a standby does nothing else for who asks for serializable transactions
        self.run("RESET ALL").await;
        self.run("DISCARD ALL").await;
        self.run("SET statement_timeout = '5s'; SET lock_timeout = '2s'").await;
    }
}

// === impl Outcome ===

impl Outcome {
    fn of(answer: &Answer) -> Self {
        match answer.errors.first() {
            Some(error) => Self::Refused { sqlstate: error.sqlstate.clone(), message: error.message.clone() },
            None if answer.status == 0 => Self::Refused { sqlstate: "08006".into(), message: "closed".into() },
            None => {
                // whoever names no order gets any
                let mut rows = answer.rows.clone();
                rows.sort();
                Self::Done(format!("{:?} {rows:?} {:?}", answer.columns, answer.tags))
            }
        }
    }
}

/// `$1` becomes NULL: a simple Query has no parameters.
pub fn without_parameters(text: &str) -> String {
    let mut plain = String::new();
    let mut copied = 0;
    for token in Scanner::new(text.as_bytes()).filter(|token| token.kind == TokenKind::Param) {
        plain.push_str(&text[copied..token.start]);
        plain.push_str("NULL");
        copied = token.end;
    }
    plain + &text[copied..]
}
