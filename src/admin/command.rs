//! What the console understands: text → [`Command`].
//!
//! Three kinds of text arrive: an operator's `SHOW …`; what he wants done (`operation`); and what drivers say on their own
//! (`BEGIN`, `SET …`, `SELECT 1`, `SHOW transaction_isolation`), which gets an answer that keeps the driver going and
//! changes nothing.

use super::lexer::{Token, statements};
use super::operation::{self, Operation};
use super::service::{self, Service};
use crate::wire::error::{PgError, sqlstate};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Show(Show),
    /// `SHOW EVENTS n`: the last so many.
    ShowEvents(usize),
    Operation(Operation),
    Service(Service),
    /// One row with one column of this name.
    Constant(String, Constant),
    Begin,
    /// COMMIT or ROLLBACK: the command tag.
    End(&'static str),
    /// Answered with this command tag, without effect.
    Ignored(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    Nodes,
    Standbys,
    Cluster,
    Events,
    Catalogs,
    Pools,
    Clients,
    Servers,
    Databases,
    Users,
    Routes,
    Stats,
    StatsTotals,
    StatsAverages,
    Totals,
    Lists,
    Config,
    PoolNodes,
    State,
    Mem,
    Version,
    Help,
}

/// What PostgreSQL would answer from itself, not from data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Constant {
    /// At most `i32::MAX`.
    Integer(u32),
    Text(String),
    Boolean(bool),
    /// `version()`, `SHOW server_version`.
    Version,
    ServerVersion,
    User,
    Database,
}

/// The commands of `text`: none (an empty query), one, or several if all are a driver's small talk.
///
/// # Errors
/// 42601 for what is not understood, with the known commands as the hint; 42704 for a `SET` of something that is not a
/// session setting of PostgreSQL.
pub fn parse(text: &str) -> Result<Vec<Command>, PgError> {
    let statements = statements(text)?;
    let commands = statements.iter().map(|tokens| parse_one(tokens)).collect::<Result<Vec<_>, _>>()?;
    let is_ours = |command: &Command| {
        matches!(command, Command::Show(_) | Command::ShowEvents(_) | Command::Operation(_) | Command::Service(_))
    };
    if commands.len() > 1 && commands.iter().any(is_ours) {
        return Err(PgError::error(sqlstate::SYNTAX_ERROR, "the console takes one command at a time")
            .with_hint("Send each command in a query of its own."));
    }
    Ok(commands)
}

// === impl Show ===

impl Show {
    pub const ALL: [Show; 22] = [
        Show::Nodes,
        Show::Standbys,
        Show::Cluster,
        Show::Events,
        Show::Catalogs,
        Show::Pools,
        Show::Clients,
        Show::Servers,
        Show::Databases,
        Show::Users,
        Show::Routes,
        Show::Stats,
        Show::StatsTotals,
        Show::StatsAverages,
        Show::Totals,
        Show::Lists,
        Show::Config,
        Show::PoolNodes,
        Show::State,
        Show::Mem,
        Show::Version,
        Show::Help,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Show::Nodes => "NODES",
            Show::Standbys => "STANDBYS",
            Show::Cluster => "CLUSTER",
            Show::Events => "EVENTS",
            Show::Catalogs => "CATALOGS",
            Show::Pools => "POOLS",
            Show::Clients => "CLIENTS",
            Show::Servers => "SERVERS",
            Show::Databases => "DATABASES",
            Show::Users => "USERS",
            Show::Routes => "ROUTES",
            Show::Stats => "STATS",
            Show::StatsTotals => "STATS_TOTALS",
            Show::StatsAverages => "STATS_AVERAGES",
            Show::Totals => "TOTALS",
            Show::Lists => "LISTS",
            Show::Config => "CONFIG",
            Show::PoolNodes => "POOL_NODES",
            Show::State => "STATE",
            Show::Mem => "MEM",
            Show::Version => "VERSION",
            Show::Help => "HELP",
        }
    }

    /// One line for `SHOW HELP`.
    pub fn help(self) -> &'static str {
        match self {
            Show::Standbys => "each standby's share of the reads, its lag, and why it gets none",
            Show::Nodes => "role, state, upstream, WAL positions and lag of each node, and what to do about it",
            Show::Cluster => "the failover: its state, what it waits for, what you can do",
            Show::Events => "what the monitor said last; SHOW EVENTS n: the last n lines",
            Show::Catalogs => "what is known of each database, which decides what may read on a standby",
            Show::Pools => "servers and waiting clients per database, user and node",
            Show::Clients => "each connection from an application, and why it keeps its server",
            Show::Servers => "each connection to a node, and which client has it",
            Show::Databases => "databases in use and their pool settings",
            Show::Users => "users known by the configuration or connected",
            Show::Routes => "where each shape of statements went, how often, and why",
            Show::Stats => "totals and averages per database",
            Show::StatsTotals => "totals per database",
            Show::StatsAverages => "averages of the last full minute per database",
            Show::Totals => "totals and averages of all databases together",
            Show::Lists => "how many of what there are",
            Show::Config => "each setting, its value and its default",
            Show::PoolNodes => "the nodes in PgPool-II's columns",
            Show::State => "whether the proxy serves",
            Show::Mem => "memory by kind of object",
            Show::Version => "the version of pgherd",
            Show::Help => "this list",
        }
    }

    fn of_word(word: &str) -> Option<Show> {
        Show::ALL.into_iter().find(|show| show.name().eq_ignore_ascii_case(word))
    }
}

