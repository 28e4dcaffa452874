//! The terminal: lines, and the table drawn in place.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::sample::Row;
use super::table;
use super::workload::Tally;

/// Draws the table: over the last one on a terminal, below it elsewhere.
pub struct Screen {
    in_place: bool,
    drawn: usize,
}

// === impl Screen ===

impl Screen {
    pub fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { in_place: std::io::stdout().is_terminal() && !dumb, drawn: 0 }
    }

    /// `notes`: lines that stay, above the table.
    pub fn draw(
        &mut self,
        elapsed: Duration,
        rows: &Result<Vec<Row>, String>,
        tally: Option<&Tally>,
        notes: &[String],
    ) {
        let mut lines = vec![table::HEADER.to_owned()];
        match rows {
            Ok(rows) => lines.extend(table::lines(rows)),
            Err(error) => lines.push(table::clipped(&format!("the console does not answer: {error}"))),
        }
        lines.push(table::clipped(&format!("{:>4} s  {}", elapsed.as_secs(), tally.map_or(String::new(), footer))));
        let mut text = String::new();
        if self.in_place && self.drawn > 0 {
            text += &format!("\x1b[{}A\x1b[J", self.drawn);
        }
        text += &above(notes);
        self.drawn = lines.len();
        for line in lines {
            text += &line;
            text.push('\n');
        }
        let mut out = std::io::stdout();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// To stdout; a reader that has gone is no reason to leave anything behind.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Above the table, to stay.
fn above(notes: &[String]) -> String {
    notes.iter().map(|note| format!("{note}\n")).collect()
}

fn footer(tally: &Tally) -> String {
    let (reads, writes, errors) = (tally.reads.load(Relaxed), tally.writes.load(Relaxed), tally.errors.load(Relaxed));
    let last = if errors > 0 { format!(" ({})", tally.error_text()) } else { String::new() };
    format!("through the proxy: {reads} reads, {writes} writes, {errors} errors{last}")
}
