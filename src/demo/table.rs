//! The live table as text. Pure.

use super::sample::Row;

/// Wide enough for all, narrow enough for any terminal: a line that wraps would spoil the redrawing.
const WIDTH: usize = 79;

pub const HEADER: &str = "node   role      upstream  lag                  reads/s  writes/s  state";

/// One line per node, below [`HEADER`]; then what there is to say of a node.
pub fn lines(rows: &[Row]) -> Vec<String> {
    let reason = |row: &Row| row.reason.as_ref().map(|reason| wrapped(&format!("{}: {reason}", row.node)));
    rows.iter().map(line).chain(rows.iter().filter_map(reason).flatten()).collect()
}

fn line(row: &Row) -> String {
    let (reads, writes) = match row.rates {
        Some((reads, writes)) => (format!("{reads:.0}"), format!("{writes:.0}")),
        None => ("-".to_owned(), "-".to_owned()),
    };
    let Row { node, role, state, .. } = row;
    let upstream = row.upstream.as_deref().unwrap_or("-");
    let lag = lag(row);
    clipped(&format!("{node:<6} {role:<9} {upstream:<9} {lag:<19} {reads:>8} {writes:>9}  {state}"))
}

/// At the blanks, following lines indented.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("    {word}")),
        }
    }
    lines.iter().map(|line| clipped(line)).collect()
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
            reason: Some("a primary on the older timeline 1, the cluster is on 2: rewind it or rebuild it".into()),
            ..Row::default()
        };
        let want = [
            HEADER,
            "pg1    primary   -         -                          0       161  up",
            "pg2    standby   pg1       1.5 kB, 3 ms             323         0  up",
            "pg3    standby   -         ?                          -         -  down",
            "pg3: a primary on the older timeline 1, the cluster is on 2: rewind it or",
            "    rebuild it",
        ];
        let got = [vec![HEADER.to_owned()], lines(&[primary, standby, down])].concat();
        assert_eq!(got, want);
    }
}
