//! The probe's questions, and its rows read into an observation. Pure.

use std::time::Instant;

use super::conninfo;
use crate::cluster::{Lsn, Observation};
use crate::server::query::Rows;

/// Replication command: system identifier, timeline (the live one, also on a standby), WAL position, database.
/// (PostgreSQL docs, "Streaming Replication Protocol".)
pub(super) const IDENTIFY_SYSTEM: &str = "IDENTIFY_SYSTEM";

/// One row; the columns are those `read_state` takes. `pg_is_in_recovery()` is asked once, so that a promotion in
/// the middle can't mix a standby's answer with a primary's; functions that fail in recovery stand behind the CASE.
/// A standby that was restarted and has not streamed since is at the end of its WAL only once it waits for more.
/// The primary's own timeline comes along for the same reason: IDENTIFY_SYSTEM was asked a moment earlier.
macro_rules! state_query {
    ($more_columns:literal) => {
        concat!(
            "WITH self AS MATERIALIZED (SELECT pg_is_in_recovery() AS standby) \
             SELECT standby, \
             CASE WHEN NOT standby THEN pg_current_wal_lsn() \
                  WHEN pg_last_wal_receive_lsn() IS NULL AND pg_has_role('pg_read_all_stats', 'USAGE') \
                       AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' \
                         AND wait_event IN ('RecoveryRetrieveRetryInterval', 'RecoveryWalStream')) THEN NULL \
                  ELSE greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) END, \
             CASE WHEN standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, \
             CASE WHEN NOT standby THEN NULL \
                  WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0 \
                  ELSE (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::int8 END, \
             CASE WHEN standby THEN NULL ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END, \
             CASE WHEN standby THEN NULL ELSE pg_current_wal_insert_lsn() END, \
             receiver.pid, receiver.sender_host, receiver.sender_port, \
             current_setting('server_version_num'), current_setting('server_version'), \
             CASE WHEN standby THEN (extract(epoch FROM clock_timestamp() - receiver.last_msg_receipt_time) * 1000)::int8 END, \
             current_setting('synchronous_standby_names'), \
             CASE WHEN standby AND pg_has_role('pg_read_all_settings', 'USAGE') \
                  THEN hashtext(current_setting('primary_conninfo')) END, \
             CASE WHEN standby THEN pg_is_wal_replay_paused() END",
            $more_columns,
            " FROM self LEFT JOIN pg_stat_wal_receiver AS receiver ON standby"
        )
    };
}

/// On a replication connection, after IDENTIFY_SYSTEM.
pub(super) const STATE: &str = state_query!("");

/// On an ordinary connection: what IDENTIFY_SYSTEM would have told, as near as SQL comes. On a standby whose upstream
/// was just promoted the timeline may lag until the next restartpoint.
pub(super) const STATE_WITHOUT_REPLICATION: &str = state_query!(
    ", (SELECT system_identifier FROM pg_control_system()), \
     greatest(receiver.received_tli, (SELECT timeline_id FROM pg_control_checkpoint()), \
              (SELECT min_recovery_end_timeline FROM pg_control_recovery()))"
);

/// Asked only when the hash of it in the state's answer has changed: it may hold a password.
pub(super) const UPSTREAM: &str = "SELECT current_setting('primary_conninfo'), current_setting('cluster_name'), hashtext(current_setting('primary_conninfo'))";

/// How a standby finds its upstream, as far as it concerns the monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upstream {
    /// Of the whole text.
    pub(super) hash: i32,
    pub(super) severed_from: Option<(String, u16)>,
    pub(super) sync_name: Option<String>,
}

/// Who the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) system_identifier: u64,
    pub(super) timeline: u32,
}

/// What the role is not allowed to see, although it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hidden {
    /// There is a WAL receiver, but where it streams from is only for `pg_read_all_stats`.
    pub(super) upstream: bool,
}

/// The answer to the state query.
#[derive(Debug)]
pub(super) struct State {
    pub(super) observation: Observation,
    pub(super) hidden: Hidden,
    /// Of [`Upstream`]; `None` for a primary, or if the role may not see it.
    pub(super) upstream_hash: Option<i32>,
}

/// A row in words that can't be read.
pub(super) type Unreadable = String;

/// The answer to [`IDENTIFY_SYSTEM`].
pub(super) fn read_identity(rows: &Rows) -> Result<Identity, Unreadable> {
    let mut columns = Columns::of(rows, "IDENTIFY_SYSTEM")?;
    Ok(Identity { system_identifier: columns.number()?, timeline: columns.number()? })
}

