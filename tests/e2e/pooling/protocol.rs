//! What no well-behaved driver does, but the protocol allows: pipelines that fail half way, COPY in all its forms, huge
//! messages, readers that are slow. The answers are PostgreSQL's own, and nobody else notices.

use std::time::Duration;

use pgherd::wire::{frame, frontend};

use super::{until, until_all_free};
use crate::harness::raw::{Raw, Role, console, push_execute, push_parse};
use crate::harness::{Proxy, shared};

/// One server for all, so that whatever is left on it is found.
fn one_server(role: &Role, more: &str) -> Proxy<'static> {
    Proxy::start(shared(), &format!("[pool]\nsize = 1\n[routing]\nsplit = false\n{more}{}", role.config()))
}

const SYNC: &[u8] = b"S\0\0\0\x04";
const FLUSH: &[u8] = b"H\0\0\0\x04";
const COPY_DONE: &[u8] = b"c\0\0\0\x04";

/// Messages, put together.
#[derive(Default)]
struct Batch(Vec<u8>);

impl Batch {
    fn parse(mut self, name: &str, sql: &str) -> Self {
        push_parse(&mut self.0, name, sql);
        self
    }

    fn execute(mut self, name: &str) -> Self {
        push_execute(&mut self.0, name, &[]);
        self
    }

    fn close(mut self, name: &str) -> Self {
        frontend::push_close_statement(&mut self.0, name.as_bytes());
        self
    }

    fn query(mut self, sql: &str) -> Self {
        frontend::push_query(&mut self.0, sql);
        self
    }

