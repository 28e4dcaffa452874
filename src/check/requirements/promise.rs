//! Who must have a write before it is acknowledged: now, and after each promotion there may be.

use super::settings::{is_durable, weaker_commits};
use super::{Report, literal};
use crate::check::facts::{Facts, Told};
use crate::cluster::quorum::Quorum;

const NAMES: &str = "synchronous_standby_names";

pub(super) fn check_node(report: &mut Report, told: &Told) {
    let Some(facts) = report.facts() else { return };
    if !report.cluster.is_quorum() {
        if !told.in_recovery {
            nothing_promised(report, told);
        }
        return;
    }
    commits(report, told);
    if told.in_recovery {
        name(report, facts, told);
        promised_later(report, facts, told);
    } else {
        promised_now(report, told);
    }
}

fn nothing_promised(report: &mut Report, told: &Told) {
    match told.setting(NAMES).unwrap_or_default() {
        "" => report.ok(NAMES, "empty, as failover.durability = \"async\" has it: the newest writes may be lost"),
        names => {
            let why = format!("{names}: acknowledged writes could all be kept; failover.durability = \"quorum\" would");
            report.advice(NAMES, why, Vec::new());
        }
    }
}

fn commits(report: &mut Report, told: &Told) {
    let requirement = "synchronous_commit";
    let value = told.setting(requirement).unwrap_or_default().to_owned();
    let weaker = weaker_commits(report, told);
    if !is_durable(&value) {
        let why = format!("{value}: what is acknowledged may be lost");
        report.missing(requirement, why, report.set(requirement, "on"));
    } else if told.in_recovery || weaker.is_empty() {
        report.ok(requirement, value);
    } else {
        let (whose, mend): (Vec<_>, Vec<_>) = weaker.into_iter().unzip();
        let why = format!("{value}, but {}: what it is told is written may be lost", whose.join(", "));
        report.missing(requirement, why, mend);
    }
}

/// The primary's.
fn promised_now(report: &mut Report, told: &Told) {
    let cluster = report.cluster;
    let names = told.setting(NAMES).unwrap_or_default();
    let members: Vec<&str> = direct_standbys(report, told).iter().map(|facts| cluster.sync_name(facts)).collect();
    // Waiting for names that nobody has would stop all writes.
    let mend = match nameless(report) {
        None => report.set(NAMES, &literal(&any(usual(members.len()), &members))),
        Some(_) => Vec::new(),
    };
    let Some(quorum) = Quorum::parse(names) else {
        let first =
            nameless(report).map_or_else(String::new, |name| format!("; first {name} needs an application_name"));
        let why = match names {
            "" => format!("empty: an acknowledged write may be on the primary alone{first}"),
            names if names.contains('*') => {
                format!("{names}: whoever streams is counted, even a backup; name the standbys")
            }
            names => format!("{names}: it can't be told who is waited for"),
        };
        return report.missing(NAMES, why, mend);
    };
    let standbys: Vec<&str> = standbys(report).map(|facts| cluster.sync_name(facts)).collect();
    let is_known = |name: &&String| standbys.iter().any(|standby| standby.eq_ignore_ascii_case(name));
    let unknown: Vec<&str> = quorum.names.iter().filter(|name| !is_known(name)).map(String::as_str).collect();
    let left_out: Vec<&str> = members.iter().copied().filter(|name| !quorum.has(name)).collect();
    if !unknown.is_empty() {
        let why = format!(
            "{names}: no standby of [[node]] calls itself {} (application_name), so the proxy could not cut it off",
            unknown.join(", ")
        );
        report.missing(NAMES, why, mend);
    } else if !left_out.is_empty() {
        report.advice(NAMES, format!("{names}: without {}, which streams as well", left_out.join(", ")), mend);
    } else if !names.trim_start().get(..3).is_some_and(|method| method.eq_ignore_ascii_case("any")) {
        let why = format!("{names}: nothing is lost, but ANY waits for the quickest, not for the first that are named");
        report.advice(NAMES, why, report.set(NAMES, &literal(&any(quorum.needed, &standbys_of(report, &quorum)))));
    } else {
        report.ok(NAMES, names);
    }
}

