//! The console over a loopback socket: tokio-postgres in both protocols, and raw bytes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{StreamExt, pin_mut};
use pgherd::admin::command::Show;
use pgherd::admin::{Dialect, console, parameters};
use pgherd::client::registry::{ClientEntry, Clients, NewClient};
use pgherd::cluster::{NodeId, Order};
use pgherd::orders::Request;
use pgherd::shared::Shared;
use pgherd::wire::frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};

use super::fixture::snapshot;

#[tokio::test]
async fn every_command_answers_in_both_protocols() {
    let client = connect(Dialect::Pgherd).await;
    for show in Show::ALL {
        let text = format!("SHOW {};", show.name());
        let simple = client.simple_query(&text).await.unwrap();
        let statement = client.prepare(&text).await.unwrap();
        let rows = client.query(&statement, &[]).await.unwrap();
        assert!(!rows.is_empty(), "{text}");
        if show == Show::Help {
            continue; // a notice in the simple protocol
        }
        let simple: Vec<_> = simple.iter().filter(|m| matches!(m, SimpleQueryMessage::Row(_))).collect();
        assert_eq!(simple.len(), rows.len(), "{text}");
    }
}

#[tokio::test]
async fn binary_results_have_the_values_of_the_text() {
    let client = connect(Dialect::Pgherd).await;
    let row = client.query_one("show nodes", &[]).await;
    assert!(row.is_err(), "three rows are not one");
    let nodes = client.query("show nodes", &[]).await.unwrap();
    assert_eq!(nodes[1].get::<_, &str>("name"), "pg2");
    assert_eq!(nodes[1].get::<_, i32>("port"), 5433);
    assert_eq!(nodes[1].get::<_, Option<i64>>("lag_ms"), Some(250));
    assert_eq!(nodes[0].get::<_, Option<i64>>("lag_ms"), None);
    let stats = client.query_one("show stats", &[]).await.unwrap();
    assert_eq!(stats.get::<_, Numeric>("total_query_time").0, [0, 2, 0, 1, 0, 0, 0, 0, 2, 238, 0, 0]);
    assert!(!client.query_one("select pg_is_in_recovery()", &[]).await.unwrap().get::<_, bool>(0));
}

