//! libpq's connection strings, as `primary_conninfo` has them: `host=pg1 port=5432 passfile='/a b'`. Pure.
//! (PostgreSQL docs, "Connection Strings".) They may hold a password: never log one.
//!
//! A standby is severed by a host that is a directory for Unix sockets which does not exist. Its name keeps what has to
//! be put back: `/pgherd-revoked/HOST[;HOSTADDR[;PORTS]]`, percent-encoded.

use std::fmt::Write;

/// In the `primary_conninfo` of a severed standby, and of no other.
pub(super) const REVOKED: &str = "/pgherd-revoked/";

const DEFAULT_PORT: u16 = 5432;

/// What the monitor keeps of a `primary_conninfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Host and port it would stream from, had it not been severed.
    pub(super) severed_from: Option<(String, u16)>,
    pub(super) application_name: Option<String>,
}

type Pairs = Vec<(String, String)>;

/// `Err`: it can't be read.
pub(super) fn read(conninfo: &str) -> Result<Told, &'static str> {
    let pairs = parse(conninfo)?;
    let severed_from = marker(&pairs).map(|marked| {
        let [host, hostaddr, ports] = unmark(marked);
        let host = if host.is_empty() { hostaddr } else { host };
        let ports = if ports.is_empty() { last(&pairs, "port").unwrap_or_default().to_owned() } else { ports };
        (first(&host).to_owned(), first(&ports).parse().unwrap_or(DEFAULT_PORT))
    });
    let application_name = last(&pairs, "application_name").filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(Told { severed_from, application_name })
}

/// The same connection to another node; everything else is kept. `Err`: it can't be read.
pub(super) fn with_address(conninfo: &str, host: &str, port: u16) -> Result<String, &'static str> {
    let mut pairs = without(parse(conninfo)?, &["host", "hostaddr", "port"]);
    pairs.push(("host".into(), host.into()));
    pairs.push(("port".into(), port.to_string()));
    Ok(join(&pairs))
}

/// The same, but it connects nowhere. `None`: it does so already. `Err`: it can't be read.
pub(super) fn severed(conninfo: &str) -> Result<Option<String>, &'static str> {
    let pairs = parse(conninfo)?;
    if marker(&pairs).is_some() {
        return Ok(None);
    }
    let value = |key| last(&pairs, key).unwrap_or_default();
    // A list of ports would not match the one host there is now.
    let ports = Some(value("port")).filter(|port| port.contains(',')).unwrap_or_default();
    let marked = [value("host"), value("hostaddr"), ports].map(percent_encoded).join(";");
    let host = format!("{REVOKED}{}", marked.trim_end_matches(';'));
    let keys: &[&str] = if ports.is_empty() { &["host", "hostaddr"] } else { &["host", "hostaddr", "port"] };
    let mut pairs = without(pairs, keys);
    pairs.push(("host".into(), host));
    Ok(Some(join(&pairs)))
}

/// What it was before [`severed`]. `None`: it is not severed. `Err`: it can't be read.
pub(super) fn restored(conninfo: &str) -> Result<Option<String>, &'static str> {
    let pairs = parse(conninfo)?;
    let Some(marked) = marker(&pairs) else { return Ok(None) };
    let values = ["host", "hostaddr", "port"].map(str::to_owned).into_iter().zip(unmark(marked));
    let values: Pairs = values.filter(|(_, value)| !value.is_empty()).collect();
    let mut pairs = without(pairs, &["host"]);
    pairs.extend(values);
    Ok(Some(join(&pairs)))
}

/// The same in other words: a WAL receiver connects anew when its text changes.
pub(super) fn reworded(conninfo: &str) -> String {
    conninfo.strip_suffix(' ').map_or_else(|| format!("{conninfo} "), str::to_owned)
}

/// What stands behind [`REVOKED`].
fn marker(pairs: &Pairs) -> Option<&str> {
    last(pairs, "host")?.strip_prefix(REVOKED)
}

/// Host, address, ports; what there was none of is empty.
fn unmark(marked: &str) -> [String; 3] {
    let mut parts = marked.split(';').map(percent_decoded);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// As libpq: of two, the later counts.
fn last<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a str> {
    pairs.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
}

/// Of a list.
fn first(list: &str) -> &str {
    list.split(',').next().unwrap_or_default()
}

fn without(mut pairs: Pairs, keys: &[&str]) -> Pairs {
    pairs.retain(|(key, _)| !keys.contains(&key.as_str()));
    pairs
}

/// Neither `,` (a list of hosts) nor `/` or `;` (ours) is left.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b':' => encoded.push(char::from(byte)),
            _ => drop(write!(encoded, "%{byte:02X}")), // a String takes all
        }
    }
    encoded
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(b'%'));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn join(pairs: &Pairs) -> String {
    let mut text = String::new();
    pairs.iter().for_each(|(key, value)| push(&mut text, key, value));
    text
}

