//! What changes the service, not the cluster: PgBouncer's `PAUSE`, `RESUME`, `DISABLE`, `ENABLE`, `RECONNECT`, `WAIT_CLOSE`,
//! `KILL`, `KILL_CLIENT`, `RELOAD`, `SHUTDOWN`. Text → [`Service`]; `perform` does it.

use super::lexer::Token;
use super::operation::name;
use crate::shared::Stop;
use crate::wire::error::{PgError, sqlstate};

/// Databases by their names; `None`: all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    Pause(Option<String>),
    Resume(Option<String>),
    Disable(String),
    Enable(String),
    Reconnect(Option<String>),
    WaitClose(Option<String>),
    Kill(Option<String>),
    /// By `id` of SHOW CLIENTS.
    KillClient(u64),
    Reload,
    Shutdown(Stop),
}

/// Syntax and one line for `SHOW HELP`.
pub const USAGE: [(&str, &str); 10] = [
    (
        "PAUSE [database]",
        "waits until no client has a server of it, closes them; what is asked meanwhile waits for RESUME",
    ),
    ("RESUME [database]", "ends PAUSE and KILL"),
    ("DISABLE database", "nobody can connect to it any more; who is connected stays"),
    ("ENABLE database", "ends DISABLE"),
    ("RECONNECT [database]", "closes its servers as they come free; new ones are opened"),
    ("WAIT_CLOSE [database]", "waits until the servers that RECONNECT closes are closed"),
    ("KILL [database]", "pauses it and ends its clients and servers at once"),
    ("KILL_CLIENT id", "ends this client (SHOW CLIENTS: id) at once"),
    ("RELOAD", "reads the configuration file again, applies what can change, and tells what does"),
    (
        "SHUTDOWN [WAIT_FOR_SERVERS | WAIT_FOR_CLIENTS]",
        "stops the proxy: at once, after running transactions, or when the last client has left",
    ),
];

/// What begins with `verb`; `None`: it is none of these.
///
/// # Errors
/// 42601 with the syntax, when it is one of these and wrong.
pub fn parse(verb: &str, rest: &[Token]) -> Option<Result<Service, PgError>> {
    let (usage, _) =
        USAGE.iter().find(|(usage, _)| usage.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(verb)))?;
    Some(parse_rest(verb, rest).ok_or_else(|| {
        let written = rest.iter().take(8).map(Token::written).collect::<Vec<_>>().join(" ");
        PgError::error(sqlstate::SYNTAX_ERROR, format!("not understood: {} {written}", verb.to_uppercase()))
            .with_hint(format!("It is written {usage}."))
    }))
}

fn parse_rest(verb: &str, rest: &[Token]) -> Option<Service> {
    let database = || match rest {
        [] => Some(None),
        rest => database(rest).map(Some),
    };
    Some(match verb {
        "pause" => Service::Pause(database()?),
        "resume" => Service::Resume(database()?),
        "disable" => Service::Disable(database()??),
        "enable" => Service::Enable(database()??),
        "reconnect" => Service::Reconnect(database()?),
        "wait_close" => Service::WaitClose(database()?),
        "kill" => Service::Kill(database()?),
        "kill_client" => match rest {
            [Token::Word(id)] => Service::KillClient(id.parse().ok()?),
            _ => return None,
        },
        "reload" if rest.is_empty() => Service::Reload,
        "shutdown" => Service::Shutdown(match rest {
            [] => Stop::AtOnce,
            [word] if word.is_word("wait_for_servers") => Stop::AfterTransactions,
            [word] if word.is_word("wait_for_clients") => Stop::AfterClients,
            _ => return None,
        }),
        _ => return None,
    })
}

/// A name without quotes is in lower case, as in PostgreSQL.
fn database(tokens: &[Token]) -> Option<String> {
    match tokens {
        [] => None,
        tokens => name(tokens).map(|name| name.into_text()),
    }
}

// === impl Service ===

impl Service {
    /// The command tag.
    pub fn tag(&self) -> &'static str {
        match self {
            Service::Pause(_) => "PAUSE",
            Service::Resume(_) => "RESUME",
            Service::Disable(_) => "DISABLE",
            Service::Enable(_) => "ENABLE",
            Service::Reconnect(_) => "RECONNECT",
            Service::WaitClose(_) => "WAIT_CLOSE",
            Service::Kill(_) => "KILL",
            Service::KillClient(_) => "KILL_CLIENT",
            Service::Reload => "RELOAD",
            Service::Shutdown(_) => "SHUTDOWN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::statements;
    use super::*;

    fn parsed(text: &str) -> Result<Service, PgError> {
        let statement = statements(text).unwrap().remove(0);
        let Token::Word(verb) = &statement[0] else { panic!("{text}") };
        parse(verb, &statement[1..]).unwrap()
    }

    #[test]
    fn each_is_understood() {
        let app = || "app".to_owned();
        let cases = [
            ("PAUSE", Service::Pause(None)),
            ("pause App;", Service::Pause(Some(app()))),
            ("RESUME \"App\"", Service::Resume(Some("App".to_owned()))),
            ("DISABLE my-app.2", Service::Disable("my-app.2".to_owned())),
            ("ENABLE app", Service::Enable(app())),
            ("RECONNECT", Service::Reconnect(None)),
            ("WAIT_CLOSE app", Service::WaitClose(Some(app()))),
            ("KILL app", Service::Kill(Some(app()))),
            ("RELOAD", Service::Reload),
            ("KILL_CLIENT 17", Service::KillClient(17)),
            ("SHUTDOWN", Service::Shutdown(Stop::AtOnce)),
            ("SHUTDOWN WAIT_FOR_SERVERS", Service::Shutdown(Stop::AfterTransactions)),
            ("shutdown wait_for_clients", Service::Shutdown(Stop::AfterClients)),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text).unwrap_or_else(|error| panic!("{text}: {error}")), expected, "{text}");
        }
    }

    #[test]
    fn what_is_half_written_is_told_the_syntax() {
        let wrong = [
            "PAUSE a b",
            "DISABLE",
            "ENABLE a, b",
            "KILL_CLIENT",
            "KILL_CLIENT x",
            "SHUTDOWN now",
            "RELOAD x",
            "KILL 'a' b",
        ];
        for text in wrong {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.sqlstate, "42601", "{text}");
            assert!(error.hint.as_ref().unwrap().starts_with("It is written "), "{text}: {error:?}");
        }
        assert!(parse("drop", &[]).is_none());
    }
}
