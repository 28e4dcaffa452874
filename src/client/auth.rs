//! A client proves who it is. (Protocol chapter, "SASL Authentication", "Start-up".)
//! A wrong password and an unknown user look the same from outside: same messages, same work, same words.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::scram::{ClientFirst, Verdict};
use crate::config::{AuthMethod, Limits, Secret};
use crate::credential::{Credential, ScramVerifier, Verifier};
use crate::wire::error::{PgError, sqlstate};
use crate::wire::frame::HEADER;
use crate::wire::{auth, frame, md5, scram};

/// PostgreSQL's bounds on the length word of these messages (`PG_MAX_SASL_MESSAGE_LENGTH`, `PG_MAX_AUTH_TOKEN_LENGTH`).
const MAX_SASL_LENGTH: usize = 1024;
const MAX_PASSWORD_LENGTH: usize = 65_535;

/// Checks proofs. One for the process: what it makes up for unknown users has to stay the same.
pub struct Authenticator {
    /// Salts come from it, so that nobody can tell a made-up one by asking twice.
    secret: [u8; 32],
    /// Verifiers of configured passwords by user: deriving one takes half a millisecond.
    derived: Mutex<BTreeMap<String, (Secret, ScramVerifier)>>,
}

/// A client that has proved who it is.
#[derive(Debug)]
pub struct Admitted {
    /// What the proxy may log in with in its place.
    pub credential: Credential,
    /// Up to and including AuthenticationOk, still to be sent: what follows goes along.
    pub unsent: Vec<u8>,
}

/// Why a client is not let in. It has been told already, where PostgreSQL would tell it.
#[derive(Debug)]
pub enum AuthFailure {
    /// Closed instead of answering: a client that has to ask its user for the password first.
    Gone,
    /// Wrong password or no such user; `reason` is for the log only.
    Refused {
        reason: &'static str,
        error: PgError,
    },
    /// Not what the protocol says; the error that was sent, if there is one for it.
    Protocol(Option<PgError>),
    Io(io::Error),
}

// === impl Authenticator ===

impl Authenticator {
    /// Fails only if the system has no random bytes.
    pub fn new() -> io::Result<Self> {
        Ok(Self { secret: random()?, derived: Mutex::default() })
    }