fn push(text: &mut String, key: &str, value: &str) {
    let value = value.replace('\\', "\\\\").replace('\'', "\\'");
    if !text.is_empty() {
        text.push(' ');
    }
    *text += &format!("{key}='{value}'");
}

fn parse(conninfo: &str) -> Result<Pairs, &'static str> {
    if conninfo.starts_with("postgres://") || conninfo.starts_with("postgresql://") {
        return Err("it is a URI; write it as key=value");
    }
    let mut pairs = Vec::new();
    let mut rest = conninfo.trim_start();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=').ok_or("a key has no `=`")?;
        let (value, tail) = parse_value(value.trim_start())?;
        pairs.push((key.trim_end().to_owned(), value));
        rest = tail.trim_start();
    }
    Ok(pairs)
}

/// The value, and what comes after it.
fn parse_value(text: &str) -> Result<(String, &str), &'static str> {
    let (quoted, text) = text.strip_prefix('\'').map_or((false, text), |text| (true, text));
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            space if !quoted && space.is_whitespace() => return Ok((value, &text[at..])),
            other => value.push(other),
        }
    }
    if quoted { Err("a quote is not closed") } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_changes() {
        let cases = [
            (
                "user=replicator passfile='/a b/pass' host=pg1 hostaddr = '10.0.0.1' port=5433 application_name=pg3",
                "user='replicator' passfile='/a b/pass' application_name='pg3' host='pg2' port='5432'",
            ),
            (r"password='it\'s \\ one' host=pg1", r"password='it\'s \\ one' host='pg2' port='5432'"),
            (r"password=a\ b sslmode=require", r"password='a b' sslmode='require' host='pg2' port='5432'"),
            ("", "host='pg2' port='5432'"),
        ];
        for (before, after) in cases {
            assert_eq!(with_address(before, "pg2", 5432).as_deref(), Ok(after));
            assert_eq!(with_address(after, "pg2", 5432).as_deref(), Ok(after), "a second time changes nothing");
        }
    }

    #[test]
    fn a_severed_one_keeps_everything_and_is_restored() {
        let cases = [
            ("host=pg1 port=5433 user=r", "port='5433' user='r' host='/pgherd-revoked/pg1'", ("pg1", 5433)),
            (
                r"password='it\'s, \\ = 1' host=10.0.0.1 sslmode=require",
                r"password='it\'s, \\ = 1' sslmode='require' host='/pgherd-revoked/10.0.0.1'",
                ("10.0.0.1", 5432),
            ),
            ("hostaddr=::1 port=1", "port='1' host='/pgherd-revoked/;::1'", ("::1", 1)),
            ("host=a,b port=1,2", "host='/pgherd-revoked/a%2Cb;;1%2C2'", ("a", 1)),
            ("host='/run/a b;%' hostaddr=''", "host='/pgherd-revoked/%2Frun%2Fa%20b%3B%25'", ("/run/a b;%", 5432)),
            ("", "host='/pgherd-revoked/'", ("", 5432)),
        ];
        for (before, after, (host, port)) in cases {
            assert_eq!(severed(before).unwrap().as_deref(), Some(after));
            assert_eq!(severed(after), Ok(None), "a second time changes nothing");
            assert_eq!(read(after).unwrap().severed_from, Some((host.to_owned(), port)), "{before}");
            let mut back = parse(&restored(after).unwrap().unwrap()).unwrap();
            let mut whole = parse(before).unwrap();
            whole.retain(|(_, value)| !value.is_empty());
            whole.sort();
            back.sort();
            assert_eq!(back, whole, "{before}");
            assert_eq!(restored(before), Ok(None));
            assert_eq!(with_address(after, "pg2", 2), with_address(before, "pg2", 2), "{before}");
        }
    }

    #[test]
    fn other_words_mean_the_same() {
        let before = "host=pg1 password='a '";
        let after = reworded(before);
        assert!(after != before && parse(&after) == parse(before) && reworded(&after) == before);
        assert_eq!(read("host=a application_name='pg 3'").unwrap().application_name.as_deref(), Some("pg 3"));
    }

    #[test]
    fn what_cannot_be_read_is_left_alone() {
        for text in ["postgresql://u:p@pg1/", "host", "host='pg1"] {
            assert!(with_address(text, "pg2", 5432).is_err(), "{text}");
        }
    }
}