#[tokio::test]
async fn an_error_says_what_is_known_and_the_session_lives() {
    let client = connect(Dialect::Pgherd).await;
    for text in ["SHOW NONSENSE", "SHOW POOLS; SHOW NODES", "DROP TABLE t"] {
        for error in [client.simple_query(text).await.unwrap_err(), client.query(text, &[]).await.unwrap_err()] {
            let error = error.as_db_error().unwrap();
            assert_eq!((error.severity(), error.code()), ("ERROR", &SqlState::SYNTAX_ERROR), "{text}");
        }
    }
    let error = client.simple_query("SHOW NONSENSE").await.unwrap_err();
    let hint = error.as_db_error().unwrap().hint().unwrap();
    assert!(Show::ALL.iter().all(|show| hint.contains(show.name())), "{hint}");
    assert_eq!(client.query("SHOW VERSION", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn drivers_small_talk_works() {
    let mut client = connect(Dialect::PgBouncer).await;
    let transaction = client.transaction().await.unwrap();
    assert_eq!(transaction.query("SHOW POOLS", &[]).await.unwrap().len(), 2);
    let portal = transaction.bind("SHOW LISTS", &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 10).await.unwrap().len(), 10);
    assert_eq!(transaction.query_portal(&portal, 10).await.unwrap().len(), 4);
    transaction.commit().await.unwrap();
    client.batch_execute("SET application_name = 'x'; RESET ALL; ").await.unwrap();
    client.batch_execute("").await.unwrap();
    let row = client.query_one("SELECT current_user", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "operator");
    let row = client.query_one("SELECT current_database() AS db", &[]).await.unwrap();
    assert_eq!((row.columns()[0].name(), row.get::<_, &str>(0)), ("db", "pgbouncer"));
    assert_eq!(client.query("", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn help_is_a_notice_as_in_pgbouncer() {
    let (stream, _console) = logged_in(Dialect::Pgherd).await;
    let (client, mut connection) = config().connect_raw(stream, NoTls).await.unwrap();
    let messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        pin_mut!(messages);
        let mut sender = Some(sender);
        while let Some(Ok(message)) = messages.next().await {
            if let (AsyncMessage::Notice(notice), Some(sender)) = (message, sender.take()) {
                sender.send(notice.message().to_owned()).unwrap();
            }
        }
    });
    client.simple_query("SHOW HELP").await.unwrap();
    assert!(receiver.await.unwrap().contains("SHOW NODES"));
}

#[tokio::test]
async fn an_order_is_given_and_its_answer_told() {
    let shared = shared();
    let mut inbox = shared.orders.take_inbox().unwrap();
    let monitor = tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Some(Request { order, answer }) = inbox.recv().await {
            let said = match order {
                Order::Failover { force: false, .. } => Err("the primary lives".to_owned()),
                Order::Detach(_) => Err("no\nbecause".to_owned()),
                _ => Ok(format!("done: {order:?}")),
            };
            answer.send(said).unwrap();
            taken.push(order);
        }
        taken
    });
    let (client, mut notices, console) = connect_with(Arc::clone(&shared)).await;
    client.simple_query("SWITCHOVER TO PG2").await.unwrap();
    assert_eq!(notices.recv().await.unwrap(), "done: Switchover { to: Some(NodeId(1)) }");
    // The extended protocol, too; parsing and describing give no order.
    let statement = client.prepare("PAUSE FAILOVER").await.unwrap();
    client.execute(&statement, &[]).await.unwrap();
    assert_eq!(notices.recv().await.unwrap(), "done: Pause");

    let cases = [
        ("FAILOVER TO pg2", "55000", "the primary lives", "FAILOVER TO pg2 FORCE"),
        ("DETACH pg2", "55000", "no", "because"),
        ("ATTACH pg9", "22023", "there is no node pg9", "Nodes: pg1, pg2, pg3."),
        ("DISABLE", "42601", "not understood: DISABLE", "DISABLE database"),
        ("RESUME FAILOVER; SHOW NODES", "42601", "one command at a time", "query of its own"),
    ];
    for (text, state, message, hint) in cases {
        let error = client.simple_query(text).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!((error.severity(), error.code().code()), ("ERROR", state), "{text}");
        assert!(error.message().contains(message) && error.hint().unwrap().contains(hint), "{text}: {error:?}");
    }
    drop(client);
    console.await.unwrap().unwrap();
    drop(shared);
    let to = NodeId(1);
    let expected =
        [Order::Switchover { to: Some(to) }, Order::Pause, Order::Failover { to, force: false }, Order::Detach(to)];
    assert_eq!(monitor.await.unwrap(), expected);
}

#[tokio::test]
async fn what_is_said_of_the_service_is_done_and_told() {
    let shared = shared();
    let (client, mut notices, _console) = connect_with(Arc::clone(&shared)).await;
    let refused = async |text: &str| {
        let error = client.simple_query(text).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        (error.code().code().to_owned(), error.message().to_owned())
    };
    client.simple_query("PAUSE Shop").await.unwrap();
    assert!(notices.recv().await.unwrap().starts_with("\"shop\" is paused"));
    assert!(shared.pools.doors.is_paused("shop"));
    assert_eq!(refused("PAUSE shop").await, ("55000".to_owned(), "\"shop\" is paused already".to_owned()));
    let statement = client.prepare("RESUME").await.unwrap();
    client.execute(&statement, &[]).await.unwrap();
    assert_eq!(notices.recv().await.unwrap(), "every database is served");
    assert!(!shared.pools.doors.is_paused("shop"));
    client.simple_query("DISABLE \"Shop\"").await.unwrap();
    assert!(shared.pools.doors.closed().is_disabled("Shop"));
    assert_eq!(refused("KILL_CLIENT 99").await.0, "22023");
    client.simple_query("SHUTDOWN WAIT_FOR_CLIENTS").await.unwrap();
    assert_eq!(*shared.stop.subscribe().borrow(), Some(pgherd::shared::Stop::AfterClients));
}

#[tokio::test]
async fn who_leaves_does_not_take_his_order_back() {
    let shared = shared();
    let mut inbox = shared.orders.take_inbox().unwrap();
    let (mut stream, _console) = logged_in_with(Dialect::Pgherd, shared).await;
    greet(&mut stream).await;
    stream.write_all(b"Q\0\0\0\x0fSWITCHOVER\0").await.unwrap();
    let request = inbox.recv().await.unwrap();
    drop(stream);
    assert_eq!(request.order, Order::Switchover { to: None });
    // Whether anybody still listens is all the same.
    let _ = request.answer.send(Ok("done".to_owned()));
}

#[tokio::test]
async fn what_breaks_the_protocol_is_told_so_and_closed() {
    let oversized = (64u32 * 1024).to_be_bytes();
    let bad: [(&str, Vec<u8>); 5] = [
        ("truncated Parse", b"P\0\0\0\x06a\0".to_vec()),
        ("Query without its NUL", b"Q\0\0\0\x05x".to_vec()),
        ("oversized", [b"Q".as_slice(), &oversized].concat()),
        ("no message", b"!\0\0\0\x04".to_vec()),
        ("password message", b"p\0\0\0\x07pw\0".to_vec()),
    ];
    for (name, bytes) in bad {
        let (mut stream, console) = logged_in(Dialect::Pgherd).await;
        greet(&mut stream).await;
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer[0], b'E', "{name}");
        let text = String::from_utf8_lossy(&answer);
        assert!(text.contains("FATAL") && text.contains("08P01"), "{name}: {text}");
        let error = console.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{name}");
    }
}

