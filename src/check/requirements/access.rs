//! Who gets in past the proxy, and whether the nodes find each other.

use super::{Mend, Report, identifier};
use crate::check::facts::{HbaRule, Told};

pub(super) fn check(report: &mut Report, told: &Told) {
    address(report);
    hba(report, told);
}

fn address(report: &mut Report) {
    let Some(facts) = report.facts() else { return };
    let (requirement, here) = ("address", format!("{}:{}", facts.host, facts.port));
    if report.cluster.nodes.len() > 1 && facts.is_loopback() {
        let elsewhere = report.cluster.nodes.iter().find(|node| !node.addresses.is_empty() && !node.is_loopback());
        if let Some(elsewhere) = elsewhere {
            let why = format!(
                "{here} means something else on {}'s machine: give this node the address the others reach it at",
                elsewhere.name
            );
            return report.missing(requirement, why, Vec::new());
        }
    }
    report.ok(requirement, format!("{here}: the other nodes must reach it there, too"));
}

fn hba(report: &mut Report, told: &Told) {
    let requirement = "pg_hba";
    let Some(rules) = &told.hba else {
        // Said once: a grant on the primary is one on all.
        if report.cluster.primary().is_some_and(|(facts, _)| facts.name != report.name()) {
            return;
        }
        let role = identifier(&report.cluster.wanted.role);
        let grants = ["SELECT ON pg_catalog.pg_hba_file_rules", "EXECUTE ON FUNCTION pg_catalog.pg_hba_file_rules()"];
        let mend: Vec<Mend> = grants.iter().map(|what| report.on_primary(format!("GRANT {what} TO {role}"))).collect();
        let why = "not visible to the role: see to it that each node admits only the proxies (and replication); who gets in \
                   past them may write to a lost primary";
        return report.advice(requirement, why, mend);
    };
    let wide: Vec<String> = rules.iter().filter(|rule| rule.admits_all()).map(line).collect();
    match wide.is_empty() {
        true => report.ok(requirement, "no line admits everybody from everywhere"),
        false => report.advice(
            requirement,
            format!("{} admits everybody from everywhere: admit only the proxies; who gets in past them may write to a lost primary", wide.join(", ")),
            Vec::new(),
        ),
    }
}

fn line(rule: &HbaRule) -> String {
    format!("line {}", rule.line)
}
