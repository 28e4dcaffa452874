//! What belongs to a session: settings travel with it, what can't travel keeps it on its server, nothing of it is found
//! by the next client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pgherd::wire::frontend;
use tokio_postgres::error::SqlState;

use super::{clients, until, until_all_free};
use crate::harness::raw::{Answer, Raw, Role, console, push_execute, push_parse};
use crate::harness::{Proxy, drivers, shared};

/// Two servers a node, and clients that leave settings of their own on them all the time.
struct Restless {
    over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Restless {
    async fn start(role: &Role, port: u16, count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for number in 0..count {
            let name = format!("restless {number}");
            let mut client = role.raw_with(port, &[("application_name", &name)]).await.unwrap();
            let over = Arc::clone(&over);
            tasks.push(tokio::spawn(async move {
                let mut step = number;
                while !over.load(Relaxed) {
                    step += 1;
                    let memory = format!("{}kB", 100 + step % 50);
                    client.query(&format!("SET work_mem = '{memory}'")).await;
                    client.query("SET TimeZone = 'Asia/Tokyo'").await;
                    let read = client.value("SHOW work_mem").await;
                    let written = client.unnamed("SELECT current_setting('work_mem'), pg_current_xact_id()", &[]).await;
                    assert_eq!((read, written.rows[0][0].clone().unwrap()), (memory.clone(), memory));
                    if step % 7 == 0 {
                        client.query("RESET ALL").await;
                    }
                    assert_eq!(client.value("SHOW application_name").await, name);
                }
            }));
        }
        Self { over, tasks }
    }

    async fn stop(self) {
        self.over.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_client_asked_for_at_its_start_holds_on_every_server() {
    let role = Role::new("startup");
    let proxy = Proxy::start(shared(), &format!("workers = 2\n[pool]\nsize = 2\n{}", role.config()));
    let mut tasks = Vec::new();
    for number in 0..20 {
        let encoding = ["UTF8", "LATIN1"][number % 2];
        let style = ["ISO, DMY", "SQL, MDY", "German, DMY"][number % 3];
        let zone = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"][number % 4];
        let (name, path, memory) = (format!("it's \\ {number}"), format!("s{number}, \"S 2\", public"), 64 + number);
        let options = format!(r#"-c search_path={} --work-mem={memory}kB -cgeqo=off"#, path.replace(' ', "\\ "));
        let parameters = [
            ("application_name", name.as_str()),
            ("client_encoding", encoding),
            ("DateStyle", style),
            ("TimeZone", zone),
            ("options", &options),
        ];
        let mut client = role.raw_with(proxy.port(), &parameters).await.unwrap();
        for (reported, want) in
            [("application_name", &*name), ("client_encoding", encoding), ("DateStyle", style), ("TimeZone", zone)]
        {
            assert_eq!(client.parameters[reported], want);
        }
        // chr(233) in Latin-1 is no UTF-8.
        let char = ["é", "\u{fffd}"][number % 2];
        let want = [name.as_str(), encoding, style, zone, &path, &format!("{memory}kB"), "off", char];
        let want = want.map(|value| Some(value.to_owned()));
        tasks.push(tokio::spawn(async move {
            let settings =
                ["application_name", "client_encoding", "datestyle", "timezone", "search_path", "work_mem", "geqo"];
            let list = settings.map(|name| format!("current_setting('{name}')")).join(", ");
            let read = format!("SELECT {list}, chr(233)");
            let write = format!("{read}, pg_current_xact_id() IS NULL");
            client.prepare("write", &write).await;
            for round in 0..12 {
                assert_eq!(client.query(&read).await.rows, std::slice::from_ref(&want), "round {round}");
                assert_eq!(client.unnamed(&read, &[]).await.rows, std::slice::from_ref(&want), "round {round}");
                assert_eq!(client.execute("write", &[]).await.rows[0][..8], want, "round {round}");
            }
            assert_eq!(client.query("SELECT 1").await.kinds, "TDCZ", "no word of the others' settings");
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// PostgreSQL's own words, as it says them to whoever connects to it directly.
#[tokio::test]
async fn what_postgresql_would_not_take_at_the_start_it_refuses_through_the_proxy() {
    let role = Role::new("refused");
    let proxy = Proxy::start(shared(), &role.config());
    let pg1 = shared().pg1.dsn("app", "postgres");
    for (name, value, escaped) in [
        ("options", "-c nosuch=1", "options=-c%20nosuch%3D1"),
        ("options", "-c work_mem=banana", "options=-c%20work_mem%3Dbanana"),
        ("options", "-c", "options=-c"),
        ("options", "-c work_mem", "options=-c%20work_mem"),
        ("options", "--nosuch", "options=--nosuch"),
    ] {
        let direct = drivers::connect(&format!("{pg1}?{escaped}")).await.err().unwrap();
        let direct = direct.as_db_error().unwrap();
        let got = role.raw_with(proxy.port(), &[(name, value)]).await.err().unwrap();
        assert_eq!(
            (&*got.severity, &*got.sqlstate, &*got.message),
            (direct.severity(), direct.code().code(), direct.message()),
            "{value}"
        );
    }
    for (name, value, code) in [
        ("TimeZone", "Nowhere", SqlState::INVALID_PARAMETER_VALUE),
        ("client_encoding", "KLINGON", SqlState::INVALID_PARAMETER_VALUE),
        ("nosuch", "1", SqlState::UNDEFINED_OBJECT),
        ("session_authorization", "postgres", SqlState::INSUFFICIENT_PRIVILEGE),
        ("database", "nowhere", SqlState::UNDEFINED_DATABASE),
    ] {
        let got = role.raw_with(proxy.port(), &[(name, value)]).await.err().unwrap();
        assert_eq!((&*got.severity, &*got.sqlstate), ("FATAL", code.code()), "{got:?}");
    }
    let mut client = role.raw(proxy.port()).await;
    assert_eq!(client.value("SHOW TimeZone").await, shared().pg1.psql("SHOW TimeZone").unwrap());
}

/// What a client that began with 1 MB does, and `work_mem` afterwards.
const SETTINGS: &[(&[&str], &str)] = &[
    (&["SET work_mem = '2MB'"], "2MB"),
    (&["SET SESSION work_mem TO 2048"], "2MB"),
    (&["SET work_mem = '2MB'", "RESET work_mem"], "1MB"),
    (&["SET work_mem = '2MB'", "SET work_mem TO DEFAULT"], "1MB"),
    (&["SET work_mem = '2MB'", "RESET ALL"], "1MB"),
    (&["SET work_mem = '2MB'", "DISCARD ALL"], "1MB"),
    (&["/* a comment */ set /**/ \"work_mem\" = '8 MB' -- and another"], "8MB"),
    (&["SET work_mem = 'banana'"], "1MB"),
    (&["BEGIN", "SET work_mem = '2MB'", "ROLLBACK"], "1MB"),
    (&["BEGIN", "SET work_mem = '2MB'", "COMMIT"], "2MB"),
    (&["BEGIN", "SET work_mem = '2MB'", "SELECT 1/0", "COMMIT"], "1MB"),
    (&["SET work_mem = '2MB'", "BEGIN", "RESET work_mem", "ROLLBACK"], "2MB"),
    (&["SET work_mem = '2MB'", "BEGIN", "RESET work_mem", "COMMIT"], "1MB"),
    (&["BEGIN", "SET work_mem = '2MB'", "COMMIT AND CHAIN", "SET work_mem = '3MB'", "ROLLBACK"], "2MB"),
    (&["BEGIN", "SET work_mem = '2MB'", "ROLLBACK AND CHAIN", "COMMIT"], "1MB"),
    (&["BEGIN", "SET LOCAL work_mem = '9MB'", "COMMIT"], "1MB"),
    (&["BEGIN", "SET work_mem = '2MB'", "SET LOCAL work_mem = '9MB'", "COMMIT"], "2MB"),
    (&["BEGIN", "SET work_mem = '2MB'", "SAVEPOINT s", "SET work_mem = '3MB'", "RELEASE s", "COMMIT"], "3MB"),
    (&["BEGIN", "SET work_mem = '2MB'", "SAVEPOINT s", "SET work_mem = '3MB'", "ROLLBACK TO s", "COMMIT"], "2MB"),
    (&["BEGIN", "SAVEPOINT s", "SET work_mem = '3MB'", "ROLLBACK TO s", "SET work_mem = '4MB'", "COMMIT"], "4MB"),
    (&["SET work_mem = '2MB'; SELECT 1/0"], "1MB"),
    (&["SET work_mem = '2MB'; SELECT 1"], "2MB"),
    (&["BEGIN; SET work_mem = '2MB'; COMMIT; SELECT 1/0"], "2MB"),
    (&["BEGIN; SET work_mem = '2MB'", "ROLLBACK"], "1MB"),
    (&["SELECT set_config('work_mem', '2MB', false)"], "2MB"),
    (&["SELECT set_config('work_mem', '2MB', false)", "RESET work_mem"], "1MB"),
];

#[tokio::test]
async fn a_setting_changes_when_and_only_when_postgresql_changes_it() {
    let role = Role::new("settings");
    let proxy = Proxy::start(shared(), &format!("workers = 2\n[pool]\nsize = 2\n{}", role.config()));
    let restless = Restless::start(&role, proxy.port(), 6).await;
    for (statements, want) in SETTINGS {
        for extended in [false, true] {
            let options = [("options", "-c work_mem=1MB")];
            let mut client = role.raw_with(proxy.port(), &options).await.unwrap();
            for statement in *statements {
                match extended && !statement.contains(';') {
                    true => client.unnamed(statement, &[]).await,
                    false => client.query(statement).await,
                };
            }
            for _ in 0..2 {
                assert_eq!(client.value("SHOW work_mem").await, *want, "read after {statements:?}");
                let written = client.query("SELECT current_setting('work_mem'), pg_current_xact_id()").await;
                assert_eq!(written.rows[0][0].as_deref(), Some(*want), "written after {statements:?}");
            }
            client.terminate().await;
        }
    }
    restless.stop().await;
}

/// A RESET and what is asked behind it, without waiting: the client's own values are back in between.
#[tokio::test]
async fn what_follows_a_reset_without_waiting_finds_the_clients_own_values() {
    let role = Role::new("reset");
    let proxy = Proxy::start(shared(), &role.config());
    let mut client = role.raw_with(proxy.port(), &[("options", "-c work_mem=1MB")]).await.unwrap();
    for statements in [&["RESET work_mem"][..], &["DISCARD ALL"], &["BEGIN", "RESET ALL", "SELECT 1", "COMMIT"]] {
        client.query("SET work_mem = '2MB'").await;
        for statement in statements.iter().chain(&["SHOW work_mem"]) {
            client.send_query(statement).await;
        }
        for _ in statements {
            assert_eq!(client.answer().await.sqlstate(), "");
        }
        assert_eq!(client.answer().await.value(), "1MB", "{statements:?}");
    }
}

/// One implicit transaction of several statements: all of it or nothing.
#[tokio::test]
async fn a_setting_within_a_pipeline_falls_with_it() {
    let role = Role::new("pipeline");
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 2\n{}", role.config()));
    let restless = Restless::start(&role, proxy.port(), 4).await;
    let mut client = role.raw_with(proxy.port(), &[("options", "-c work_mem=1MB")]).await.unwrap();
    let pipeline = async |client: &mut Raw, statements: &[&str]| -> Answer {
        let mut out = Vec::new();
        for statement in statements {
            push_parse(&mut out, "", statement);
            push_execute(&mut out, "", &[]);
        }
        frontend::push_sync(&mut out);
        client.send(&out).await;
        client.answer().await
    };
    for _ in 0..5 {
        assert_eq!(pipeline(&mut client, &["SET work_mem = '2MB'", "SELECT 1/0"]).await.sqlstate(), "22012");
        assert_eq!(client.value("SHOW work_mem").await, "1MB");
        assert_eq!(pipeline(&mut client, &["SET work_mem = '2MB'", "SELECT 1"]).await.sqlstate(), "");
        assert_eq!(client.value("SHOW work_mem").await, "2MB");
        client.query("RESET work_mem").await;
    }
    restless.stop().await;
}

/// Drivers rely on these: the session's time zone, date style and encoding as they are, whatever changed them.
#[tokio::test]
async fn what_is_reported_is_what_holds() {
    let role = Role::new("reported");
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 2\n{}", role.config()));
    let restless = Restless::start(&role, proxy.port(), 4).await;
    let start = [("TimeZone", "Europe/Berlin"), ("DateStyle", "German, DMY"), ("application_name", "mine")];
    let mut client = role.raw_with(proxy.port(), &start).await.unwrap();
    for statement in [
        "SET TimeZone = 'America/New_York'",
        "RESET TimeZone",
        "SET DateStyle = 'ISO, MDY'; SET application_name = 'other'",
        "RESET ALL",
        "SET TIME ZONE 'UTC'",
        "DISCARD ALL",
        "BEGIN; SET TimeZone = 'UTC'; ROLLBACK",
        "SET application_name TO DEFAULT",
        "SET client_encoding = 'LATIN1'",
        "RESET client_encoding",
    ] {
        client.query(statement).await;
        for _ in 0..3 {
            for name in ["TimeZone", "DateStyle", "application_name", "client_encoding"] {
                let holds = client.value(&format!("SHOW {name}")).await;
                assert_eq!(client.parameters[name], holds, "{name} after {statement}");
            }
        }
    }
    restless.stop().await;
}

#[tokio::test]
async fn who_gives_no_name_is_not_told_anothers() {
    let role = Role::new("nameless");
    let proxy = Proxy::start(shared(), &role.config());
    let first = role.raw_with(proxy.port(), &[("application_name", "first")]).await.unwrap();
    assert_eq!(first.parameters["application_name"], "first");
    let mut second = role.raw(proxy.port()).await;
    assert_eq!(second.parameters["application_name"], "");
    assert_eq!(second.value("SHOW application_name").await, "");
}

#[tokio::test]
async fn what_cannot_travel_keeps_the_session_on_its_server_and_is_cleaned_away() {
    let role = Role::new("pinned");
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 1\n[routing]\nsplit = false\n{}", role.config()));
    let mut console = console(proxy.port()).await;
    let mut pid = String::new();
    for (at, (statement, pin)) in [
        ("CREATE TEMP TABLE here (a int)", "temporary table"),
        ("SELECT 1 AS a INTO TEMP here", "temporary table"),
        ("LISTEN here", "listen"),
        ("SELECT pg_advisory_lock(77)", "advisory lock"),
        ("PREPARE here AS SELECT 1", "sql prepare"),
        ("DECLARE here CURSOR WITH HOLD FOR SELECT 1", "hold cursor"),
        ("SELECT set_config('work' || '_mem', '6MB', false)", "setting"),
        ("SET ROLE NONE", "setting"),
        ("CREATE TEMP SEQUENCE here", "temporary table"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = role.raw(proxy.port()).await;
        assert_eq!(clients(&mut console, &role, "pin").await, [""]);
        let answer = if at % 2 == 0 { client.query(statement).await } else { client.unnamed(statement, &[]).await };
        assert_eq!(answer.sqlstate(), "", "{statement}: {answer:?}");
        assert_eq!(clients(&mut console, &role, "pin").await, [pin], "{statement}");
        pid = client.value("SELECT pg_backend_pid()").await;
        // Another one has to wait for the only server, and finds nothing on it.
        let mut next = role.raw(proxy.port()).await;
        next.send_query(LEFTOVERS).await;
        until("it waits", async || {
            let states = clients(&mut console, &role, "state").await;
            if states.iter().any(|state| state == "waiting") { Ok(()) } else { Err(format!("{states:?}")) }
        })
        .await;
        assert_eq!(client.value("SELECT pg_backend_pid()").await, pid);
        if at % 3 == 0 {
            drop(client)
        } else {
            client.terminate().await
        }
        let left = next.answer().await;
        assert_eq!(left.value(), format!("{pid}: 0 0 0 0 0 4MB"), "after {statement}");
        next.terminate().await;
        until_all_free(&mut console, &role).await;
    }
    assert_ne!(pid, "");
    // What nobody can see into may have left anything behind: it is asked for, kept if need be, and cleaned as well.
    let mut client = role.raw(proxy.port()).await;
    client
        .query("DO $$ BEGIN PERFORM set_config('work_mem', '7MB', false); EXECUTE 'CREATE TEMP TABLE x ()'; END $$")
        .await;
    assert_eq!(client.value("SHOW work_mem").await, "7MB");
    assert_eq!(clients(&mut console, &role, "pin").await, ["temporary table"]);
    client.query("DISCARD ALL").await;
    client.query("DO $$ BEGIN PERFORM set_config('work_mem', '7MB', false); END $$").await;
    assert_eq!(client.value("SHOW work_mem").await, "7MB");
    assert_eq!(clients(&mut console, &role, "pin").await, [""]);
    let mut next = role.raw(proxy.port()).await;
    assert_eq!(next.value(LEFTOVERS).await, format!("{pid}: 0 0 0 0 0 4MB"));
}

const LEFTOVERS: &str = "SELECT format('%s: %s %s %s %s %s %s', pg_backend_pid(),
    (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)),
    (SELECT count(*) FROM pg_listening_channels()),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    (SELECT count(*) FROM pg_prepared_statements),
    (SELECT count(*) FROM pg_cursors WHERE is_holdable),
    current_setting('work_mem'))";

#[tokio::test]
async fn notifications_reach_who_listens_while_it_is_idle() {
    let role = Role::new("listen");
    let proxy = Proxy::start(shared(), &role.config());
    let (mut listener, mut speaker) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    listener.query("LISTEN news").await;
    speaker.query("NOTIFY news, 'first'").await;
    let message = listener.receive().await.unwrap();
    assert_eq!((message.tag, &message.body[4..]), (b'A', &b"news\0first\0"[..]));
    listener.query("UNLISTEN news").await;
    speaker.query("NOTIFY news, 'second'").await;
    assert_eq!(listener.query("SELECT 1").await.kinds, "TDCZ");
}

#[tokio::test]
async fn in_session_mode_a_client_keeps_its_server_until_it_leaves() {
    let role = Role::new("session");
    let proxy = Proxy::start(shared(), &format!("[pool]\nmode = 'session'\nsize = 2\n{}", role.config()));
    let mut console = console(proxy.port()).await;
    let (mut one, mut two) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    one.query("CREATE TEMP TABLE kept AS SELECT 'one' AS whose; SET work_mem = '3MB'").await;
    two.query("CREATE TEMP TABLE kept AS SELECT 'two' AS whose; PREPARE s AS SELECT 2").await;
    one.prepare("s", "SELECT 1").await;
    let mut third = role.raw(proxy.port()).await;
    third.send_query(LEFTOVERS).await;
    for _ in 0..5 {
        assert_eq!(one.value("SELECT whose || current_setting('work_mem') FROM kept").await, "one3MB");
        assert_eq!(two.value("SELECT whose FROM kept").await, "two");
        assert_eq!(one.execute("s", &[]).await.value(), "1");
        assert_eq!(two.value("EXECUTE s").await, "2");
    }
    assert_eq!(clients(&mut console, &role, "state").await, ["active", "active", "waiting"]);
    assert_eq!(clients(&mut console, &role, "pin").await, ["session mode", "session mode", ""]);
    let pid = one.value("SELECT pg_backend_pid()").await;
    one.terminate().await;
    assert_eq!(third.answer().await.value(), format!("{pid}: 0 0 0 0 0 4MB"));
    drop((two, third));
    until_all_free(&mut console, &role).await;
}

#[tokio::test]
async fn in_statement_mode_a_transaction_of_several_statements_is_refused() {
    let role = Role::new("statement");
    let proxy = Proxy::start(shared(), &format!("[pool]\nmode = 'statement'\nsize = 1\n{}", role.config()));
    let mut console = console(proxy.port()).await;
    let mut client = role.raw(proxy.port()).await;
    assert_eq!(client.query("CREATE TABLE a (b int)").await.sqlstate(), "");
    assert_eq!(client.query("BEGIN; INSERT INTO a VALUES (1); COMMIT").await.tags, ["BEGIN", "INSERT 0 1", "COMMIT"]);
    client.prepare("s", "SELECT $1::int + 1").await;
    assert_eq!(client.execute("s", &["4"]).await.value(), "5");
    let refused = client.query("BEGIN").await;
    assert_eq!((refused.sqlstate(), refused.errors[0].severity.as_str()), ("08P01", "FATAL"));
    assert!(client.is_closed().await);
    let mut next = role.raw(proxy.port()).await;
    assert_eq!(next.value("SELECT count(*) FROM a").await, "1");
    until_all_free(&mut console, &role).await;
}

/// Two clients that prepared the same statement share it on the server; one of them must not take it from the other.
#[tokio::test]
async fn who_deallocates_takes_nothing_from_others() {
    let role = Role::new("deallocate");
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 1\n[routing]\nsplit = false\n{}", role.config()));
    let (mut one, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    other.prepare("theirs", "SELECT 'shared'").await;
    for statements in [
        &["DEALLOCATE ALL"][..],
        &["BEGIN", "DEALLOCATE ALL", "ROLLBACK"],
        &["DEALLOCATE ALL; SELECT 1"],
        &["DISCARD ALL"],
        &["DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"],
        &["DEALLOCATE mine"],
        &["BEGIN", "DEALLOCATE mine", "ROLLBACK"],
    ] {
        for extended in [false, true] {
            one.prepare("mine", "SELECT 'shared'").await;
            assert_eq!(one.execute("mine", &[]).await.value(), "shared");
            for statement in statements {
                let answer = match extended && !statement.contains("; S") {
                    true => one.unnamed(statement, &[]).await,
                    false => one.query(statement).await,
                };
                assert_eq!(answer.sqlstate(), "", "{statement}: {answer:?}");
            }
            if !statements[0].starts_with("DO") {
                assert_eq!(one.execute("mine", &[]).await.sqlstate(), "26000", "{statements:?}, extended: {extended}");
            }
            assert_eq!(other.execute("theirs", &[]).await.value(), "shared", "after {statements:?}");
            // The name is free again, whichever way.
            assert_eq!(one.query("DEALLOCATE ALL").await.sqlstate(), "");
        }
    }
    // Prepared here for the first time only to be deallocated: each reply is at its place.
    for extended in [false, true] {
        one.prepare("fresh", "SELECT 'fresh'").await;
        other.query("DISCARD ALL").await;
        other.prepare("theirs", "SELECT 'shared'").await;
        let answer =
            if extended { one.unnamed("DEALLOCATE fresh", &[]).await } else { one.query("DEALLOCATE fresh").await };
        assert_eq!(
            (answer.tags, answer.kinds.as_str()),
            (vec!["DEALLOCATE".to_owned()], ["CZ", "12CZ"][usize::from(extended)])
        );
    }
    // Not even by the names the proxy gives.
    for number in 1..40 {
        one.query(&format!("DEALLOCATE \"pgherd.{number}\"")).await;
    }
    assert_eq!(other.execute("theirs", &[]).await.value(), "shared");
}

#[tokio::test]
async fn what_was_asked_for_before_the_goodbye_is_done() {
    let role = Role::new("goodbye");
    let proxy = Proxy::start(shared(), &format!("[pool]\nsize = 1\n{}", role.config()));
    let mut witness = role.raw(proxy.port()).await;
    witness.query("CREATE TABLE done (what text)").await;
    for (number, holds) in [false, true].into_iter().enumerate() {
        // With the only server free, and with none free.
        if holds {
            witness.query("BEGIN; SELECT pg_current_xact_id()").await;
        }
        let mut client = role.raw(proxy.port()).await;
        let mut out = Vec::new();
        frontend::push_query(&mut out, "INSERT INTO done SELECT 'slow' FROM pg_sleep(0.1)");
        push_parse(&mut out, "", "INSERT INTO done SELECT 'and slow' FROM pg_sleep(0.1)");
        push_execute(&mut out, "", &[]);
        frontend::push_sync(&mut out);
        out.extend_from_slice(b"X\0\0\0\x04");
        client.send(&out).await;
        drop(client);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        witness.query("COMMIT").await;
        let want = (2 * (number + 1)).to_string();
        until("both are done", async || match witness.value("SELECT count(*) FROM done").await {
            count if count == want => Ok(()),
            count => Err(count),
        })
        .await;
    }
}