#[tokio::test]
async fn a_bind_with_too_few_formats_is_an_error_and_not_the_end() {
    let (mut stream, console) = logged_in(Dialect::Pgherd).await;
    greet(&mut stream).await;
    let mut batch = Vec::new();
    frame::push(&mut batch, b'P', |out| out.extend_from_slice(b"\0show nodes\0\0\0"));
    frame::push(&mut batch, b'B', |out| out.extend_from_slice(b"\0\0\0\0\0\0\0\x02\0\0\0\x01"));
    frame::push(&mut batch, b'D', |out| out.extend_from_slice(b"P\0"));
    frame::push(&mut batch, b'E', |out| out.extend_from_slice(b"\0\0\0\0\0"));
    frame::push(&mut batch, b'S', |_| {});
    frame::push(&mut batch, b'Q', |out| out.extend_from_slice(b"show state\0"));
    frame::push(&mut batch, b'X', |_| {});
    stream.write_all(&batch).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(tags(&answer), "12EZTDDDCZ");
    console.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_session_keeps_a_bounded_number_of_statements() {
    let client = connect(Dialect::Pgherd).await;
    let mut statements = Vec::new();
    let error = loop {
        match client.prepare("show state").await {
            Ok(statement) => statements.push(statement),
            Err(error) => break error,
        }
        assert!(statements.len() < 1000);
    };
    assert_eq!(error.code(), Some(&SqlState::PROGRAM_LIMIT_EXCEEDED));
    statements.clear(); // closes them
    client.simple_query("show state").await.unwrap();
    assert!(client.prepare("show state").await.is_ok());
}

/// The bytes of a `numeric` as they came.
struct Numeric(Vec<u8>);

impl<'a> FromSql<'a> for Numeric {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::NUMERIC
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.user("operator").dbname("pgherd");
    config
}

async fn connect(dialect: Dialect) -> Client {
    let (stream, _console) = logged_in(dialect).await;
    let (client, connection) = config().connect_raw(stream, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The client, the notices it gets, and the console's end.
async fn connect_with(
    shared: Arc<Shared>,
) -> (Client, tokio::sync::mpsc::Receiver<String>, JoinHandle<std::io::Result<()>>) {
    let (stream, console) = logged_in_with(Dialect::Pgherd, shared).await;
    let (client, mut connection) = config().connect_raw(stream, NoTls).await.unwrap();
    let (sender, notices) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        let messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
        pin_mut!(messages);
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = sender.try_send(notice.message().to_owned());
            }
        }
    });
    (client, notices, console)
}

/// A socket whose other end logs anybody in, then serves the console.
async fn logged_in(dialect: Dialect) -> (TcpStream, JoinHandle<std::io::Result<()>>) {
    logged_in_with(dialect, shared()).await
}

async fn logged_in_with(dialect: Dialect, shared: Arc<Shared>) -> (TcpStream, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut accepted, peer) = listener.accept().await.unwrap();
    accepted.set_nodelay(true).unwrap();
    let console = tokio::spawn(async move {
        let length = accepted.read_u32().await?;
        let mut startup = vec![0; length as usize - 4];
        accepted.read_exact(&mut startup).await?;
        accepted.write_all(&greeting()).await?;
        console::serve_from(accepted, peer, operator(), dialect, Arc::new(snapshot), shared).await
    });
    (stream, console)
}

/// What orders and words about the service go to.
fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(Arc::unwrap_or_clone(snapshot().config)).unwrap())
}

fn operator() -> Arc<ClientEntry> {
    Clients::default().add(NewClient {
        cancel_key: [1, 2, 3, 4].into(),
        user: "operator".into(),
        database: "pgherd".into(),
        replication: None,
        addr: "127.0.0.1:50000".parse().unwrap(),
        local_addr: "127.0.0.1:6432".parse().unwrap(),
        worker: 0,
        application_name: "psql".into(),
    })
}

/// What the login sends before it hands the connection over.
fn greeting() -> Vec<u8> {
    let mut out = Vec::new();
    frame::push(&mut out, b'R', |out| out.extend_from_slice(&[0; 4]));
    for (name, value) in parameters() {
        frame::push(&mut out, b'S', |out| out.extend_from_slice(format!("{name}\0{value}\0").as_bytes()));
    }
    frame::push(&mut out, b'K', |out| out.extend_from_slice(&[0; 8]));
    frame::push(&mut out, b'Z', |out| out.push(b'I'));
    out
}

/// Sends a startup packet and reads the greeting.
async fn greet(stream: &mut TcpStream) {
    let body = b"\0\x03\0\0user\0operator\0\0";
    stream.write_u32(body.len() as u32 + 4).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut read = vec![0; greeting().len()];
    stream.read_exact(&mut read).await.unwrap();
}

fn tags(mut bytes: &[u8]) -> String {
    let mut tags = String::new();
    while let Ok(Some(header)) = frame::header(bytes) {
        tags.push(char::from(header.tag));
        bytes = &bytes[header.size..];
    }
    tags
}