// === parsing ===

fn parse_one(tokens: &[Token]) -> Result<Command, PgError> {
    // The lexer hands out no empty statement.
    let [Token::Word(verb), rest @ ..] = tokens else {
        return Err(unknown(tokens));
    };
    match verb.as_str() {
        "show" => show(tokens, rest),
        verb if let Some(operation) = operation::parse(verb, rest) => operation.map(Command::Operation),
        verb if let Some(service) = service::parse(verb, rest) => service.map(Command::Service),
        "help" if rest.is_empty() => Ok(Command::Show(Show::Help)),
        "select" => select(tokens, rest),
        "set" => set(rest),
        "begin" | "start" => Ok(Command::Begin),
        "commit" | "end" => Ok(Command::End("COMMIT")),
        "rollback" | "abort" => Ok(Command::End("ROLLBACK")),
        "reset" => Ok(Command::Ignored("RESET")),
        "discard" => Ok(Command::Ignored("DISCARD ALL")),
        "deallocate" => Ok(Command::Ignored("DEALLOCATE")),
        "close" => Ok(Command::Ignored("CLOSE CURSOR")),
        "unlisten" => Ok(Command::Ignored("UNLISTEN")),
        _ => Err(unknown(tokens)),
    }
}

fn show(tokens: &[Token], rest: &[Token]) -> Result<Command, PgError> {
    match rest {
        [Token::Word(word)] => match Show::of_word(word) {
            Some(show) => Ok(Command::Show(show)),
            None => match setting(word) {
                Some(value) => Ok(Command::Constant(word.clone(), value)),
                None => Err(unknown(tokens)),
            },
        },
        [events, Token::Word(count)] if events.is_word("events") => match count.parse() {
            Ok(count) => Ok(Command::ShowEvents(count)),
            Err(_) => Err(unknown(tokens)),
        },
        [a, b] if a.is_word("time") && b.is_word("zone") => constant("TimeZone", "UTC"),
        [a, b, c] if a.is_word("transaction") && b.is_word("isolation") && c.is_word("level") => {
            constant("transaction_isolation", "read committed")
        }
        _ => Err(unknown(tokens)),
    }
}

