//! The protocol by hand: sends what no driver would send, shows what no driver would show. Logs in without a password
//! (`Role::config` has `auth.method = "trust"`), so that a thousand clients cost no thousand proofs.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use pgherd::config::Secret;
use pgherd::credential::Credential;
use pgherd::demo::{Cluster, Node};
use pgherd::net::exact::{Message, read_message};
use pgherd::server::connect::{LoggedIn, Login, connect};
use pgherd::wire::cancel::BackendKey;
use pgherd::wire::error::PgError;
use pgherd::wire::{frame, frontend, startup};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{shared, unique};

/// Nothing may hang: an answer that takes longer fails the test.
const PATIENCE: Duration = Duration::from_secs(45);

/// One connection.
pub struct Raw {
    pub stream: BufReader<TcpStream>,
    port: u16,
    pub key: BackendKey,
    /// As PostgreSQL last reported them.
    pub parameters: BTreeMap<String, String>,
}

/// Up to ReadyForQuery, or to the end of the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Option<String>>>,
    /// Of each CommandComplete.
    pub tags: Vec<String>,
    pub errors: Vec<PgError>,
    /// The texts of all notices.
    pub notices: Vec<String>,
    /// The kinds of all messages.
    pub kinds: String,
    /// `I`, `T`, `E`; 0 when the connection was closed instead.
    pub status: u8,
}

// === impl Raw ===

impl Raw {
    /// `Err`: the first error, before ReadyForQuery came.
    pub async fn connect(port: u16, parameters: &[(&str, &str)]) -> Result<Self, PgError> {
        let stream = socket(port).await;
        let key = BackendKey { process_id: 0, secret: Box::default() };
        let mut raw = Self { stream: BufReader::new(stream), port, key, parameters: BTreeMap::new() };
        let mut hello = Vec::new();
        startup::encode_startup(&mut hello, parameters.iter().copied());
        raw.send(&hello).await;
        loop {
            let Some(message) = raw.receive().await else {
                return Err(PgError::fatal("00000", "closed without a word"));
            };
            match message.tag {
                b'E' => return Err(PgError::parse(&message.body)),
                b'K' => {
                    let (process_id, secret) = message.body.split_first_chunk::<4>().unwrap();
                    raw.key = BackendKey { process_id: i32::from_be_bytes(*process_id), secret: secret.into() };
                }
                b'Z' => return Ok(raw),
                _ => {}
            }
        }
    }

    /// Straight to a node, as one of the cluster's own roles in database `app`.
    pub async fn direct(cluster: &Cluster, node: &Node, user: &str) -> Self {
        Self::direct_to(node, "app", user, cluster.passwords().of(user).unwrap().clone()).await
    }

    /// Straight to a node.
    pub async fn direct_to(node: &Node, database: &str, user: &str, password: Secret) -> Self {
        let credential = Credential::Password(password);
        let (host, port) = (node.host(), node.port());
        let login = Login { host, port, user, database, parameters: &[], credential: &credential, timeout: PATIENCE };
        let LoggedIn { stream, parameters, process_id, cancel_key } = connect(login).await.unwrap();
        let key = BackendKey { process_id, secret: cancel_key.into() };
        Self { stream: BufReader::new(stream), port, key, parameters: parameters.into_iter().collect() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        // Who is thrown out while he sends finds the reason in what he reads.
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("sent in time");
    }

    /// `None`: the connection is closed.
    pub async fn receive(&mut self) -> Option<Message> {
        let message = tokio::time::timeout(PATIENCE, read_message(&mut self.stream, 1 << 30)).await;
        let message = match message.unwrap_or_else(|_| panic!("no message within {PATIENCE:?}")) {
            Ok(message) => message,
            Err(error) if is_end(&error) => return None,
            Err(error) => panic!("not protocol 3: {error}"),
        };
        if message.tag == b'S' {
            let mut parts = message.body.split(|b| *b == 0).map(|part| String::from_utf8_lossy(part).into_owned());
            self.parameters.insert(parts.next().unwrap(), parts.next().unwrap());
        }
        Some(message)
    }

    pub async fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        while let Some(Message { tag, body }) = self.receive().await {
            answer.kinds.push(char::from(tag));
            match tag {
                b'T' => answer.columns = column_names(&body),
                b'D' => answer.rows.push(columns(&body)),
                b'C' => answer.tags.push(String::from_utf8_lossy(&body[..body.len() - 1]).into_owned()),
                b'E' => answer.errors.push(PgError::parse(&body)),
                b'N' => answer.notices.push(PgError::parse(&body).message),
                b'Z' => {
                    answer.status = body[0];
                    break;
                }
                // COPY waits for the client: so does whoever asked for it.
                b'G' => break,
                _ => {}
            }
        }
        answer
    }

    /// A simple Query.
    pub async fn query(&mut self, sql: &str) -> Answer {
        self.send_query(sql).await;
        self.answer().await
    }

    pub async fn send_query(&mut self, sql: &str) {
        let mut out = Vec::new();
        frontend::push_query(&mut out, sql);
        self.send(&out).await;
    }

    /// The one value of the one row. Panics on an error.
    pub async fn value(&mut self, sql: &str) -> String {
        self.query(sql).await.value()
    }

    /// Parse only, under `name`.
    pub async fn prepare(&mut self, name: &str, sql: &str) -> Answer {
        let mut out = Vec::new();
        push_parse(&mut out, name, sql);
        frontend::push_sync(&mut out);
        self.send(&out).await;
        self.answer().await
    }

