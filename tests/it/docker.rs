//! docker/ without a container engine: what it names exists, its scripts parse, its SQL is the program's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgherd::config::Config;
use pgherd::setup_sql::{SetupSql, setup_sql};

#[test]
fn compose_mounts_only_files_that_exist() {
    let compose = read("docker/compose.yml");
    let mounted: Vec<&str> = compose.lines().filter_map(|line| mounted_file(line.trim())).collect();
    assert!(mounted.len() >= 5, "the nodes' scripts and proxy.toml are mounted: {mounted:?}");
    for path in mounted {
        assert!(top().join("docker").join(path).is_file(), "docker/compose.yml mounts {path}, which does not exist");
    }
    let dockerfile =
        compose.lines().find_map(|line| line.trim().strip_prefix("dockerfile: ")).expect("a dockerfile: line");
    assert!(top().join(dockerfile).is_file(), "docker/compose.yml builds {dockerfile}, which does not exist");
}

#[test]
fn dockerfile_copies_only_files_that_exist() {
    let dockerfile = read("docker/Dockerfile");
    for line in dockerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        let words: Vec<&str> = line.split_whitespace().skip(1).filter(|word| !word.starts_with("--")).collect();
        for source in &words[..words.len() - 1] {
            assert!(top().join(source).exists(), "docker/Dockerfile copies {source}, which does not exist");
        }
    }
}

#[test]
fn scripts_parse_and_may_be_executed() {
    use std::os::unix::fs::PermissionsExt;

    let scripts: Vec<PathBuf> =
        ["docker", "docker/postgres", "scripts"].iter().flat_map(|folder| scripts_in(folder)).collect();
    assert!(scripts.len() >= 6, "{scripts:?}");
    for script in scripts {
        let checked = Command::new("bash").arg("-n").arg(&script).output().expect("bash runs");
        assert!(checked.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&checked.stderr));
        let mode = fs::metadata(&script).expect("readable script").permissions().mode();
        assert!(mode & 0o111 == 0o111, "{} is not executable", script.display());
    }
}

#[test]
fn setup_sql_is_what_the_program_prints() {
    let renew = "renew it: cargo run -- setup-sql > docker/postgres/setup.sql";
    assert_eq!(read("docker/postgres/setup.sql").trim(), setup_sql(&SetupSql::default()).trim(), "{renew}");
}

#[test]
fn proxy_toml_is_accepted_and_names_the_services() {
    let config = Config::from_toml(&read("docker/proxy.toml"), "docker/proxy.toml").unwrap_or_else(|e| panic!("{e}"));
    let compose = read("docker/compose.yml");
    for node in &config.nodes {
        assert!(compose.contains(&format!("\n  {}:\n", node.host)), "{} is no service of compose.yml", node.host);
    }
    for port in [config.listen.port, config.http.port] {
        assert!(compose.contains(&format!("127.0.0.1:{port}:{port}")), "compose.yml does not publish {port}");
        assert!(read("docker/Dockerfile").contains(&port.to_string()), "the Dockerfile does not expose {port}");
    }
}

// === helpers ===

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `- ./postgres/primary.sh:/docker-entrypoint-initdb.d/10-primary.sh:ro` → `postgres/primary.sh`
fn mounted_file(line: &str) -> Option<&str> {
    let (host, _container) = line.strip_prefix("- ./")?.split_once(':')?;
    Some(host)
}

fn scripts_in(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(top().join(folder)).expect("readable folder");
    let paths = entries.map(|entry| entry.expect("readable folder").path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "sh")).collect()
}
