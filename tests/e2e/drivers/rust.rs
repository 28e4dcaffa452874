//! tokio-postgres: it pipelines whatever is asked for at once, and prepares all of it.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt, TryStreamExt, future};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Error, IsolationLevel, NoTls};

use super::{assert_every_node_served, make_tables};
use crate::harness::{Proxy, shared};

#[tokio::test]
async fn pipelined_queries_are_answered_in_order() {
    let proxy = Proxy::start(shared(), "");
    let prefix = make_tables(shared(), "rust_pipelined");
    proxy.until_standbys_read("app");
    let client = proxy.client().await;
    let read = client.prepare(&format!("SELECT label FROM {prefix}_items WHERE id = $1")).await.unwrap();
    let write = client.prepare(&format!("INSERT INTO {prefix}_work VALUES ($1, 'w')")).await.unwrap();
    let ids: Vec<i32> = (1..=300).collect();
    let ask = async |id: &i32| {
        if id % 10 == 0 {
            assert_eq!(client.execute(&write, &[id]).await.unwrap(), 1);
        }
        client.query_one(&read, &[id]).await.unwrap().get::<_, String>(0)
    };
    let labels = future::join_all(ids.iter().map(ask)).await;
    assert_eq!(labels, ids.iter().map(|id| format!("item {id}")).collect::<Vec<_>>());

    // One of them fails: the others do not notice.
    let divide = client.prepare("SELECT 100 / $1::int").await.unwrap();
    let quotients = future::join_all((0..10).map(|by| {
        let (client, divide) = (&client, &divide);
        async move { client.query_one(divide, &[&by]).await.map(|row| row.get::<_, i32>(0)) }
    }));
    for (by, quotient) in quotients.await.into_iter().enumerate() {
        match quotient {
            Ok(quotient) => assert_eq!(quotient, 100 / by as i32),
            Err(error) => assert_eq!((by, error.code()), (0, Some(&SqlState::DIVISION_BY_ZERO))),
        }
    }
    assert_every_node_served(&proxy);
}

