//! What changes the cluster: `SWITCHOVER`, `FAILOVER`, `DETACH`, `ATTACH`, `PAUSE FAILOVER`, `RESUME FAILOVER`. Text →
//! [`Operation`] → [`Order`], and how a refusal is told.

use super::lexer::Token;
use crate::cluster::{NodeId, Order, Topology};
use crate::wire::error::{PgError, sqlstate};

/// As the operator wrote it; whether there are such nodes, [`Operation::order`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Switchover { to: Option<Name> },
    Failover { to: Name, force: bool },
    Detach(Name),
    Attach(Name),
    PauseFailover,
    ResumeFailover,
}

/// Of a node. Without quotes it is looked for in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    text: String,
    is_quoted: bool,
}

/// Syntax and one line for `SHOW HELP`.
pub const USAGE: [(&str, &str); 6] = [
    ("SWITCHOVER [TO node]", "another node becomes the primary; the present one must live; nothing is lost"),
    (
        "FAILOVER TO node [FORCE]",
        "this node becomes the primary; FORCE: though the old one lives, or writes may be lost",
    ),
    ("DETACH node", "no client and no promotion for the node, until it is attached"),
    ("ATTACH node", "takes a detached node back"),
    ("PAUSE FAILOVER", "nothing is promoted by the proxy's own decision"),
    ("RESUME FAILOVER", "ends the pause"),
];

/// The operation that begins with `verb`; `None`: it is none of ours.
///
/// # Errors
/// 42601 with the syntax, when it is one of ours and wrong.
pub fn parse(verb: &str, rest: &[Token]) -> Option<Result<Operation, PgError>> {
    let usage = match verb {
        "switchover" => USAGE[0].0,
        "failover" => USAGE[1].0,
        "detach" => USAGE[2].0,
        "attach" => USAGE[3].0,
        // Of anything else: the service.
        "pause" if is_failover(rest) => USAGE[4].0,
        "resume" if is_failover(rest) => USAGE[5].0,
        _ => return None,
    };
    let operation = parse_rest(verb, rest);
    Some(operation.ok_or_else(|| {
        let written = rest.iter().take(8).map(Token::written).collect::<Vec<_>>().join(" ");
        PgError::error(sqlstate::SYNTAX_ERROR, format!("not understood: {} {written}", verb.to_uppercase()))
            .with_hint(format!("It is written {usage}."))
    }))
}

fn parse_rest(verb: &str, rest: &[Token]) -> Option<Operation> {
    let after_to = match rest {
        [to, tail @ ..] if to.is_word("to") => Some(tail),
        _ => None,
    };
    match verb {
        "switchover" if rest.is_empty() => Some(Operation::Switchover { to: None }),
        "switchover" => Some(Operation::Switchover { to: Some(name(after_to?)?) }),
        "failover" => match after_to? {
            [node @ .., force] if force.is_word("force") && !node.is_empty() => {
                Some(Operation::Failover { to: name(node)?, force: true })
            }
            node => Some(Operation::Failover { to: name(node)?, force: false }),
        },
        "detach" => Some(Operation::Detach(name(rest)?)),
        "attach" => Some(Operation::Attach(name(rest)?)),
        "pause" => Some(Operation::PauseFailover),
        "resume" => Some(Operation::ResumeFailover),
        _ => None,
    }
}

fn is_failover(rest: &[Token]) -> bool {
    matches!(rest, [word] if word.is_word("failover"))
}

/// `pg-1.east` comes as several tokens: it needs no quotes here.
pub(super) fn name(tokens: &[Token]) -> Option<Name> {
    if let [Token::Quoted(text) | Token::Text(text)] = tokens {
        return Some(Name { text: text.clone(), is_quoted: true });
    }
    let mut text = String::new();
    let mut was_word = false;
    for token in tokens {
        match token {
            // Two words were apart: no name.
            Token::Word(_) if was_word => return None,
            Token::Word(word) => text += word,
            Token::Symbol(symbol @ ('-' | '.')) => text.push(*symbol),
            _ => return None,
        }
        was_word = matches!(token, Token::Word(_));
    }
    (!text.is_empty()).then_some(Name { text, is_quoted: false })
}

// === impl Operation ===

impl Operation {
    /// The command tag.
    pub fn tag(&self) -> &'static str {
        match self {
            Operation::Switchover { .. } => "SWITCHOVER",
            Operation::Failover { .. } => "FAILOVER",
            Operation::Detach(_) => "DETACH",
            Operation::Attach(_) => "ATTACH",
            Operation::PauseFailover => "PAUSE FAILOVER",
            Operation::ResumeFailover => "RESUME FAILOVER",
        }
    }

    /// # Errors
    /// 22023: no such node; the hint names those there are.
    pub fn order(&self, topology: &Topology) -> Result<Order, PgError> {
        Ok(match self {
            Operation::Switchover { to } => {
                Order::Switchover { to: to.as_ref().map(|name| name.find(topology)).transpose()? }
            }
            Operation::Failover { to, force } => Order::Failover { to: to.find(topology)?, force: *force },
            Operation::Detach(name) => Order::Detach(name.find(topology)?),
            Operation::Attach(name) => Order::Attach(name.find(topology)?),
            Operation::PauseFailover => Order::Pause,
            Operation::ResumeFailover => Order::Resume,
        })
    }

    /// What the operator is told when the monitor refuses: `reason` is its text; further lines of it are the hint.
    pub fn refusal(&self, reason: &str) -> PgError {
        let (message, hint) = match reason.split_once('\n') {
            Some((message, hint)) => (message, hint.trim().to_owned()),
            None => (reason, self.hint(reason)),
        };
        PgError::error(sqlstate::NOT_IN_PREREQUISITE_STATE, message).with_hint(hint)
    }

    fn hint(&self, reason: &str) -> String {
        match self {
            _ if reason.contains("failover.mode") => "SHOW CONFIG shows it; the configuration file sets it.".to_owned(),
            Operation::Failover { to, force: false } if !reason.contains("FORCE") => format!(
                "FAILOVER TO {} FORCE does without what can be done without, and may lose writes. SHOW CLUSTER and SHOW \
                 NODES say more.",
                to.written()
            ),
            _ => "SHOW CLUSTER, SHOW NODES and SHOW EVENTS say more.".to_owned(),
        }
    }
}

