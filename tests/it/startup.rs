//! The first packets of a connection: raw bytes in, answer and outcome out.

use pgherd::client::handshake::{Hello, Refusal, hello};
use pgherd::config::Limits;
use pgherd::wire::error::PgError;
use pgherd::wire::startup::Startup;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const V3: [u8; 4] = [0, 3, 0, 0];

#[test]
fn a_startup_packet_names_user_database_and_the_rest() {
    let body = b"user\0ann\0database\0shop\0options\0-c x=1\0application_name\0caf\xc3\xa9\0replication\0off\0\0";
    let expected = Startup {
        user: "ann".into(),
        database: "shop".into(),
        parameters: vec![pair("options", "-c x=1"), pair("application_name", "caf??")],
        ..Startup::default()
    };
    assert_eq!(started(&[packet(V3, body)]), (expected, vec![]));
}

#[test]
fn the_database_defaults_to_the_user_and_the_last_value_wins() {
    let (startup, _) = started(&[packet(V3, b"user\0bob\0user\0ann\0x\x001\0x\x002\0replication\0true\0\0")]);
    assert_eq!((startup.user.as_str(), startup.database.as_str()), ("ann", "ann"));
    assert_eq!((startup.parameter("x"), startup.replication.as_deref()), (Some("2"), Some("true")));
}

#[test]
fn names_are_cut_like_postgresqls_at_a_whole_character() {
    let name = format!("{}é", "a".repeat(62));
    let (startup, _) = started(&[packet(V3, format!("user\0{name}\0\0").as_bytes())]);
    assert_eq!(startup.user, "a".repeat(62));
}

#[test]
fn encryption_is_refused_once_each_in_either_order() {
    let start = packet(V3, b"user\0ann\0\0");
    for first in [vec![SSL.to_vec()], vec![GSS.to_vec()]] {
        assert_eq!(started(&[first, vec![start.clone()]].concat()).1, b"N");
    }
    assert_eq!(started(&[SSL.to_vec(), GSS.to_vec(), start.clone()]).1, b"NN");
    assert_eq!(started(&[GSS.to_vec(), SSL.to_vec(), start]).1, b"NN");

    let (error, answer) = refused(&[SSL.to_vec(), GSS.to_vec(), SSL.to_vec()]);
    assert_eq!(error.message, "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2");
    assert_eq!((error.sqlstate.as_str(), &answer[..3]), ("0A000", &b"NNE"[..]));
}

