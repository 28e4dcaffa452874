//! Settings that decide how soon a lost primary is noticed and replaced, and how it comes back.

use super::{Mend, Report, identifier, literal};
use crate::check::facts::Told;

/// ms; PostgreSQL's 60 s hide a silent death for a minute.
const RECEIVER_TIMEOUT_MAX: i64 = 2_000;
/// ms; what a reader may hold up a promotion.
const STREAMING_DELAY_MAX: i64 = 2_000;
/// Beside the standbys and the monitor: a base backup takes two.
const SPARE_SENDERS: i64 = 2;

pub(super) fn check(report: &mut Report, told: &Told) {
    receiver_timeout(report, told);
    readers(report, told);
    rewind(report, told);
    senders(report, told);
    kept_wal(report, told);
    if told.in_recovery {
        streams(report, told);
        slot(report, told);
        archive(report, told);
    }
}

fn receiver_timeout(report: &mut Report, told: &Told) {
    let requirement = "wal_receiver_timeout";
    match told.number(requirement) {
        Some(ms) if (1..=RECEIVER_TIMEOUT_MAX).contains(&ms) => report.ok(requirement, milliseconds(ms)),
        Some(ms) => {
            let value = if ms == 0 { "0 (never)".to_owned() } else { milliseconds(ms) };
            let why = format!(
                "{value}: so long a primary that is frozen or has lost its power seems to live; 1 s to 2 s is right"
            );
            report.advice(requirement, why, report.set(requirement, "'2s'"));
        }
        None => report.missing(requirement, "not told", Vec::new()),
    }
}

fn readers(report: &mut Report, told: &Told) {
    let requirement = "hot_standby_feedback";
    let delay = told.number("max_standby_streaming_delay").unwrap_or(-1);
    if told.is_on(requirement) {
        report.ok(requirement, "on");
    } else if (0..=STREAMING_DELAY_MAX).contains(&delay) {
        report.ok(requirement, format!("off, but max_standby_streaming_delay is {}", milliseconds(delay)));
    } else {
        let delay = if delay < 0 { "for ever".to_owned() } else { milliseconds(delay) };
        let why = format!(
            "off: as a standby, a query on it may hold up its replay, and so its promotion, {delay} \
             (max_standby_streaming_delay)"
        );
        report.advice(requirement, why, report.set(requirement, "on"));
    }
}

fn rewind(report: &mut Report, told: &Told) {
    let requirement = "wal_log_hints";
    if told.is_on(requirement) {
        report.ok(requirement, "on: pg_rewind can bring it back after a failover");
    } else if told.is_on("data_checksums") {
        report.ok(requirement, "not needed: it has data checksums, so pg_rewind can bring it back after a failover");
    } else {
        let why = "off, and no data checksums: after a failover only a new base backup brings it back, not pg_rewind";
        report.advice(requirement, why, report.set_and_restart(requirement, "on"));
    }
}

fn senders(report: &mut Report, told: &Told) {
    let requirement = "max_wal_senders";
    let limit = told.number(requirement).unwrap_or(0);
    // As the primary it feeds all the others; one is the monitor's.
    let needed = report.cluster.nodes.len() as i64;
    let enough = needed + SPARE_SENDERS;
    let value = (enough + 3).max(10).to_string();
    if limit >= enough {
        report.ok(requirement, format!("{limit}"));
    } else if limit >= needed {
        let why =
            format!("{limit}: enough for the other nodes and the monitor, with too few to spare for a base backup");
        report.advice(requirement, why, report.set_and_restart(requirement, &value));
    } else {
        let why = format!("{limit}: as the primary it needs {needed}, for the other nodes and the monitor");
        report.missing(requirement, why, report.set_and_restart(requirement, &value));
    }
}

fn kept_wal(report: &mut Report, told: &Told) {
    let requirement = "wal_keep_size";
    match told.number(requirement) {
        Some(megabytes) if megabytes > 0 => report.ok(requirement, format!("{megabytes} MB")),
        Some(_) if !told.slots.is_empty() => {
            report.ok(requirement, format!("0, but it has slots: {}", told.slots.join(", ")))
        }
        Some(_) => {
            let why = "0, and no slots: a standby that follows this node a moment late finds its WAL gone";
            report.advice(requirement, why, report.set(requirement, "'1GB'"));
        }
        // Before 13 it had another name.
        None => {}
    }
}

