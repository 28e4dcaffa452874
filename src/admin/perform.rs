//! Does what an operator wants of the service. A pause that he stops waiting for is over.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::service::Service;
use crate::client::registry::ClientEntry;
use crate::pool::doors::NoChange;
use crate::shared::Shared;
use crate::wire::error::{PgError, sqlstate};

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(10);

/// What has been ended at once is gone within this, or is told to be still there.
const END: Duration = Duration::from_secs(5);

/// Begun by this, until it is done: whoever stops waiting takes it back.
struct Undone<'a> {
    shared: &'a Shared,
    database: Option<&'a str>,
    is_done: bool,
}

impl Drop for Undone<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = self.shared.pools.doors.change(|closed| closed.resume(self.database));
            tracing::info!(database = self.database, "PAUSE was given up");
        }
    }
}

/// What was done, in words. Dropped before: see [`Undone`].
///
/// # Errors
/// 55000 where nothing changes, 22023 for a client that is not there, F0000 for a configuration with errors.
pub async fn perform(shared: &Arc<Shared>, service: &Service) -> Result<String, PgError> {
    let doors = &shared.pools.doors;
    match service {
        Service::Pause(database) => pause(shared, database.as_deref()).await,
        Service::Resume(database) => {
            changed(doors.change(|closed| closed.resume(database.as_deref())), database.as_deref())?;
            Ok(format!("{} is served", subject(database.as_deref())))
        }
        Service::Disable(database) => {
            changed(doors.change(|closed| closed.disable(database)), Some(database))?;
            let clients = clients_of(shared, Some(database)).len();
            Ok(format!("nobody can connect to \"{database}\" any more; connected: {clients}"))
        }
        Service::Enable(database) => {
            changed(doors.change(|closed| closed.enable(database)), Some(database))?;
            Ok(format!("clients can connect to \"{database}\""))
        }
        Service::Reconnect(database) => {
            shared.pools.renew(database.as_deref());
            let left = shared.pools.stale(database.as_deref());
            Ok(format!(
                "idle servers are closed; {left} at work will be when they come free (WAIT_CLOSE waits for them)"
            ))
        }
        Service::WaitClose(database) => {
            while shared.pools.stale(database.as_deref()) > 0 {
                tokio::time::sleep(LOOK).await;
            }
            Ok("all are closed".to_owned())
        }
        Service::Kill(database) => kill(shared, database.as_deref()).await,
        Service::KillClient(id) => kill_client(shared, *id).await,
        Service::Reload => shared.reloads.ask().await.map_err(|reason| {
            PgError::error(sqlstate::CONFIG_FILE_ERROR, "the configuration file can't be used; nothing has changed")
                .with_detail(reason)
        }),
        Service::Shutdown(stop) => {
            shared.stop.send_replace(Some(*stop));
            Ok(stop.announcement().to_owned())
        }
    }
}

async fn pause(shared: &Shared, database: Option<&str>) -> Result<String, PgError> {
    changed(shared.pools.doors.change(|closed| closed.pause(database)), database)?;
    let mut undone = Undone { shared, database, is_done: false };
    loop {
        // Those that come back, and those that were idle.
        shared.pools.renew(database);
        if shared.pools.open(database) == 0 {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    undone.is_done = true;
    Ok(format!("{} is paused: no server is open, whoever asks for one waits for RESUME", subject(database)))
}

async fn kill(shared: &Shared, database: Option<&str>) -> Result<String, PgError> {
    // Paused already: then it stays so.
    let _ = shared.pools.doors.change(|closed| closed.pause(database));
    let clients = clients_of(shared, database);
    clients.iter().for_each(|client| client.kick.set_at_once());
    let is_over = || {
        shared.pools.renew(database);
        shared.pools.open(database) == 0 && clients_of(shared, database).is_empty()
    };
    let ended = tokio::time::timeout(END, until(is_over)).await;
    let left =
        if ended.is_ok() { String::new() } else { format!("; {} servers still end", shared.pools.open(database)) };
    Ok(format!("{} clients of {} were ended{left}; it is paused until RESUME", clients.len(), subject(database)))
}

async fn kill_client(shared: &Shared, id: u64) -> Result<String, PgError> {
    let all = shared.clients.all();
    let Some(client) = all.iter().find(|client| client.id == id) else {
        let error = PgError::error(sqlstate::INVALID_PARAMETER_VALUE, format!("there is no client {id}"));
        return Err(error.with_hint("SHOW CLIENTS tells the id of each."));
    };
    client.kick.set_at_once();
    let is_gone = || !shared.clients.all().iter().any(|client| client.id == id);
    match tokio::time::timeout(END, until(is_gone)).await {
        Ok(()) => Ok(format!("client {id} was ended (user {}, database {})", client.user, client.database)),
        Err(_) => Ok(format!("client {id} was told to end; it has not yet")),
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Those of applications.
fn clients_of(shared: &Shared, database: Option<&str>) -> Vec<Arc<ClientEntry>> {
    let mut clients = shared.clients.all();
    clients.retain(|client| match database {
        None => !super::Dialect::is_console(&client.database),
        Some(name) => *client.database == *name,
    });
    clients
}

fn subject(database: Option<&str>) -> String {
    database.map_or_else(|| "every database".to_owned(), |name| format!("\"{name}\""))
}

fn changed(change: Result<(), NoChange>, database: Option<&str>) -> Result<(), PgError> {
    let told = |NoChange(why)| {
        let error = PgError::error(sqlstate::NOT_IN_PREREQUISITE_STATE, format!("{} {why}", subject(database)));
        error.with_hint("SHOW DATABASES: paused, disabled.")
    };
    change.map_err(told)
}

/// What keeps a pause waiting, for whoever watches it.
pub fn waited_for(shared: &Shared, database: Option<&str>) -> String {
    let clients = clients_of(shared, database);
    let with_server = clients.iter().filter(|client| client.server_id.load(Relaxed) != 0);
    let (pinned, busy): (Vec<_>, Vec<_>) =
        with_server.partition(|client| client.pin() != crate::client::registry::Pin::None);
    format!(
        "{} servers are still open: {} clients are in a transaction, {} keep their server (SHOW CLIENTS: pin). KILL_CLIENT \
         ends one; a cancel request gives the pause up.",
        shared.pools.open(database),
        busy.len(),
        pinned.len()
    )
}