/// The answer to [`STATE`] (with the `identity` asked before it) or to [`STATE_WITHOUT_REPLICATION`] (without).
pub(super) fn read_state(
    rows: &Rows,
    identity: Option<Identity>,
    asked_at: Instant,
    round_trip_us: u64,
) -> Result<State, Unreadable> {
    let mut columns = Columns::of(rows, "the state query")?;
    let in_recovery = columns.text()? == "t";
    let received = columns.lsn()?;
    let replayed = columns.lsn()?;
    let replay_delay_ms = columns.maybe_number::<i64>()?;
    let primary_timeline = columns.next()?;
    let inserted = columns.lsn()?.map(Lsn::without_page_header);
    let has_receiver = columns.next()?.is_some();
    let sender_host = columns.next()?;
    let sender_port = columns.maybe_number::<u16>()?;
    let version_num = columns.number()?;
    let version = columns.text()?.to_owned();
    let heard_ms = columns.maybe_number::<i64>()?;
    let sync_names = columns.text()?.to_owned();
    let upstream_hash = columns.maybe_number()?;
    // Since PostgreSQL 14 as soon as it is asked for.
    let is_replay_paused = columns.next()? == Some("t");
    let identity = match identity {
        Some(identity) => identity,
        None => Identity { system_identifier: columns.number()?, timeline: columns.number()? },
    };
    let timeline = match primary_timeline {
        Some(hex) => u32::from_str_radix(hex, 16).map_err(|_| format!("`{hex}` is no timeline"))?,
        None => identity.timeline,
    };
    let upstream = sender_host.map(str::to_owned).zip(sender_port);
    let hidden = Hidden { upstream: has_receiver && upstream.is_none() };
    let observation = Observation {
        at: asked_at,
        round_trip_us,
        in_recovery,
        system_identifier: identity.system_identifier,
        timeline,
        received,
        replayed,
        inserted,
        is_replay_paused,
        // Negative when the clocks of primary and standby differ.
        replay_delay_ms: replay_delay_ms.map(not_negative),
        has_receiver,
        upstream,
        // Negative when the clock was set back.
        heard_ms: heard_ms.map(not_negative),
        severed_from: None,
        sync_name: None,
        sync_names: Some(sync_names),
        version_num,
        version,
    };
    Ok(State { observation, hidden, upstream_hash })
}

/// The answer to [`UPSTREAM`]. What can't be read is as if it were not there; nothing of the text is said or kept.
pub(super) fn read_upstream(rows: &Rows) -> Result<Upstream, Unreadable> {
    let mut columns = Columns::of(rows, "the question for its upstream")?;
    let told = conninfo::read(columns.text()?).ok();
    let cluster_name = columns.text()?;
    let hash = columns.number()?;
    // As the WAL receiver does.
    let fallback = if cluster_name.is_empty() { "walreceiver" } else { cluster_name };
    let sync_name = told.as_ref().map(|told| told.application_name.clone().unwrap_or_else(|| fallback.to_owned()));
    Ok(Upstream { hash, severed_from: told.and_then(|told| told.severed_from), sync_name })
}

fn not_negative(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

/// The columns of the only row, one after the other.
struct Columns<'a> {
    question: &'static str,
    rest: std::slice::Iter<'a, Option<String>>,
}

// === impl Columns ===

impl<'a> Columns<'a> {
    fn of(rows: &'a Rows, question: &'static str) -> Result<Self, Unreadable> {
        match rows.as_slice() {
            [row] => Ok(Self { question, rest: row.iter() }),
            rows => Err(format!("{question} was answered with {} rows instead of one", rows.len())),
        }
    }

