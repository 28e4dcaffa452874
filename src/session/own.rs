//! Statements of the proxy's own (`EXPLAIN ROUTE …`, `SHOW pgherd.…`): PostgreSQL gets another one in their place that has the
//! answer in it, so that it comes as any answer does, in either protocol, at its place in the pipeline. What is prepared is
//! prepared anew whenever it is bound: the answer is today's.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::Session;
use super::names::Statement;
use super::replies::{Awaited, Op, Reply, Undo};
use crate::cluster::NodeId;
use crate::route::explain::{Question, explain};
use crate::route::{Avoid, Turn, route};
use crate::server::params::push_literal;
use crate::sql::asked::Asked;
use crate::sql::knowledge::Known;
use crate::sql::{Kind, Own, classify, own};
use crate::wire::frontend;

/// What a text may say of its parameters, so that it can be bound as the client expects; PostgreSQL takes no longer lists.
const MAX_PARAMETERS: usize = 1600;

/// The primary's position now, behind all that it has acknowledged; a standby's, which shows what this session wrote before.
const LAST_LSN: &str = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()::text \
     ELSE (SELECT ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(lsn), 1, 8))::pg_catalog.bit(32)::pg_catalog.int4 \
     || ':' || lsn FROM pg_catalog.pg_current_wal_insert_lsn() AS lsn) END AS \"pgherd.last_lsn\"";

// === impl Session ===

impl Session {
    /// The Query at the front is of the proxy's own.
    pub(super) fn query_own(&mut self, node: NodeId, own: Own, size: usize) {
        let from = self.inbox.start;
        let text = frontend::query_text(self.inbox.range(from, from + size)).unwrap_or_default();
        let sql = self.sql_for(node, own, text);
        self.outbox.push_own(|out| frontend::push_query(out, &sql));
        self.inbox.start += size;
        self.await_answer(Awaited::Query);
    }

    /// What a server gets in place of `tail`: text, NUL, parameter types.
    pub(super) fn tail_for(&self, node: NodeId, own: Own, tail: &[u8]) -> Vec<u8> {
        let text = tail.split(|b| *b == 0).next().unwrap_or_default();
        let mut new = self.sql_for(node, own, text).into_bytes();
        new.extend_from_slice(&tail[text.len()..]);
        new
    }

    /// A statement of the proxy's own is bound: the server prepares today's answer. Returns its number.
    pub(super) fn prepare_own(&mut self, node: NodeId, own: Own, statement: &Statement) -> u64 {
        let tail = self.tail_for(node, own, &statement.tail);
        self.prepare_for_once(&tail, Op { reply: Reply::Swallow, undo: Undo::Nothing })
    }

    fn sql_for(&self, node: NodeId, own: Own, text: &[u8]) -> String {
        match own {
            Own::ExplainRoute => rows(&self.explain_route(node, text), own::highest_parameter(text)),
            Own::LastLsn if self.wrote || self.last_write.is_some() => LAST_LSN.to_owned(),
            // Whoever comes next must see what this session had to see.
            Own::LastLsn => constant(&self.settings.wishes.min_lsn.map(|token| token.to_string()).unwrap_or_default()),
            Own::Setting => self.setting(&own::shown(text).unwrap_or_default()),
        }
    }

    fn explain_route(&self, node: NodeId, text: &[u8]) -> Vec<String> {
        let asked = own::explained(text).unwrap_or_default();
        let known = self.catalog.known();
        let catalog = Asked::new(&**known);
        let _ = classify(&asked, self.config.routing.max_classified_bytes, &catalog);
        // What was learnt about it is only in the cache.
        let class = self.classify(&asked);
        let topology = self.shared.topology.load();
        let split = self.reads.split && self.renames;
        let turn = self.turn_without_server(Avoid::NOBODY);
        let holding = Turn {
            node: Some(node),
            status: self.status,
            pinned: self.pin != crate::client::registry::Pin::None,
            ..turn
        };
        let turn = if holding.holds_server() { holding } else { turn };
        let pools = &self.shared.pools;
        let tick = self.worker.turns.load(Relaxed);
        let routed = route(Some(&class), &turn, &topology, split, |node| pools.node(node).load(), tick);
        let question = Question {
            text: &asked,
            class: &class,
            turn: &turn,
            topology: &topology,
            split,
            catalog: match **known {
                Known::BuiltIn => "not asked (routing.catalog is off): what PostgreSQL brings is known",
                Known::Nothing => "not loaded yet, or it has changed: only what PostgreSQL brings is known",
                Known::Loaded(_) => "loaded from the primary",
            },
            said: &catalog.said(),
            now: Instant::now(),
        };
        explain(&question, &routed)
    }

    /// What the setting is in the session, as PostgreSQL has it (an open transaction may have changed it), or by default.
    fn setting(&self, name: &str) -> String {
        let default = match name {
            "route" => "auto",
            "consistency" => self.reads.consistency.as_str(),
            "notice" if self.config.routing.notice => "on",
            "notice" => "off",
            _ => "",
        };
        format!(
            "SELECT coalesce(nullif(pg_catalog.current_setting('pgherd.{name}', true), ''), '{default}') AS \"pgherd.{name}\""
        )
    }
}

// === impl Statement ===

impl Statement {
    /// If the proxy answers it itself.
    #[inline]
    pub(super) fn own(&self) -> Option<Own> {
        match self.class.kind {
            Kind::Own(own) => Some(own),
            _ => None,
        }
    }
}

fn constant(value: &str) -> String {
    format!("SELECT '{value}'::text AS \"pgherd.last_lsn\"")
}

/// One row for each line, in EXPLAIN's column; takes as many parameters as the text it stands for.
fn rows(lines: &[String], parameters: usize) -> String {
    let mut sql = "SELECT * FROM (VALUES ".to_owned();
    for (at, line) in lines.iter().enumerate() {
        sql.push_str(if at == 0 { "(" } else { "), (" });
        push_literal(&mut sql, line);
    }
    sql.push_str(")) AS route (\"QUERY PLAN\")");
    if (1..=MAX_PARAMETERS).contains(&parameters) {
        let all: Vec<_> = (1..=parameters).map(|n| format!("${n}::text")).collect();
        sql.push_str(&format!(" WHERE coalesce({}) IS NULL OR true", all.join(", ")));
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_statement_whatever_is_in_it() {
        let lines = ["it's".to_owned(), "a \\ b".to_owned()];
        assert_eq!(
            rows(&lines, 2),
            "SELECT * FROM (VALUES ('it''s'), (E'a \\\\ b')) AS route (\"QUERY PLAN\") \
             WHERE coalesce($1::text, $2::text) IS NULL OR true"
        );
        assert!(rows(&lines, 0).ends_with("(\"QUERY PLAN\")"));
    }
}