fn name(report: &mut Report, facts: &Facts, told: &Told) {
    let requirement = "application_name";
    let Some(own) = told.sync_name.as_deref() else {
        return report.missing(requirement, "only pg_monitor sees it", Vec::new());
    };
    let cluster = report.cluster;
    let twin = cluster.told().find(|(other, their)| {
        other.name != facts.name && their.sync_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(own))
    });
    let why = match twin {
        _ if own == "walreceiver" => "none: any receiver may call itself \"walreceiver\"".to_owned(),
        Some((twin, _)) => {
            format!("{own:?}, as {} has it: two that are one in {NAMES} would be counted for each other", twin.name)
        }
        None => return report.ok(requirement, own),
    };
    // The value may hold a password: the statement reads it, nobody prints it.
    let renamed = format!(
        "SELECT format('ALTER SYSTEM SET primary_conninfo = %L', current_setting('primary_conninfo') || \
         ' application_name={}') \\gexec",
        facts.name
    );
    report.missing(requirement, why, report.alter(renamed, false));
}

/// A standby's: with it, it is in quorum mode from its first write as the primary.
fn promised_later(report: &mut Report, facts: &Facts, told: &Told) {
    let cluster = report.cluster;
    let names = told.setting(NAMES).unwrap_or_default();
    let others: Vec<&str> =
        cluster.nodes.iter().filter(|other| other.name != facts.name).map(|other| cluster.sync_name(other)).collect();
    // As many as now, if so many are left once the old primary is gone.
    let left: Vec<&str> =
        standbys(report).filter(|other| other.name != facts.name).map(|other| cluster.sync_name(other)).collect();
    let needed = cluster.promise().map_or_else(|| usual(others.len()), |now| now.needed);
    let mend = match nameless(report) {
        None => report.set(NAMES, &literal(&any(needed, &others))),
        Some(_) => Vec::new(),
    };
    let Some(quorum) = Quorum::parse(names) else {
        let why = match names {
            "" => {
                "empty: once it is the primary, what it acknowledges may be on it alone. Set it here and now".to_owned()
            }
            names => format!("{names}: it can't be told who is waited for"),
        };
        return report.missing(NAMES, why, mend);
    };
    let can = left.iter().filter(|name| quorum.has(name)).count();
    if quorum.needed < needed {
        let why = format!("{names}: a weaker promise than the primary's, which waits for {needed}");
        report.missing(NAMES, why, mend);
    } else if can < quorum.needed {
        let why = format!(
            "{names}: once it is the primary, only {can} of those could follow it (the lost primary can't): its first write \
             would wait"
        );
        report.missing(NAMES, why, mend);
    } else {
        report.ok(NAMES, names);
    }
}

/// Whether enough standbys can be cut off the primary, so that it can acknowledge nothing.
pub(super) fn check_cluster(report: &mut Report) {
    one_primary(report);
    one_system(report);
    let cluster = report.cluster;
    let standbys: Vec<&Facts> = standbys(report).collect();
    let streaming =
        standbys.iter().filter(|facts| facts.told.as_ref().is_ok_and(|told| told.receiver.is_some())).count();
    match (cluster.nodes.len() - 1, cluster.is_quorum()) {
        (0, _) => report.missing("standbys", "none: there is nobody to promote", Vec::new()),
        (1, true) => {
            let why = "one: while it is down no write is acknowledged, and after a failover none until the old primary is back";
            report.advice("standbys", why, Vec::new());
        }
        (count, _) => report.ok("standbys", format!("{count}, {streaming} of them streaming")),
    }
    if let Some(quorum) = cluster.promise().filter(|_| cluster.is_quorum()) {
        revocable(report, &standbys, &quorum);
    }
}