    fn copy_data(mut self, data: &str) -> Self {
        frame::push(&mut self.0, b'd', |out| out.extend_from_slice(data.as_bytes()));
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn sync(self) -> Self {
        self.raw(SYNC)
    }

    async fn send(self, client: &mut Raw) {
        client.send(&self.0).await;
    }
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte() {
    let role = Role::new("slow");
    let proxy = one_server(&role, "");
    let mut console = console(proxy.port()).await;
    let mut client = role.raw(proxy.port()).await;
    for rows in [5_000, 20_000, 60_000] {
        client.send_query(&format!("SELECT n, repeat('x', 999) FROM generate_series(1, {rows}) n")).await;
        // Its server is free before it has read a byte, unless more is to come than sockets hold.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut count = 0;
        loop {
            let message = client.receive().await.expect("not cut off");
            match message.tag {
                b'D' => count += 1,
                b'Z' => break,
                _ => {}
            }
            if count % 4_000 == 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert_eq!(count, rows);
    }
    until_all_free(&mut console, &role).await;
}

#[tokio::test]
async fn copy_in_through_the_extended_protocol_keeps_its_server() {
    let role = Role::new("copy");
    let proxy = one_server(&role, "");
    let (mut client, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    client.query("CREATE TABLE copied (a int)").await;
    let copy = || Batch::default().parse("", "COPY copied FROM STDIN").execute("");
    for (failing, data) in [(false, "1\n2\n"), (true, "1\nbanana\n"), (false, "3\n")] {
        // The Sync goes ahead of the data, as drivers do.
        copy().sync().send(&mut client).await;
        assert_eq!(client.answer().await.kinds, "12G");
        // Whoever asks now has to wait.
        other.send_query("SELECT 'other'").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Batch::default().copy_data(data).send(&mut client).await;
        if failing {
            Batch::default().copy_data("4\n").send(&mut client).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Batch::default().raw(COPY_DONE).sync().send(&mut client).await;
        let end = client.answer().await;
        assert_eq!(end.kinds, if failing { "EZ" } else { "CZ" });
        assert_eq!(other.answer().await.value(), "other");
    }
    // With no Sync ahead, and all in one go.
    copy().copy_data("5\n").raw(COPY_DONE).sync().send(&mut client).await;
    assert_eq!(client.answer().await.kinds, "12G");
    assert_eq!(client.answer().await.kinds, "CZ");
    copy().sync().copy_data("6\n").raw(COPY_DONE).sync().send(&mut client).await;
    assert_eq!(client.answer().await.kinds, "12G");
    assert_eq!(client.answer().await.kinds, "CZ");
    assert_eq!(other.value("SELECT sum(a) FROM copied").await, "17");
}

/// psql sends all its data whatever the server said meanwhile.
#[tokio::test]
async fn copy_data_after_the_copy_failed_takes_no_server() {
    let role = Role::new("late");
    let proxy = one_server(&role, "");
    let mut console = console(proxy.port()).await;
    let (mut client, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    client.query("CREATE TABLE late (a int)").await;
    for size in [10, 100_000] {
        client.send_query("COPY late FROM STDIN").await;
        assert_eq!(client.answer().await.kinds, "G");
        Batch::default().copy_data("banana\n").send(&mut client).await;
        assert_eq!(client.answer().await.sqlstate(), "22P02");
        Batch::default().copy_data(&"1".repeat(size)).copy_data("2\n").raw(COPY_DONE).send(&mut client).await;
        until_all_free(&mut console, &role).await;
        assert_eq!(other.value("SELECT count(*) FROM late").await, "0");
        assert_eq!(client.value("SELECT 'goes on'").await, "goes on");
        // It was nobody's CopyDone, least of all the next COPY's.
        Batch::default().raw(COPY_DONE).parse("", "COPY late FROM STDIN").execute("").sync().send(&mut client).await;
        assert_eq!(client.answer().await.kinds, "12G");
        Batch::default().raw(COPY_DONE).sync().send(&mut client).await;
        assert_eq!(client.answer().await.kinds, "CZ");
        until_all_free(&mut console, &role).await;
    }
}

/// The error of a COPY shows the whole field that it could not read.
#[tokio::test]
async fn an_error_of_any_length_is_an_error() {
    let role = Role::new("long_error");
    let proxy = one_server(&role, "");
    let mut console = console(proxy.port()).await;
    let mut client = role.raw(proxy.port()).await;
    client.query("CREATE TABLE long_error (a int)").await;
    Batch::default().parse("", "COPY long_error FROM STDIN").execute("").sync().send(&mut client).await;
    assert_eq!(client.answer().await.kinds, "12G");
    Batch::default().copy_data(&format!("{}\n", "x".repeat(20_000))).send(&mut client).await;
    assert_eq!(client.receive().await.unwrap().tag, b'E');
    Batch::default().sync().send(&mut client).await;
    assert_eq!(client.answer().await.kinds, "Z");
    client.query(&format!("SET work_mem = '{}'", "9".repeat(9_000))).await;
    let mut other = role.raw(proxy.port()).await;
    assert_eq!(other.value("SHOW work_mem").await, "4MB");
    assert_eq!(client.value("SHOW work_mem").await, "4MB");
    until_all_free(&mut console, &role).await;
}

/// No server to be had: the whole request is answered with the error, however large it is.
#[tokio::test]
async fn a_refused_pipeline_is_dropped_up_to_its_sync() {
    let role = Role::new("dropped");
    let proxy = Proxy::start(
        shared(),
        &format!("workers = 1\n[pool]\nsize = 1\nwait_timeout = '200ms'\n[routing]\nsplit = false\n{}", role.config()),
    );
    let (mut client, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    other.query("BEGIN; SELECT pg_current_xact_id()").await;
    Batch::default().parse("", "SELECT 1").raw(FLUSH).send(&mut client).await;
    assert_eq!(client.receive().await.unwrap().tag, b'E');
    let huge = format!("SELECT '{}'", "x".repeat(200_000));
    Batch::default().parse("", &huge).execute("").query("SELECT 2").sync().query("SELECT 3").send(&mut client).await;
    assert_eq!(client.answer().await.kinds, "Z");
    assert_eq!(other.query("COMMIT").await.tags, ["COMMIT"]);
    let third = client.answer().await;
    assert!(third.sqlstate() == "53300" || third.value() == "3", "{third:?}");
}

/// Each round of a pipeline is a transaction of its own, also when all came in one piece.
#[tokio::test]
async fn a_setting_belongs_to_its_own_round_of_a_pipeline() {
    let role = Role::new("rounds");
    let proxy = one_server(&role, "");
    let (mut client, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    for (first, second, want) in [
        ("SELECT 1/0", "SET work_mem = '2MB'", "2MB"),
        ("SELECT 1", "SET work_mem = 'banana'", "2MB"),
        ("SELECT 1/0", "RESET work_mem", "4MB"),
        ("BEGIN", "SET work_mem = '5MB'", "5MB"),
    ] {
        Batch::default().query(first).query(second).query("SELECT 1; COMMIT").send(&mut client).await;
        for _ in 0..3 {
            client.answer().await;
        }
        assert_eq!(other.value("SHOW work_mem").await, "4MB", "after {first}, {second}");
        assert_eq!(client.value("SHOW work_mem").await, want, "after {first}, {second}");
    }
    client.query("RESET work_mem").await;
    let set = Batch::default().parse("", "SET work_mem = '2MB'").execute("");
    Batch::default().parse("", "SELECT 1/0").execute("").sync().raw(&set.0).sync().send(&mut client).await;
    client.answer().await;
    client.answer().await;
    assert_eq!(other.value("SHOW work_mem").await, "4MB");
    assert_eq!(client.value("SHOW work_mem").await, "2MB");
}

#[tokio::test]
async fn a_statement_too_large_to_keep_is_the_one_that_runs() {
    let role = Role::new("huge");
    let proxy = one_server(&role, "[limits]\nmax_statement_bytes = '64kB'\n");
    let (mut client, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    other.prepare("shared", "SELECT 'shared'").await;
    assert_eq!(client.unnamed("SELECT 'small'", &[]).await.value(), "small");
    // The server's unnamed statement is another's by now.
    other.unnamed("SELECT 'other'", &[]).await;
    let huge = format!("SELECT 'huge' /* {} */", "x".repeat(200_000));
    Batch::default()
        .parse("", &huge)
        .execute("")
        .parse("mine", "SELECT 'shared'")
        .execute("mine")
        .sync()
        .send(&mut client)
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.kinds, "12DC12DCZ");
    let texts: Vec<_> = answer.rows.iter().map(|row| row[0].as_deref().unwrap()).collect();
    assert_eq!(texts, ["huge", "shared"]);
    // As it does in PostgreSQL, it stays until the next simple query.
    assert_eq!(client.execute("", &[]).await.value(), "huge");
    client.query("SELECT 1").await;
    assert_eq!(client.execute("", &[]).await.sqlstate(), "26000");
}

/// What came behind an error never happened: no name is taken, none is free.
#[tokio::test]
async fn names_are_what_they_were_before_a_failed_pipeline() {
    let role = Role::new("names");
    let proxy = one_server(&role, "");
    let mut client = role.raw(proxy.port()).await;
    client.prepare("old", "SELECT 'old'").await;
    Batch::default()
        .parse("", "SELEKT")
        .parse("new", "SELECT 'never'")
        .close("new")
        .close("old")
        .parse("old", "SELECT 'never either'")
        .sync()
        .send(&mut client)
        .await;
    assert_eq!(client.answer().await.sqlstate(), "42601");
    assert_eq!(client.prepare("new", "SELECT 'new'").await.sqlstate(), "");
    assert_eq!(client.execute("new", &[]).await.value(), "new");
    assert_eq!(client.execute("old", &[]).await.value(), "old");
}

/// A statement that the proxy prepares on its way, behind an error: the next round of the same pipeline needs it.
#[tokio::test]
async fn a_statement_is_there_in_the_round_after_a_failed_one() {
    let role = Role::new("after");
    let proxy = one_server(&role, "");
    let (mut client, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    for name in ["s", ""] {
        client.prepare(name, "SELECT 'here'").await;
        if name.is_empty() {
            other.unnamed("SELECT 'other'", &[]).await;
        } else {
            // The server forgets it.
            other.query("DISCARD ALL").await;
        }
        Batch::default()
            .parse("fails", "SELECT 1/0")
            .execute("fails")
            .execute(name)
            .sync()
            .execute(name)
            .sync()
            .execute(name)
            .sync()
            .close("fails")
            .sync()
            .send(&mut client)
            .await;
        let failed = client.answer().await;
        assert_eq!(failed.sqlstate(), "22012", "{name:?} {failed:?}");
        assert_eq!(client.answer().await.value(), "here", "{name:?}");
        assert_eq!(client.answer().await.value(), "here", "{name:?}");
        client.answer().await;
    }
}

/// The names that the proxy gives on a server are nobody's to use.
#[tokio::test]
async fn nobody_closes_what_the_proxy_has_prepared_for_others() {
    let role = Role::new("ours");
    let proxy = one_server(&role, "");
    let (mut client, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    other.prepare("theirs", "SELECT 'shared'").await;
    let mut batch = Batch::default();
    for number in 1..20 {
        batch = batch.close(&format!("pgherd.{number}"));
    }
    batch.sync().send(&mut client).await;
    assert_eq!(client.answer().await.kinds, format!("{}Z", "3".repeat(19)));
    assert_eq!(other.execute("theirs", &[]).await.value(), "shared");
    for number in 1..20 {
        let name = format!("pgherd.{number}");
        client.prepare(&name, "SELECT 'mine'").await;
        assert_eq!(client.prepare(&name, "SELECT 'mine'").await.sqlstate(), "42P05");
        assert_eq!(client.execute(&name, &[]).await.value(), "mine");
        assert_eq!(other.execute("theirs", &[]).await.value(), "shared", "{name}");
    }
}

/// The statement can't be prepared any more; that must not keep its name from being given up.
#[tokio::test]
async fn a_statement_whose_table_is_gone_can_be_deallocated() {
    let role = Role::new("gone");
    let proxy = one_server(&role, "");
    let (mut client, mut other) = (role.raw(proxy.port()).await, role.raw(proxy.port()).await);
    other.query("CREATE TABLE gone (a int)").await;
    client.prepare("s", "SELECT * FROM gone").await;
    other.query("DROP TABLE gone").await;
    other.query("DISCARD ALL").await;
    assert_eq!(client.query("DEALLOCATE s").await.kinds, "CZ");
    assert_eq!(client.query("DEALLOCATE s").await.sqlstate(), "26000");
    // In a failed transaction as well: PostgreSQL says so, and keeps it.
    client.prepare("s", "SELECT 1").await;
    other.query("DISCARD ALL").await;
    client.query("BEGIN; SELECT 1/0").await;
    assert_eq!(client.query("DEALLOCATE s").await.sqlstate(), "25P02");
    client.query("ROLLBACK").await;
    assert_eq!(client.execute("s", &[]).await.value(), "1");
}

/// What a client has changed and the proxy has cleaned up is not what the next one is greeted with.
#[tokio::test]
async fn the_greeting_tells_what_holds() {
    let role = Role::new("greeting");
    let proxy = one_server(&role, "");
    let mut console = console(proxy.port()).await;
    let fresh = role.raw(proxy.port()).await.parameters;
    for (at, texts) in [
        ["SET TimeZone = 'Asia/Tokyo'", "SET ROLE NONE"],
        ["BEGIN", "SET TimeZone = 'Asia/Tokyo'"],
        ["SELECT set_config('TimeZone', 'Asia/Tokyo', false)", "SELECT set_config('client_encoding', 'LATIN1', false)"],
    ]
    .iter()
    .enumerate()
    {
        let mut client = role.raw(proxy.port()).await;
        for text in texts {
            client.query(text).await;
        }
        client.terminate().await;
        until_all_free(&mut console, &role).await;
        // Settings that nobody has asked for yet: the proxy has to ask a server for the greeting.
        let work_mem = format!("{}MB", 10 + at);
        let next = role.raw_with(proxy.port(), &[("work_mem", work_mem.as_str())]).await.unwrap();
        for name in ["TimeZone", "client_encoding", "DateStyle"] {
            assert_eq!(next.parameters[name], fresh[name], "{name} after {texts:?}");
        }
    }
}

/// Constants are read when a statement is prepared, by the rules of who prepares it.
#[tokio::test]
async fn a_prepared_constant_means_what_its_client_meant() {
    let role = Role::new("constants");
    let proxy = one_server(&role, "");
    let zones = ["UTC", "Asia/Tokyo"];
    let sql = "SELECT extract(epoch FROM '1970-01-01 09:00'::timestamptz)::int";
    let mut clients = Vec::new();
    for zone in zones {
        let mut client = role.raw_with(proxy.port(), &[("TimeZone", zone)]).await.unwrap();
        client.prepare("s", sql).await;
        clients.push(client);
    }
    for _ in 0..2 {
        for (client, want) in clients.iter_mut().zip(["32400", "0"]) {
            assert_eq!(client.execute("s", &[]).await.value(), want);
        }
    }
    // A change under way, too.
    let [utc, tokyo] = &mut clients[..] else { panic!() };
    Batch::default()
        .query("SET TimeZone = 'Asia/Tokyo'")
        .parse("t", "SELECT '1970-01-01 09:00'::timestamptz = 'epoch'")
        .sync()
        .send(utc)
        .await;
    utc.answer().await;
    utc.answer().await;
    utc.query("SET TimeZone = 'UTC'").await;
    let mut third = role.raw_with(proxy.port(), &[("TimeZone", "UTC")]).await.unwrap();
    third.prepare("t", "SELECT '1970-01-01 09:00'::timestamptz = 'epoch'").await;
    assert_eq!(third.execute("t", &[]).await.value(), "f");
    tokyo.prepare("t", "SELECT '1970-01-01 09:00'::timestamptz = 'epoch'").await;
    assert_eq!(tokyo.execute("t", &[]).await.value(), "t");
}

/// PostgreSQL refuses a statement whose columns have changed until it is prepared anew: so a new Parse must do.
#[tokio::test]
async fn a_statement_prepared_anew_knows_the_new_columns() {
    let role = Role::new("columns");
    let proxy = one_server(&role, "");
    let mut client = role.raw(proxy.port()).await;
    client.query("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)").await;
    client.prepare("s", "SELECT * FROM changing").await;
    assert_eq!(client.execute("s", &[]).await.rows[0].len(), 1);
    client.query("ALTER TABLE changing ADD b int").await;
    assert_eq!(client.execute("s", &[]).await.sqlstate(), "0A000");
    Batch::default().close("s").sync().send(&mut client).await;
    client.answer().await;
    client.prepare("s", "SELECT * FROM changing").await;
    assert_eq!(client.execute("s", &[]).await.rows[0].len(), 2);
}

/// Preparing went to a standby and failed; what follows in the same pipeline is a write, and must not happen.
#[tokio::test]
async fn what_follows_an_error_does_not_happen_on_another_server_either() {
    let role = Role::new("standby");
    let proxy = Proxy::start(shared(), &role.config());
    let mut client = role.raw(proxy.port()).await;
    client.query("CREATE TABLE written (a int)").await;
    client.prepare("w", "INSERT INTO written VALUES (1)").await;
    // By now its own write has reached the standbys.
    until("reads go to a standby", async || {
        let answer = role.raw(proxy.port()).await.query("SELECT count(*) FROM written").await;
        if answer.errors.is_empty() { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..5 {
        let failing = Batch::default().parse("", "SELECT * FROM does_not_exist").raw(FLUSH);
        failing.execute("w").sync().query("SELECT 'next'").send(&mut client).await;
        let answer = client.answer().await;
        assert_eq!((answer.kinds.as_str(), answer.sqlstate()), ("EZ", "42P01"));
        assert_eq!(client.answer().await.value(), "next");
    }
    let written = client.query("SELECT count(*), pg_current_xact_id() FROM written").await;
    assert_eq!(written.rows[0][0].as_deref(), Some("0"));
}
