//! Two transcripts side by side, and the first place where they part, for a person to read.

use std::fmt::Write;

use pgherd::wire::error::fields;

use super::talk::{Message, Transcript};

/// Messages shown before the first difference, and after.
const CONTEXT: usize = 4;
/// Bytes of a body that are shown.
const SHOWN: usize = 300;

/// What no two connections have in common: the authentication's exchange (`R`) and the key (`K`).
pub fn normal(transcript: &Transcript) -> Transcript {
    let mut normal = transcript.clone();
    normal.messages.retain(|message| message.tag != b'R');
    for message in normal.messages.iter_mut().filter(|message| message.tag == b'K') {
        message.body = b"(a key)".to_vec();
    }
    normal
}

/// `None` if they are the same.
pub fn difference(want: &Transcript, got: &Transcript) -> Option<String> {
    if want == got {
        return None;
    }
    let at = want.messages.iter().zip(&got.messages).take_while(|(want, got)| want == got).count();
    let mut text = String::new();
    for (at, message) in want.messages[..at].iter().enumerate().skip(at.saturating_sub(CONTEXT)) {
        writeln!(text, "    {at:4}  both    {}", decoded(message)).unwrap();
    }
    for (who, transcript) in [("direct", want), ("proxy ", got)] {
        for (at, message) in transcript.messages.iter().enumerate().skip(at).take(CONTEXT) {
            writeln!(text, "    {at:4}  {who}  {}", decoded(message)).unwrap();
        }
        if transcript.messages.len() <= at + CONTEXT {
            writeln!(text, "          {who}  {:?}", transcript.end).unwrap();
        } else {
            writeln!(text, "          {who}  … {} messages in all, {:?}", transcript.messages.len(), transcript.end)
                .unwrap();
        }
    }
    if let (Some(want), Some(got)) = (want.messages.get(at), got.messages.get(at))
        && want.tag == got.tag
    {
        let byte = want.body.iter().zip(&got.body).take_while(|(want, got)| want == got).count();
        let from = byte.saturating_sub(8);
        writeln!(text, "    first at byte {byte} of the body ({} and {} bytes):", want.body.len(), got.body.len())
            .unwrap();
        for (who, body) in [("direct", &want.body), ("proxy ", &got.body)] {
            writeln!(text, "          {who}  {:02x?}", &body[from..body.len().min(from + 40)]).unwrap();
        }
    }
    Some(text)
}

fn decoded(message: &Message) -> String {
    let Message { tag, body } = message;
    let name = match tag {
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'A' => "NotificationResponse",
        b'C' => "CommandComplete",
        b'c' => "CopyDone",
        b'D' => "DataRow",
        b'd' => "CopyData",
        b'E' => "ErrorResponse",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'I' => "EmptyQueryResponse",
        b'K' => "BackendKeyData",
        b'N' => "NoticeResponse",
        b'n' => "NoData",
        b'S' => "ParameterStatus",
        b's' => "PortalSuspended",
        b'T' => "RowDescription",
        b't' => "ParameterDescription",
        b'V' => "FunctionCallResponse",
        b'v' => "NegotiateProtocolVersion",
        b'Z' => "ReadyForQuery",
        _ => "?",
    };
    let tag = char::from(*tag);
    if matches!(tag, 'E' | 'N') {
        let fields: Vec<String> = fields(body)
            .map(|(code, text)| format!("{}={}", char::from(code), String::from_utf8_lossy(text)))
            .collect();
        return format!("{tag} {name} {}", fields.join(" "));
    }
    let more = if body.len() > SHOWN { "…" } else { "" };
    format!("{tag} {name} \"{}\"{more}", body[..body.len().min(SHOWN)].escape_ascii())
}
