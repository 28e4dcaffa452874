//! The live table as text. Pure.

use super::sample::Row;

/// Wide enough for all, narrow enough for any terminal: a line that wraps would spoil the redrawing.
const WIDTH: usize = 79;

pub const HEADER: &str = "node   role      upstream  lag                  reads/s  writes/s  state";

/// One line per node, below [`HEADER`].
pub fn lines(rows: &[Row]) -> Vec<String> {
    rows.iter().map(line).collect()
}

fn line(row: &Row) -> String {
    let (reads, writes) = match row.rates {
        Some((reads, writes)) => (format!("{reads:.0}"), format!("{writes:.0}")),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let state = match &row.reason {
        Some(reason) => format!("{}: {reason}", row.state),
        None => row.state.clone(),
    };
    let upstream = row.upstream.as_deref().unwrap_or("-");
    let lag = lag(row);
    let line = format!("{:<6} {:<9} {upstream:<9} {lag:<19} {reads:>8} {writes:>9}  {state}", row.node, row.role);
    clipped(&line)
}

pub fn clipped(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some(_) => line.chars().take(WIDTH - 1).chain(['…']).collect(),
        None => line.to_owned(),
    }
}

fn lag(row: &Row) -> String {
    match (row.role.as_str(), row.lag_bytes) {
        ("standby", Some(bytes)) => {
            let ms = row.lag_ms.filter(|ms| *ms > 0).map(|ms| format!(", {ms} ms"));
            format!("{}{}", size(bytes), ms.unwrap_or_default())
        }
        ("standby", None) => "?".to_owned(),
        _ => "-".to_owned(),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} kB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_stand_below_each_other() {
        let primary = Row {
            node: "pg1".into(),
            role: "primary".into(),
            state: "up".into(),
            rates: Some((0.0, 161.4)),
            ..Row::default()
        };
        let standby = Row {
            node: "pg2".into(),
            role: "standby".into(),
            state: "up".into(),
            upstream: Some("pg1".into()),
            lag_bytes: Some(1536),
            lag_ms: Some(3),
            rates: Some((322.6, 0.0)),
            ..Row::default()
        };
        let down = Row {
            node: "pg3".into(),
            role: "standby".into(),
            state: "down".into(),
            reason: Some("connection refused".into()),
            ..Row::default()
        };
        let want = [
            HEADER,
            "pg1    primary   -         -                          0       161  up",
            "pg2    standby   pg1       1.5 kB, 3 ms             323         0  up",
            "pg3    standby   -         ?                          -         -  down: conne…",
        ];
        let got = [vec![HEADER.to_owned()], lines(&[primary, standby, down])].concat();
        assert_eq!(got, want);
    }
}