#[test]
fn bytes_slipped_in_behind_an_encryption_request_end_the_connection() {
    for (request, name) in [(SSL, "SSL"), (GSS, "GSSAPI encryption")] {
        let injected = [request, &packet(V3, b"user\0mallory\0\0")].concat();
        let (outcome, answer) = talk(&[injected]);
        let Err(Refusal::EarlyData(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.message, format!("received unencrypted data after {name} request"));
        assert_eq!((error.severity.as_str(), error.sqlstate.as_str()), ("FATAL", "08P01"));
        assert_eq!(answer, [b"N", &error.to_bytes()[..]].concat());
    }
}

#[test]
fn nothing_behind_the_startup_packet_is_read() {
    let (outcome, _, unread) = talk_and_leave(&[[packet(V3, b"user\0ann\0\0"), b"p\0\0\0\x05x".to_vec()].concat()]);
    assert!(matches!(outcome, Ok(Hello::Startup(_))));
    assert_eq!(unread, b"p\0\0\0\x05x");
}

#[test]
fn newer_minors_and_unknown_options_are_negotiated() {
    for (asked, spoken, answer) in [
        ([0, 3, 0, 0], 0, &b""[..]),
        ([0, 3, 0, 1], 1, b""),
        ([0, 3, 0, 2], 2, b""),
        ([0, 3, 0x27, 0x0f], 2, b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0"),
    ] {
        let (startup, got) = started(&[packet(asked, b"user\0ann\0\0")]);
        assert_eq!((startup.minor, got.as_slice()), (spoken, answer), "{asked:?}");
    }
    let (startup, answer) = started(&[packet(V3, b"user\0ann\0_pq_.a\x001\0_pq_.b\0\0\0")]);
    assert_eq!(startup.unknown_options, ["_pq_.a", "_pq_.b"]);
    assert_eq!(answer, b"v\0\0\0\x1a\0\x03\0\0\0\0\0\x02_pq_.a\0_pq_.b\0");
    assert_eq!(startup.parameters, []);
}

#[test]
fn what_makes_no_sense_is_refused_in_postgresqls_words() {
    let layout = "invalid startup packet layout: expected terminator as last byte";
    for (version, body, sqlstate, message) in [
        ([0, 2, 0, 0], &b"\0"[..], "0A000", "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"),
        ([0, 4, 0, 9], b"user\0ann\0\0", "0A000", "unsupported frontend protocol 4.9: server supports 3.0 to 3.2"),
        (V3, b"", "08P01", layout),
        (V3, b"user\0ann\0", "08P01", layout),
        (V3, b"user\0ann\0\0x", "08P01", layout),
        (V3, b"user\0ann", "08P01", layout),
        (V3, b"user\0", "08P01", layout),
        (V3, b"user\0\0", "08P01", layout),
        (V3, b"\0", "28000", "no PostgreSQL user name specified in startup packet"),
        (V3, b"user\0\0\0", "28000", "no PostgreSQL user name specified in startup packet"),
        (V3, b"user\0a\0replication\0maybe\0\0", "22023", "invalid value for parameter \"replication\": \"maybe\""),
        (V3, b"user\0\xe9\0\0", "22021", "invalid byte sequence for encoding \"UTF8\" in startup packet"),
    ] {
        let (error, answer) = refused(&[packet(version, body)]);
        assert_eq!((error.severity.as_str(), error.sqlstate.as_str()), ("FATAL", sqlstate), "{body:?}");
        assert_eq!(error.message, message, "{body:?}");
        let old_form = format!("EFATAL:  {message}\n\0").into_bytes();
        assert_eq!(answer, if version[1] == 2 { old_form } else { error.to_bytes() });
    }
}

#[test]
fn foreign_and_broken_input_is_closed_without_a_word() {
    for input in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0",
        b"\0\0\0\x07\0\x03\0",
        b"\0\0\x27\x15\0\x03\0\0",               // one byte above the limit
        b"\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\x01", // a cancel request without a key
    ] {
        let (outcome, answer) = talk(&[input.to_vec()]);
        assert!(matches!(outcome, Err(Refusal::BadLength)), "{input:?}: {outcome:?}");
        assert_eq!(answer, b"");
    }
    for input in [&b"\0"[..], b"\0\0\0\x08", b"\0\0\0\x20\0\x03\0\0user"] {
        assert!(matches!(talk(&[input.to_vec()]).0, Err(Refusal::Truncated)), "{input:?}");
    }
}

#[test]
fn a_connection_closed_without_a_word_is_nobodys_fault() {
    assert!(matches!(talk(&[vec![]]).0, Ok(Hello::Gone)));
    assert!(matches!(talk(&[SSL.to_vec(), vec![]]).0, Ok(Hello::Gone)));
}

#[test]
fn cancel_keys_may_have_up_to_256_bytes() {
    for length in [4, 32, 256] {
        let key = vec![7; length];
        let body = [&9_i32.to_be_bytes()[..], &key].concat();
        let (outcome, answer) = talk(&[packet([0x04, 0xd2, 0x16, 0x2e], &body)]);
        let Ok(Hello::Cancel { process_id: 9, key: got }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((got, answer), (key, vec![]));
    }
    let too_long = packet([0x04, 0xd2, 0x16, 0x2e], &[0; 4 + 257]);
    assert!(matches!(talk(&[too_long]).0, Err(Refusal::BadLength)));
}

// === helpers ===

fn pair(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

fn packet(code: [u8; 4], body: &[u8]) -> Vec<u8> {
    [&(8 + body.len() as u32).to_be_bytes(), &code[..], body].concat()
}

fn started(steps: &[Vec<u8>]) -> (Startup, Vec<u8>) {
    match talk(steps) {
        (Ok(Hello::Startup(startup)), answer) => (startup, answer),
        (other, _) => panic!("{other:?}"),
    }
}

fn refused(steps: &[Vec<u8>]) -> (PgError, Vec<u8>) {
    match talk(steps) {
        (Err(Refusal::Refused(error)), answer) => (error, answer),
        (other, _) => panic!("{other:?}"),
    }
}

fn talk(steps: &[Vec<u8>]) -> (Result<Hello, Refusal>, Vec<u8>) {
    let (outcome, answer, _) = talk_and_leave(steps);
    (outcome, answer)
}

/// The client sends the first step, each further one when an answer came, and closes. Also returns what was not read.
fn talk_and_leave(steps: &[Vec<u8>]) -> (Result<Hello, Refusal>, Vec<u8>, Vec<u8>) {
    let steps = steps.to_vec();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let exchange = async {
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let client = tokio::spawn(async move {
            let mut answer = vec![];
            for (i, step) in steps.iter().enumerate() {
                if i > 0 {
                    theirs.read_buf(&mut answer).await.unwrap();
                }
                theirs.write_all(step).await.unwrap();
            }
            theirs.shutdown().await.unwrap();
            theirs.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let outcome = hello(&mut ours, &Limits::default()).await;
        let mut unread = vec![];
        if outcome.is_ok() {
            ours.read_to_end(&mut unread).await.unwrap();
        }
        drop(ours);
        (outcome, client.await.unwrap(), unread)
    };
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), exchange).await.unwrap() })
}