fn revocable(report: &mut Report, standbys: &[&Facts], quorum: &Quorum) {
    let (needed, members) = (quorum.to_revoke(), quorum.names.len());
    let reached = standbys.iter().filter(|facts| quorum.has(report.cluster.sync_name(facts)));
    let can = reached.filter(|facts| facts.told.is_ok()).count();
    let spare = members - needed;
    let rule = format!("a failover needs {needed} of the {members} standbys in {NAMES}");
    if can < needed {
        report.missing("quorum", format!("{rule}; {can} can be reached"), Vec::new());
    } else {
        let together = match spare {
            0 => "none of them may be down with the primary".to_owned(),
            spare => format!("{spare} of them may be down with the primary"),
        };
        let may_be_down = format!("{together}; writes go on while {} are", members - quorum.needed);
        report.ok("quorum", format!("{rule}: {may_be_down}"));
    }
}

fn one_primary(report: &mut Report) {
    let primaries: Vec<&str> =
        report.cluster.told().filter(|(_, told)| !told.in_recovery).map(|(facts, _)| facts.name.as_str()).collect();
    match primaries.as_slice() {
        [one] => report.ok("primary", *one),
        [] => report.missing("primary", "no node that can be reached is one", Vec::new()),
        several => report.missing(
            "primary",
            format!("{}: stop the wrong one and rebuild it as a standby", several.join(", ")),
            Vec::new(),
        ),
    }
}

fn one_system(report: &mut Report) {
    let told = || report.cluster.told().map(|(_, told)| told.system_identifier);
    let Some(first) = told().next() else { return };
    if told().all(|identifier| identifier == first) {
        report.ok("system identifier", format!("{first}, on all that can be reached"));
    } else {
        let each = report.cluster.told().map(|(facts, told)| format!("{} has {}", facts.name, told.system_identifier));
        let each: Vec<String> = each.collect();
        let why = format!("{}: these are not one cluster; correct [[node]]", each.join(", "));
        report.missing("system identifier", why, Vec::new());
    }
}

/// Those that answer as a standby.
fn standbys<'a>(report: &Report<'a>) -> impl Iterator<Item = &'a Facts> + use<'a> {
    report.cluster.told().filter(|(_, told)| told.in_recovery).map(|(facts, _)| facts)
}

/// A standby whose name is not known, none, or another's, too.
fn nameless<'a>(report: &Report<'a>) -> Option<&'a str> {
    let names: Vec<(&str, Option<&str>)> =
        standbys(report).map(|facts| (facts.name.as_str(), own_name(facts))).collect();
    let is_twin =
        |name: &str| names.iter().filter(|(_, other)| other.is_some_and(|o| o.eq_ignore_ascii_case(name))).count() > 1;
    let found = names.iter().find(|(_, own)| own.is_none_or(|own| own == "walreceiver" || is_twin(own)));
    found.map(|(node, _)| *node)
}

fn own_name(facts: &Facts) -> Option<&str> {
    facts.told.as_ref().ok()?.sync_name.as_deref()
}

/// Those of the quorum, in the order of the configuration.
fn standbys_of<'a>(report: &Report<'a>, quorum: &Quorum) -> Vec<&'a str> {
    let cluster = report.cluster;
    standbys(report).map(|facts| cluster.sync_name(facts)).filter(|name| quorum.has(name)).collect()
}

/// Those that stream from the primary itself: a cascading standby acknowledges nothing to it. All of them, if none can be
/// told.
fn direct_standbys<'a>(report: &Report<'a>, primary: &Told) -> Vec<&'a Facts> {
    let streams = |facts: &&Facts| {
        let name = report.cluster.sync_name(facts);
        primary.senders.iter().any(|sender| sender.eq_ignore_ascii_case(name))
    };
    let direct: Vec<&Facts> = standbys(report).filter(streams).collect();
    if direct.is_empty() { standbys(report).collect() } else { direct }
}

/// Of so many standbys: one more than may be lost together with the primary, and still so that writes go on without one.
fn usual(standbys: usize) -> usize {
    standbys.div_ceil(2).max(1)
}

/// `ANY 1 (pg2, "pg-3")`
fn any(needed: usize, names: &[&str]) -> String {
    let plain = |name: &str| {
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
    };
    let quoted =
        |name: &&str| if plain(name) { (*name).to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) };
    let names: Vec<String> = names.iter().map(quoted).collect();
    format!("ANY {needed} ({})", names.join(", "))
}
