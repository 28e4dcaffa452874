//! The primary changes under a request.

use super::refusal;
use crate::harness::raw::{Role, push_execute, push_parse};
use crate::harness::{Proxy, private_cluster};

/// What a standby refuses within a transaction, or to who prepared a name along with it, is told as it is.
#[tokio::test]
async fn what_a_standby_refuses_in_earnest_is_passed_on() {
    let role = Role::new("earnest");
    let proxy = Proxy::start(crate::harness::shared(), &role.config());
    let mut client = role.raw(proxy.port()).await;
    assert_eq!(client.query("CREATE TABLE t (a int)").await.sqlstate(), "");
    super::send_all(&mut client, |out| {
        super::push_unnamed(out, "BEGIN READ ONLY");
        push_parse(out, "delete", "DELETE FROM t");
        push_execute(out, "delete", &[]);
        super::push_sync(out);
    })
    .await;
    assert_eq!(refusal(&client.answer().await), ("25006", "ERROR", 'E'));
    assert_eq!(client.query("ROLLBACK").await.status, b'I');
    assert_eq!(refusal(&client.query("BEGIN READ ONLY; DELETE FROM t").await), ("25006", "ERROR", 'E'));
}

#[tokio::test]
async fn a_write_that_a_former_primary_refuses_goes_to_its_successor() {
    let cluster = private_cluster();
    let role = Role::on(&cluster, "demoted");
    let proxy = Proxy::start(&cluster, &format!("[monitor]\ninterval = '100ms'\n{}", role.config()));
    let mut client = role.raw(proxy.port()).await;
    // Says what a standby says, on pg1 only.
    let refuse = format!(
        "CREATE FUNCTION write() RETURNS int LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_sleep(CASE current_setting('port') WHEN '{port}' THEN 4 ELSE 0 END); \
         IF current_setting('port') = '{port}' THEN RAISE EXCEPTION 'no' USING ERRCODE = '25006'; END IF; \
         RETURN current_setting('port')::int; END $$",
        port = cluster.pg1.port()
    );
    assert_eq!(client.query(&refuse).await.sqlstate(), "");
    // As long as it is the primary, it is believed.
    assert_eq!(refusal(&client.query("SELECT write()").await), ("25006", "ERROR", 'I'));
    cluster.wait_caught_up().unwrap();

    let mut others = [role.raw(proxy.port()).await, role.raw(proxy.port()).await, role.raw(proxy.port()).await];
    client.send_query("SELECT write()").await;
    super::send_all(&mut others[0], |out| {
        super::push_unnamed(out, "SELECT write()");
        super::push_sync(out);
    })
    .await;
    assert_eq!(others[1].query("BEGIN; SELECT 0").await.status, b'T');
    others[1].send_query("SELECT write()").await;
    assert_eq!(others[2].query("BEGIN").await.status, b'T');
    others[2].send_query("SELECT write()").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    cluster.pg2.promote().unwrap();
    let successor = cluster.pg2.port().to_string();
    assert_eq!(client.answer().await.value(), successor);
    let extended = others[0].answer().await;
    assert_eq!((extended.kinds.as_str(), extended.value()), ("12DCZ", successor.clone()));
    // In a transaction it was not alone.
    assert_eq!(refusal(&others[1].answer().await), ("25006", "ERROR", 'E'));
    // … unless nothing but its BEGIN came before.
    let first = others[2].answer().await;
    assert_eq!((first.value(), first.status), (successor, b'T'));
}