#[tokio::test]
async fn prepared_statements_outlive_their_transactions_and_servers() {
    let proxy = Proxy::start(shared(), "");
    let prefix = make_tables(shared(), "rust_prepared");
    let mut client = proxy.client().await;
    let mut other = proxy.client().await;
    let read = client.prepare(&format!("SELECT price::text FROM {prefix}_items WHERE id = $1")).await.unwrap();
    let write =
        client.prepare_typed(&format!("INSERT INTO {prefix}_work VALUES ($1, $2)"), &[Type::INT4]).await.unwrap();
    for id in 1..=20_i32 {
        // The primary's idle server is lent to somebody else in every other turn: another one has to prepare.
        let busy = other.transaction().await.unwrap();
        if id % 2 == 0 {
            busy.simple_query("SELECT 1").await.unwrap();
        }
        let transaction = client.transaction().await.unwrap();
        transaction.execute(&write, &[&id, &"t"]).await.unwrap();
        let price: String = transaction.query_one(&read, &[&id]).await.unwrap().get(0);
        assert_eq!(price, format!("{:.2}", f64::from(id) * 1.25));
        transaction.commit().await.unwrap();
        busy.rollback().await.unwrap();
        assert_eq!(client.query(&read, &[&id]).await.unwrap().len(), 1);
    }
    let mut reader = proxy.client().await; // it has written nothing that a standby could lack
    let reading = reader.build_transaction().read_only(true).isolation_level(IsolationLevel::RepeatableRead);
    let reading = reading.start().await.unwrap();
    assert!(reading.query_one("SELECT pg_is_in_recovery()", &[]).await.unwrap().get::<_, bool>(0));
    let portal = reading.bind(&format!("SELECT id FROM {prefix}_items ORDER BY id"), &[]).await.unwrap();
    for piece in 0..10_i32 {
        let rows = reading.query_portal(&portal, 100).await.unwrap();
        assert_eq!((rows.len(), rows[0].get::<_, i32>(0)), (100, piece * 100 + 1));
    }
    reading.commit().await.unwrap();
    drop((read, write)); // closes them on the wire
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

/// PostgreSQL reads literals by TimeZone, and finds tables by search_path, when it prepares a statement.
#[tokio::test]
async fn clients_of_different_settings_share_no_statement() {
    let proxy = Proxy::start(shared(), "[pool]\nsize = 1\n[routing]\nsplit = false");
    let prefix = make_tables(shared(), "rust_settings");
    let schemas = format!(
        "CREATE SCHEMA {prefix}_a;
         CREATE TABLE {prefix}_a.t AS SELECT 1 AS one;
         CREATE SCHEMA {prefix}_b;
         CREATE TABLE {prefix}_b.t AS SELECT 'x' AS a, 'y' AS b"
    );
    proxy.client().await.batch_execute(&schemas).await.unwrap();
    let hour = "SELECT extract(hour FROM timestamptz '2024-01-01 12:00' AT TIME ZONE 'UTC')::int";
    for (zone, schema, want, columns) in [("UTC", "a", 12, 1), ("Asia/Tokyo", "b", 3, 2), ("UTC", "b", 12, 2)] {
        let client = proxy.client().await;
        client.batch_execute(&format!("SET TimeZone = '{zone}'")).await.unwrap();
        client.batch_execute(&format!("SET search_path = {prefix}_{schema}, public")).await.unwrap();
        let got = client.query_one(&client.prepare(hour).await.unwrap(), &[]).await.unwrap().get::<_, i32>(0);
        assert_eq!(got, want, "noon in {zone}");
        let row = client.query_one(&client.prepare("SELECT * FROM t").await.unwrap(), &[]).await.unwrap();
        assert_eq!(row.len(), columns, "columns in schema {schema}");
    }
    // A SET whose transaction is rolled back.
    let mut client = proxy.client().await;
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("SET TimeZone = 'America/New_York'").await.unwrap();
    let got = transaction.query_one(&transaction.prepare(hour).await.unwrap(), &[]).await.unwrap().get::<_, i32>(0);
    assert_eq!(got, 17);
    transaction.rollback().await.unwrap();
    client.batch_execute("SET TimeZone = 'UTC'").await.unwrap();
    client.batch_execute(&format!("SET search_path = {prefix}_a, public")).await.unwrap();
    let got = client.query_one(&client.prepare(hour).await.unwrap(), &[]).await.unwrap().get::<_, i32>(0);
    assert_eq!(got, 12);
}

#[tokio::test]
async fn a_statement_whose_result_has_changed_is_prepared_anew_everywhere() {
    let proxy = Proxy::start(shared(), "[pool]\nsize = 3\n[routing]\nsplit = false");
    let table = make_tables(shared(), "rust_stale") + "_items";
    let sql = format!("SELECT * FROM {table} WHERE id = 1");
    let clients = [proxy.client().await, proxy.client().await, proxy.client().await];
    for turn in 1..=2 {
        // Each of the three servers has the statement.
        let begin = async |client: &Client| client.batch_execute("BEGIN").await.unwrap();
        let statements = future::join_all(clients.iter().map(async |client| {
            begin(client).await;
            let statement = client.prepare(&sql).await.unwrap();
            client.query_one(&statement, &[]).await.unwrap();
            statement
        }));
        let statements = statements.await;
        future::join_all(clients.iter().map(|client| client.batch_execute("COMMIT"))).await;
        clients[0].batch_execute(&format!("ALTER TABLE {table} ADD COLUMN more_{turn} int")).await.unwrap();

        let error = clients[0].query_one(&statements[0], &[]).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED), "{error:?}");
        for _ in 0..2 {
            future::join_all(clients.iter().map(begin)).await; // whichever server the next one gets
            let row = clients[0].query_one(&clients[0].prepare(&sql).await.unwrap(), &[]).await.unwrap();
            assert_eq!(row.len(), 3 + turn);
            future::join_all(clients.iter().rev().map(|client| client.batch_execute("COMMIT"))).await;
        }
    }
}

