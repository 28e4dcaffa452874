//! A standby becomes the primary, and is let write.

use std::time::Duration;

use super::lock::Whose;
use super::{ANSWER, Control, Stop, columns, not_done, refused};
use crate::cluster::Outcome;
use crate::server::connect::ConnectError;

/// Standbys must follow the new primary before they can acknowledge its first write. Not for ever: meanwhile it is not probed.
const ACKNOWLEDGED: Duration = Duration::from_secs(2);

/// Standby or not, streaming or not, and the order only if it is a standby that lost its upstream: the last word is the
/// node's, for it may have found the primary again while the order was on its way.
const PROMOTE: &str = "\
SELECT pg_catalog.pg_is_in_recovery(), EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver), \
CASE WHEN pg_catalog.pg_is_in_recovery() AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver) \
     THEN pg_catalog.pg_promote(false) END";

/// Nobody is ended unless the replay waits for somebody; superusers can't be.
const END_BLOCKERS: &str = "\
SELECT count(pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity AS a \
WHERE a.backend_type = 'client backend' AND a.pid <> pg_catalog.pg_backend_pid() \
AND (a.backend_xmin IS NOT NULL OR a.xact_start IS NOT NULL) \
AND NOT COALESCE((SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = a.usesysid), true) \
AND EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS s WHERE s.backend_type = 'startup' \
  AND (s.wait_event LIKE 'RecoveryConflict%' OR s.wait_event_type IN ('Lock', 'BufferPin')))";

const RESUME: &str = "\
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() \
  AND pg_catalog.has_function_privilege('pg_catalog.pg_wal_replay_resume()', 'EXECUTE') \
  THEN CASE WHEN pg_catalog.pg_is_wal_replay_paused() THEN pg_catalog.pg_wal_replay_resume() IS NOT NULL END END";

/// The first transaction id that was not used yet; and this session waits for the standbys, whatever its role is set to.
const FIRST_LOOK: &str = "\
SELECT pg_catalog.pg_is_in_recovery(), \
CASE WHEN NOT pg_catalog.pg_is_in_recovery() \
     THEN pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) END, \
CASE WHEN pg_catalog.current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') \
     THEN pg_catalog.set_config('synchronous_commit', 'on', false) END, \
EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE n.nspname = 'pgherd' AND c.relname = 'epoch' \
        AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT') \
        AND pg_catalog.has_table_privilege(c.oid, 'INSERT') AND pg_catalog.has_table_privilege(c.oid, 'DELETE'))";

// === impl Control ===

impl Control<'_> {
    pub(super) async fn clear(&mut self) -> Result<Outcome, Stop> {
        self.lock(Whose::Ours).await?;
        self.end_blockers().await?;
        self.session.query(RESUME, ANSWER).await?;
        Ok(Outcome::Done)
    }

    pub(super) async fn end_blockers(&mut self) -> Result<(), ConnectError> {
        let rows = self.session.query(END_BLOCKERS, ANSWER).await?;
        if let [Some(count)] = columns(&rows).as_slice()
            && *count != "0"
        {
            tracing::warn!("{}: ended {count} sessions that its replay waited for", self.node.name);
        }
        Ok(())
    }

    pub(super) async fn promote(&mut self, timeline: u32) -> Result<Outcome, Stop> {
        // An earlier order whose answer was lost can't come true later than this one's: its session had the lock.
        self.lock(Whose::Ours).await?;
        if self.is_in_recovery().await? {
            self.expect_timeline(timeline).await?;
            self.clear().await?;
        }
        let rows = match self.session.query(PROMOTE, ANSWER).await {
            Ok(rows) => rows,
            // Not allowed, or no such function. Any other error may have come after the signal was given.
            Err(ConnectError::Postgres(error)) if matches!(error.sqlstate.as_ref(), "42501" | "42883") => {
                return Err(not_done(error.to_string()));
            }
            Err(error) => return Err(Stop::Lost(Outcome::Unknown(error.to_string()))),
        };
        Ok(match columns(&rows).as_slice() {
            [Some("t"), Some("t"), _] => Outcome::Refused("it streams again".to_owned()),
            [Some("t"), Some("f"), Some("t")] | [Some("f"), ..] => Outcome::Done,
            other => Outcome::NotDone(format!("it answered {other:?}")),
        })
    }

    pub(super) async fn open(&mut self, epoch: u64, primary: &str) -> Result<Outcome, Stop> {
        self.lock(Whose::Ours).await?;
        let rows = self.session.query(FIRST_LOOK, ANSWER).await?;
        let (xmax, has_table) = match columns(&rows).as_slice() {
            [Some("f"), xmax, _, has_table] => (xmax.and_then(|xmax| xmax.parse().ok()), *has_table == Some("t")),
            _ => return Err(not_done("it is not promoted yet")),
        };
        // What was begun between a first try and this one was begun after the promotion.
        let xmax = match self.past.opened {
            Some((known, first)) if known == epoch => first,
            _ => xmax,
        };
        self.past.opened = Some((epoch, xmax));
        let write = first_write(epoch, primary, has_table);
        let reply = match self.session.query_with_notices(&write, ACKNOWLEDGED).await {
            Ok(reply) => reply,
            Err(ConnectError::TimedOut(after)) => {
                let why = format!("its first write is not acknowledged by the standbys within {after:?}");
                return Err(Stop::Lost(Outcome::Unknown(why)));
            }
            Err(error) => return Err(error.into()),
        };
        // "canceling the wait for synchronous replication": committed here, perhaps nowhere else.
        match reply.notices.into_iter().find(|notice| notice.severity == "WARNING") {
            Some(warning) => Ok(Outcome::Unknown(format!("its first write: {}", warning.message))),
            None => Ok(Outcome::Opened { xmax }),
        }
    }

    async fn is_in_recovery(&mut self) -> Result<bool, ConnectError> {
        let rows = self.session.query("SELECT pg_catalog.pg_is_in_recovery()", ANSWER).await?;
        Ok(columns(&rows) == [Some("t")])
    }

    pub(super) async fn expect_timeline(&mut self, timeline: u32) -> Result<(), Stop> {
        let own = self.session.timeline(ANSWER).await?;
        if own == timeline { Ok(()) } else { Err(refused(format!("it is on timeline {own}, not {timeline}"))) }
    }
}

/// One transaction. Of the rows, the last hundred are kept.
fn first_write(epoch: u64, primary: &str, has_table: bool) -> String {
    let primary = primary.replace('\\', "\\\\").replace('\'', "''");
    if !has_table {
        return format!("SELECT pg_catalog.pg_logical_emit_message(true, 'pgherd', E'epoch {epoch} {primary}')");
    }
    format!(
        "WITH old AS (DELETE FROM pgherd.epoch WHERE opened_at < \
         (SELECT e.opened_at FROM pgherd.epoch AS e ORDER BY e.opened_at DESC OFFSET 99 LIMIT 1)) \
         INSERT INTO pgherd.epoch (epoch, primary_name, timeline) VALUES ({epoch}, E'{primary}', \
         ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int)"
    )
}
