//! What a node is made to do, over the monitor's own connection. Every order may be given again.

use std::time::{Duration, Instant};

use super::conninfo;
use crate::cluster::{Command, Outcome};
use crate::net::Stream;
use crate::server::connect::ConnectError;
use crate::server::query::{Rows, query};

/// For one statement: ALTER SYSTEM writes and syncs a file.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Before it is looked again.
const PAUSE: Duration = Duration::from_millis(5);
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Standby or not, streaming or not, and the order only if it is a standby that lost its upstream: the last word is the
/// node's, for it may have found the primary again while the order was on its way.
const PROMOTE: &str = "\
SELECT pg_catalog.pg_is_in_recovery(), EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver), \
CASE WHEN pg_catalog.pg_is_in_recovery() AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver) \
     THEN pg_catalog.pg_promote(false) END";

/// Other connections of the monitor's, ended; how many there still are. On them a frozen order could wait for its thaw.
const END_OTHERS: &str = "\
SELECT count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
WHERE usename = current_user AND application_name = 'pgherd monitor' AND pid <> pg_catalog.pg_backend_pid()";

const UPSTREAM: &str = "\
SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('server_version_num')::int >= 130000, \
pg_catalog.current_setting('primary_conninfo'), pg_catalog.current_setting('primary_slot_name')";

const RELOAD: &str = "SELECT pg_catalog.pg_reload_conf()";

/// The outcome, and whether the connection is still fit for use. `own_host`: the node's.
pub(super) async fn perform(stream: &mut Stream, command: &Command, name: &str, own_host: &str) -> (Outcome, bool) {
    let result = match command {
        Command::Promote { .. } => promote(stream).await,
        Command::Repoint { host, port } => repoint(stream, name, own_host, host, *port).await,
        Command::Sever { .. } | Command::Restore | Command::Reconnect | Command::Clear | Command::Open { .. } => {
            Ok(not_done("not possible yet"))
        }
    };
    match result {
        Ok(outcome) => (outcome, true),
        Err(ConnectError::Postgres(error)) => (Outcome::NotDone(error.to_string()), true),
        Err(error) => (Outcome::Unknown(error.to_string()), false),
    }
}

async fn promote(stream: &mut Stream) -> Result<Outcome, ConnectError> {
    // An earlier order whose answer was lost must not come true later than this one's answer.
    let ended = Instant::now() + TIMEOUT;
    while ask(stream, END_OTHERS).await?.first().is_some_and(|row| row[0].as_deref() != Some("0")) {
        if Instant::now() > ended {
            return Ok(not_done("an earlier connection of the monitor does not end"));
        }
        tokio::time::sleep(PAUSE).await;
    }
    let rows = ask(stream, PROMOTE).await?;
    Ok(match columns(&rows).as_slice() {
        [Some("t"), Some("t"), _] => Outcome::Refused("it streams again".to_owned()),
        [Some("t"), Some("f"), Some("t")] | [Some("f"), ..] => Outcome::Done,
        other => Outcome::NotDone(format!("it answered {other:?}")),
    })
}

async fn repoint(
    stream: &mut Stream,
    name: &str,
    own_host: &str,
    host: &str,
    port: u16,
) -> Result<Outcome, ConnectError> {
    let rows = ask(stream, UPSTREAM).await?;
    let (old, slot) = match columns(&rows).as_slice() {
        [Some("t"), Some("t"), Some(conninfo), slot] => (*conninfo, slot.unwrap_or_default()),
        [Some("t"), Some("f"), ..] => return Ok(not_done("PostgreSQL 12 would have to be restarted for it")),
        _ => return Ok(not_done("it is no standby")),
    };
    if is_loopback(host) && !is_loopback(own_host) {
        return Ok(not_done(&format!("it would not find the new primary at {host}: give that node its real address")));
    }
    let new = match conninfo::with_address(old, host, port) {
        Ok(new) => new,
        Err(why) => return Ok(not_done(&format!("its primary_conninfo can't be read: {why}"))),
    };
    if !slot.is_empty() {
        tracing::warn!("{name} uses the slot {slot:?}: it must exist on the new primary, or {name} will not stream");
    }
    if new != old {
        let literal = new.replace('\\', "\\\\").replace('\'', "''");
        ask(stream, &format!("ALTER SYSTEM SET primary_conninfo = E'{literal}'")).await?;
    }
    ask(stream, RELOAD).await?;
    Ok(Outcome::Done)
}

/// What the role lacks for a failover: each with the SQL that mends it.
pub(super) async fn missing_rights(
    stream: &mut Stream,
    version_num: u32,
    user: &str,
) -> Result<Vec<String>, ConnectError> {
    if version_num < 130_000 {
        return Ok(vec!["PostgreSQL 13 or newer (older ones must be restarted to follow another primary)".to_owned()]);
    }
    let user = user.replace('"', "\"\"");
    let (alter, mend) = match version_num >= 150_000 {
        true => (
            "pg_catalog.has_parameter_privilege('primary_conninfo', 'ALTER SYSTEM')",
            format!("GRANT ALTER SYSTEM ON PARAMETER primary_conninfo TO \"{user}\""),
        ),
        // Before 15 the right to one parameter could not be granted.
        false => (
            "(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)",
            format!("ALTER ROLE \"{user}\" SUPERUSER"),
        ),
    };
    let wanted = [
        (
            "pg_catalog.has_function_privilege('pg_catalog.pg_promote(boolean,integer)', 'EXECUTE')",
            format!("GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO \"{user}\""),
        ),
        (
            "pg_catalog.has_function_privilege('pg_catalog.pg_reload_conf()', 'EXECUTE')",
            format!("GRANT EXECUTE ON FUNCTION pg_catalog.pg_reload_conf() TO \"{user}\""),
        ),
        ("pg_catalog.pg_has_role('pg_monitor', 'USAGE')", format!("GRANT pg_monitor TO \"{user}\"")),
        (alter, mend),
    ];
    let questions: Vec<&str> = wanted.iter().map(|(question, _)| *question).collect();
    let rows = ask(stream, &format!("SELECT {}", questions.join(", "))).await?;
    let answers = columns(&rows);
    let missing = wanted.into_iter().zip(answers).filter(|(_, answer)| *answer != Some("t"));
    Ok(missing.map(|((_, mend), _)| mend).collect())
}

async fn ask(stream: &mut Stream, sql: &str) -> Result<Rows, ConnectError> {
    query(stream, sql, TIMEOUT, MAX_ANSWER_BYTES).await
}

/// Of the only row.
fn columns(rows: &Rows) -> Vec<Option<&str>> {
    rows.first().map(|row| row.iter().map(Option::as_deref).collect()).unwrap_or_default()
}

fn not_done(why: &str) -> Outcome {
    Outcome::NotDone(why.to_owned())
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