    fn next(&mut self) -> Result<Option<&'a str>, Unreadable> {
        let column = self.rest.next().ok_or_else(|| format!("{} was answered with too few columns", self.question))?;
        Ok(column.as_deref())
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        self.next()?.ok_or_else(|| format!("{} was answered with NULL where a value must be", self.question))
    }

    fn maybe_number<T: std::str::FromStr>(&mut self) -> Result<Option<T>, Unreadable> {
        let Some(text) = self.next()? else { return Ok(None) };
        let number = text.parse().map_err(|_| format!("`{text}` in the answer to {} is no number", self.question))?;
        Ok(Some(number))
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, Unreadable> {
        let number = self.maybe_number()?;
        number.ok_or_else(|| format!("{} was answered with NULL where a number must be", self.question))
    }

    fn lsn(&mut self) -> Result<Option<Lsn>, Unreadable> {
        let Some(text) = self.next()? else { return Ok(None) };
        let lsn = text.parse().map_err(|()| format!("`{text}` in the answer to {} is no LSN", self.question))?;
        Ok(Some(lsn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &[&str]) -> Rows {
        vec![columns.iter().map(|text| (*text != "NULL").then(|| (*text).to_owned())).collect()]
    }

    const IDENTITY: Identity = Identity { system_identifier: 7, timeline: 1 };

    fn read(columns: &[&str]) -> (Observation, Hidden) {
        let state = read_state(&rows(columns), Some(IDENTITY), Instant::now(), 0).unwrap();
        (state.observation, state.hidden)
    }

    #[test]
    fn a_primary_tells_its_own_timeline() {
        let row = [
            "f",
            "0/3000060",
            "0/3000060",
            "NULL",
            "0000000A",
            "0/3000060",
            "NULL",
            "NULL",
            "NULL",
            "150018",
            "15.18",
            "NULL",
            "ANY 1 (pg2, pg3)",
            "NULL",
            "NULL",
        ];
        let (told, hidden) = read(&row);
        assert!(!told.in_recovery);
        assert_eq!(
            (told.timeline, told.received),
            (10, Some(Lsn(0x300_0060))),
            "it was promoted after IDENTIFY_SYSTEM"
        );
        assert_eq!((told.upstream, told.replay_delay_ms, hidden.upstream), (None, None, false));
        assert_eq!(told.sync_names.as_deref(), Some("ANY 1 (pg2, pg3)"));
    }

    #[test]
    fn a_standby_tells_its_upstream_and_delay() {
        let row = [
            "t",
            "1/A",
            "1/9",
            "-3",
            "NULL",
            "NULL",
            "77",
            "10.0.0.1",
            "5432",
            "150018",
            "15.18 (Debian)",
            "-5",
            "",
            "-77",
            "t",
        ];
        let (told, hidden) = read(&row);
        assert!(told.in_recovery && told.is_replay_paused && !hidden.upstream);
        assert_eq!((told.received, told.replayed), (Some(Lsn(0x1_0000_000A)), Some(Lsn(0x1_0000_0009))));
        assert_eq!(told.upstream, Some(("10.0.0.1".into(), 5432)));
        assert_eq!((told.replay_delay_ms, told.heard_ms), (Some(0), Some(0)), "the clocks differ");
        assert_eq!((told.timeline, told.system_identifier, told.version_num), (1, 7, 150_018));
    }

    #[test]
    fn a_role_without_pg_monitor_sees_that_there_is_a_receiver_only() {
        let (told, hidden) = read(&[
            "t", "1/A", "1/A", "0", "NULL", "NULL", "77", "NULL", "NULL", "150018", "15.18", "NULL", "", "NULL", "f",
        ]);
        assert!(hidden.upstream && told.upstream.is_none());
    }

    #[test]
    fn an_upstream_is_told_without_its_password() {
        let text = "host='/pgherd-revoked/pg1' port=5433 password=secret";
        let told = read_upstream(&rows(&[text, "", "7"])).unwrap();
        let severed_from = Some(("pg1".into(), 5433));
        assert_eq!(told, Upstream { hash: 7, severed_from, sync_name: Some("walreceiver".into()) });
        assert!(!format!("{told:?}").contains("secret"));
        let told = read_upstream(&rows(&["host=pg1", "west", "7"])).unwrap();
        assert_eq!((told.severed_from, told.sync_name.as_deref()), (None, Some("west")));
        let told = read_upstream(&rows(&["postgres://pg1", "west", "7"])).unwrap();
        assert_eq!((told.severed_from, told.sync_name), (None, None), "not known");
    }

    #[test]
    fn without_replication_the_identity_comes_with_the_state() {
        let columns = [
            "t",
            "1/A",
            "1/A",
            "0",
            "NULL",
            "NULL",
            "NULL",
            "NULL",
            "NULL",
            "150018",
            "15.18",
            "NULL",
            "",
            "NULL",
            "f",
            "7123456789",
            "4",
        ];
        let told = read_state(&rows(&columns), None, Instant::now(), 0).unwrap().observation;
        assert_eq!((told.system_identifier, told.timeline), (7_123_456_789, 4));
    }

    #[test]
    fn an_unreadable_answer_says_what_is_wrong() {
        assert!(read_identity(&Rows::new()).unwrap_err().contains("0 rows"));
        assert!(read_identity(&rows(&["7"])).unwrap_err().contains("too few columns"));
        assert!(read_identity(&rows(&["7", "one"])).unwrap_err().contains("`one`"));
        assert_eq!(read_identity(&rows(&["7", "2", "0/1", "postgres"])), Ok(Identity { timeline: 2, ..IDENTITY }));
    }
}