fn streams(report: &mut Report, told: &Told) {
    let requirement = "streams";
    let Some(receiver) = &told.receiver else {
        let why = "it has no WAL receiver: it can neither tell whether the primary lives nor take its place";
        return report.missing(requirement, why, Vec::new());
    };
    let Some((host, port)) = &receiver.upstream else {
        return report.ok(requirement, format!("{}; from where, only pg_monitor sees", receiver.status));
    };
    match report.cluster.nodes.iter().find(|node| node.is_at(host, *port)) {
        Some(upstream) => report.ok(requirement, format!("from {}, at {host}:{port}", upstream.name)),
        None => {
            let why =
                format!("from {host}:{port}, which is the address of no [[node]]: the proxy can't tell whom it hears");
            report.missing(requirement, why, Vec::new());
        }
    }
}

fn slot(report: &mut Report, told: &Told) {
    let requirement = "primary_slot_name";
    let slot = told.setting(requirement).unwrap_or_default();
    if slot.is_empty() {
        return report.ok(requirement, "not set");
    }
    let own = report.name();
    let others = report.cluster.told().filter(|(facts, _)| facts.name != own);
    let without: Vec<(&str, bool)> = others
        .filter(|(_, other)| !other.slots.iter().any(|name| name == slot))
        .map(|(facts, other)| (facts.name.as_str(), other.in_recovery))
        .collect();
    if without.is_empty() {
        let why = format!(
            "{slot:?}, on all other nodes: move it on there from time to time (pg_replication_slot_advance), or they keep WAL for ever"
        );
        return report.advice(requirement, why, Vec::new());
    }
    let names: Vec<&str> = without.iter().map(|(name, _)| *name).collect();
    let why = format!(
        "{slot:?}, which {} lacks: once that is the primary, this node would not stream from it. Make the slot there, or use none",
        names.join(", ")
    );
    let make = |name: &&str| Mend {
        node: (*name).to_owned(),
        sql: format!("SELECT pg_create_physical_replication_slot({})", literal(slot)),
        needs_restart: false,
    };
    report.missing(requirement, why, names.iter().map(make).collect());
}

fn archive(report: &mut Report, told: &Told) {
    if told.setting("restore_command").is_some_and(|command| !command.is_empty()) {
        let why = "set: WAL that a lost primary archives late could reach this standby after it was cut off; let nobody but \
                   the present primary archive there";
        report.advice("restore_command", why, Vec::new());
    }
    if told.setting("recovery_target_timeline").is_some_and(|target| target != "latest") {
        let why = "not \"latest\": it could not follow a new primary";
        report.missing("recovery_target_timeline", why, report.set_and_restart("recovery_target_timeline", "'latest'"));
    }
}

/// Of `pg_db_role_setting`: whose commits ask for less than `on`, and how that is ended.
pub(super) fn weaker_commits(report: &Report, told: &Told) -> Vec<(String, Mend)> {
    let weaker = told.commit_overrides.iter().filter(|own| !is_durable(&own.value));
    let say = |own: &crate::check::facts::CommitOverride| {
        let (whose, sql) = match (&own.role, &own.database) {
            (Some(role), None) => (format!("role {role}"), format!("ALTER ROLE {}", identifier(role))),
            (None, Some(database)) => {
                (format!("database {database}"), format!("ALTER DATABASE {}", identifier(database)))
            }
            (Some(role), Some(database)) => (
                format!("role {role} in database {database}"),
                format!("ALTER ROLE {} IN DATABASE {}", identifier(role), identifier(database)),
            ),
            (None, None) => ("all roles".to_owned(), "ALTER ROLE ALL".to_owned()),
        };
        (format!("{whose} has {:?}", own.value), report.on_primary(format!("{sql} RESET synchronous_commit")))
    };
    weaker.map(say).collect()
}

/// Acknowledged only when the standbys of the quorum have it on their disks.
pub(super) fn is_durable(synchronous_commit: &str) -> bool {
    matches!(synchronous_commit, "on" | "remote_apply" | "true" | "yes" | "1")
}

fn milliseconds(ms: i64) -> String {
    if ms % 1000 == 0 { format!("{} s", ms / 1000) } else { format!("{ms} ms") }
}