    /// Asks `user` for a proof. The caller bounds the time it takes.
    pub async fn authenticate<S>(
        &self,
        stream: &mut S,
        user: &str,
        method: AuthMethod,
        verifier: &Verifier,
        limits: &Limits,
    ) -> Result<Admitted, AuthFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut exchange = Exchange { stream, max_length: limits.max_login_message_bytes };
        let outcome = match (method, verifier) {
            (AuthMethod::Trust, _) => Ok(trusted(verifier)),
            (AuthMethod::Md5, Verifier::Md5(stored)) => {
                let hash = stored.expose().trim_start_matches("md5");
                exchange.md5(hash).await.map(|()| Admitted::with(Credential::Md5Hash(stored.clone())))
            }
            (AuthMethod::Md5, Verifier::Password(password)) => {
                let hash = md5::hash(password.expose(), user);
                exchange.md5(&hash).await.map(|()| Admitted::with(Credential::Password(password.clone())))
            }
            // Like PostgreSQL: md5 asks for SCRAM where the stored verifier is one, and of users it doesn't know.
            (AuthMethod::ScramSha256, _) | (AuthMethod::Md5, Verifier::Scram(_) | Verifier::Unknown) => {
                self.scram(&mut exchange, user, verifier).await
            }
        };
        match outcome {
            Ok(admitted) => Ok(admitted),
            Err(failed) => Err(exchange.tell(user, failed).await),
        }
    }

    async fn scram<S>(
        &self,
        exchange: &mut Exchange<'_, S>,
        user: &str,
        verifier: &Verifier,
    ) -> Result<Admitted, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (keys, refuse_all) = match verifier {
            Verifier::Scram(scram) => (scram.clone(), None),
            Verifier::Password(password) => (self.derived(user, password).await?, None),
            Verifier::Md5(_) => (self.made_up(user), Some("user has an md5 password, which SCRAM can't check")),
            Verifier::Unknown => (self.made_up(user), Some("user is unknown or has no password")),
        };
        match (exchange.scram(&keys).await?, refuse_all) {
            (Verdict::Proved(learned, server_final), None) => {
                let mut unsent = Vec::with_capacity(GREETING);
                auth::push_sasl_final(&mut unsent, &server_final);
                auth::push_authentication_ok(&mut unsent);
                let credential = match verifier {
                    Verifier::Password(password) => Credential::Password(password.clone()),
                    _ => Credential::ScramKeys(learned),
                };
                Ok(Admitted { credential, unsent })
            }
            (_, Some(reason)) => Err(Failed::Refused(reason)),
            (Verdict::Wrong, None) => Err(Failed::Refused("password does not match")),
        }
    }

    /// The verifier of a configured password, derived once.
    async fn derived(&self, user: &str, password: &Secret) -> Result<ScramVerifier, Failed> {
        if let Some((from, verifier)) = self.lock_derived().get(user)
            && from == password
        {
            return Ok(verifier.clone());
        }
        let (salt, text) = (self.salt(user), password.clone());
        let derive = move || ScramVerifier::derive(text.expose(), salt, scram::DEFAULT_ITERATIONS);
        let verifier = tokio::task::spawn_blocking(derive).await.map_err(io::Error::other)?;
        self.lock_derived().insert(user.to_owned(), (password.clone(), verifier.clone()));
        Ok(verifier)
    }

    /// Looks like a real one and stays the same for this user, but nobody knows its password.
    fn made_up(&self, user: &str) -> ScramVerifier {
        let key = |label: &[u8]| scram::hmac_sha256(&self.secret, &[label, user.as_bytes()]);
        ScramVerifier {
            iterations: scram::DEFAULT_ITERATIONS,
            salt: self.salt(user),
            stored_key: key(b"stored key "),
            server_key: key(b"server key "),
        }
    }

    fn salt(&self, user: &str) -> Vec<u8> {
        scram::hmac_sha256(&self.secret, &[b"salt ", user.as_bytes()])[..scram::SALT_BYTES].to_vec()
    }

    fn lock_derived(&self) -> MutexGuard<'_, BTreeMap<String, (Secret, ScramVerifier)>> {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Admitted ===

impl Admitted {
    fn with(credential: Credential) -> Self {
        let mut unsent = Vec::with_capacity(GREETING);
        auth::push_authentication_ok(&mut unsent);
        Self { credential, unsent }
    }
}

/// Room for what is sent together when all is well.
const GREETING: usize = 1024;

fn trusted(verifier: &Verifier) -> Admitted {
    Admitted::with(match verifier {
        Verifier::Password(password) => Credential::Password(password.clone()),
        Verifier::Md5(hash) => Credential::Md5Hash(hash.clone()),
        Verifier::Scram(_) | Verifier::Unknown => Credential::None,
    })
}

/// Question and answer.
struct Exchange<'a, S> {
    stream: &'a mut S,
    /// Of a message, its length word included.
    max_length: usize,
}

