//! An open transaction whose server is lost is rolled back, and its client told so; it stays connected.

use pgherd::wire::frontend;

use super::{COPY_DONE, Stage, push_copy_data, push_sync, push_unnamed, refusal, send_all};
use crate::harness::raw::{Raw, push_execute, push_parse};

#[tokio::test]
async fn an_open_transaction_gets_40001_and_its_client_goes_on() {
    let stage = Stage::set("open", "[routing]\nsplit = false").await;
    let mut client = stage.client().await;
    assert_eq!(client.query("CREATE TABLE t (a int)").await.sqlstate(), "");
    lost_while_idle(&stage, &mut client).await;
    lost_while_running(&stage, &mut client).await;
    lost_before_its_end(&stage, &mut client).await;
    lost_after_an_error(&stage, &mut client).await;
    lost_in_a_copy(&stage, &mut client).await;
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
}

async fn lost_while_idle(stage: &Stage, client: &mut Raw) {
    assert_eq!(client.query("BEGIN").await.status, b'T');
    assert_eq!(client.query("INSERT INTO t VALUES (1)").await.status, b'T');
    assert_eq!(stage.end_servers().await, 1);
    let told = client.query("INSERT INTO t VALUES (2)").await;
    assert_eq!(refusal(&told), ("40001", "ERROR", 'E'));
    assert!(told.errors[0].message.contains("server was lost") && told.errors[0].hint.is_some(), "{told:?}");
    assert_eq!(refusal(&client.query("SELECT 1").await), ("25P02", "ERROR", 'E'));
    assert_eq!(client.query("").await.kinds, "IZ");
    assert_eq!(refusal(&client.query("ROLLBACK TO SAVEPOINT a").await), ("40001", "ERROR", 'E'));
    assert_eq!(refusal(&client.unnamed("SELECT 1", &[]).await), ("25P02", "ERROR", 'E'));
    let end = client.query("ROLLBACK").await;
    assert_eq!((end.tags[0].as_str(), end.status), ("ROLLBACK", b'I'));
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
}

async fn lost_while_running(stage: &Stage, client: &mut Raw) {
    assert_eq!(client.query("BEGIN").await.status, b'T');
    client.send_query("INSERT INTO t SELECT 1 FROM pg_sleep(60)").await;
    stage.until_running("INSERT INTO t").await;
    stage.end_servers().await;
    assert_eq!(refusal(&client.answer().await), ("40001", "ERROR", 'E'));
    let end = client.query("COMMIT").await;
    assert_eq!((end.kinds.as_str(), end.tags[0].as_str(), end.status), ("CZ", "ROLLBACK", b'I'));

    // The extended protocol; what it prepared before is still there.
    assert_eq!(client.prepare("sleep", "SELECT 1 FROM pg_sleep($1)").await.sqlstate(), "");
    assert_eq!(client.unnamed("BEGIN", &[]).await.status, b'T');
    send_all(client, |out| {
        push_execute(out, "sleep", &["60"]);
        push_sync(out);
        // A second round, on its way as well.
        push_execute(out, "sleep", &["0"]);
        push_sync(out);
    })
    .await;
    stage.until_running("pg_sleep").await;
    stage.end_servers().await;
    let answer = client.answer().await;
    // BindComplete may have been sent before it slept.
    assert!(["EZ", "2EZ"].contains(&answer.kinds.as_str()), "{answer:?}");
    assert_eq!(refusal(&answer), ("40001", "ERROR", 'E'));
    assert_eq!(refusal(&client.answer().await), ("25P02", "ERROR", 'E'));
    let skipped = client.unnamed("SELECT 1", &[]).await;
    assert_eq!((skipped.kinds.as_str(), refusal(&skipped)), ("EZ", ("25P02", "ERROR", 'E')));
    assert_eq!(client.unnamed("ROLLBACK", &[]).await.kinds, "12CZ");
    assert_eq!(client.execute("sleep", &["0"]).await.rows.len(), 1);

    // Several statements without a Sync between: what stands behind the end of the transaction is run.
    assert_eq!(client.query("BEGIN; SELECT 0").await.status, b'T');
    stage.end_servers().await;
    send_all(client, |out| {
        push_unnamed(out, "ROLLBACK");
        push_unnamed(out, "SELECT 7");
        push_sync(out);
    })
    .await;
    let answer = client.answer().await;
    assert_eq!((answer.kinds.as_str(), answer.status), ("12C12DCZ", b'I'), "{answer:?}");
    // So is what stands behind it in one text.
    assert_eq!(client.query("BEGIN; SELECT 0").await.status, b'T');
    stage.end_servers().await;
    let answer = client.query("ROLLBACK; SELECT 8").await;
    assert_eq!((answer.tags.join(","), answer.status), ("ROLLBACK,SELECT 1".to_owned(), b'I'), "{answer:?}");
}

