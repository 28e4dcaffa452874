//! The configuration: what is wrong and what is said of it (`tests/data/config/errors.txt`), what wins over what, and
//! that proxy.toml shows the defaults.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgherd::config::{self, AuthMethod, Config, ConfigError, LogFormat, PoolMode};

const NODE: &str = "\n[[node]]\nname = \"pg1\"\nhost = \"10.0.0.1\"\n";

#[test]
fn every_broken_configuration_gets_its_message() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/config/errors.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, cases) = text.split_once("\n## ").unwrap();
    let mut actual = head.to_owned();
    let mut count = 0;
    for case in cases.split("\n## ") {
        let (title, body) = case.split_once('\n').unwrap();
        let (input, _) = body.split_once("----\n").unwrap();
        let message = match load_case(title, input) {
            Ok(_) => "(no error)".to_owned(),
            Err(message) => message,
        };
        assert!(!message.contains("geheim"), "{title}: a secret is shown:\n{message}");
        write!(actual, "\n## {title}\n{input}----\n{message}\n").unwrap();
        count += 1;
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &actual).unwrap();
        return;
    }
    for (expected, actual) in text.split("\n## ").zip(actual.split("\n## ")) {
        assert_eq!(expected.trim_end(), actual.trim_end(), "{}", path.display());
    }
    assert!(count >= 70, "only {count} cases were found");
}

fn load_case(title: &str, input: &str) -> Result<Config, String> {
    let variable = |line: &str| {
        let (name, value) = line.strip_prefix("$ ")?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let variables: Vec<_> = input.lines().filter_map(variable).collect();
    let mut text: String =
        input.lines().filter(|line| !line.starts_with("$ ")).map(|line| line.to_owned() + "\n").collect();
    if !text.contains("[[node]]") && !text.contains("[node]") && title != "no node" {
        text += NODE;
    }
    let file = File::new(&text);
    config::load(&file.path, variables.into_iter()).map_err(|error| file.unnamed(&error))
}

#[test]
fn proxy_toml_shows_every_key_and_its_default() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("proxy.toml")).unwrap();
    let as_written = Config::from_toml(&text, "proxy.toml").unwrap();
    let uncommented = uncomment(&text);
    let config = Config::from_toml(&uncommented, "proxy.toml, uncommented").unwrap();
    assert_eq!(config, as_written, "a commented value is not the default");
    assert_eq!(config.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["pg1", "pg2", "pg3"]);

    let shown: toml::Table = uncommented.parse().unwrap();
    for setting in config.settings() {
        let mut parts = setting.key.split('.');
        let found = match (parts.next().unwrap(), parts.next()) {
            ("node", _) => continue,
            (section, Some(key)) => shown.get(section).and_then(|section| section.get(key)),
            (key, None) => shown.get(key),
        };
        assert!(found.is_some(), "{} does not stand in proxy.toml", setting.key);
        let of_this_machine = setting.key == "workers";
        assert!(of_this_machine || setting.value == setting.default, "{setting:?}");
    }
    let node = shown["node"][0].as_table().unwrap();
    assert_eq!(node.keys().collect::<Vec<_>>(), ["host", "max_servers", "name", "port", "weight", "zone"]);
}

/// `#key = value` becomes a line; prose (`# …`) stays a comment.
fn uncomment(text: &str) -> String {
    let is_key = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(" = ");
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if is_key(rest) => rest.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    text.lines().map(line).collect()
}

#[test]
fn every_value_reaches_its_field() {
    let config = Config::from_toml(EVERYTHING, "test").unwrap();
    let printed = config.to_toml_masked();
    for line in EVERYTHING.lines().filter(|line| !line.contains("password =")) {
        assert!(printed.contains(line), "`{line}` is lost:\n{printed}");
    }
    assert_eq!(config.workers, 3);
    assert_eq!(config.pool.mode, PoolMode::Session);
    assert_eq!(config.pool.lifetime, Duration::ZERO);
    assert_eq!(config.monitor.interval, Duration::from_millis(250));
    assert_eq!(config.auth.method, AuthMethod::Md5);
    assert_eq!(config.limits.buffer_bytes, 65536);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!((config.nodes[0].host.as_str(), config.nodes[0].port), ("::1", 5433));
    assert_eq!(config.users[0].password.expose(), "geheim");
    let is_default = |setting: &config::Setting| setting.value == setting.default;
    let default: Vec<_> = config.settings().into_iter().filter(is_default).collect();
    assert!(default.is_empty(), "every value above should differ from its default: {default:?}");
}

