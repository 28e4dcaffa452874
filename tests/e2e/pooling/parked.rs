//! Of a session that idles little is kept, all that its client may count on. (A debug build keeps one session of a worker
//! whole, a release build some.)

use super::clients;
use crate::harness::raw::{Role, console, push_execute, push_parse};
use crate::harness::{Proxy, shared};

use pgherd::wire::frontend;

#[tokio::test]
async fn a_session_that_idles_among_others_is_what_it_was() {
    let role = Role::new("parked");
    let proxy = Proxy::start(shared(), &format!("workers = 1\n[pool]\nsize = 1\n{}", role.config()));
    let mut others = Vec::new();
    for _ in 0..100 {
        others.push(role.raw(proxy.port()).await);
    }
    let name = [("application_name", "the parked one"), ("options", "-c work_mem=123kB")];
    let mut client = role.raw_with(proxy.port(), &name).await.unwrap();
    client.query("SET TimeZone = 'Asia/Tokyo'").await;
    assert_eq!(client.prepare("p", "SELECT $1 || current_setting('work_mem')").await.kinds, "1Z");
    let mut parse = Vec::new();
    push_parse(&mut parse, "", "SELECT 'unnamed ' || $1");
    frontend::push_sync(&mut parse);
    for round in 0..3 {
        client.send(&parse).await;
        assert_eq!(client.answer().await.kinds, "1Z");
        // They use the server meanwhile, and its unnamed statement.
        for other in &mut others {
            assert_eq!(other.unnamed("SELECT 'other ' || $1", &["x"]).await.rows[0][0].as_deref(), Some("other x"));
        }
        let mut run = Vec::new();
        push_execute(&mut run, "", &["x"]);
        push_execute(&mut run, "p", &["has "]);
        frontend::push_sync(&mut run);
        client.send(&run).await;
        let answer = client.answer().await;
        let values: Vec<_> = answer.rows.iter().map(|row| row[0].clone().unwrap()).collect();
        assert_eq!(values, ["unnamed x", "has 123kB"], "round {round}");
        assert_eq!(client.value("SHOW application_name").await, "the parked one");
        assert_eq!(client.value("SHOW TimeZone").await, "Asia/Tokyo");
    }
    client.query("RESET work_mem").await;
    assert_eq!(client.value("SHOW work_mem").await, "123kB");

    // What it has begun is held, though it idles.
    client.query("BEGIN").await;
    others[0].query("SELECT 1").await;
    assert_eq!(client.query("COMMIT").await.tags, ["COMMIT"]);

    let mut console = console(proxy.port()).await;
    assert_eq!(clients(&mut console, &role, "state").await, vec!["idle"; 101]);
}
