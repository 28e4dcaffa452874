//! Where a standby streams from, changed by `primary_conninfo` and a reload (PostgreSQL 13 and newer).

use std::time::{Duration, Instant};

use super::lock::Whose;
use super::{ANSWER, Control, PAUSE, SETTLED, Stop, columns, not_done, refused};
use crate::cluster::Outcome;
use crate::monitor::conninfo;
use crate::server::connect::ConnectError;

/// ALTER SYSTEM writes and syncs a file.
const WRITTEN: Duration = Duration::from_secs(5);
/// A receiver that is still there by then is waited for by a replay that hangs: then that is helped, this often.
const HELP: Duration = Duration::from_millis(50);

const UPSTREAM: &str = "\
SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('server_version_num')::int >= 130000, \
pg_catalog.current_setting('primary_conninfo'), pg_catalog.hashtext(pg_catalog.current_setting('primary_conninfo')), \
pg_catalog.current_setting('primary_slot_name')";

const RELOAD: &str = "SELECT pg_catalog.pg_reload_conf()";

const HASH: &str = "SELECT pg_catalog.hashtext(pg_catalog.current_setting('primary_conninfo'))";

/// Also those that are only connecting, which `pg_stat_wal_receiver` does not show.
const RECEIVERS: &str = "\
SELECT pg_catalog.string_agg(pid::text, ' ') FROM \
(SELECT pid FROM pg_catalog.pg_stat_wal_receiver UNION \
 SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walreceiver') AS receivers";

struct Upstream {
    /// May hold a password.
    conninfo: String,
    hash: String,
    slot: String,
}

// === impl Control ===

impl Control<'_> {
    pub(super) async fn sever(&mut self, timeline: u32) -> Result<Outcome, Stop> {
        match self.lock(Whose::Ours).await {
            Err(Stop::With(Outcome::NotDone(_))) => {
                // Who has to be refused does not take the lock from somebody else first.
                self.upstream().await?;
                self.expect_timeline(timeline).await?;
                self.lock(Whose::Anybodys).await?;
            }
            result => result?,
        }
        let upstream = self.upstream().await?;
        self.expect_timeline(timeline).await?;
        if let Some(severed) = conninfo::severed(&upstream.conninfo).map_err(unreadable)? {
            self.set_conninfo(&upstream, &severed).await?;
        }
        // Twice none: the first time, one that was started before the reload may just not be there yet.
        let mut is_gone = false;
        let begun = Instant::now();
        let mut help = begun + HELP;
        loop {
            let was_gone = is_gone;
            is_gone = self.receivers().await?.is_empty();
            if is_gone && was_gone {
                return Ok(Outcome::Done);
            }
            if begun.elapsed() > SETTLED {
                let why = "its WAL receiver does not end: is its replay paused, delayed or blocked?";
                return Err(Stop::With(Outcome::Unknown(why.to_owned())));
            }
            if !is_gone && Instant::now() > help {
                // The receiver is ended by the process that replays, between two records.
                self.clear().await?;
                help = Instant::now() + HELP;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) async fn restore(&mut self) -> Result<Outcome, Stop> {
        self.lock(Whose::Ours).await?;
        let upstream = self.upstream().await?;
        if let Some(restored) = conninfo::restored(&upstream.conninfo).map_err(unreadable)? {
            self.set_conninfo(&upstream, &restored).await?;
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn reconnect(&mut self) -> Result<Outcome, Stop> {
        self.lock(Whose::Ours).await?;
        let upstream = self.upstream().await?;
        let old = self.receivers().await?;
        self.set_conninfo(&upstream, &conninfo::reworded(&upstream.conninfo)).await?;
        let begun = Instant::now();
        while self.receivers().await?.iter().any(|pid| old.contains(pid)) {
            if begun.elapsed() > SETTLED {
                return Err(not_done("its WAL receiver does not end: is its replay paused, delayed or blocked?"));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Outcome::Done)
    }

    pub(super) async fn repoint(&mut self, host: &str, port: u16) -> Result<Outcome, Stop> {
        if is_loopback(host) && !is_loopback(&self.node.host) {
            let why = format!("it would not find the new primary at {host}: give that node its real address");
            return Err(not_done(why));
        }
        self.lock(Whose::Ours).await?;
        let upstream = self.upstream().await?;
        let new = conninfo::with_address(&upstream.conninfo, host, port).map_err(unreadable)?;
        if !upstream.slot.is_empty() {
            let (name, slot) = (&self.node.name, &upstream.slot);
            tracing::warn!(
                "{name} uses the slot {slot:?}: it must exist on the new primary, or {name} will not stream"
            );
        }
        self.set_conninfo(&upstream, &new).await?;
        Ok(Outcome::Done)
    }

    /// Of a standby that can be pointed elsewhere.
    async fn upstream(&mut self) -> Result<Upstream, Stop> {
        let rows = self.session.query(UPSTREAM, ANSWER).await?;
        match columns(&rows).as_slice() {
            [Some("t"), Some("t"), Some(conninfo), Some(hash), slot] => Ok(Upstream {
                conninfo: (*conninfo).to_owned(),
                hash: (*hash).to_owned(),
                slot: slot.unwrap_or_default().to_owned(),
            }),
            [Some("t"), Some("f"), ..] => Err(not_done("PostgreSQL 12 would have to be restarted for it")),
            _ => Err(refused("it is no standby")),
        }
    }

    /// Process ids.
    async fn receivers(&mut self) -> Result<Vec<String>, ConnectError> {
        let rows = self.session.query(RECEIVERS, ANSWER).await?;
        let pids = columns(&rows).first().copied().flatten().unwrap_or_default();
        Ok(pids.split_whitespace().map(str::to_owned).collect())
    }

    /// Returns when the new text is in force. Reloads in any case: it may have been written and not been read yet.
    async fn set_conninfo(&mut self, old: &Upstream, new: &str) -> Result<(), Stop> {
        if new != old.conninfo {
            let literal = new.replace('\\', "\\\\").replace('\'', "''");
            self.session.query(&format!("ALTER SYSTEM SET primary_conninfo = E'{literal}'"), WRITTEN).await?;
        }
        self.session.query(RELOAD, ANSWER).await?;
        let begun = Instant::now();
        while new != old.conninfo && columns(&self.session.query(HASH, ANSWER).await?) == [Some(old.hash.as_str())] {
            if begun.elapsed() > SETTLED {
                let why = "it does not read its new settings: is there an error in its configuration files?";
                return Err(Stop::With(Outcome::Unknown(why.to_owned())));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

fn unreadable(why: &'static str) -> Stop {
    not_done(format!("its primary_conninfo can't be read: {why}"))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
