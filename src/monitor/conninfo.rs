//! libpq's connection strings, as `primary_conninfo` has them: `host=pg1 port=5432 passfile='/a b'`. Pure.
//! (PostgreSQL docs, "Connection Strings".)

/// The same connection to another node; everything else is kept. `Err`: it can't be read. It may hold a password: never log it.
pub(super) fn with_address(conninfo: &str, host: &str, port: u16) -> Result<String, &'static str> {
    let mut text = String::new();
    let port = port.to_string();
    for (key, value) in parse(conninfo)? {
        if !matches!(key.as_str(), "host" | "hostaddr" | "port") {
            push(&mut text, &key, &value);
        }
    }
    push(&mut text, "host", host);
    push(&mut text, "port", &port);
    Ok(text)
}

fn push(text: &mut String, key: &str, value: &str) {
    let value = value.replace('\\', "\\\\").replace('\'', "\\'");
    if !text.is_empty() {
        text.push(' ');
    }
    *text += &format!("{key}='{value}'");
}

fn parse(conninfo: &str) -> Result<Vec<(String, String)>, &'static str> {
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
    fn what_cannot_be_read_is_left_alone() {
        for text in ["postgresql://u:p@pg1/", "host", "host='pg1"] {
            assert!(with_address(text, "pg2", 5432).is_err(), "{text}");
        }
    }
}
