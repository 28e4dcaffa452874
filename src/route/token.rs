//! A position that a read must show, as it travels between sessions: `timeline:LSN`, such as `3:0/16B3748`.

use std::fmt;
use std::str::FromStr;

use crate::cluster::Lsn;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// `None`: unsaid, any will do.
    pub timeline: Option<u32>,
    pub lsn: Lsn,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.timeline {
            Some(timeline) => write!(f, "{timeline}:{}", self.lsn),
            None => self.lsn.fmt(f),
        }
    }
}

impl FromStr for Token {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let (timeline, lsn) = match text.split_once(':') {
            Some((timeline, lsn)) => (Some(timeline.parse().map_err(|_| ())?), lsn),
            None => (None, text),
        };
        Ok(Self { timeline, lsn: lsn.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written() {
        for text in ["3:16/B374D848", "0/0"] {
            assert_eq!(text.parse::<Token>().unwrap().to_string(), text);
        }
        for text in ["", "1:", "x:0/0", "0", "-1:0/0", "0/g"] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }
}