/// PostgreSQL's settings that drivers ask for.
fn setting(name: &str) -> Option<Constant> {
    let text = |value: &str| Some(Constant::Text(value.to_owned()));
    match name {
        "server_version" => Some(Constant::ServerVersion),
        "server_version_num" => text("150000"),
        "server_encoding" | "client_encoding" => text("UTF8"),
        "datestyle" => text("ISO, MDY"),
        "timezone" => text("UTC"),
        "intervalstyle" => text("postgres"),
        "transaction_isolation" | "default_transaction_isolation" => text("read committed"),
        "transaction_read_only" | "default_transaction_read_only" | "in_hot_standby" | "is_superuser" => text("off"),
        "standard_conforming_strings" | "integer_datetimes" => text("on"),
        "search_path" => text("public"),
        "max_identifier_length" => text("63"),
        _ => None,
    }
}

fn constant(name: &str, value: &str) -> Result<Command, PgError> {
    Ok(Command::Constant(name.to_owned(), Constant::Text(value.to_owned())))
}

fn select(tokens: &[Token], rest: &[Token]) -> Result<Command, PgError> {
    let (expression, alias) = match rest {
        [expression @ .., keyword, Token::Word(name) | Token::Quoted(name)] if keyword.is_word("as") => {
            (expression, Some(name))
        }
        _ => (rest, None),
    };
    let expression = match expression {
        [schema, Token::Symbol('.'), function @ ..] if schema.is_word("pg_catalog") => function,
        _ => expression,
    };
    let (name, value) = match expression {
        [Token::Word(word)] => select_word(word).ok_or_else(|| unknown(tokens))?,
        [Token::Text(text)] => ("?column?", Constant::Text(text.clone()).into()),
        [Token::Word(function), Token::Symbol('('), Token::Symbol(')')] => {
            select_function(function).ok_or_else(|| unknown(tokens))?
        }
        _ => return Err(unknown(tokens)),
    };
    Ok(match value {
        Selected::Show(show) => Command::Show(show),
        Selected::Constant(value) => Command::Constant(alias.cloned().unwrap_or_else(|| name.to_owned()), value),
    })
}

enum Selected {
    Show(Show),
    Constant(Constant),
}

impl From<Constant> for Selected {
    fn from(constant: Constant) -> Self {
        Selected::Constant(constant)
    }
}

fn select_word(word: &str) -> Option<(&'static str, Selected)> {
    if let Ok(number) = word.parse::<i32>() {
        return Some(("?column?", Constant::Integer(number.unsigned_abs()).into()));
    }
    match word {
        "current_user" => Some(("current_user", Constant::User.into())),
        "session_user" => Some(("session_user", Constant::User.into())),
        "user" => Some(("user", Constant::User.into())),
        "current_schema" => Some(("current_schema", Constant::Text("public".to_owned()).into())),
        "current_catalog" => Some(("current_catalog", Constant::Database.into())),
        // PgBouncer takes SELECT for SHOW.
        _ => Show::of_word(word).map(|show| ("", Selected::Show(show))),
    }
}

fn select_function(function: &str) -> Option<(&'static str, Selected)> {
    match function {
        "version" => Some(("version", Constant::Version.into())),
        "current_database" => Some(("current_database", Constant::Database.into())),
        "current_schema" => Some(("current_schema", Constant::Text("public".to_owned()).into())),
        "pg_is_in_recovery" => Some(("pg_is_in_recovery", Constant::Boolean(false).into())),
        "pg_advisory_unlock_all" => Some(("pg_advisory_unlock_all", Constant::Text(String::new()).into())),
        _ => None,
    }
}

/// What clients set on their own. Anything else is an operator who means a setting of ours.
const SESSION_SETTINGS: [&str; 22] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "names",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "time",
    "timezone",
    "transaction",
    "characteristics",
];

fn set(rest: &[Token]) -> Result<Command, PgError> {
    let rest = match rest {
        [scope, tail @ ..] if scope.is_word("session") || scope.is_word("local") => tail,
        _ => rest,
    };
    match rest {
        [Token::Word(name) | Token::Quoted(name), _, ..] if SESSION_SETTINGS.contains(&name.as_str()) => {
            Ok(Command::Ignored("SET"))
        }
        [name, ..] => {
            Err(PgError::error("42704", format!("unrecognized configuration parameter \"{}\"", name.written()))
                .with_hint("pgherd's own settings are changed in its configuration file; SHOW CONFIG lists them."))
        }
        [] => Err(unknown(rest)),
    }
}

