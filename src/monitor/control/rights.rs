//! What the monitor's role must be allowed to do.

use super::{ANSWER, columns};
use crate::monitor::session::Session;
use crate::server::connect::ConnectError;

/// What the role lacks for a failover: each with the SQL that mends it.
pub(in crate::monitor) async fn missing_rights(
    session: &mut Session,
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
        (
            "pg_catalog.has_function_privilege('pg_catalog.pg_wal_replay_resume()', 'EXECUTE')",
            format!("GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_resume() TO \"{user}\""),
        ),
        ("pg_catalog.pg_has_role('pg_monitor', 'USAGE')", format!("GRANT pg_monitor TO \"{user}\"")),
        ("pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')", format!("GRANT pg_signal_backend TO \"{user}\"")),
        (alter, mend),
    ];
    let questions: Vec<&str> = wanted.iter().map(|(question, _)| *question).collect();
    let rows = session.query(&format!("SELECT {}", questions.join(", ")), ANSWER).await?;
    let answers = columns(&rows);
    let missing = wanted.into_iter().zip(answers).filter(|(_, answer)| *answer != Some("t"));
    Ok(missing.map(|((_, mend), _)| mend).collect())
}