const EVERYTHING: &str = r#"workers = 3
[listen]
host = "::"
port = 7000
backlog = 7
[pool]
mode = "session"
size = 11
min_size = 2
max_waiting = 12
wait_timeout = "13s"
connect_timeout = "14s"
idle_timeout = "15m"
lifetime = "0"
prepared_statements = 16
[routing]
split = false
transactions = "read_first"
consistency = "eventual"
max_lag = "11s"
max_lag_bytes = "12MB"
slow_start = "0"
primary_weight = 13
zone = "a"
catalog = false
catalog_refresh = "14s"
catalog_timeout = "16s"
max_catalog_bytes = "17MB"
retry_deadline = "15s"
notice = true
max_classified_bytes = "17kB"
cache_entries = 18
max_shapes = 19
[monitor]
user = "watch"
password = "geheim"
database = "watched"
interval = "250ms"
timeout = "20s"
write_interval = "22ms"
failures = 21
[failover]
mode = "automatic"
durability = "quorum"
grace = "250ms"
witnesses = 1
pause = "10s"
drain = "2s"
state_file = "/var/lib/pgherd/state"
hold_timeout = "3s"
max_held = 4
max_held_bytes = "5kB"
outcome = "resolve"
weaker_commit = "allow"
on_failover = ["/bin/tell"]
fence = ["/bin/fence", "now"]
promote = ["/bin/promote"]
on_promote = ["/bin/move", "it"]
hook_timeout = "20s"
[auth]
method = "md5"
lookup = false
query = "SELECT usename, passwd FROM pg_shadow WHERE usename = $1"
database = "users"
cache_ttl = "22s"
[admin]
users = ["alice", "bob"]
[limits]
max_clients = 23
login_timeout = "24s"
max_startup_bytes = 2500
max_login_message_bytes = 2600
max_statement_bytes = "27kB"
max_client_statements = 28
max_client_statement_bytes = "28MB"
buffer_bytes = "64kB"
drain_timeout = "29s"
[http]
enabled = false
host = "::1"
port = 3000
[log]
format = "json"
level = "info,pgherd::monitor=debug"
slow_statement = "31s"
[[node]]
name = "pg1"
host = "::1"
port = 5433
max_servers = 32
weight = 33
zone = "a"
[[user]]
name = "alice"
password = "geheim"
consistency = "global"
[[database]]
name = "shop"
split = true
consistency = "primary"
"#;

#[test]
fn a_users_word_on_reads_wins_over_the_databases_and_that_over_routings() {
    let config = Config::from_toml(
        &format!(
            "[routing]\nconsistency = \"global\"\n[[user]]\nname = \"alice\"\nsplit = false\n[[database]]\nname = \"shop\"\n\
             split = true\nconsistency = \"eventual\"\n[[user]]\nname = \"bob\"\nconsistency = \"primary\"\n{NODE}"
        ),
        "test",
    )
    .unwrap();
    let of = |database, user| {
        let reads = config.reads_of(database, user);
        (reads.split, reads.consistency.as_str())
    };
    assert_eq!(of("other", "carol"), (true, "global"));
    assert_eq!(of("shop", "carol"), (true, "eventual"));
    assert_eq!(of("shop", "alice"), (false, "eventual"));
    assert_eq!(of("shop", "bob"), (true, "primary"));
    assert!(config.users[0].password.is_empty(), "the database is asked for it");
}

#[test]
fn secrets_are_never_shown() {
    let config = Config::from_toml(EVERYTHING, "test").unwrap();
    for shown in [config.to_toml_masked(), format!("{:?}", config.settings()), format!("{config:?}")] {
        assert!(!shown.contains("geheim"), "{shown}");
        assert!(shown.contains("********"), "{shown}");
    }
    assert!(Config::from_toml(&config.to_toml_masked(), "masked").is_ok(), "what check prints is TOML of ours");
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = File::new(&format!("workers = 1\n[pool]\nsize = 5\nmode = \"session\"\n{NODE}"));
    let variables = [
        ("PGHERD__WORKERS", "2"),
        ("PGHERD__POOL__SIZE", "7"),
        ("PGHERD__ROUTING__SPLIT", "off"),
        ("PGHERD__POOL__WAIT_TIMEOUT", "3s"),
        ("PGHERD__LIMITS__BUFFER_BYTES", "8192"),
        ("PGHERD__LISTEN__HOST", "0.0.0.0"),
        ("PGHERD__ADMIN__USERS", "alice, bob"),
        ("PGHERD__MONITOR__PASSWORD", "0123"),
        // What Kubernetes sets for a service called pgherd, and what is nobody's.
        ("PGHERD_PORT", "tcp://10.0.0.1:6432"),
        ("HOME", "/"),
    ];
    let config = config::load(&file.path, owned(&variables)).unwrap();
    assert_eq!((config.workers, config.pool.size, config.pool.mode), (2, 7, PoolMode::Session));
    assert!(!config.routing.split);
    assert_eq!(config.pool.wait_timeout, Duration::from_secs(3));
    assert_eq!(config.limits.buffer_bytes, 8192);
    assert_eq!(config.listen.host.to_string(), "0.0.0.0");
    assert_eq!(config.admin.users, ["alice", "bob"]);
    assert_eq!(config.monitor.password.expose(), "0123", "a password is a text, whatever it looks like");
}

