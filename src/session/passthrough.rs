//! A replication connection: a server of its own on the primary, logged in as the client asked, bytes both ways.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use super::hold::connect_error;
use super::login::Registered;
use crate::client::registry::{ClientState, Pin, Running};
use crate::credential::Credential;
use crate::net::Stream;
use crate::server::connect::{ConnectError, LoggedIn, Login, connect};
use crate::shared::Shared;
use crate::wire::auth;
use crate::wire::cancel::BackendKey;
use crate::wire::error::{PgError, sqlstate};
use crate::wire::startup::Startup;

pub struct Passthrough {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: Stream,
    pub(super) entry: Registered,
    pub(super) startup: Startup,
    pub(super) credential: Credential,
}

impl Passthrough {
    /// Until either side closes. Ends at once when the proxy stops: a receiver reconnects.
    pub async fn run(mut self) {
        match self.open().await {
            Ok(mut server) => {
                let entry = Arc::clone(&self.entry.entry);
                entry.set_state(ClientState::Active);
                entry.set_pin(Pin::SessionMode);
                tokio::select! {
                    () = entry.kick.wait() => {}
                    _ = tokio::io::copy_bidirectional(&mut self.stream, &mut server) => {}
                }
            }
            Err(error) => {
                let error = PgError { severity: "FATAL".into(), ..error };
                let _ = self.stream.write_all(&error.to_bytes()).await;
            }
        }
        let _ = self.stream.shutdown().await;
    }

    async fn open(&mut self) -> Result<Stream, PgError> {
        let topology = self.shared.topology.latest();
        let Some(primary) = topology.primary else {
            return Err(PgError::fatal(sqlstate::CANNOT_CONNECT_NOW, "no primary is available"));
        };
        let node = topology.node(primary);
        let mut parameters = self.startup.parameters.clone();
        parameters.extend(self.startup.replication.clone().map(|value| ("replication".to_owned(), value)));
        let login = Login {
            host: &node.host,
            port: node.port,
            user: &self.startup.user,
            database: &self.startup.database,
            parameters: &parameters,
            credential: &self.credential,
            timeout: self.shared.config.load().pool.connect_timeout,
        };
        let logged_in = connect(login).await.map_err(connect_error)?;
        let LoggedIn { stream, parameters, process_id, cancel_key } = logged_in;
        let key = Arc::new(BackendKey { process_id, secret: cancel_key.into_boxed_slice() });
        self.entry.entry.lock_cancel().what = Running::On { node: primary, key };
        let mut out = Vec::with_capacity(512);
        for (name, value) in &parameters {
            auth::push_parameter_status(&mut out, name, value);
        }
        auth::push_backend_key_data(&mut out, self.entry.entry.process_id, self.entry.entry.cancel_key.as_bytes());
        auth::push_ready_for_query(&mut out, b'I');
        self.stream.write_all(&out).await.map_err(|error| connect_error(ConnectError::Io(error)))?;
        Ok(stream)
    }
}
