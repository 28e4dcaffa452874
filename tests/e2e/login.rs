//! The proxy's own logins to a real PostgreSQL, and its own queries.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use pgherd::config::Secret;
use pgherd::credential::{Credential, ScramKeys, Verifier};
use pgherd::demo::cluster;
use pgherd::server::connect::{ConnectError, LoggedIn, Login, connect};
use pgherd::server::query::query;
use pgherd::wire::md5;

use crate::harness::private_cluster_with;

const SECOND: Duration = Duration::from_secs(1);
const PASSWORD: &str = "geheim ß";

#[tokio::test]
async fn each_way_to_log_in_works_and_each_refusal_is_told_apart() {
    let rule = |user: &str, method: &str| format!("host all {user} 127.0.0.1/32 {method}");
    let hba =
        vec![rule("hashed", "md5"), rule("clear", "password"), rule("trusted", "trust"), rule("barred", "reject")];
    let cluster = private_cluster_with(cluster::Options { hba, ..Default::default() });
    let (pg1, pg3) = (cluster.pg1.port(), cluster.pg3.port());
    let roles = format!(
        "CREATE ROLE proved LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE clear LOGIN PASSWORD '{PASSWORD}';
         CREATE ROLE trusted LOGIN; CREATE ROLE barred LOGIN;
         SET password_encryption = md5; CREATE ROLE hashed LOGIN PASSWORD '{PASSWORD}'"
    );
    cluster.pg1.psql(&roles).unwrap();
    cluster.wait_caught_up().unwrap();

    let password = Credential::Password(Secret::new(PASSWORD));
    let wrong = Credential::Password(Secret::new("wrong"));
    let hash = Credential::Md5Hash(Secret::new(format!("md5{}", md5::hash(PASSWORD, "hashed"))));
    let stored = cluster.pg1.psql("SELECT rolpassword FROM pg_authid WHERE rolname = 'proved'").unwrap();
    let Verifier::Scram(verifier) = Verifier::parse(&stored) else { panic!("{stored}") };
    let keys = Credential::ScramKeys(ScramKeys::derive(PASSWORD, &verifier.salt, verifier.iterations));

    for (user, credential) in [
        ("proved", &password),
        ("proved", &keys),
        ("hashed", &password),
        ("hashed", &hash),
        ("clear", &password),
        ("trusted", &Credential::None),
    ] {
        for port in [pg1, pg3] {
            let mut server = log_in(port, user, "postgres", credential).await.unwrap();
            assert!(server.process_id > 0 && server.cancel_key.len() == 4);
            assert!(
                server.parameters.contains(&("application_name".into(), "a test".into())),
                "{:?}",
                server.parameters
            );
            assert_eq!(ask(&mut server, "SELECT current_user").await, [[Some(user.to_owned())]]);
        }
    }

    for (user, database, credential, sqlstate) in [
        ("proved", "postgres", &wrong, "28P01"),
        ("hashed", "postgres", &wrong, "28P01"),
        ("clear", "postgres", &wrong, "28P01"),
        ("nobody", "postgres", &password, "28P01"),
        ("proved", "nowhere", &password, "3D000"),
        ("barred", "postgres", &password, "28000"),
    ] {
        let error = log_in(pg1, user, database, credential).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some(sqlstate), "{user}@{database}: {error}");
        assert_eq!(error.is_authentication(), sqlstate != "3D000");
    }
    for (user, credential) in [("proved", &hash), ("proved", &Credential::None), ("hashed", &keys), ("clear", &keys)] {
        let error = log_in(pg1, user, "postgres", credential).await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Authentication(text) if text.contains("the server asks for")),
            "{error}"
        );
    }

    let mut server = log_in(pg1, "proved", "postgres", &keys).await.unwrap();
    queries_tell_rows_from_errors(&mut server).await;
    let mut server = log_in(pg1, "proved", "postgres", &keys).await.unwrap();
    cluster.pg1.psql(&format!("SELECT pg_terminate_backend({})", server.process_id)).unwrap();
    let error = query(&mut server.stream, "SELECT 1", SECOND, 1000).await.unwrap_err();
    assert!(error.sqlstate() == Some("57P01") || matches!(error, ConnectError::Io(_)), "{error}");

    cluster.pg1.stop(pgherd::demo::StopMode::Fast).unwrap();
    assert!(matches!(log_in(pg1, "proved", "postgres", &keys).await, Err(ConnectError::Io(_))));
}

async fn queries_tell_rows_from_errors(server: &mut LoggedIn) {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(ask(server, "SELECT 1, NULL, 'é', ''").await, [[text("1"), None, text("é"), text("")]]);
    assert_eq!(ask(server, "SELECT 1; SELECT 2 WHERE false").await, Vec::<Vec<_>>::new());
    assert_eq!(ask(server, "").await, Vec::<Vec<_>>::new());
    let error = query(&mut server.stream, "SELECT 1/0", SECOND, 1000).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("22012"));
    assert_eq!(ask(server, "DO $$ BEGIN RAISE WARNING 'x'; END $$; SELECT 3").await, [[text("3")]]);

    // After this the connection is of no use.
    let error = query(&mut server.stream, "SELECT repeat('x', 2000)", SECOND, 1000).await.unwrap_err();
    assert!(matches!(error, ConnectError::Protocol(_)), "{error}");
}

#[tokio::test]
async fn a_node_that_accepts_and_never_answers_times_out() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let started = Instant::now();
    let login = Login { timeout: Duration::from_millis(200), ..login(port, "a", "a", &Credential::None) };
    assert!(matches!(connect(login).await, Err(ConnectError::TimedOut(_))));
    assert!(started.elapsed() < SECOND);
}

// === helpers ===

fn login<'a>(port: u16, user: &'a str, database: &'a str, credential: &'a Credential) -> Login<'a> {
    Login { host: "127.0.0.1", port, user, database, parameters: &[], credential, timeout: 5 * SECOND }
}

async fn log_in(port: u16, user: &str, database: &str, credential: &Credential) -> Result<LoggedIn, ConnectError> {
    let parameters = [("application_name".to_owned(), "a test".to_owned())];
    connect(Login { parameters: &parameters, ..login(port, user, database, credential) }).await
}

async fn ask(server: &mut LoggedIn, sql: &str) -> Vec<Vec<Option<String>>> {
    query(&mut server.stream, sql, SECOND, 1000).await.unwrap()
}
