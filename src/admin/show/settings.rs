//! `SHOW CONFIG`, `STATE`, `VERSION`, `HELP`.

use crate::admin::command::Show;
use crate::admin::snapshot::Snapshot;
use crate::admin::table::Type::Text;
use crate::admin::table::{Column, Value, row};
use crate::admin::{operation, service};
use crate::version;

pub const CONFIG: &[Column] = &[("key", Text), ("value", Text), ("default", Text), ("changeable", Text)];
pub const STATE: &[Column] = &[("key", Text), ("value", Text)];
pub const VERSION: &[Column] = &[("version", Text)];
/// Ours: PgBouncer sends a notice only, which the extended protocol's clients don't show.
pub const HELP: &[Column] = &[("command", Text), ("what", Text)];

/// Each setting, then the two that PgBouncer's exporter reads, under PgBouncer's names.
pub fn config(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let changeable = |yes: bool| if yes { "yes" } else { "no" };
    let settings = snapshot.config.settings().into_iter();
    let mut rows: Vec<_> = settings.map(|s| row![s.key, s.value, s.default, changeable(s.changeable)]).collect();
    rows.push(row![
        "max_client_conn",
        snapshot.config.limits.max_clients.to_string(),
        None::<String>,
        changeable(false)
    ]);
    rows.push(row!["max_user_connections", "0", "0", changeable(false)]);
    rows
}

pub fn state(snapshot: &Snapshot) -> Vec<Vec<Value>> {
    let (active, paused) = if snapshot.closed.is_all_paused() { ("no", "yes") } else { ("yes", "no") };
    vec![row!["active", active], row!["paused", paused], row!["suspended", "no"]]
}

pub fn version() -> Vec<Vec<Value>> {
    vec![row![format!("pgherd {}", version::LONG)]]
}

pub fn help() -> Vec<Vec<Value>> {
    let shown = Show::ALL.into_iter().map(|show| row![format!("SHOW {}", show.name()), show.help()]);
    shown.chain(usage().map(|(usage, what)| row![*usage, *what])).collect()
}

pub fn help_text() -> String {
    let line = |command: &str, what: &str| format!("\n\t{command:<25} {what}");
    let shown = Show::ALL.map(|show| line(&format!("SHOW {}", show.name()), show.help()));
    let operations = usage().map(|(usage, what)| line(usage, what));
    std::iter::once("Console usage".to_owned()).chain(shown).chain(operations).collect()
}

fn usage() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    operation::USAGE.iter().chain(&service::USAGE)
}
