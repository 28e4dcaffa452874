//! The coordinators' lock of a node: whoever changes something there holds it, so that PostgreSQL itself refuses what a
//! coordinator sends late. (PostgreSQL docs, "Advisory Locks"; they work on hot standbys, too.)

use std::time::Instant;

use super::{ANSWER, Control, PAUSE, SETTLED, Stop, columns, not_done};

/// Whose lock may be taken away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// An earlier session of ours, of which nobody knows what it is still to do.
    Ours,
    Anybodys,
}

/// `pgherd` in ASCII. Advisory locks are those of one database, and monitors may use different ones: whoever has the lock
/// of another database is asked for as well.
const TAKE: &str = "\
SELECT pg_catalog.pg_try_advisory_lock(123589435421284), \
(SELECT pg_catalog.string_agg(pid::text, ' ') FROM pg_catalog.pg_locks \
 WHERE locktype = 'advisory' AND classid = 28775 AND objid = 1751478884 AND objsubid = 1 AND granted \
 AND pid <> pg_catalog.pg_backend_pid())";

// === impl Control ===

impl Control<'_> {
    /// Returns once this session has the lock.
    pub(super) async fn lock(&mut self, whose: Whose) -> Result<(), Stop> {
        let ended = Instant::now() + SETTLED;
        while !self.session.has_lock {
            let rows = self.session.query(TAKE, ANSWER).await?;
            let (taken, holders) = match columns(&rows).as_slice() {
                [taken, holders] => (*taken == Some("t"), holders.unwrap_or_default()),
                other => return Err(not_done(format!("the lock was answered with {other:?}"))),
            };
            if taken && holders.is_empty() {
                self.session.has_lock = true;
                return Ok(());
            }
            let is_ours = |pid: &str| pid.parse().is_ok_and(|pid| self.past.sessions.contains(&pid));
            let strangers: Vec<&str> = holders.split(' ').filter(|pid| !pid.is_empty() && !is_ours(pid)).collect();
            if whose == Whose::Ours && !strangers.is_empty() {
                let why = format!("another coordinator has the lock (process {})", strangers.join(", "));
                // Not `Refused`: what the other one has ordered may be under way.
                return Err(not_done(why));
            }
            if Instant::now() > ended {
                return Err(not_done(format!("process {holders} has the coordinators' lock and does not end")));
            }
            for pid in holders.split(' ').filter(|pid| !pid.is_empty()) {
                if strangers.contains(&pid) {
                    tracing::warn!("{}: takes the lock from another coordinator (process {pid})", self.node.name);
                }
                self.session.query(&format!("SELECT pg_catalog.pg_terminate_backend({pid})"), ANSWER).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}
