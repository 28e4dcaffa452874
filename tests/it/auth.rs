//! Proofs of identity: our SCRAM halves against each other, against others', and every way a login can end.

use pgherd::client::auth::{Admitted, AuthFailure, Authenticator};
use pgherd::client::scram::{ClientFirst as ClientSide, Verdict};
use pgherd::config::{AuthMethod, Limits, Secret};
use pgherd::credential::{Credential, ScramKeys, ScramVerifier, Verifier};
use pgherd::server::scram::ClientFirst as ServerSide;
use pgherd::wire::error::PgError;
use pgherd::wire::{frame, md5, scram};
use pgwire::api::auth::sasl::scram::{ScramSecret, ScramServerAuth};
use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const SALT: &[u8] = b"0123456789abcdef";

// === the arithmetic ===

#[test]
fn the_example_of_rfc_7677_comes_out() {
    let salt = scram::decode_base64(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let keys = ScramKeys::derive("pencil", &salt, 4096);
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let server_first = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    let sign = |key: &scram::Key| {
        let bare = b"n=user,r=rOprNGfwEbeRWgbNEkqO";
        scram::signature(key, bare, server_first.as_bytes(), format!("c=biws,r={nonce}").as_bytes())
    };
    let proof = scram::xor(&keys.client_key, &sign(&keys.stored_key()));
    assert_eq!(scram::encode_base64(&proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_eq!(scram::encode_base64(&sign(&keys.server_key)), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn our_halves_agree_on_every_password(password in ".{0,40}", wrong in ".{0,40}", iterations in 1u32..50) {
        let verifier = ScramVerifier::derive(&password, SALT.to_vec(), iterations);
        let (proved, _) = log_in(&password, &verifier);
        prop_assert!(proved.is_some(), "{password:?}");
        // The keys the client's proof gave away log in by themselves.
        let learned = proved.unwrap();
        prop_assert_eq!(&learned, &ScramKeys::derive(&password, SALT, iterations));
        prop_assert!(log_in_with(&learned, &verifier).0.is_some());

        let same = ScramKeys::derive(&wrong, SALT, iterations) == learned;
        prop_assert_eq!(log_in(&wrong, &verifier).0.is_some(), same);
    }

    #[test]
    fn what_is_malformed_is_refused_and_never_panics(text in ".{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let verifier = ScramVerifier::derive("x", SALT.to_vec(), 1);
        for message in [text.as_bytes(), &bytes[..]] {
            let _ = ClientSide::read(message);
            let challenged = ClientSide::read(b"n,,n=,r=abc").unwrap().challenge(&[1; 18], &verifier);
            prop_assert!(!matches!(challenged.verify(message, &verifier), Ok(Verdict::Proved(..))));
            prop_assert!(ServerSide::new(&[2; 18]).challenge(message).is_err());
            let _ = ScramVerifier::parse(&text);
        }
    }
}

#[test]
fn a_verifier_is_read_as_postgresql_stores_it() {
    let keys = ScramKeys::derive("geheim", SALT, 4096);
    let (stored, server) = (scram::encode_base64(&keys.stored_key()), scram::encode_base64(&keys.server_key));
    let text = format!("SCRAM-SHA-256$4096:{}${stored}:{server}", scram::encode_base64(SALT));
    assert_eq!(Verifier::parse(&text), Verifier::Scram(ScramVerifier::derive("geheim", SALT.to_vec(), 4096)));

    let md5 = "md5900150983cd24fb0d6963f7d28e17f72";
    assert_eq!(Verifier::parse(md5), Verifier::Md5(Secret::new(md5)));
    assert_eq!(Verifier::parse(""), Verifier::Unknown);
    for password in ["md5900150983cd24fb0d6963f7d28e17f7", "SCRAM-SHA-256$0:AA==$AA==:AA==", "md5"] {
        assert_eq!(Verifier::parse(password), Verifier::Password(Secret::new(password)));
    }
}

#[test]
fn secrets_are_not_printed() {
    let keys = ScramKeys::derive("geheim", SALT, 1);
    let verifier = ScramVerifier::derive("geheim", SALT.to_vec(), 1);
    let all = (Credential::ScramKeys(keys.clone()), Verifier::Scram(verifier.clone()), keys, verifier);
    let printed = format!("{all:?} {:?}", Verifier::parse("geheim"));
    assert!(!printed.contains("geheim") && !printed.contains('['), "{printed}");
}

// === our client of a server ===

#[test]
fn pgwires_server_accepts_our_client_and_proves_itself() {
    let verifier = ScramVerifier::derive("geheim", SALT.to_vec(), 4096);
    let secret = ScramSecret::Verifier {
        salt: verifier.salt.clone(),
        iterations: 4096,
        stored_key: verifier.stored_key.to_vec(),
        server_key: verifier.server_key.to_vec(),
    };
    let first = ServerSide::new(&[3; 18]);
    let server = ScramServerAuth::new();
    let (server_first, waiting) =
        server.on_client_first_message_with_secret(first.message().as_bytes(), secret).unwrap();
    let proved = first.challenge(server_first.as_bytes()).unwrap().prove(&ScramKeys::derive("geheim", SALT, 4096));
    let server_final = waiting.on_client_final_message(proved.client_final.as_bytes()).unwrap();
    assert_eq!(proved.check(server_final.as_bytes()), Ok(()));
}

#[test]
fn a_server_that_plays_tricks_is_refused() {
    let nonce = scram::nonce_text(&[7; 18]);
    for (challenge, complaint) in [
        (format!("r={nonce}x,s=AAAA,i=1000001"), "SCRAM iteration count is 0 or above 1000000"),
        (format!("r={nonce}x,s=AAAA,i=0"), "SCRAM iteration count is 0 or above 1000000"),
        (format!("r={nonce}x,s=AAAA,i=-1"), "SCRAM iteration count is not a number"),
        (format!("r={nonce},s=AAAA,i=4096"), "SCRAM nonce does not extend ours"),
        ("r=other,s=AAAA,i=4096".to_owned(), "SCRAM nonce does not extend ours"),
        (format!("r={nonce}x,s=!,i=4096"), "SCRAM salt is not base64"),
        (format!("r={nonce}x,i=4096"), "SCRAM challenge without a salt"),
        ("e=other-error".to_owned(), "SCRAM challenge without a nonce"),
    ] {
        assert_eq!(ServerSide::new(&[7; 18]).challenge(challenge.as_bytes()).unwrap_err(), complaint);
    }
    let challenge = ServerSide::new(&[7; 18]).challenge(format!("r={nonce}x,s=AAAA,i=1").as_bytes()).unwrap();
    let proved = challenge.prove(&ScramKeys::derive("x", b"", 1));
    let wrong = format!("v={}", scram::encode_base64(&[0; 32]));
    assert!(proved.check(wrong.as_bytes()).unwrap_err().contains("does not know the password"));
    assert!(proved.check(b"v=").is_err() && proved.check(b"e=invalid-proof").is_err());
}

// === our server of a client ===

#[test]
fn a_right_scram_proof_gives_its_keys() {
    let verifier = ScramVerifier::derive("geheim", SALT.to_vec(), 4096);
    let end = authenticate("ann", AuthMethod::ScramSha256, Verifier::Scram(verifier), scram_client("geheim"));
    assert_eq!(end.credential(), Credential::ScramKeys(ScramKeys::derive("geheim", SALT, 4096)));
    assert_eq!(end.heard.last().unwrap(), b"R\0\0\0\x08\0\0\0\0");
}

#[test]
fn a_configured_password_is_proved_by_scram_or_md5() {
    for method in [AuthMethod::ScramSha256, AuthMethod::Md5] {
        let client = if method == AuthMethod::Md5 { md5_client("ann", "geheim") } else { scram_client("geheim") };
        let end = authenticate("ann", method, Verifier::parse("geheim"), client);
        assert_eq!(end.credential(), Credential::Password(Secret::new("geheim")));
    }
}

#[test]
fn an_md5_hash_is_proved_by_md5() {
    let stored = Secret::new(format!("md5{}", md5::hash("geheim", "ann")));
    let end = authenticate("ann", AuthMethod::Md5, Verifier::Md5(stored.clone()), md5_client("ann", "geheim"));
    assert_eq!(end.credential(), Credential::Md5Hash(stored.clone()));
    let end = authenticate("ann", AuthMethod::Md5, Verifier::Md5(stored), md5_client("ann", "other"));
    assert_eq!(end.failure().0, "28P01");
}

#[test]
fn md5_asks_for_scram_where_the_verifier_is_one() {
    let verifier = Verifier::Scram(ScramVerifier::derive("geheim", SALT.to_vec(), 4096));
    let end = authenticate("ann", AuthMethod::Md5, verifier, scram_client("geheim"));
    assert!(matches!(end.credential(), Credential::ScramKeys(_)));
}

#[test]
fn trust_asks_nothing() {
    let end = authenticate("ann", AuthMethod::Trust, Verifier::Unknown, Box::new(|_| vec![]));
    assert_eq!((end.credential(), end.heard.len()), (Credential::None, 1));
}

#[test]
fn whoever_is_unknown_hears_what_a_wrong_password_hears() {
    let known = Verifier::Scram(ScramVerifier::derive("geheim", SALT.to_vec(), 4096));
    let md5 = Verifier::Md5(Secret::new(format!("md5{}", md5::hash("geheim", "ann"))));
    for verifier in [known, Verifier::parse("geheim"), Verifier::Unknown, md5] {
        let end = authenticate("ann", AuthMethod::ScramSha256, verifier, scram_client("wrong"));
        assert_eq!(end.failure(), ("28P01", "password authentication failed for user \"ann\""));
        let lengths: Vec<_> = end.heard.iter().map(Vec::len).collect();
        assert_eq!(lengths, [24, 93, end.heard[2].len()]);
        assert_eq!(end.heard[2][0], b'E');
    }
}

#[test]
fn an_unknown_user_has_the_same_salt_every_time_and_not_anothers() {
    let authenticator = Authenticator::new().unwrap();
    let salt = |user: &str| {
        let end = authenticate_by(&authenticator, user, AuthMethod::ScramSha256, Verifier::Unknown, scram_client("x"));
        let challenge = String::from_utf8_lossy(&end.heard[1]).into_owned();
        challenge.split_once(",s=").unwrap().1.to_owned()
    };
    assert_eq!(salt("ann"), salt("ann"));
    assert_ne!(salt("ann"), salt("bob"));
}

#[test]
fn a_client_that_leaves_to_ask_for_the_password_is_no_failure_of_a_login() {
    for replies in [vec![], b"p".to_vec(), b"p\0\0\0\x20SCRAM".to_vec()] {
        let end = authenticate("ann", AuthMethod::ScramSha256, Verifier::Unknown, Box::new(move |_| replies.clone()));
        assert!(matches!(end.outcome, Err(AuthFailure::Gone)), "{:?}", end.outcome);
    }
}

#[test]
fn what_breaks_the_protocol_is_refused_in_postgresqls_words() {
    let initial = |data: &[u8]| p(&[b"SCRAM-SHA-256\0", &(data.len() as u32).to_be_bytes()[..], data].concat());
    let malformed = "malformed SCRAM message";
    for (reply, message, detail) in [
        (b"Q\0\0\0\x04".to_vec(), "expected SASL response, got message type 81", None),
        (p(b"SCRAM-SHA-256"), "invalid string in message", None),
        (p(b"PLAIN\0\0\0\0\0"), "client selected an invalid SASL authentication mechanism", None),
        (p(b"SCRAM-SHA-256\0\0\0"), "insufficient data left in message", None),
        (p(b"SCRAM-SHA-256\0\0\0\0\0x"), "invalid message format", None),
        (initial(b""), malformed, Some("The message is empty.")),
        (initial(b"n,,n=\0"), malformed, Some("Message length does not match input length.")),
        (initial(b"x,,n=,r=a"), malformed, Some("Unexpected channel-binding flag \"'x'\".")),
        (initial(b"n"), malformed, Some("Comma expected, but found character \"0x00\".")),
        (initial(b"n,,n="), malformed, Some("Expected attribute \"r\" but found \"0x00\".")),
        (initial(b"n,a=x,n=,r=a"), "client uses authorization identity, but it is not supported", None),
        (initial(b"n,,n=,r=a b"), "non-printable characters in SCRAM nonce", None),
    ] {
        let shown = String::from_utf8_lossy(&reply).into_owned();
        let end = authenticate("ann", AuthMethod::ScramSha256, Verifier::Unknown, Box::new(move |_| reply.clone()));
        let Err(AuthFailure::Protocol(Some(error))) = &end.outcome else { panic!("{shown}: {:?}", end.outcome) };
        assert_eq!((error.message.as_str(), error.detail.as_deref()), (message, detail), "{shown}");
        assert_eq!(end.heard.last().unwrap(), &error.to_bytes());
    }
    let end = authenticate("ann", AuthMethod::ScramSha256, Verifier::Unknown, Box::new(|_| p(&[b'x'; 2000])));
    assert_eq!(end.failure().0, "28P01"); // as PostgreSQL: the log says more
}

// === helpers ===

/// The keys the server learned if the proof was right, and what the client thinks of the server's.
fn log_in(password: &str, verifier: &ScramVerifier) -> (Option<ScramKeys>, Result<(), &'static str>) {
    log_in_with(&ScramKeys::derive(password, &verifier.salt, verifier.iterations), verifier)
}

fn log_in_with(keys: &ScramKeys, verifier: &ScramVerifier) -> (Option<ScramKeys>, Result<(), &'static str>) {
    let ours = ServerSide::new(&[4; 18]);
    let challenged = ClientSide::read(ours.message().as_bytes()).unwrap().challenge(&[5; 18], verifier);
    let challenge = ours.challenge(&challenged.server_first).unwrap();
    assert_eq!((challenge.salt.as_slice(), challenge.iterations), (&verifier.salt[..], verifier.iterations));
    let proved = challenge.prove(keys);
    match challenged.verify(proved.client_final.as_bytes(), verifier).unwrap() {
        Verdict::Proved(learned, server_final) => (Some(learned), proved.check(&server_final)),
        Verdict::Wrong => (None, Err("refused")),
    }
}

/// What both sides of a login saw.
struct End {
    outcome: Result<Credential, AuthFailure>,
    /// Whole messages.
    heard: Vec<Vec<u8>>,
}

impl End {
    fn credential(&self) -> Credential {
        self.outcome.as_ref().unwrap().clone()
    }

    fn failure(&self) -> (&str, &str) {
        match &self.outcome {
            Err(AuthFailure::Refused { error, .. }) => (&error.sqlstate, &error.message),
            other => panic!("{other:?}"),
        }
    }
}

/// From a message heard to the reply; an empty one closes.
type Client = Box<dyn FnMut(&[u8]) -> Vec<u8> + Send>;

fn p(body: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    frame::push(&mut out, b'p', |out| out.extend_from_slice(body));
    out
}

/// postgres-protocol's SCRAM client.
fn scram_client(password: &str) -> Client {
    let mut client = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    Box::new(move |heard| match (heard[0], heard[8]) {
        (b'R', 10) => {
            let first = client.message();
            p(&[b"SCRAM-SHA-256\0", &(first.len() as u32).to_be_bytes()[..], first].concat())
        }
        (b'R', 11) => {
            client.update(&heard[9..]).unwrap();
            p(client.message())
        }
        (b'R', 12) => {
            client.finish(&heard[9..]).unwrap();
            vec![]
        }
        _ => vec![],
    })
}

fn md5_client(user: &str, password: &str) -> Client {
    let (user, password) = (user.to_owned(), password.to_owned());
    Box::new(move |heard| match heard.strip_prefix(b"R\0\0\0\x0c\0\0\0\x05") {
        Some(salt) => {
            let salt = salt.try_into().unwrap();
            let answer = postgres_protocol::authentication::md5_hash(user.as_bytes(), password.as_bytes(), salt);
            p(format!("{answer}\0").as_bytes())
        }
        None => vec![],
    })
}

fn authenticate(user: &str, method: AuthMethod, verifier: Verifier, client: Client) -> End {
    authenticate_by(&Authenticator::new().unwrap(), user, method, verifier, client)
}

fn authenticate_by(
    authenticator: &Authenticator,
    user: &str,
    method: AuthMethod,
    verifier: Verifier,
    client: Client,
) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
        let client = tokio::spawn(play(theirs, client));
        let limits = Limits::default();
        let login = authenticator.authenticate(&mut ours, user, method, &verifier, &limits);
        let outcome = match tokio::time::timeout(Duration::from_secs(10), login).await.unwrap() {
            Ok(Admitted { credential, unsent }) => {
                ours.write_all(&unsent).await.map(|()| credential).map_err(AuthFailure::Io)
            }
            Err(failure) => Err(failure),
        };
        drop(ours);
        let heard = client.await.unwrap();
        if let Err(AuthFailure::Refused { error, .. }) = &outcome {
            assert_eq!(&PgError::parse(&heard.last().unwrap()[5..]), error);
        }
        End { outcome, heard }
    })
}

/// Answers each message; nothing to answer = no more to say.
async fn play(mut stream: DuplexStream, mut client: Client) -> Vec<Vec<u8>> {
    let mut heard = vec![];
    let mut header = [0; 5];
    while stream.read_exact(&mut header).await.is_ok() {
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize;
        let mut message = header.to_vec();
        message.resize(length + 1, 0);
        stream.read_exact(&mut message[5..]).await.unwrap();
        let reply = if message[0] == b'E' { vec![] } else { client(&message) };
        heard.push(message);
        let incomplete = reply.first() == Some(&b'p')
            && reply.get(1..5).is_none_or(|l| reply.len() < 1 + u32::from_be_bytes(l.try_into().unwrap()) as usize);
        stream.write_all(&reply).await.unwrap();
        if reply.is_empty() || incomplete {
            stream.shutdown().await.unwrap();
        }
    }
    heard
}
