//! A connection of the demo's own that comes back by itself: each question connects first if it must.

use std::time::Duration;

use crate::config::Secret;
use crate::credential::Credential;
use crate::net::Stream;
use crate::server::connect::{ConnectError, Login, connect};
use crate::server::query::{Rows, query};

pub struct Talker {
    host: String,
    port: u16,
    user: &'static str,
    database: &'static str,
    parameters: Vec<(String, String)>,
    credential: Credential,
    stream: Option<Stream>,
}

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 1 << 20;

// === impl Talker ===

impl Talker {
    pub fn new(host: &str, port: u16, database: &'static str, user: &'static str, password: Option<&Secret>) -> Self {
        Self {
            host: host.to_owned(),
            port,
            user,
            database,
            parameters: vec![("application_name".to_owned(), "pgherd demo".to_owned())],
            credential: password.map_or(Credential::None, |password| Credential::Password(password.clone())),
            stream: None,
        }
    }

    /// Rows of one simple query. After an error that is not PostgreSQL's the next question connects anew.
    pub async fn ask(&mut self, sql: &str) -> Result<Rows, ConnectError> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let answer = query(&mut stream, sql, TIMEOUT, MAX_ANSWER_BYTES).await;
        let usable = match &answer {
            Ok(_) => true,
            Err(ConnectError::Postgres(error)) => error.severity == "ERROR",
            Err(_) => false,
        };
        self.stream = usable.then_some(stream);
        answer
    }

    async fn connect(&self) -> Result<Stream, ConnectError> {
        let login = Login {
            host: &self.host,
            port: self.port,
            user: self.user,
            database: self.database,
            parameters: &self.parameters,
            credential: &self.credential,
            timeout: TIMEOUT,
        };
        Ok(connect(login).await?.stream)
    }
}