#[tokio::test]
async fn rows_are_copied_both_ways() {
    let proxy = Proxy::start(shared(), "");
    let prefix = make_tables(shared(), "rust_copy");
    let mut client = proxy.client().await;
    let sink = client.copy_in(&format!("COPY {prefix}_work (id, note) FROM STDIN")).await.unwrap();
    let mut sink = pin!(sink);
    for id in 1..=20_000 {
        sink.feed(bytes::Bytes::from(format!("{id}\tnote {id}\n"))).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 20_000);

    let transaction = client.transaction().await.unwrap();
    let out = format!("COPY (SELECT id, note FROM {prefix}_work ORDER BY id) TO STDOUT");
    let text = transaction.copy_out(&out).await.unwrap().try_fold(Vec::new(), async |mut all, piece| {
        all.extend_from_slice(&piece);
        Ok(all)
    });
    let lines = String::from_utf8(text.await.unwrap()).unwrap();
    assert!(lines.lines().enumerate().all(|(n, line)| line == format!("{0}\tnote {0}", n + 1)));
    assert_eq!(lines.lines().count(), 20_000);

    let binary = format!("COPY {prefix}_work (id, payload) FROM STDIN (FORMAT binary)");
    let types = [Type::INT4, Type::BYTEA];
    let mut writer = pin!(BinaryCopyInWriter::new(transaction.copy_in(&binary).await.unwrap(), &types));
    for id in 30_001..=30_100_i32 {
        let row: [&(dyn ToSql + Sync); 2] = [&id, &vec![7_u8; 5000]];
        writer.as_mut().write(&row).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), 100);
    let out =
        format!("COPY (SELECT id, payload FROM {prefix}_work WHERE id > 30000 ORDER BY id) TO STDOUT (FORMAT binary)");
    let rows = BinaryCopyOutStream::new(transaction.copy_out(&out).await.unwrap(), &types);
    let rows: Vec<_> = rows.try_collect().await.unwrap();
    assert!(
        rows.iter()
            .enumerate()
            .all(|(n, row)| row.get::<i32>(0) == 30_001 + n as i32 && row.get::<&[u8]>(1) == [7; 5000])
    );
    assert_eq!(rows.len(), 100);
    transaction.commit().await.unwrap();

    // Given up by the client, refused by PostgreSQL: either way the session goes on.
    let sink = client.copy_in::<_, bytes::Bytes>(&format!("COPY {prefix}_work (id) FROM STDIN")).await.unwrap();
    drop(sink);
    let sink = client.copy_in(&format!("COPY {prefix}_work (id) FROM STDIN")).await.unwrap();
    let mut sink = pin!(sink);
    sink.send(bytes::Bytes::from_static(b"no number\n")).await.unwrap();
    let error = sink.finish().await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

/// One that does not read for a moment: the last piece of a result waits in the proxy when its server is done already.
/// How large a result is then depends on the kernel's buffers, so all sizes are tried.
#[tokio::test]
async fn large_results_reach_a_slow_client() {
    let proxy = Proxy::start(shared(), "");
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let socket = socket.connect(([127, 0, 0, 1], proxy.port()).into()).await.unwrap();
    let (mut from_proxy, mut to_proxy) = socket.into_split();
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut from_client, mut to_client) = tokio::io::split(theirs);
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_proxy).await });
    tokio::spawn(async move {
        let mut piece = vec![0; 64 * 1024];
        while from_proxy.readable().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(15)).await;
            let pause = Duration::from_millis(3);
            while let Ok(read) = tokio::time::timeout(pause, from_proxy.read(&mut piece)).await {
                let Ok(read @ 1..) = read else { return };
                let _ = to_client.write_all(&piece[..read]).await;
            }
        }
    });
    let config: tokio_postgres::Config = proxy.dsn("app", "app").parse().unwrap();
    let (client, connection) = config.connect_raw(ours, NoTls).await.unwrap();
    tokio::spawn(connection);
    for begin in ["", "BEGIN"] {
        client.batch_execute(begin).await.unwrap();
        let sql = "SELECT repeat('x', 10000) FROM generate_series(1, $1)";
        let sql = client.prepare_typed(sql, &[Type::INT4]).await.unwrap();
        for count in (200..600_i32).step_by(10) {
            let answer = tokio::time::timeout(Duration::from_secs(10), client.query(&sql, &[&count])).await;
            let rows = answer.expect("the whole result").unwrap();
            assert_eq!(rows.len(), count as usize);
            assert!(rows.iter().all(|row| row.get::<_, &str>(0).len() == 10_000));
        }
        client.batch_execute("COMMIT").await.unwrap();
    }
}