/// A failure the client hasn't been told of yet.
enum Failed {
    Gone,
    Refused(&'static str),
    /// `None`: PostgreSQL closes without a word.
    Protocol(Option<PgError>),
    Io(io::Error),
}

// === impl Exchange ===

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, S> {
    /// `hash` without its `md5`.
    async fn md5(&mut self, hash: &str) -> Result<(), Failed> {
        let salt = random::<4>()?;
        self.send(|out| auth::push_authentication_md5(out, salt)).await?;

        let body = self.receive("password", MAX_PASSWORD_LENGTH).await?.ok_or(Failed::Protocol(None))?;
        let answer = match frame::c_string(&body) {
            Some((b"", b"")) => {
                return Err(PgError::fatal(sqlstate::INVALID_PASSWORD, "empty password returned by client").into());
            }
            Some((answer, b"")) => answer,
            _ => return Err(violation("invalid password packet size")),
        };
        if !scram::same_secret(answer, md5::answer(hash, &salt).as_bytes()) {
            return Err(Failed::Refused("password does not match"));
        }
        Ok(())
    }

    async fn scram(&mut self, keys: &ScramVerifier) -> Result<Verdict, Failed> {
        let first = ClientFirst::read(&self.client_first().await?)?;
        let challenged = first.challenge(&random()?, keys);
        let answer = self.ask_sasl(|out| auth::push_sasl_continue(out, &challenged.server_first)).await?;
        Ok(challenged.verify(&answer, keys)?)
    }

    /// Offers the mechanism and reads the client's first message.
    async fn client_first(&mut self) -> Result<Vec<u8>, Failed> {
        let body = self.ask_sasl(|out| auth::push_authentication_sasl(out, scram::MECHANISM)).await?;
        let (mechanism, _) = frame::c_string(&body).ok_or_else(|| violation("invalid string in message"))?;
        if mechanism != scram::MECHANISM.as_bytes() {
            return Err(violation("client selected an invalid SASL authentication mechanism"));
        }
        match auth::sasl_initial(&body).map_err(violation)?.data {
            Some(data) => Ok(data.to_vec()),
            // It wants to be asked first, with an empty challenge.
            None => self.ask_sasl(|out| auth::push_sasl_continue(out, &[])).await,
        }
    }

    async fn ask_sasl(&mut self, question: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>, Failed> {
        self.send(question).await?;
        let body = self.receive("SASL", MAX_SASL_LENGTH).await?;
        body.ok_or(Failed::Refused("SASL message of an impossible length"))
    }

    async fn send(&mut self, push: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failed> {
        let mut out = Vec::with_capacity(128);
        push(&mut out);
        Ok(self.stream.write_all(&out).await?)
    }

    /// The body of the next message, which must be a `p`; `None` if its length word is out of range.
    async fn receive(&mut self, what: &str, max_length: usize) -> Result<Option<Vec<u8>>, Failed> {
        let mut header = [0; HEADER];
        let read = self.stream.read(&mut header).await?;
        match header {
            _ if read == 0 => return Err(Failed::Gone),
            [b'p', ..] => {}
            [other, ..] => return Err(violation(&format!("expected {what} response, got message type {other}"))),
        }
        self.stream.read_exact(&mut header[read..]).await?;
        let [_, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=max_length.min(self.max_length)).contains(&length) {
            return Ok(None);
        }
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body).await?;
        Ok(Some(body))
    }

    /// Sends what PostgreSQL would send. The stream is of no use afterwards.
    async fn tell(&mut self, user: &str, failed: Failed) -> AuthFailure {
        let failure = match failed {
            Failed::Gone => AuthFailure::Gone,
            Failed::Io(error) => AuthFailure::Io(error),
            Failed::Protocol(error) => AuthFailure::Protocol(error),
            Failed::Refused(reason) => {
                let text = format!("password authentication failed for user \"{user}\"");
                AuthFailure::Refused { reason, error: PgError::fatal(sqlstate::INVALID_PASSWORD, text) }
            }
        };
        if let AuthFailure::Refused { error, .. } | AuthFailure::Protocol(Some(error)) = &failure {
            // That the client may be gone by now says less than why it was refused.
            let _ = self.stream.write_all(&error.to_bytes()).await;
        }
        failure
    }
}

fn violation(message: &str) -> Failed {
    Failed::Protocol(Some(PgError::fatal(sqlstate::PROTOCOL_VIOLATION, message)))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("no random bytes from the system"))?;
    Ok(bytes)
}

// === impl Failed, AuthFailure ===

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Failed::Gone,
            _ => Failed::Io(error),
        }
    }
}

impl From<PgError> for Failed {
    fn from(error: PgError) -> Self {
        Failed::Protocol(Some(error))
    }
}

impl AuthFailure {
    /// Input that breaks the protocol, as opposed to a wrong password or a broken connection.
    pub fn is_violation(&self) -> bool {
        matches!(self, AuthFailure::Protocol(_))
    }
}

impl fmt::Display for AuthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AuthFailure::Gone => f.write_str("closed before a password was sent"),
            AuthFailure::Refused { reason, error } => write!(f, "{}: {reason}", error.message),
            AuthFailure::Protocol(Some(error)) => write!(f, "{error}"),
            AuthFailure::Protocol(None) => f.write_str("message of an impossible length"),
            AuthFailure::Io(error) => write!(f, "{error}"),
        }
    }
}
