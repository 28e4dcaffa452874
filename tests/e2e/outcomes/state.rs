//! Sessions that had something only the lost server had.

use super::{Relay, Stage, behind};
use crate::harness::raw::Raw;

#[tokio::test]
async fn a_session_with_state_of_its_own_ends_and_is_told_what_it_lost() {
    let stage = Stage::set("pinned", "").await;
    let cases = [
        ("CREATE TEMP TABLE x (a int)", "temporary tables"),
        ("LISTEN x", "LISTEN"),
        ("SELECT pg_advisory_lock(hashtext(current_user))", "advisory locks"),
        ("PREPARE x AS SELECT 1", "PREPARE"),
    ];
    for (sql, what) in cases {
        let mut client = stage.client().await;
        assert_eq!(client.query(sql).await.sqlstate(), "", "{sql}");
        stage.end_servers().await;
        is_told(&mut client, "57P01", what).await;
        // In a transaction, too.
        let mut client = stage.client().await;
        assert_eq!(client.query(sql).await.sqlstate(), "", "{sql}");
        assert_eq!(client.query("BEGIN").await.status, b'T');
        client.send_query("SELECT pg_sleep(60)").await;
        stage.until_running("pg_sleep").await;
        stage.end_servers().await;
        is_told(&mut client, "57P01", what).await;
        // With a write under way.
        let mut client = stage.client().await;
        assert_eq!(client.query(sql).await.sqlstate(), "", "{sql}");
        client.send_query("SELECT txid_current(), pg_sleep(60)").await;
        stage.until_running("pg_sleep").await;
        stage.end_servers().await;
        is_told(&mut client, "08007", what).await;
    }
    // What only the lost transaction had made is no loss.
    let mut client = stage.client().await;
    assert_eq!(client.query("BEGIN; CREATE TEMP TABLE x (a int)").await.status, b'T');
    stage.end_servers().await;
    assert_eq!(client.query("SELECT 1").await.sqlstate(), "40001");
    assert_eq!(client.query("ROLLBACK").await.status, b'I');
    // One that is idle and has nothing notices nothing.
    assert_eq!(client.value("SELECT 1").await, "1");
    stage.end_servers().await;
    assert_eq!(client.value("SELECT 2").await, "2");
}

async fn is_told(client: &mut Raw, sqlstate: &str, what: &str) {
    let told = client.answer().await;
    let error = &told.errors[0];
    assert_eq!((error.severity.as_str(), error.sqlstate.as_str(), told.status), ("FATAL", sqlstate, 0), "{told:?}");
    let text = format!("{} {:?}", error.message, error.detail);
    assert!(text.contains(what) && text.contains("lost"), "{told:?}");
    assert!(client.is_closed().await);
}

/// What could be said would stand in the middle of a row.
#[tokio::test]
async fn a_row_cut_in_the_middle_ends_the_session_without_a_word() {
    let relay = Relay::before(&crate::harness::shared().pg1);
    let stage = Stage::set("cut", &format!("{}[routing]\nsplit = false\n", behind(&relay))).await;
    let mut client = stage.client().await;
    client.send_query("SELECT repeat('x', 50000000)").await;
    assert_eq!(client.receive().await.unwrap().tag, b'T');
    relay.cut();
    let rest = client.answer().await;
    assert_eq!((rest.kinds.as_str(), rest.status), ("", 0), "{rest:?}");
}