#[tokio::test]
async fn a_cancel_token_stops_its_own_query_only() {
    let proxy = Proxy::start(shared(), "");
    let (client, bystander) = (proxy.client().await, proxy.client().await);
    for sql in ["SELECT pg_sleep(20)", "SELECT pg_sleep(20) FOR SHARE"] {
        let started = Instant::now();
        let token = client.cancel_token();
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            token.cancel_query(NoTls).await.unwrap();
        };
        let other = async { bystander.query_one("SELECT pg_sleep(0.5), 2", &[]).await.unwrap().get::<_, i32>(1) };
        let (canceled, (), two) = future::join3(client.simple_query(sql), cancel, other).await;
        assert_eq!((canceled.unwrap_err().code(), two), (Some(&SqlState::QUERY_CANCELED), 2));
        assert!(started.elapsed() < Duration::from_secs(10), "the cancel request came late");
        token.cancel_query(NoTls).await.unwrap(); // of nothing
        for _ in 0..5 {
            assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
            assert_eq!(bystander.query_one("SELECT 2", &[]).await.unwrap().get::<_, i32>(0), 2);
        }
    }
}

#[tokio::test]
async fn errors_keep_their_types() {
    let proxy = Proxy::start(shared(), "");
    let prefix = make_tables(shared(), "rust_errors");
    let mut client = proxy.client().await;
    client.execute(&format!("INSERT INTO {prefix}_work (id) VALUES (1)"), &[]).await.unwrap();
    let twice = client.execute(&format!("INSERT INTO {prefix}_work (id) VALUES ($1)"), &[&1]).await.unwrap_err();
    let db = twice.as_db_error().unwrap();
    assert_eq!(
        (db.code(), db.constraint()),
        (&SqlState::UNIQUE_VIOLATION, Some(format!("{prefix}_work_pkey").as_str()))
    );
    assert_eq!(db.detail(), Some("Key (id)=(1) already exists."));
    let cases = [
        ("SELEC 1", SqlState::SYNTAX_ERROR),
        ("SELECT nothing", SqlState::UNDEFINED_COLUMN),
        ("SELECT * FROM nowhere", SqlState::UNDEFINED_TABLE),
        ("SELECT no_such_function()", SqlState::UNDEFINED_FUNCTION),
        ("EXECUTE nothing", SqlState::INVALID_SQL_STATEMENT_NAME),
        ("FETCH nothing", SqlState::INVALID_CURSOR_NAME),
    ];
    for (sql, code) in cases {
        let refused: [Error; 2] =
            [client.simple_query(sql).await.unwrap_err(), client.query(sql, &[]).await.unwrap_err()];
        assert!(refused.iter().all(|error| error.code() == Some(&code)), "{sql}: {refused:?}");
    }
    let transaction = client.transaction().await.unwrap();
    transaction.query("SELECT 1/0", &[]).await.unwrap_err();
    let error = transaction.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    transaction.rollback().await.unwrap();
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test]
async fn notifications_and_notices_arrive() {
    let proxy = Proxy::start(shared(), "");
    let (listener, mut connection) = tokio_postgres::connect(&proxy.dsn("app", "app"), NoTls).await.unwrap();
    let messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    let messages = tokio::spawn(async move {
        let mut heard = Vec::new();
        let mut messages = pin!(messages);
        while let Some(Ok(message)) = messages.next().await {
            match message {
                AsyncMessage::Notice(notice) => heard.push(notice.message().to_owned()),
                AsyncMessage::Notification(told) => {
                    heard.push(told.payload().to_owned());
                    break;
                }
                _ => {}
            }
        }
        heard
    });
    listener.batch_execute("DO $$ BEGIN RAISE NOTICE 'a notice'; END $$; LISTEN rust_channel").await.unwrap();
    proxy.client().await.execute("SELECT pg_notify('rust_channel', 'told')", &[]).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(10), messages).await.expect("a notification").unwrap();
    assert_eq!(heard, ["a notice", "told"]);
}
