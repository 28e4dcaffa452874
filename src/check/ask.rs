//! Asks one node all that the requirements are about. It changes nothing.

use std::time::Duration;

use super::facts::{CommitOverride, Epoch, Facts, HbaRule, Receiver, Rights, Silence, Told};
use crate::config::{self, Monitor};
use crate::net::Stream;
use crate::server::connect::{ConnectError, Login, connect};
use crate::server::credential::Credential;
use crate::server::query::{Rows, query};

/// For a login, and for each answer: patient, for nobody waits but the operator.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 1 << 20;

const IDENTITY: &str = "\
SELECT pg_is_in_recovery(), current_setting('server_version_num'), current_setting('server_version'), \
(SELECT system_identifier FROM pg_control_system())";

/// In the order of [`Rights`]; `@alter@` differs between versions.
const RIGHTS: &str = "\
SELECT r.rolsuper, pg_has_role('pg_monitor', 'USAGE'), pg_has_role('pg_signal_backend', 'USAGE'), \
has_function_privilege('pg_catalog.pg_promote(boolean,integer)', 'EXECUTE'), \
has_function_privilege('pg_catalog.pg_reload_conf()', 'EXECUTE'), \
has_function_privilege('pg_catalog.pg_wal_replay_resume()', 'EXECUTE'), @alter@, \
(SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
        AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'DELETE') \
 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'pgherd' AND c.relname = 'epoch') \
FROM pg_roles r WHERE r.rolname = current_user";

const ALTER_15: &str = "has_parameter_privilege('primary_conninfo', 'ALTER SYSTEM')";
/// Before 15 the right to one parameter could not be granted.
const ALTER_13: &str = "r.rolsuper";

const SETTINGS: &str = "\
SELECT name, setting FROM pg_settings WHERE name IN ('synchronous_standby_names', 'synchronous_commit', \
'wal_receiver_timeout', 'hot_standby_feedback', 'max_standby_streaming_delay', 'wal_log_hints', 'data_checksums', \
'max_wal_senders', 'wal_keep_size', 'primary_slot_name', 'restore_command', 'recovery_target_timeline')";

const SENDERS: &str = "SELECT application_name FROM pg_stat_replication WHERE application_name IS NOT NULL";

const SLOTS: &str = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'physical'";

const RECEIVER: &str = "SELECT status, sender_host, sender_port FROM pg_stat_wal_receiver WHERE pid IS NOT NULL";