// === impl Name ===

impl Name {
    fn find(&self, topology: &Topology) -> Result<NodeId, PgError> {
        let is_it = |name: &str| match self.is_quoted {
            true => name == self.text,
            false => name.eq_ignore_ascii_case(&self.text),
        };
        let mut found = topology.nodes.iter().filter(|node| is_it(&node.name));
        let invalid = |message| PgError::error(sqlstate::INVALID_PARAMETER_VALUE, message);
        match (found.next(), found.next()) {
            (Some(node), None) => Ok(node.id),
            (Some(_), Some(_)) => Err(invalid(format!("several nodes are named {} in another case", self.written()))
                .with_hint("Put the name into double quotes, as it stands in the configuration.")),
            (None, _) => {
                let names: Vec<&str> = topology.nodes.iter().map(|node| node.name.as_str()).collect();
                Err(invalid(format!("there is no node {}", self.written()))
                    .with_hint(format!("Nodes: {}.", names.join(", "))))
            }
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn written(&self) -> String {
        if self.is_quoted { format!("\"{}\"", self.text) } else { self.text.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::statements;
    use super::*;
    use crate::config::Config;

    fn parsed(text: &str) -> Result<Operation, PgError> {
        let statement = statements(text).unwrap().remove(0);
        let Token::Word(verb) = &statement[0] else { panic!("{text}") };
        parse(verb, &statement[1..]).unwrap()
    }

    fn topology() -> Topology {
        let nodes = ["pg1", "PG-2.east", "twin", "TWIN"]
            .map(|name| format!("[[node]]\nname = \"{name}\"\nhost = \"h{name}\"\n"));
        Topology::unknown(&Config::from_toml(&nodes.concat(), "test").unwrap().nodes)
    }

    #[test]
    fn each_operation_is_understood() {
        let node = |index| NodeId(index);
        let cases = [
            ("SWITCHOVER", Order::Switchover { to: None }, "SWITCHOVER"),
            ("switchover to PG1;", Order::Switchover { to: Some(node(0)) }, "SWITCHOVER"),
            ("FAILOVER TO pg-2.east", Order::Failover { to: node(1), force: false }, "FAILOVER"),
            ("failover to pg-2.east force", Order::Failover { to: node(1), force: true }, "FAILOVER"),
            ("FAILOVER TO \"TWIN\" FORCE", Order::Failover { to: node(3), force: true }, "FAILOVER"),
            ("DETACH 'PG-2.east'", Order::Detach(node(1)), "DETACH"),
            ("ATTACH pg1", Order::Attach(node(0)), "ATTACH"),
            ("PAUSE failover", Order::Pause, "PAUSE FAILOVER"),
            ("RESUME FAILOVER", Order::Resume, "RESUME FAILOVER"),
        ];
        for (text, order, tag) in cases {
            let operation = parsed(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((operation.order(&topology()).unwrap(), operation.tag()), (order, tag), "{text}");
        }
    }

    #[test]
    fn what_is_half_written_is_told_the_syntax() {
        for text in [
            "SWITCHOVER pg1",
            "SWITCHOVER TO",
            "SWITCHOVER TO pg1 FORCE",
            "FAILOVER",
            "FAILOVER TO",
            "FAILOVER pg1",
            "FAILOVER TO pg1 now",
            "DETACH",
            "ATTACH pg1, pg2",
        ] {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.sqlstate, "42601", "{text}");
            assert!(error.hint.as_ref().unwrap().starts_with("It is written "), "{text}: {error:?}");
        }
        assert!(parse("drop", &[]).is_none());
    }

    #[test]
    fn an_unknown_node_is_answered_with_those_there_are() {
        for text in ["DETACH pg3", "DETACH \"PG1\"", "SWITCHOVER TO force"] {
            let error = parsed(text).unwrap().order(&topology()).unwrap_err();
            assert_eq!(error.sqlstate, "22023", "{text}");
            assert_eq!(error.hint.as_deref(), Some("Nodes: pg1, PG-2.east, twin, TWIN."), "{text}");
        }
        let error = parsed("DETACH Twin").unwrap().order(&topology()).unwrap_err();
        assert!(error.hint.unwrap().contains("double quotes"));
    }

    #[test]
    fn a_refusal_says_what_can_be_done() {
        let failover = parsed("FAILOVER TO pg1").unwrap();
        let error = failover.refusal("the primary lives");
        assert_eq!((error.sqlstate.as_str(), error.message.as_str()), ("55000", "the primary lives"));
        assert!(error.hint.unwrap().starts_with("FAILOVER TO pg1 FORCE "));
        for told in ["failover.mode is off", "FAILOVER TO pg2 FORCE loses the difference"] {
            assert!(failover.refusal(told).hint.unwrap().starts_with("SHOW "), "{told}");
        }
        let error = failover.refusal("pg1 is down\nStart it.");
        assert_eq!((error.message.as_str(), error.hint.as_deref()), ("pg1 is down", Some("Start it.")));
    }
}