    /// Bind, Execute, Sync of a statement prepared earlier.
    pub async fn execute(&mut self, name: &str, parameters: &[&str]) -> Answer {
        let mut out = Vec::new();
        push_execute(&mut out, name, parameters);
        frontend::push_sync(&mut out);
        self.send(&out).await;
        self.answer().await
    }

    /// Parse, Bind, Execute, Sync of the unnamed statement.
    pub async fn unnamed(&mut self, sql: &str, parameters: &[&str]) -> Answer {
        let mut out = Vec::new();
        push_parse(&mut out, "", sql);
        push_execute(&mut out, "", parameters);
        frontend::push_sync(&mut out);
        self.send(&out).await;
        self.answer().await
    }

    /// Asks to cancel what this connection is running, and waits until the request was taken.
    pub async fn cancel(&self) {
        cancel(self.port, &self.key).await;
    }

    pub async fn terminate(mut self) {
        self.send(b"X\0\0\0\x04").await;
    }

    /// Whether the other side has closed, once all that it sent is read.
    pub async fn is_closed(&mut self) -> bool {
        self.receive().await.is_none()
    }
}

pub async fn socket(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap_or_else(|error| panic!("port {port}: {error}"))
}

pub async fn cancel(port: u16, key: &BackendKey) {
    let mut stream = socket(port).await;
    stream.write_all(&key.cancel_request()).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the cancel request was taken");
    assert_eq!(rest, b"", "a cancel request gets no answer");
}

pub fn push_parse(out: &mut Vec<u8>, name: &str, sql: &str) {
    frontend::push_parse(out, name.as_bytes(), format!("{sql}\0\0\0").as_bytes());
}

/// Bind to the unnamed portal with text parameters, and Execute.
pub fn push_execute(out: &mut Vec<u8>, name: &str, parameters: &[&str]) {
    frame::push(out, b'B', |out| {
        out.push(0);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\0\0\0");
        out.extend_from_slice(&(parameters.len() as u16).to_be_bytes());
        for parameter in parameters {
            out.extend_from_slice(&(parameter.len() as u32).to_be_bytes());
            out.extend_from_slice(parameter.as_bytes());
        }
        out.extend_from_slice(b"\0\0");
    });
    frame::push(out, b'E', |out| out.extend_from_slice(b"\0\0\0\0\0"));
}

fn column_names(body: &[u8]) -> Vec<String> {
    let mut rest = &body[2..];
    let mut names = Vec::new();
    while let Some((name, tail)) = frame::c_string(rest) {
        names.push(String::from_utf8_lossy(name).into_owned());
        rest = &tail[18..];
    }
    names
}

fn columns(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*length);
        let (text, tail) = tail.split_at(length.max(0) as usize);
        columns.push((length >= 0).then(|| String::from_utf8_lossy(text).into_owned()));
        rest = tail;
    }
    columns
}

fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

// === impl Answer ===

impl Answer {
    pub fn value(&self) -> String {
        assert!(self.errors.is_empty() && self.rows.len() == 1 && self.rows[0].len() == 1, "{self:?}");
        self.rows[0][0].clone().unwrap_or_default()
    }

    /// One column of the rows for which `wanted` holds; it gets the row's text by column name.
    pub fn column(&self, name: &str, wanted: impl Fn(&dyn Fn(&str) -> String) -> bool) -> Vec<String> {
        let at = |name: &str| self.columns.iter().position(|column| column == name).expect("a column of that name");
        let text = |row: &[Option<String>], name: &str| row[at(name)].clone().unwrap_or_default();
        let rows = self.rows.iter().filter(|row| wanted(&|name| text(row, name)));
        rows.map(|row| text(row, name)).collect()
    }

    /// SQLSTATE of the first error; empty if there was none.
    pub fn sqlstate(&self) -> &str {
        self.errors.first().map_or("", |error| &error.sqlstate)
    }
}

// === Role ===

/// A role of its own for a test on the shared cluster, with a schema of its own in database `app`: what
/// `pg_stat_activity` says of it is of nobody else.
pub struct Role {
    pub name: String,
}

const PASSWORD: &str = "of a role for tests";

impl Role {
    pub fn new(name: &str) -> Self {
        Self::on(shared(), name)
    }

    pub fn on(cluster: &Cluster, name: &str) -> Self {
        let name = unique(name);
        let sql = format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'; CREATE SCHEMA AUTHORIZATION {name}");
        cluster.pg1.psql_as("app", "postgres", &sql).unwrap();
        cluster.wait_caught_up().unwrap();
        Self { name }
    }

    /// PostgreSQL's, of each of them.
    pub fn password() -> &'static str {
        PASSWORD
    }

    /// Lets everybody in, knows the role's password.
    pub fn config(&self) -> String {
        format!("[auth]\nmethod = 'trust'\n{}", self.user())
    }

    /// For the configuration of a further role.
    pub fn user(&self) -> String {
        format!("[[user]]\nname = '{}'\npassword = '{PASSWORD}'\n", self.name)
    }

    /// A client in database `app`.
    pub async fn raw(&self, port: u16) -> Raw {
        self.raw_with(port, &[]).await.unwrap_or_else(|error| panic!("no login: {error:?}"))
    }

    pub async fn raw_with(&self, port: u16, more: &[(&str, &str)]) -> Result<Raw, PgError> {
        let own = [("user", self.name.as_str()), ("database", "app")];
        Raw::connect(port, &[&own, more].concat()).await
    }
}

/// The console, by hand as well.
pub async fn console(port: u16) -> Raw {
    let parameters = [("user", "admin"), ("database", "pgherd")];
    Raw::connect(port, &parameters).await.unwrap_or_else(|error| panic!("no console: {error:?}"))
}
