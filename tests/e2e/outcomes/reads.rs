//! A read that was not answered yet is asked of another server, and its client notices nothing.

use super::{Stage, push_sync, push_unnamed, refusal, send_all};
use crate::harness::raw::push_execute;

#[tokio::test]
async fn a_read_is_asked_again() {
    let stage = Stage::set("again", "").await;
    let mut client = stage.client().await;
    assert_eq!(client.prepare("slow", "SELECT $1::text, pg_sleep(1)").await.sqlstate(), "");

    client.send_query("SELECT 5, pg_sleep(1)").await;
    stage.end_running("pg_sleep").await;
    let answer = client.answer().await;
    assert_eq!((answer.kinds.as_str(), answer.rows[0][0].as_deref()), ("TDCZ", Some("5")), "{answer:?}");

    // By the name of a statement that the second server does not have yet, and in a pipeline of two.
    send_all(&mut client, |out| {
        push_execute(out, "slow", &["a"]);
        push_sync(out);
        push_execute(out, "slow", &["b"]);
        push_sync(out);
    })
    .await;
    stage.end_running("pg_sleep").await;
    for expected in ["a", "b"] {
        let answer = client.answer().await;
        assert_eq!((answer.kinds.as_str(), answer.rows[0][0].as_deref()), ("2DCZ", Some(expected)), "{answer:?}");
    }
    // The unnamed statement, with all that belongs to it.
    send_all(&mut client, |out| {
        push_unnamed(out, "SELECT 6, pg_sleep(1)");
        push_sync(out);
    })
    .await;
    stage.end_running("SELECT 6").await;
    let answer = client.answer().await;
    assert_eq!((answer.kinds.as_str(), answer.rows[0][0].as_deref()), ("12DCZ", Some("6")), "{answer:?}");

    // Nor the second time, but not for ever.
    client.send_query("SELECT 7, pg_sleep(2)").await;
    for _ in 0..6 {
        stage.end_running("SELECT 7").await;
    }
    assert_eq!(refusal(&client.answer().await), ("08006", "ERROR", 'I'));
    assert_eq!(client.value("SELECT 8").await, "8");
}

/// Some of the result is there already: the rest can't be had from another server.
#[tokio::test]
async fn a_read_that_was_answered_in_part_is_not_asked_again() {
    let stage = Stage::set("part", "").await;
    let mut client = stage.client().await;
    // More than the server keeps back, then nothing for a minute.
    client
        .send_query(
            "SELECT repeat('x', 1000), pg_sleep(CASE g WHEN 100 THEN 60 ELSE 0 END) FROM generate_series(1, 100) g",
        )
        .await;
    assert_eq!(client.receive().await.unwrap().tag, b'T');
    assert_eq!(client.receive().await.unwrap().tag, b'D');
    stage.end_servers().await;
    let rest = client.answer().await;
    // PostgreSQL has sent what it had buffered with its farewell: rows are whole.
    assert_eq!(refusal(&rest), ("08006", "ERROR", 'I'));
    assert_eq!(client.value("SELECT 8").await, "8");
}