/// Nobody has told the client yet when it ends its transaction.
async fn lost_before_its_end(stage: &Stage, client: &mut Raw) {
    for (end, extended) in [("COMMIT", false), ("END", true)] {
        assert_eq!(client.query("BEGIN; INSERT INTO t VALUES (3)").await.status, b'T');
        stage.end_servers().await;
        let told = if extended { client.unnamed(end, &[]).await } else { client.query(end).await };
        assert_eq!(refusal(&told), ("40001", "ERROR", 'I'), "{end}");
    }
    assert_eq!(client.query("BEGIN; INSERT INTO t VALUES (3)").await.status, b'T');
    stage.end_servers().await;
    let end = client.query("ABORT").await;
    assert_eq!((end.kinds.as_str(), end.tags[0].as_str(), end.status), ("CZ", "ROLLBACK", b'I'));
    // A pipeline that goes on although it can't.
    assert_eq!(client.query("BEGIN; SELECT 0").await.status, b'T');
    stage.end_servers().await;
    send_all(client, |out| {
        frontend::push_query(out, "INSERT INTO t VALUES (4)");
        frontend::push_query(out, "COMMIT");
        frontend::push_query(out, "SELECT 9");
    })
    .await;
    assert_eq!(refusal(&client.answer().await), ("40001", "ERROR", 'E'));
    assert_eq!(client.answer().await.tags, ["ROLLBACK"]);
    assert_eq!(client.answer().await.value(), "9");
}

/// PostgreSQL had told the client that its transaction failed: nothing is news.
async fn lost_after_an_error(stage: &Stage, client: &mut Raw) {
    assert_eq!(client.query("BEGIN").await.status, b'T');
    assert_eq!(refusal(&client.query("SELECT 1/0").await), ("22012", "ERROR", 'E'));
    stage.end_servers().await;
    assert_eq!(refusal(&client.query("SELECT 1").await), ("25P02", "ERROR", 'E'));
    assert_eq!(client.query("COMMIT").await.tags, ["ROLLBACK"]);
    // Nor is it in the middle of a request that failed.
    assert_eq!(client.query("BEGIN").await.status, b'T');
    send_all(client, |out| {
        push_parse(out, "", "SELECT 1/0");
        push_execute(out, "", &[]);
        out.extend_from_slice(b"H\0\0\0\x04");
    })
    .await;
    while client.receive().await.unwrap().tag != b'E' {}
    stage.end_servers().await;
    send_all(client, push_sync).await;
    let rest = client.answer().await;
    assert_eq!((rest.kinds.as_str(), rest.status), ("Z", b'E'));
    assert_eq!(client.query("ROLLBACK").await.status, b'I');
}

async fn lost_in_a_copy(stage: &Stage, client: &mut Raw) {
    assert_eq!(client.query("BEGIN").await.status, b'T');
    assert_eq!(client.query("COPY t FROM STDIN").await.kinds, "G");
    send_all(client, |out| push_copy_data(out, "1\n")).await;
    stage.end_servers().await;
    send_all(client, |out| {
        push_copy_data(out, "2\n");
        out.extend_from_slice(COPY_DONE);
    })
    .await;
    assert_eq!(refusal(&client.answer().await), ("40001", "ERROR", 'E'));
    assert_eq!(client.query("ROLLBACK").await.tags, ["ROLLBACK"]);
    // The extended protocol: dropped up to the Sync behind the data.
    assert_eq!(client.query("BEGIN").await.status, b'T');
    send_all(client, |out| {
        push_unnamed(out, "COPY t FROM STDIN");
        push_sync(out);
    })
    .await;
    assert_eq!(client.answer().await.kinds, "12G");
    stage.end_servers().await;
    send_all(client, |out| {
        push_copy_data(out, "2\n");
        out.extend_from_slice(COPY_DONE);
        push_sync(out);
    })
    .await;
    assert_eq!(refusal(&client.answer().await), ("40001", "ERROR", 'E'));
    assert_eq!(client.query("ROLLBACK").await.tags, ["ROLLBACK"]);
}
