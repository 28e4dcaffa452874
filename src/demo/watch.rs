//! Notices another primary, and finds out what the change has cost.

use std::time::Duration;

use super::ledger::Ledger;
use super::sample::Row;
use super::talker::Talker;

pub struct Watch {
    /// A connection through the proxy.
    auditor: Talker,
    primary: Option<String>,
    /// How often there was another one, and acknowledged rows that were not there then.
    pub changes: u64,
    pub lost: u64,
}

// === impl Watch ===

impl Watch {
    pub fn new(auditor: Talker) -> Self {
        Self { auditor, primary: None, changes: 0, lost: 0 }
    }

    /// Lines for the reader, if `rows` have another primary than before.
    pub async fn look(&mut self, rows: &[Row], elapsed: Duration, ledger: &Ledger) -> Vec<String> {
        let found = rows.iter().find(|row| row.role == "primary" && row.state == "up").map(|row| row.node.clone());
        let (Some(now), before) = (found, self.primary.clone()) else { return Vec::new() };
        self.primary = Some(now.clone());
        let Some(before) = before.filter(|before| *before != now) else {
            ledger.take_pause();
            return Vec::new();
        };
        self.changes += 1;
        let pause = ledger.take_pause().as_millis();
        let lost = match self.count_lost(ledger).await {
            Ok((acknowledged, lost)) => {
                self.lost += lost;
                format!("{lost} of {acknowledged} acknowledged rows lost")
            }
            Err(error) => format!("what is lost could not be counted: {error}"),
        };
        let at = elapsed.as_secs();
        vec![format!("{at:>4} s  {now} is the primary in place of {before}: writes paused {pause} ms, {lost}")]
    }

    /// (acknowledged, of them not there)
    pub async fn count_lost(&mut self, ledger: &Ledger) -> Result<(u64, u64), String> {
        let audit = ledger.audit();
        // In a transaction that may write: asked on the primary, not on a standby that may be behind.
        self.ask("BEGIN").await?;
        let answer = self.ask(&audit.sql).await;
        self.ask("COMMIT").await?;
        let there = answer?.first().and_then(|row| row.first()?.as_ref()?.parse::<u64>().ok());
        let there = there.ok_or("no number")?;
        Ok((audit.acknowledged, audit.acknowledged.saturating_sub(there)))
    }

    async fn ask(&mut self, sql: &str) -> Result<crate::server::query::Rows, String> {
        self.auditor.ask(sql).await.map_err(|error| error.to_string())
    }
}
