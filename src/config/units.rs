//! Times (`"250ms"`, `"5s"`) and sizes (`"64kB"`, `16384`) ⇄ text.

use std::time::Duration;

pub(super) const KIB: usize = 1024;

const TIMES: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
/// 1024 each, as in postgresql.conf.
const SIZES: [(&str, u64); 4] = [("B", 1), ("kB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30)];

/// A whole number and a unit; `0` needs none.
pub fn parse_time(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    with_unit(text, |unit| TIMES.iter().find(|(name, _)| *name == unit)).map(Duration::from_millis)
}

/// Bytes: a whole number, or one with a unit in whatever case.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| with_unit(text, |unit| SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))))
}

/// In the largest unit that gives a whole number.
pub(super) fn format_time(time: Duration) -> String {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    TIMES
        .iter()
        .rev()
        .filter(|(name, _)| *name != "min")
        .find(|(_, unit)| ms > 0 && ms % unit == 0)
        .map_or_else(|| "0".to_owned(), |(name, unit)| format!("{}{name}", ms / unit))
}

/// In the largest unit above bytes that gives a whole number; `None`: it is a plain number of bytes.
pub(super) fn format_size(bytes: u64) -> Option<String> {
    SIZES
        .iter()
        .skip(1)
        .rev()
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit))
        .map(|(name, unit)| format!("{}{name}", bytes / unit))
}

fn with_unit<'a>(text: &str, find: impl Fn(&str) -> Option<&'a (&'a str, u64)>) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = find(unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let ms = |text| parse_time(text).map(|time| time.as_millis());
        for (text, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("1m", Some(60_000)),
            ("2min", Some(120_000)),
            ("2h", Some(7_200_000)),
            ("7d", Some(604_800_000)),
            ("5", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("5sec", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(ms(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_bytes_unless_they_say_otherwise() {
        for (text, expected) in [
            ("16384", Some(16384)),
            ("64kB", Some(65536)),
            ("64KB", Some(65536)),
            ("1MB", Some(1 << 20)),
            ("1GB", Some(1 << 30)),
            ("7B", Some(7)),
            ("1k", None),
            ("1 MB", None),
            ("", None),
            ("-1", None),
            ("18446744073709551615GB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        for ms in [0, 1, 250, 1_000, 1_500, 60_000, 90_000, 3_600_000, 86_400_000] {
            let time = Duration::from_millis(ms);
            assert_eq!(parse_time(&format_time(time)), Some(time));
        }
        assert_eq!(format_time(Duration::from_secs(600)), "10m");
        assert_eq!(format_time(Duration::from_secs(90)), "90s");
        assert_eq!(format_size(1 << 20).as_deref(), Some("1MB"));
        assert_eq!(format_size(10_000), None);
        assert_eq!(format_size(0), None);
    }
}
