//! What a command answers: columns, rows, and how a value looks on the wire.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Name and type.
pub type Column = (&'static str, Type);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Text,
    Int4,
    Int8,
    Numeric,
    Boolean,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Text(String),
    /// A count, a size, an age: never negative. Too large for its column, it shows as the largest the column can hold.
    Number(u64),
    Boolean(bool),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<Column>,
    /// Each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

/// One row: each value converted.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::admin::table::Value::from($value)),*] };
}
pub(super) use row;

// === impl Table ===

impl Table {
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }
}

// === impl Type ===

impl Type {
    /// `pg_type.typlen`.
    pub fn size(self) -> i16 {
        match self {
            Type::Text | Type::Numeric => -1,
            Type::Int4 => 4,
            Type::Int8 => 8,
            Type::Boolean => 1,
        }
    }
}

// === impl Value ===

impl Value {
    /// Appends the value as a DataRow field: its length (-1 for NULL), then its bytes in the asked format.
    /// (PostgreSQL docs: "Message Formats", DataRow; binary formats are those of `pg_type.typsend`.)
    pub fn encode(&self, column: Type, binary: bool, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&(-1i32).to_be_bytes());
        match self {
            Value::Null => return,
            Value::Text(text) => out.extend(text.bytes().filter(|byte| *byte != 0)),
            Value::Number(number) if binary => push_number(*number, column, out),
            Value::Number(number) => {
                let shown = (*number).min(largest(column));
                out.extend_from_slice(shown.to_string().as_bytes());
            }
            Value::Boolean(value) if binary => out.push(u8::from(*value)),
            Value::Boolean(value) => out.push(if *value { b't' } else { b'f' }),
        }
        let length = (out.len() - at - 4) as i32;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

fn largest(column: Type) -> u64 {
    match column {
        Type::Int4 => i32::MAX as u64,
        Type::Int8 => i64::MAX as u64,
        Type::Text | Type::Numeric | Type::Boolean => u64::MAX,
    }
}

fn push_number(number: u64, column: Type, out: &mut Vec<u8>) {
    let number = number.min(largest(column));
    match column {
        Type::Int4 => out.extend_from_slice(&(number as u32).to_be_bytes()),
        Type::Int8 => out.extend_from_slice(&number.to_be_bytes()),
        Type::Numeric => push_numeric(number, out),
        Type::Text | Type::Boolean => out.extend_from_slice(number.to_string().as_bytes()),
    }
}

/// `numeric_send`: count of base-10000 digits, weight of the first, sign, scale, digits.
fn push_numeric(number: u64, out: &mut Vec<u8>) {
    let mut digits = Vec::new();
    let mut rest = number;
    while rest > 0 {
        digits.push((rest % 10_000) as u16);
        rest /= 10_000;
    }
    let count = digits.len() as u16; // a u64 has at most 5 of them
    for head in [count, count.saturating_sub(1), 0, 0] {
        out.extend_from_slice(&head.to_be_bytes());
    }
    for digit in digits.iter().rev() {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<&Arc<str>> for Value {
    fn from(text: &Arc<str>) -> Self {
        Value::Text(text.to_string())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Value::Number(u64::from(number))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Value::Number(u64::from(number))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Value::Number(number as u64)
    }
}

impl<T> From<Option<T>> for Value
where
    Value: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Value::from)
    }
}

/// Time as PgBouncer prints it: `2026-11-20 13:04:59 UTC`.
impl From<SystemTime> for Value {
    fn from(time: SystemTime) -> Self {
        Value::Text(timestamp(time))
    }
}

fn timestamp(time: SystemTime) -> String {
    let (day, second, _) = moment(time);
    format!("{day} {second} UTC")
}

/// `2026-11-20 13:04:59.250 UTC`: where a second is long.
pub fn timestamp_ms(time: SystemTime) -> String {
    let (day, second, millisecond) = moment(time);
    format!("{day} {second}.{millisecond:03} UTC")
}

/// `2026-11-20`, `13:04:59`, and the milliseconds.
fn moment(time: SystemTime) -> (String, String, u32) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (day, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, date) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (day, time) = (format!("{year:04}-{month:02}-{date:02}"), format!("{hour:02}:{minute:02}:{second:02}"));
    (day, time, since.subsec_millis())
}

/// Year, month and day of the Gregorian calendar, from days since 1970-01-01. Counts in years that begin in March, so that
/// the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // since 0000-03-01
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (year + year_of_era + era * 400, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: impl Into<Value>, column: Type, binary: bool) -> Vec<u8> {
        let mut out = Vec::new();
        value.into().encode(column, binary, &mut out);
        out
    }

    #[test]
    fn values_look_as_postgresql_sends_them() {
        assert_eq!(encoded(None::<u64>, Type::Int4, false), [255; 4]);
        assert_eq!(encoded("é", Type::Text, true), b"\0\0\0\x02\xc3\xa9");
        assert_eq!(encoded(258u32, Type::Int4, true), b"\0\0\0\x04\0\0\x01\x02");
        assert_eq!(encoded(258u32, Type::Int4, false), b"\0\0\0\x03258");
        assert_eq!(encoded(u64::MAX, Type::Int4, false), b"\0\0\0\x0a2147483647");
        assert_eq!(encoded(u64::MAX, Type::Int8, true), b"\0\0\0\x08\x7f\xff\xff\xff\xff\xff\xff\xff");
        assert_eq!(encoded(u64::MAX, Type::Numeric, false), b"\0\0\0\x1418446744073709551615");
        // select encode(numeric_send(123450006), 'hex')
        assert_eq!(encoded(123_450_006u64, Type::Numeric, true)[4..], [0, 3, 0, 2, 0, 0, 0, 0, 0, 1, 9, 41, 0, 6]);
        assert_eq!(encoded(0u64, Type::Numeric, true)[4..], [0; 8]);
        assert_eq!(encoded(Value::Boolean(true), Type::Boolean, false), b"\0\0\0\x01t");
    }

    #[test]
    fn timestamps_follow_the_calendar() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_795_000_000), "2026-11-18 11:06:40 UTC");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00:00 UTC");
        let precise = timestamp_ms(UNIX_EPOCH + Duration::from_millis(1_795_000_000_042));
        assert_eq!(precise, "2026-11-18 11:06:40.042 UTC");
    }
}
