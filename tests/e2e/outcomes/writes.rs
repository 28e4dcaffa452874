//! What may have been committed is said to be unknown, and is never done again.

use super::{Relay, Stage, behind, push_sync, push_unnamed, refusal, send_all};
use crate::harness::raw::Raw;

#[tokio::test]
async fn a_write_without_an_answer_is_unknown_and_its_client_goes_on() {
    // What is not known yet counts as a write: here a table is a table.
    let stage = Stage::set("unknown", "[routing]\ncatalog = false").await;
    let mut client = stage.client().await;
    assert_eq!(client.query("CREATE TABLE t (a int)").await.sqlstate(), "");
    client.send_query("INSERT INTO t SELECT 1 FROM pg_sleep(60)").await;
    stage.until_running("INSERT INTO t").await;
    stage.end_servers().await;
    let told = client.answer().await;
    assert_eq!(refusal(&told), ("08007", "ERROR", 'I'));
    assert!(told.errors[0].hint.is_some(), "{told:?}");
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");

    // Several rounds on their way: each has its own answer, and the reads among them changed nothing.
    send_all(&mut client, |out| {
        push_unnamed(out, "INSERT INTO t SELECT 1 FROM pg_sleep(60)");
        push_sync(out);
        push_unnamed(out, "SELECT count(*) FROM t");
        push_sync(out);
        push_unnamed(out, "DELETE FROM t");
    })
    .await;
    stage.until_running("INSERT INTO t").await;
    stage.end_servers().await;
    let kinds = |answer: &crate::harness::raw::Answer| answer.kinds.trim_start_matches(['1', '2']).to_owned();
    let first = client.answer().await;
    assert_eq!((kinds(&first).as_str(), refusal(&first)), ("EZ", ("08007", "ERROR", 'I')));
    assert_eq!(refusal(&client.answer().await), ("08006", "ERROR", 'I'));
    send_all(&mut client, push_sync).await;
    assert_eq!(refusal(&client.answer().await), ("08007", "ERROR", 'I'));
    assert_eq!(client.value("SELECT count(*) FROM t").await, "0");
}

/// It was done, and the answer lost on its way.
#[tokio::test]
async fn a_commit_in_doubt_is_told_and_not_repeated() {
    let relay = Relay::before(&crate::harness::shared().pg1);
    let stage = Stage::set("doubt", &behind(&relay)).await;
    let mut client = stage.client().await;
    assert_eq!(client.query("CREATE TABLE t (a int)").await.sqlstate(), "");

    assert_eq!(client.query("BEGIN").await.status, b'T');
    assert_eq!(client.query("INSERT INTO t VALUES (1)").await.status, b'T');
    in_doubt(&relay, &stage, &mut client, "COMMIT", "t", 1).await;
    assert_eq!(refusal(&client.answer().await), ("08007", "ERROR", 'I'));
    // A read that follows shows it.
    assert_eq!(client.value("SELECT count(*) FROM t").await, "1");

    in_doubt(&relay, &stage, &mut client, "INSERT INTO t VALUES (2)", "t", 2).await;
    assert_eq!(refusal(&client.answer().await), ("08007", "ERROR", 'I'));
    assert_eq!(client.value("SELECT count(*) FROM t").await, "2");

    // All of a transaction in one write.
    in_doubt(&relay, &stage, &mut client, "BEGIN; INSERT INTO t VALUES (3); COMMIT", "t", 3).await;
    assert_eq!(refusal(&client.answer().await), ("08007", "ERROR", 'I'));
    assert_eq!(client.value("SELECT count(*) FROM t").await, "3");
}

/// Sends `sql`, of which nobody hears an answer, and cuts the line once `table` has `rows` rows.
async fn in_doubt(relay: &Relay, stage: &Stage, client: &mut Raw, sql: &str, table: &str, rows: i64) {
    relay.mute(true);
    client.send_query(sql).await;
    let schema = &stage.role.name;
    let app = crate::harness::drivers::connect(&crate::harness::shared().pg1.dsn("app", "postgres")).await.unwrap();
    for _ in 0..500 {
        let row = app.query_one(&format!("SELECT count(*) FROM {schema}.{table}"), &[]).await.unwrap();
        if row.get::<_, i64>(0) == rows {
            relay.mute(false);
            return relay.cut();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{sql} was not done");
}
