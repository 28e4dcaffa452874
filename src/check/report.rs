//! Findings → what the operator reads. Pure.

use super::facts::Facts;
use super::requirements::{Finding, Mend, Verdict, Wanted};
use crate::config::FailoverMode;

/// Of a line of text; statements are never broken, so that they can be copied.
const WIDTH: usize = 110;
/// Where what was found begins: behind the longest requirement.
const INDENT: usize = 38;

/// Node by node, each finding with the SQL that mends it; then the cluster, then one line that sums up.
pub fn text(wanted: &Wanted, nodes: &[Facts], findings: &[Finding], coloured: bool) -> String {
    let paint = Paint { coloured };
    let mut out = String::new();
    let sections = (0..nodes.len()).map(Some).chain([None]);
    for section in sections {
        out += &paint.bold(&section.map_or_else(|| "cluster".to_owned(), |index| heading(&nodes[index])));
        out.push('\n');
        for finding in findings.iter().filter(|finding| finding.node == section) {
            push_finding(&mut out, finding, paint);
        }
        out.push('\n');
    }
    out += &summary(wanted, findings, paint);
    out
}

fn heading(facts: &Facts) -> String {
    let Facts { name, host, port, .. } = facts;
    match &facts.told {
        Err(_) => format!("{name}  {host}:{port}"),
        Ok(told) => {
            let role = if told.in_recovery { "standby" } else { "primary" };
            format!("{name}  {host}:{port}  {role}")
        }
    }
}

fn push_finding(out: &mut String, finding: &Finding, paint: Paint) {
    let verdict = paint.verdict(finding.verdict);
    *out += &format!("  {verdict}  {:<width$}", finding.requirement, width = INDENT - 11);
    let mut column = INDENT;
    for (index, word) in finding.why.split_whitespace().enumerate() {
        let length = word.chars().count() + 1;
        if index > 0 && column + length > WIDTH {
            *out += &format!("\n{:INDENT$}", "");
            column = INDENT;
        } else if index > 0 {
            out.push(' ');
        }
        *out += word;
        column += length;
    }
    out.push('\n');
    for Mend { node, sql, needs_restart } in &finding.mend {
        let end = match sql.ends_with("\\gexec") {
            true => "",
            false => ";",
        };
        let note = if *needs_restart { "  -- then restart it" } else { "" };
        *out += &paint.statement(&format!("             {node}=# {sql}{end}{note}"));
        out.push('\n');
    }
}

fn summary(wanted: &Wanted, findings: &[Finding], paint: Paint) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let (missing, advice, ok) = (count(Verdict::Missing), count(Verdict::Advice), count(Verdict::Ok));
    let durability = wanted.durability.as_str();
    let subject = match wanted.mode {
        FailoverMode::Off => {
            format!("failover.mode is \"off\"; for \"automatic\" with durability = {durability:?}")
        }
        mode => format!("For failover.mode = {:?} with durability = {durability:?}", mode.as_str()),
    };
    let verdict = match missing {
        0 => paint.verdict_text(Verdict::Ok, "nothing is missing"),
        1 => paint.verdict_text(Verdict::Missing, "1 thing is missing"),
        _ => paint.verdict_text(Verdict::Missing, &format!("{missing} things are missing")),
    };
    let mut text = format!("{subject} {verdict}; {advice} to think over, {ok} ok.\n");
    if findings.iter().any(|finding| !finding.mend.is_empty()) {
        text += &format!(
            "Each statement is for psql on the node before it, as a superuser, in database {:?}.\n",
            wanted.database
        );
    }
    text
}

#[derive(Clone, Copy)]
struct Paint {
    coloured: bool,
}

// === impl Paint ===

impl Paint {
    fn verdict(self, verdict: Verdict) -> String {
        let word = match verdict {
            Verdict::Ok => "ok     ",
            Verdict::Advice => "advice ",
            Verdict::Missing => "missing",
        };
        self.verdict_text(verdict, word)
    }

    fn verdict_text(self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Ok => "32",
            Verdict::Advice => "33",
            Verdict::Missing => "1;31",
        };
        self.with(code, text)
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn statement(self, text: &str) -> String {
        self.with("36", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