#[test]
fn every_key_outside_the_lists_can_come_from_the_environment() {
    let file = File::new(&(NODE.to_owned() + "[[user]]\nname = \"alice\"\npassword = \"geheim\"\n"));
    let expected = Config::from_toml(EVERYTHING, "test").unwrap();
    let name = |key: &str| format!("PGHERD__{}", key.to_uppercase().replace('.', "__"));
    let is_listed = |key: &str| ["node.", "user.", "database."].iter().any(|list| key.starts_with(list));
    let keys = expected.settings().into_iter().filter(|setting| !is_listed(&setting.key));
    let variables = keys.map(|s| (name(&s.key), if s.key == "monitor.password" { "geheim".into() } else { s.value }));
    let mut config = config::load(&file.path, variables).unwrap();
    config.nodes.clone_from(&expected.nodes);
    config.databases.clone_from(&expected.databases);
    config.users[0].reads = expected.users[0].reads;
    assert_eq!(config, expected);
}

#[test]
fn a_secret_may_stand_in_a_file_that_not_everybody_can_read() {
    let file = File::new(&format!("[monitor]\npassword_file = \"secret\"\n{NODE}"));
    let load = |variables: &[(&str, &str)]| {
        let config = config::load(&file.path, owned(variables)).map_err(|error| file.unnamed(&error));
        config.map(|config| config.monitor.password.expose().to_owned())
    };
    let secret = file.path.with_file_name("secret");
    let write = |text: &str, mode| {
        std::fs::write(&secret, text).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
    };

    assert!(load(&[]).unwrap_err().contains("No such file"));
    write("geheim\n", 0o644);
    let error = load(&[]).unwrap_err();
    assert!(error.contains("everybody on this machine may open it (mode 0644)"), "{error}");
    assert!(error.starts_with("proxy.toml:2:17: monitor.password_file: "), "{error}");
    write("geheim\n", 0o640);
    assert_eq!(load(&[]), Ok("geheim".to_owned()));
    assert_eq!(load(&[("PGHERD__MONITOR__PASSWORD", "other")]), Ok("other".to_owned()), "the environment wins");
    write("geheim\nzwei\n", 0o600);
    assert!(load(&[]).unwrap_err().contains("on one line"));
    write("", 0o600);
    assert!(load(&[]).unwrap_err().contains("on one line"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = config::load(Path::new("/nonexistent/proxy.toml"), std::iter::empty()).unwrap_err().to_string();
    assert_eq!(error, "/nonexistent/proxy.toml: cannot read it: No such file or directory (os error 2)");
    let file = File::new("");
    std::fs::write(&file.path, b"[pool]\nsize = \xff\n").unwrap();
    let error = file.unnamed(&config::load(&file.path, std::iter::empty()).unwrap_err());
    assert_eq!(error, "proxy.toml: line 2 is not UTF-8");
}

#[test]
fn what_is_doubtful_is_noted() {
    let notes = |text: &str| Config::from_toml(&(text.to_owned() + NODE), "test").unwrap().notes().join("\n");
    assert!(notes("").contains("monitor.password is empty"));
    assert!(notes("[auth]\nmethod = \"trust\"\n").contains("whoever reaches the port"));
    assert!(notes("[auth]\nlookup = false\n").contains("nobody can log in"));
    assert_eq!(notes("[monitor]\npassword = \"x\"\n[admin]\nusers = [\"alice\"]\n"), "");
}

// === helpers ===

/// A configuration on disk, called proxy.toml.
struct File {
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("proxy.toml");
        std::fs::write(&path, text).unwrap();
        Self { path, _directory: directory }
    }

    /// The message without the directory, which changes from run to run.
    fn unnamed(&self, error: &ConfigError) -> String {
        error.to_string().replace(&format!("{}/", self.path.parent().unwrap().display()), "")
    }
}

fn owned(variables: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let owned: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    owned.into_iter()
}
