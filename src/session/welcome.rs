//! The greeting of a client that has logged in.

use std::sync::Arc;
use std::time::Instant;

use super::told::Told;
use super::{Close, Refused, Session};
use crate::client::logins::Welcome;
use crate::client::registry::Pin;
use crate::sql::Class;
use crate::wire::auth;
use crate::wire::error::PgError;

impl Session {
    /// Tells the client what PostgreSQL reports to a session that starts like this one, its key, and that it may begin: all at
    /// once, behind what is `unsent`.
    pub(super) async fn welcome(&mut self, unsent: &mut Vec<u8>) -> Result<(), Close> {
        let key = (Arc::clone(&self.database), Arc::clone(&self.user), self.settings.startup_but_name());
        let welcome = match self.shared.logins.welcome(&key) {
            Some(welcome) => welcome,
            None => {
                let learned = Arc::new(Welcome::new(self.learn_welcome().await?));
                self.shared.logins.keep_welcome(key, Arc::clone(&learned));
                learned
            }
        };
        let mut out = std::mem::take(unsent);
        let name = self.settings.startup.get("application_name");
        welcome.push(&mut out, name);
        self.replies.told = Told::new(Arc::clone(&welcome.reported));
        if let Some(name) = name
            && self.replies.told.get("application_name").is_some()
        {
            self.replies.told.tell("application_name", name);
        }
        auth::push_backend_key_data(&mut out, self.entry.process_id, self.entry.cancel_key.as_bytes());
        auth::push_ready_for_query(&mut out, b'I');
        self.send(&out).await
    }

    /// Asks a server: the database must be there, the user be let in, the settings be valid.
    async fn learn_welcome(&mut self) -> Result<Vec<(String, String)>, Close> {
        let fatal = |error: PgError| Close::Error(PgError { severity: "FATAL".into(), ..error });
        self.request_at = Instant::now();
        // Any node will do: while there is no primary, a reader may still log in.
        let mut checkout = match self.acquire(Some(&Class::EMPTY)).await {
            Ok(checkout) => checkout,
            Err(Refused::Error(error)) => return Err(fatal(error)),
            Err(Refused::Gone(close)) => return Err(close),
        };
        self.pin = Pin::None;
        self.dirty = false;
        let limit = self.config.pool.connect_timeout;
        // Others are welcomed by it, who call themselves otherwise.
        let nameless = Arc::new(self.settings.wanted.without("application_name"));
        let applied = super::greet::apply(&mut checkout, &nameless, limit).await;
        let mut reported = checkout.reported.clone();
        // What a standby reports of itself is not what the cluster is to its clients.
        for (_, value) in reported.iter_mut().filter(|(name, _)| name == "in_hot_standby") {
            "off".clone_into(value);
        }
        match applied {
            Ok(()) => self.release_after_cancel(checkout).await,
            Err(error) => {
                checkout.discard();
                return Err(fatal(error));
            }
        }
        self.entry.set_pin(Pin::None);
        Ok(reported)
    }
}
