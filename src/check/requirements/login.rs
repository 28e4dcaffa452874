//! The role: can it get in, and what may it do?

use super::{Mend, Report, identifier};
use crate::check::facts::{Epoch, Facts, Rights, Silence, Told};
use crate::setup_sql::EPOCH_TABLE;

pub(super) fn check(report: &mut Report) {
    let Some(facts) = report.facts() else { return };
    match &facts.told {
        Err(silence) => refused(report, facts, silence),
        Ok(told) => {
            report.ok("login", format!("as {:?}", report.cluster.wanted.role));
            version(report, told);
            replication(report, told);
            rights(report, facts, told);
        }
    }
}

fn refused(report: &mut Report, facts: &Facts, silence: &Silence) {
    let wanted = report.cluster.wanted;
    let role = identifier(&wanted.role);
    let (why, sql) = match silence.sqlstate.as_deref() {
        Some("28P01") => (
            format!("{}: monitor.password is not the password of {:?}", silence.text, wanted.role),
            Some(format!("ALTER ROLE {role} LOGIN PASSWORD '...'")),
        ),
        Some("28000") if silence.text.contains("pg_hba") => (
            format!(
                "{}: its pg_hba.conf needs: host {} {} <this machine> scram-sha-256",
                silence.text, wanted.database, wanted.role
            ),
            None,
        ),
        Some("28000") => (silence.text.clone(), Some(format!("ALTER ROLE {role} LOGIN"))),
        Some("3D000") => (format!("{}: correct monitor.database", silence.text), None),
        _ => (format!("{}:{}: {}", facts.host, facts.port, silence.text), None),
    };
    let mend = sql.map(|sql| report.on_primary(sql)).into_iter().collect();
    report.missing("login", why, mend);
}

fn version(report: &mut Report, told: &Told) {
    if told.version_num >= 130_000 {
        report.ok("version", format!("PostgreSQL {}", told.version));
    } else {
        let why =
            format!("PostgreSQL {}: 13 is the first that follows another primary without a restart", told.version);
        report.missing("version", why, Vec::new());
    }
}

fn replication(report: &mut Report, told: &Told) {
    let requirement = "replication session";
    let role = identifier(&report.cluster.wanted.role);
    match &told.no_replication {
        None => report.ok(requirement, "possible: the monitor gets in when max_connections is reached"),
        Some(silence) => {
            let why = format!(
                "{}: without it the monitor sees timelines late, and nothing when max_connections is reached",
                silence.text
            );
            let grant = report.on_primary(format!("ALTER ROLE {role} REPLICATION"));
            let is_full = silence.sqlstate.as_deref() == Some("53300");
            let mend = if is_full { report.set_and_restart("max_wal_senders", "20") } else { vec![grant] };
            report.missing(requirement, why, mend);
        }
    }
}

/// Of a standby only what differs: grants reach it by replication.
fn rights(report: &mut Report, facts: &Facts, told: &Told) {
    match report.cluster.primary() {
        Some((primary, on_primary)) if primary.name != facts.name => match told.rights == on_primary.rights {
            true => report.ok("rights", format!("as on {}", primary.name)),
            false => report.missing(
                "rights",
                format!("not those of {}: it has not replayed the grants yet, or is of another cluster", primary.name),
                Vec::new(),
            ),
        },
        _ => each_right(report, told),
    }
}

fn each_right(report: &mut Report, told: &Told) {
    let rights = told.rights;
    let role = identifier(&report.cluster.wanted.role);
    let own_promote = !report.cluster.wanted.hooks.promote.is_empty();
    let alter = match told.version_num >= 150_000 {
        true => format!("GRANT ALTER SYSTEM ON PARAMETER primary_conninfo TO {role}"),
        false => format!("ALTER ROLE {role} SUPERUSER"),
    };
    let function = |name: &str| format!("GRANT EXECUTE ON FUNCTION pg_catalog.{name} TO {role}");
    let wanted = [
        ("pg_monitor", rights.monitor, "to see who streams from whom", format!("GRANT pg_monitor TO {role}")),
        (
            "pg_signal_backend",
            rights.signal,
            "to end queries that hold up a promotion",
            format!("GRANT pg_signal_backend TO {role}"),
        ),
        (
            "pg_promote()",
            rights.promote || own_promote,
            "to promote a standby",
            function("pg_promote(boolean, integer)"),
        ),
        ("pg_reload_conf()", rights.reload, "to point a standby elsewhere", function("pg_reload_conf()")),
        (
            "pg_wal_replay_resume()",
            rights.resume,
            "to promote a standby whose replay is paused",
            function("pg_wal_replay_resume()"),
        ),
        ("ALTER SYSTEM", rights.alter_upstream, "primary_conninfo: to cut a standby off and point it elsewhere", alter),
    ];
    for (requirement, may, what_for, sql) in wanted {
        match may {
            true => report.ok(requirement, what_for),
            false => report.missing(requirement, what_for, vec![report.on_primary(sql)]),
        }
    }
    epoch(report, rights, &role);
}

fn epoch(report: &mut Report, rights: Rights, role: &str) {
    let database = &report.cluster.wanted.database;
    let requirement = "pgherd.epoch";
    if rights.epoch == Epoch::Writable {
        return report.ok(requirement, "the table that takes the first write of a new primary");
    }
    let create = ["CREATE SCHEMA IF NOT EXISTS pgherd".to_owned(), EPOCH_TABLE.to_owned()];
    let grant = [
        format!("GRANT USAGE ON SCHEMA pgherd TO {role}"),
        format!("GRANT SELECT, INSERT, DELETE ON TABLE pgherd.epoch TO {role}"),
    ];
    let create = create.into_iter().filter(|_| rights.epoch == Epoch::Absent);
    let mend: Vec<Mend> = create.chain(grant).map(|sql| report.on_primary(sql)).collect();
    let why = format!("the table that takes the first write of a new primary, in database {database:?}");
    report.missing(requirement, why, mend);
}