/// The last `application_name` of the connection string, without the string itself: it may hold a password. As PostgreSQL
/// does, the name of the cluster stands in for it, and `walreceiver` for that.
const SYNC_NAME: &str = r"
SELECT coalesce(nullif(trim('''' FROM
         substring(setting FROM '^.*\mapplication_name\s*=\s*(''(?:[^''\\]|\\.)*''|[^\s''&]+)')), ''),
       nullif(current_setting('cluster_name'), ''), 'walreceiver')
FROM pg_settings WHERE name = 'primary_conninfo'";

const COMMIT_OVERRIDES: &str = "\
SELECT r.rolname, d.datname, split_part(c, '=', 2) FROM pg_db_role_setting s \
LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) AS c \
WHERE c LIKE 'synchronous_commit=%' ORDER BY 1, 2";

const HBA: &str = "\
SELECT line_number, type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask, auth_method \
FROM pg_hba_file_rules WHERE error IS NULL";

pub(super) async fn ask(node: config::Node, monitor: Monitor) -> Facts {
    let resolved = tokio::net::lookup_host((node.host.as_str(), node.port)).await;
    let addresses = resolved.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default();
    let told = tell(&node, &monitor).await.map_err(|error| silence(&error));
    let config::Node { name, host, port, .. } = node;
    Facts { name, host, port, addresses, told }
}

async fn tell(node: &config::Node, monitor: &Monitor) -> Result<Told, ConnectError> {
    let mut told = Told::default();
    let mut stream = match log_in(node, monitor, true).await {
        Ok(stream) => stream,
        Err(ConnectError::Postgres(refusal)) => {
            let stream = log_in(node, monitor, false).await?;
            told.no_replication = Some(silence(&ConnectError::Postgres(refusal)));
            stream
        }
        Err(error) => return Err(error),
    };
    let stream = &mut stream;
    let identity = run(stream, IDENTITY).await?;
    told.in_recovery = text(&identity, 0) == "t";
    told.version_num = text(&identity, 1).parse().unwrap_or_default();
    text(&identity, 2).clone_into(&mut told.version);
    told.system_identifier = text(&identity, 3).parse().unwrap_or_default();
    told.rights = rights(stream, told.version_num).await?;
    let settings = run(stream, SETTINGS).await?.into_iter();
    told.settings = settings.map(|row| (column(&row, 0), column(&row, 1))).collect();
    told.senders = run(stream, SENDERS).await?.iter().map(|row| column(row, 0)).collect();
    told.slots = run(stream, SLOTS).await?.iter().map(|row| column(row, 0)).collect();
    told.receiver = run(stream, RECEIVER).await?.first().map(|row| receiver(row));
    told.sync_name = run(stream, SYNC_NAME).await?.first().map(|row| column(row, 0));
    told.commit_overrides = run(stream, COMMIT_OVERRIDES).await?.iter().map(|row| commit_override(row)).collect();
    told.hba = match run(stream, HBA).await {
        Ok(rows) => Some(rows.iter().map(|row| hba_rule(row)).collect()),
        // Superusers only, unless granted.
        Err(ConnectError::Postgres(_)) => None,
        Err(error) => return Err(error),
    };
    Ok(told)
}

async fn log_in(node: &config::Node, monitor: &Monitor, replication: bool) -> Result<Stream, ConnectError> {
    let credential = match monitor.password.is_empty() {
        true => Credential::None,
        false => Credential::Password(monitor.password.clone()),
    };
    let mut parameters = vec![("application_name".to_owned(), "pgherd check".to_owned())];
    if replication {
        parameters.push(("replication".to_owned(), "database".to_owned()));
    }
    let login = Login {
        host: &node.host,
        port: node.port,
        user: &monitor.user,
        database: &monitor.database,
        parameters: &parameters,
        credential: &credential,
        timeout: TIMEOUT,
    };
    Ok(connect(login).await?.stream)
}

async fn rights(stream: &mut Stream, version_num: u32) -> Result<Rights, ConnectError> {
    let alter = if version_num >= 150_000 { ALTER_15 } else { ALTER_13 };
    let rows = run(stream, &RIGHTS.replace("@alter@", alter)).await?;
    let may = |index| text(&rows, index) == "t";
    Ok(Rights {
        superuser: may(0),
        monitor: may(1),
        signal: may(2),
        promote: may(3),
        reload: may(4),
        resume: may(5),
        alter_upstream: may(6),
        epoch: match text(&rows, 7) {
            "t" => Epoch::Writable,
            "f" => Epoch::Locked,
            _ => Epoch::Absent,
        },
    })
}

async fn run(stream: &mut Stream, sql: &str) -> Result<Rows, ConnectError> {
    query(stream, sql, TIMEOUT, MAX_ANSWER_BYTES).await
}

fn silence(error: &ConnectError) -> Silence {
    Silence { sqlstate: error.sqlstate().map(str::to_owned), text: error.to_string() }
}

fn receiver(row: &[Option<String>]) -> Receiver {
    let host = row.get(1).cloned().flatten();
    let port = column(row, 2).parse().ok();
    Receiver { status: column(row, 0), upstream: host.zip(port) }
}

fn commit_override(row: &[Option<String>]) -> CommitOverride {
    let name = |index: usize| row.get(index).cloned().flatten();
    CommitOverride { role: name(0), database: name(1), value: column(row, 2) }
}

fn hba_rule(row: &[Option<String>]) -> HbaRule {
    HbaRule {
        line: column(row, 0).parse().unwrap_or_default(),
        kind: column(row, 1),
        databases: column(row, 2),
        users: column(row, 3),
        address: column(row, 4),
        netmask: column(row, 5),
        method: column(row, 6),
    }
}

/// Of the only row; NULL and absent are empty.
fn text(rows: &Rows, index: usize) -> &str {
    rows.first().and_then(|row| row.get(index)?.as_deref()).unwrap_or_default()
}

fn column(row: &[Option<String>], index: usize) -> String {
    row.get(index).cloned().flatten().unwrap_or_default()
}