fn unknown(tokens: &[Token]) -> PgError {
    let text = tokens.iter().take(8).map(Token::written).collect::<Vec<_>>().join(" ");
    let known = Show::ALL.map(Show::name).join(", ");
    let operations =
        operation::USAGE.iter().chain(&service::USAGE).map(|(usage, _)| *usage).collect::<Vec<_>>().join("; ");
    PgError::error(sqlstate::SYNTAX_ERROR, format!("unknown command: {text}"))
        .with_hint(format!("Known commands: SHOW {known}; {operations}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Command {
        let mut commands = parse(text).unwrap();
        assert_eq!(commands.len(), 1, "{text}");
        commands.remove(0)
    }

    #[test]
    fn every_show_is_understood_in_any_case_and_dress() {
        for show in Show::ALL {
            for text in [
                format!("SHOW {}", show.name()),
                format!("show {};", show.name().to_lowercase()),
                format!("/* why */ Show\n\t{} -- now\n;", show.name()),
                format!("select {}", show.name()),
            ] {
                assert_eq!(one(&text), Command::Show(show), "{text}");
            }
        }
    }

    #[test]
    fn an_unknown_command_names_the_known_ones() {
        for text in
            ["SHOW PEERS", "show", "SUSPEND", "select 1, 2", "show pools all", "'x'", "SHOW pools; SHOW nodes", "\u{0}"]
        {
            let error = parse(text).unwrap_err();
            assert_eq!(error.sqlstate, "42601", "{text}");
        }
        let hint = parse("SHOW NOTHING").unwrap_err().hint.unwrap();
        assert!(Show::ALL.iter().all(|show| hint.contains(show.name())), "{hint}");
    }

    #[test]
    fn the_last_events_are_counted() {
        assert_eq!(one("show events 20"), Command::ShowEvents(20));
        for text in ["SHOW EVENTS all", "SHOW EVENTS -1", "SHOW EVENTS 1 2", "SHOW EVENTS 99999999999999999999"] {
            assert_eq!(parse(text).unwrap_err().sqlstate, "42601", "{text}");
        }
    }

    #[test]
    fn an_operation_stands_alone() {
        assert_eq!(one("pause failover"), Command::Operation(Operation::PauseFailover));
        assert_eq!(one("pause \"failover\""), Command::Service(Service::Pause(Some("failover".to_owned()))));
        for text in ["PAUSE FAILOVER; SHOW NODES", "PAUSE; SHOW NODES", "BEGIN; RESUME FAILOVER"] {
            assert_eq!(parse(text).unwrap_err().sqlstate, "42601", "{text}");
        }
    }

    #[test]
    fn small_talk_of_drivers_is_answered() {
        assert_eq!(one("BEGIN ISOLATION LEVEL READ COMMITTED"), Command::Begin);
        assert_eq!(one("COMMIT"), Command::End("COMMIT"));
        assert_eq!(one("SET application_name = 'x'"), Command::Ignored("SET"));
        assert_eq!(one("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"), Command::Ignored("SET"));
        assert_eq!(one("SELECT 1"), Command::Constant("?column?".into(), Constant::Integer(1)));
        assert_eq!(one("SELECT pg_catalog.version() AS v"), Command::Constant("v".into(), Constant::Version));
        assert_eq!(one("SHOW server_version"), Command::Constant("server_version".into(), Constant::ServerVersion));
        let reset = "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;";
        assert_eq!(parse(reset).unwrap().len(), 4);
        assert_eq!(parse(" ; ").unwrap(), []);
    }

    #[test]
    fn a_setting_of_ours_is_not_set_from_here() {
        assert_eq!(parse("SET pool.size = 3").unwrap_err().sqlstate, "42704");
        assert_eq!(parse("SET max_client_conn = 3").unwrap_err().sqlstate, "42704");
    }
}
