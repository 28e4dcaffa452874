//! What `pgherd check --cluster` finds, without PostgreSQL: facts in, findings out, and how they are told.

use std::net::IpAddr;

use pgherd::check::facts::{CommitOverride, Epoch, Facts, HbaRule, Receiver, Rights, Silence, Told};
use pgherd::check::report;
use pgherd::check::requirements::{Finding, Verdict, Wanted, findings};
use pgherd::config::Config;

const QUORUM: &str = "mode = 'automatic'\ndurability = 'quorum'";

#[test]
fn nothing_is_missing_where_nothing_is() {
    let found = findings(&wanted(QUORUM), &healthy());
    let wrong: Vec<&Finding> = found.iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let quorum = found.iter().find(|finding| finding.requirement == "quorum").unwrap();
    assert_eq!(
        quorum.why,
        "a failover needs 2 of the 2 standbys in synchronous_standby_names: none of them may be down with the \
         primary; writes go on while 1 are"
    );
}

/// What is changed in a healthy cluster; then node, verdict, requirement, words of the reason, the SQL.
type Case = (fn(&mut [Facts]), &'static str, Verdict, &'static str, &'static str, &'static [&'static str]);

#[test]
fn each_thing_that_is_wrong_is_found_and_mended() {
    use Verdict::{Advice, Missing};
    const RELOAD: &str = "SELECT pg_reload_conf()";
    let cases: &[Case] = &[
        (|n| told(n, 0).version_num = 120_000, "pg1", Missing, "version", "13 is the first", &[]),
        (
            |n| told(n, 0).no_replication = Some(silence("42501", "permission denied")),
            "pg1",
            Missing,
            "replication session",
            "permission denied",
            &["pg1=# ALTER ROLE \"o\"\"dd\" REPLICATION"],
        ),
        (
            |n| told(n, 0).no_replication = Some(silence("53300", "max_wal_senders")),
            "pg1",
            Missing,
            "replication session",
            "max_wal_senders",
            &["pg1=# ALTER SYSTEM SET max_wal_senders = 20"],
        ),
        (
            |n| n.iter_mut().for_each(|n| n.told.as_mut().unwrap().rights.resume = false),
            "pg1",
            Missing,
            "pg_wal_replay_resume()",
            "paused",
            &["pg1=# GRANT EXECUTE ON FUNCTION pg_catalog.pg_wal_replay_resume() TO \"o\"\"dd\""],
        ),
        (|n| told(n, 1).rights.signal = false, "pg2", Missing, "rights", "not those of pg1", &[]),
        (
            |n| told(n, 0).rights.epoch = Epoch::Locked,
            "pg1",
            Missing,
            "pgherd.epoch",
            "in database \"postgres\"",
            &[
                "pg1=# GRANT USAGE ON SCHEMA pgherd TO \"o\"\"dd\"",
                "pg1=# GRANT SELECT, INSERT, DELETE ON TABLE pgherd.epoch TO \"o\"\"dd\"",
            ],
        ),
        (
            |n| set(n, 1, "wal_receiver_timeout", "60000"),
            "pg2",
            Advice,
            "wal_receiver_timeout",
            "60 s",
            &["pg2=# ALTER SYSTEM SET wal_receiver_timeout = '2s'", RELOAD],
        ),
        (
            |n| set(n, 1, "wal_receiver_timeout", "0"),
            "pg2",
            Advice,
            "wal_receiver_timeout",
            "0 (never)",
            &["pg2=# ALTER SYSTEM SET wal_receiver_timeout = '2s'", RELOAD],
        ),
        (
            |n| set(n, 2, "hot_standby_feedback", "off"),
            "pg3",
            Advice,
            "hot_standby_feedback",
            "30 s",
            &["pg3=# ALTER SYSTEM SET hot_standby_feedback = on", RELOAD],
        ),
        (
            |n| set(n, 0, "wal_log_hints", "off"),
            "pg1",
            Advice,
            "wal_log_hints",
            "pg_rewind",
            &["pg1=# ALTER SYSTEM SET wal_log_hints = on"],
        ),
        (
            |n| set(n, 2, "max_wal_senders", "2"),
            "pg3",
            Missing,
            "max_wal_senders",
            "it needs 3",
            &["pg3=# ALTER SYSTEM SET max_wal_senders = 10"],
        ),
        (
            |n| set(n, 2, "max_wal_senders", "4"),
            "pg3",
            Advice,
            "max_wal_senders",
            "base backup",
            &["pg3=# ALTER SYSTEM SET max_wal_senders = 10"],
        ),
        (
            |n| set(n, 0, "wal_keep_size", "0"),
            "pg1",
            Advice,
            "wal_keep_size",
            "no slots",
            &["pg1=# ALTER SYSTEM SET wal_keep_size = '1GB'", RELOAD],
        ),
        (|n| told(n, 1).receiver = None, "pg2", Missing, "streams", "no WAL receiver", &[]),
        (
            |n| told(n, 1).receiver = Some(receiver("10.0.0.9")),
            "pg2",
            Missing,
            "streams",
            "from 10.0.0.9:5432, which is the address of no [[node]]",
            &[],
        ),
        (
            |n| {
                set(n, 1, "primary_slot_name", "s2");
                told(n, 0).slots = vec!["s2".into()];
            },
            "pg2",
            Missing,
            "primary_slot_name",
            "which pg3 lacks",
            &["pg3=# SELECT pg_create_physical_replication_slot('s2')"],
        ),
        (
            |n| {
                set(n, 1, "primary_slot_name", "s2");
                told(n, 0).slots = vec!["s2".into()];
                told(n, 2).slots = vec!["s2".into()];
            },
            "pg2",
            Advice,
            "primary_slot_name",
            "on all other nodes",
            &[],
        ),
        (|n| set(n, 1, "restore_command", "cp"), "pg2", Advice, "restore_command", "archive", &[]),
        (
            |n| set(n, 1, "recovery_target_timeline", "current"),
            "pg2",
            Missing,
            "recovery_target_timeline",
            "not \"latest\"",
            &["pg2=# ALTER SYSTEM SET recovery_target_timeline = 'latest'"],
        ),
        (
            |n| set(n, 0, "synchronous_commit", "remote_write"),
            "pg1",
            Missing,
            "synchronous_commit",
            "remote_write",
            &["pg1=# ALTER SYSTEM SET synchronous_commit = on", RELOAD],
        ),
        (
            |n| {
                let own = |role: Option<&str>, database: Option<&str>, value: &str| CommitOverride {
                    role: role.map(str::to_owned),
                    database: database.map(str::to_owned),
                    value: value.to_owned(),
                };
                told(n, 0).commit_overrides = vec![
                    own(Some("app"), None, "off"),
                    own(Some("app"), Some("shop"), "local"),
                    own(None, Some("shop"), "remote_apply"),
                ];
            },
            "pg1",
            Missing,
            "synchronous_commit",
            "on, but role app has \"off\", role app in database shop has \"local\"",
            &[
                "pg1=# ALTER ROLE \"app\" RESET synchronous_commit",
                "pg1=# ALTER ROLE \"app\" IN DATABASE \"shop\" RESET synchronous_commit",
            ],
        ),
        (
            |n| promise(n, 0, ""),
            "pg1",
            Missing,
            "synchronous_standby_names",
            "on the primary alone",
            &["pg1=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (pg2, pg3)'", RELOAD],
        ),
        (
            |n| promise(n, 0, "ANY 1 (*)"),
            "pg1",
            Missing,
            "synchronous_standby_names",
            "even a backup",
            &["pg1=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (pg2, pg3)'", RELOAD],
        ),
        (
            |n| promise(n, 0, "FIRST 2 (pg3, pg2)"),
            "pg1",
            Advice,
            "synchronous_standby_names",
            "ANY waits for the quickest",
            &["pg1=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 2 (pg2, pg3)'", RELOAD],
        ),
        (
            |n| promise(n, 0, "ANY 1 (pg2, pg4)"),
            "pg1",
            Missing,
            "synchronous_standby_names",
            "calls itself pg4",
            &["pg1=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (pg2, pg3)'", RELOAD],
        ),
        (
            |n| promise(n, 0, "ANY 1 (pg2)"),
            "pg1",
            Advice,
            "synchronous_standby_names",
            "without pg3",
            &["pg1=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (pg2, pg3)'", RELOAD],
        ),
        (
            |n| promise(n, 1, ""),
            "pg2",
            Missing,
            "synchronous_standby_names",
            "Set it here and now",
            &["pg2=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (pg1, pg3)'", RELOAD],
        ),
        (
            |n| promise(n, 1, "ANY 1 (pg1)"),
            "pg2",
            Missing,
            "synchronous_standby_names",
            "only 0 of those could follow it",
            &["pg2=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (pg1, pg3)'", RELOAD],
        ),
        (
            |n| {
                promise(n, 0, "ANY 2 (pg2, pg3)");
                promise(n, 2, "ANY 2 (pg1, pg2)");
            },
            "pg2",
            Missing,
            "synchronous_standby_names",
            "a weaker promise than the primary's, which waits for 2",
            &["pg2=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 2 (pg1, pg3)'", RELOAD],
        ),
        (
            |n| told(n, 1).sync_name = Some("walreceiver".into()),
            "pg2",
            Missing,
            "application_name",
            "any receiver",
            &[
                "pg2=# SELECT format('ALTER SYSTEM SET primary_conninfo = %L', current_setting('primary_conninfo') || \
                 ' application_name=pg2') \\gexec",
                RELOAD,
            ],
        ),
        // Who is not named yet is not waited for: all writes would stop.
        (
            |n| {
                promise(n, 0, "");
                told(n, 1).sync_name = None;
            },
            "pg1",
            Missing,
            "synchronous_standby_names",
            "first pg2 needs an application_name",
            &[],
        ),
        (
            |n| told(n, 1).sync_name = Some("PG3".into()),
            "pg2",
            Missing,
            "application_name",
            "as pg3 has it",
            &[
                "pg2=# SELECT format('ALTER SYSTEM SET primary_conninfo = %L', current_setting('primary_conninfo') || \
             ' application_name=pg2') \\gexec",
                RELOAD,
            ],
        ),
        (
            |n| (n[0].host, n[0].addresses) = ("localhost".into(), vec!["127.0.0.1".parse().unwrap()]),
            "pg1",
            Missing,
            "address",
            "localhost:5432 means something else on pg2's machine",
            &[],
        ),
        (
            |n| {
                let rule = HbaRule { line: 97, kind: "hostssl".into(), databases: "all".into(), ..HbaRule::default() };
                let rule = HbaRule { users: "all".into(), method: "md5".into(), netmask: "0.0.0.0".into(), ..rule };
                told(n, 2).hba = Some(vec![rule.clone(), HbaRule { line: 98, method: "reject".into(), ..rule }]);
            },
            "pg3",
            Advice,
            "pg_hba",
            "line 97 admits everybody",
            &[],
        ),
        (
            |n| n[2].told = Err(silence("28P01", "password authentication failed")),
            "pg3",
            Missing,
            "login",
            "monitor.password is not the password",
            &["pg1=# ALTER ROLE \"o\"\"dd\" LOGIN PASSWORD '...'"],
        ),
        (|n| n[2].told = Err(silence("28P01", "no")), "", Missing, "quorum", "1 can be reached", &[]),
        (|n| told(n, 1).in_recovery = false, "", Missing, "primary", "pg1, pg2: stop the wrong one", &[]),
        (|n| told(n, 0).in_recovery = true, "", Missing, "primary", "no node", &[]),
        (|n| told(n, 2).system_identifier = 8, "", Missing, "system identifier", "pg3 has 8", &[]),
    ];
    for (index, (change, node, verdict, requirement, words, mend)) in cases.iter().enumerate() {
        let mut nodes = healthy();
        change(&mut nodes);
        let found = findings(&wanted(QUORUM), &nodes);
        let name = |finding: &Finding| finding.node.map_or("", |index| ["pg1", "pg2", "pg3"][index]);
        let found = found.iter().find(|f| name(f) == *node && f.requirement == *requirement);
        let found = found.unwrap_or_else(|| panic!("case {index}: {node} {requirement}"));
        assert_eq!(found.verdict, *verdict, "case {index}: {found:#?}");
        assert!(found.why.contains(words), "case {index}: {found:#?}");
        let sql = found.mend.iter().map(|mend| match mend.sql.as_str() {
            RELOAD => RELOAD.to_owned(),
            sql => format!("{}=# {sql}", mend.node),
        });
        assert_eq!(sql.collect::<Vec<_>>(), *mend, "case {index}");
    }
}

#[test]
fn an_asynchronous_cluster_needs_no_promise() {
    let mut nodes = healthy();
    (0..3).for_each(|index| promise(&mut nodes, index, ""));
    set(&mut nodes, 0, "synchronous_commit", "off");
    told(&mut nodes, 1).sync_name = Some("walreceiver".into());
    let found = findings(&wanted(""), &nodes);
    assert!(found.iter().all(|finding| finding.verdict == Verdict::Ok), "{found:#?}");
    promise(&mut nodes, 0, "ANY 1 (pg2, pg3)");
    let found = findings(&wanted(""), &nodes);
    let names = found.iter().find(|finding| finding.requirement == "synchronous_standby_names").unwrap();
    assert_eq!(names.verdict, Verdict::Advice);
}

#[test]
fn who_promotes_by_his_own_command_needs_no_right_to() {
    let mut nodes = healthy();
    nodes.iter_mut().for_each(|node| node.told.as_mut().unwrap().rights.promote = false);
    let verdict = |settings: &str| {
        let found = findings(&wanted(settings), &nodes);
        found.iter().find(|finding| finding.requirement == "pg_promote()").unwrap().verdict
    };
    assert_eq!(verdict(QUORUM), Verdict::Missing);
    assert_eq!(verdict(&format!("{QUORUM}\npromote = ['/bin/promote']")), Verdict::Ok);
}

#[test]
fn the_report_is_for_people_and_for_copying() {
    let mut nodes = healthy();
    promise(&mut nodes, 1, "");
    set(&mut nodes, 1, "wal_log_hints", "off");
    nodes[2].told = Err(silence("57P03", "the database system is starting up"));
    let wanted = wanted(QUORUM);
    let found = findings(&wanted, &nodes);
    let text = report::text(&wanted, &nodes, &found, false);
    for part in [
        "pg1  10.0.0.1:5432  primary\n",
        "pg3  10.0.0.3:5432\n  missing  login ",
        "             pg2=# ALTER SYSTEM SET wal_log_hints = on;  -- then restart it\n",
        "             pg2=# ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (pg1, pg3)';\n",
        "For failover.mode = \"automatic\" with durability = \"quorum\" 4 things are missing; 1 to think over, ",
        "as a superuser, in database \"postgres\".\n",
    ] {
        assert!(text.contains(part), "{part}\n--- in ---\n{text}");
    }
    assert!(!text.contains('\x1b'));
    assert!(text.lines().filter(|line| !line.contains("=#")).all(|line| line.chars().count() <= 120), "{text}");
    let coloured = report::text(&wanted, &nodes, &found, true);
    assert!(coloured.contains("\x1b[1;31mmissing\x1b[0m"), "{coloured}");
}

// === a healthy cluster of three ===

fn wanted(failover: &str) -> Wanted {
    let text = format!(
        "[monitor]\nuser = 'o\"dd'\npassword = 'x'\n[failover]\n{failover}\n[[node]]\nname = 'pg1'\nhost = '10.0.0.1'\n"
    );
    Wanted::of(&Config::from_toml(&text, "test").unwrap())
}

fn healthy() -> Vec<Facts> {
    let node = |index: usize, upstream: Option<&str>, promise: &str| {
        let host = format!("10.0.0.{index}");
        let address: IpAddr = host.parse().unwrap();
        let settings = [
            ("synchronous_standby_names", promise),
            ("synchronous_commit", "on"),
            ("wal_receiver_timeout", "2000"),
            ("hot_standby_feedback", "on"),
            ("max_standby_streaming_delay", "30000"),
            ("wal_log_hints", "on"),
            ("data_checksums", "off"),
            ("max_wal_senders", "10"),
            ("wal_keep_size", "1024"),
            ("primary_slot_name", ""),
            ("restore_command", ""),
            ("recovery_target_timeline", "latest"),
        ];
        let told = Told {
            version_num: 150_018,
            version: "15.18".to_owned(),
            in_recovery: upstream.is_some(),
            system_identifier: 7,
            no_replication: None,
            rights: Rights {
                superuser: false,
                monitor: true,
                signal: true,
                promote: true,
                reload: true,
                resume: true,
                alter_upstream: true,
                epoch: Epoch::Writable,
            },
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            senders: if upstream.is_none() { vec!["pg2".to_owned(), "pg3".to_owned()] } else { Vec::new() },
            slots: Vec::new(),
            receiver: upstream.map(receiver),
            sync_name: Some(if upstream.is_none() { "walreceiver".to_owned() } else { format!("pg{index}") }),
            commit_overrides: Vec::new(),
            hba: Some(Vec::new()),
        };
        Facts { name: format!("pg{index}"), host, port: 5432, addresses: vec![address], told: Ok(told) }
    };
    vec![
        node(1, None, "ANY 1 (pg2, pg3)"),
        node(2, Some("10.0.0.1"), "ANY 1 (pg1, pg3)"),
        node(3, Some("10.0.0.1"), "any 1 (PG1, pg2)"),
    ]
}

fn receiver(host: &str) -> Receiver {
    Receiver { status: "streaming".to_owned(), upstream: Some((host.to_owned(), 5432)) }
}

fn silence(sqlstate: &str, text: &str) -> Silence {
    Silence { sqlstate: Some(sqlstate.to_owned()), text: text.to_owned() }
}

fn told(nodes: &mut [Facts], index: usize) -> &mut Told {
    nodes[index].told.as_mut().unwrap()
}

fn set(nodes: &mut [Facts], index: usize, name: &str, value: &str) {
    told(nodes, index).settings.insert(name.to_owned(), value.to_owned());
}

fn promise(nodes: &mut [Facts], index: usize, value: &str) {
    set(nodes, index, "synchronous_standby_names", value);
}
