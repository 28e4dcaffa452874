//! The HTTP listener over a loopback socket, and the metrics read as strictly as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pgherd::admin::Snapshot;
use pgherd::admin::http::{readiness, serve_http_from};
use pgherd::admin::metrics::Exposition;
use pgherd::cluster::{Health, NodeId, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fixture::snapshot;

#[tokio::test]
async fn each_path_answers_as_documented() {
    let address = serve(snapshot).await;
    let cases = [
        ("GET", "/healthz", 200, "ok\n"),
        ("GET", "/readyz", 200, "ok: pg1 is the primary; fit standbys: "),
        ("GET", "/readyz?verbose=1", 200, "pg1"),
        ("HEAD", "/healthz", 200, ""),
        ("GET", "/", 200, "/metrics"),
        ("GET", "/metrics", 200, "# TYPE pgherd_node_up gauge\n"),
        ("GET", "/nothing", 404, "not found"),
        ("POST", "/metrics", 405, "GET or HEAD"),
    ];
    for (method, path, status, content) in cases {
        let answer = request(address, &format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {head}");
        assert!(body.contains(content), "{method} {path}: {body}");
        assert_eq!(body.is_empty(), method == "HEAD", "{method} {path}");
        assert_eq!(head.contains("allow: GET, HEAD"), status == 405, "{head}");
    }
}

#[tokio::test]
async fn not_ready_says_why() {
    let address = serve(|| without_primary(snapshot())).await;
    let answer = request(address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("two primaries"), "{answer}");
    let mut down = (*snapshot().topology).clone();
    down.nodes[0].health = Health::Down("connection refused".to_owned());
    assert_eq!(readiness(&down).unwrap_err(), "the primary pg1: connection refused");
}

#[tokio::test]
async fn a_request_too_large_or_no_request_is_refused() {
    let address = serve(snapshot).await;
    let large = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    assert!(!request(address, &large).await.starts_with("HTTP/1.1 200"));
    assert!(!request(address, "\x16\x03\x01 not http\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    assert!(request(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn idle_connections_do_not_shut_out_the_others_for_long() {
    let address = serve(snapshot).await;
    let mut idle = Vec::new();
    for _ in 0..40 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let asked = request(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    let answer = tokio::time::timeout(Duration::from_secs(12), asked).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn metrics_are_well_formed_and_complete() {
    let mut exposition = Exposition::default();
    exposition.publish(&snapshot());
    let metrics = parse(&exposition.render());
    let app = r#"node="pg2",role="standby",database="shop",user="app""#;
    let value = |name: &str, labels: &str| metrics.value(name, labels);
    assert_eq!(value("pgherd_queries_total", app), 101.0);
    assert_eq!(value("pgherd_query_seconds_total", app), 2.5);
    assert_eq!(value("pgherd_node_lag_seconds", r#"node="pg2""#), 0.25);
    assert_eq!(value("pgherd_node_up", r#"node="pg3""#), 0.0);
    assert_eq!(value("pgherd_cluster_state", r#"state="up""#), 1.0);
    assert_eq!(value("pgherd_cluster_state", r#"state="held""#), 0.0);
    assert_eq!((value("pgherd_failovers_total", ""), value("pgherd_switchovers_total", "")), (1.0, 2.0));
    assert_eq!(value("pgherd_failover_last_seconds", ""), 0.25);
    assert_eq!((value("pgherd_quorum_needed", ""), value("pgherd_quorum_members", "")), (1.0, 2.0));
    assert_eq!(value("pgherd_pool_servers", &format!(r#"{app},state="idle""#)), 1.0);
    assert_eq!(value("pgherd_clients", r#"database="shop",user="app",state="active""#), 1.0);
    assert_eq!(value("pgherd_clients_accepted_total", ""), 0.0);
    assert_eq!(value("pgherd_wait_seconds_bucket", &format!(r#"{app},le="0.000064""#)), 0.0);
    assert_eq!(value("pgherd_wait_seconds_bucket", &format!(r#"{app},le="0.000128""#)), 1.0);
    assert_eq!(value("pgherd_server_seconds_sum", app), 0.003);
    assert_eq!(metrics.types["pgherd_proxy_seconds"], "histogram");
    // Never reached: nothing is known of its lag.
    assert!(!metrics.samples.keys().any(|key| key.starts_with("pgherd_node_lag_bytes{node=\"pg3\"")));
    // The odd user, in the exporter's text and in ours.
    let odd = r#"node="pg2",role="standby",database="shop",user="o\"dd\\""#;
    assert_eq!(value("pgherd_queries_total", odd), 2.0);
    assert_eq!(value("pgherd_wait_seconds_count", odd), 1.0);
}

#[test]
fn the_manual_names_every_metric_and_no_other() {
    let mut exposition = Exposition::default();
    exposition.publish(&snapshot());
    let known: BTreeSet<String> = parse(&exposition.render()).types.into_keys().collect();
    let manual = include_str!("../../../docs/metrics.md");
    let rows = manual.lines().filter(|line| line.starts_with("| `pgherd_"));
    let cells = rows.flat_map(|line| line.split(" | ").next().unwrap().split('`').filter(|w| w.starts_with("pgherd_")));
    let named: BTreeSet<String> = cells.map(|name| name.split('{').next().unwrap().to_owned()).collect();
    assert_eq!(named, known);
}

#[test]
fn a_role_that_changes_leaves_no_stale_series() {
    let mut exposition = Exposition::default();
    exposition.publish(&snapshot());
    let before = parse(&exposition.render()).samples.len();
    let mut promoted = snapshot();
    let mut topology = (*promoted.topology).clone();
    topology.nodes[0].role = Role::Standby;
    topology.nodes[1].role = Role::Primary;
    topology.primary = Some(NodeId(1));
    promoted.topology = Arc::new(topology);
    exposition.publish(&promoted);
    let after = parse(&exposition.render());
    assert_eq!(after.samples.len(), before);
    assert_eq!(after.value("pgherd_node_role", r#"node="pg2",role="primary""#), 1.0);
    assert!(!after.samples.contains_key(r#"pgherd_node_role{node="pg2",role="standby"}"#));
    exposition.publish(&promoted);
    assert_eq!(parse(&exposition.render()).samples.len(), before);
}

#[test]
fn a_world_of_nothing_is_well_formed_too() {
    let mut empty = without_primary(snapshot());
    empty.pools.clear();
    empty.counted.clear();
    empty.clients.clear();
    let mut exposition = Exposition::default();
    exposition.publish(&empty);
    assert_eq!(parse(&exposition.render()).value("pgherd_primary_known", ""), 0.0);
}

fn without_primary(mut snapshot: Snapshot) -> Snapshot {
    let mut topology = (*snapshot.topology).clone();
    topology.primary = None;
    topology.no_primary_because = Some("two primaries claim timeline 3".to_owned());
    snapshot.topology = Arc::new(topology);
    snapshot
}

async fn serve(source: impl Fn() -> Snapshot + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_http_from(listener, Arc::new(source)));
    address
}

async fn request(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // Refused early, a large request may not be taken whole.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

// === a strict reader of the text format 0.0.4 ===

struct Metrics {
    types: BTreeMap<String, String>,
    /// `name{labels}` as written.
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    fn value(&self, name: &str, labels: &str) -> f64 {
        let key = if labels.is_empty() { name.to_owned() } else { format!("{name}{{{labels}}}") };
        *self.samples.get(&key).unwrap_or_else(|| panic!("{key} is not in {:#?}", self.samples))
    }
}

/// Fails on whatever Prometheus or promtool would complain about.
fn parse(text: &str) -> Metrics {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut metrics = Metrics { types: BTreeMap::new(), samples: BTreeMap::new() };
    let (mut helped, mut finished, mut current) = (BTreeSet::new(), BTreeSet::new(), String::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "HELP twice or empty: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "promtool wants it so: {line}");
            assert!(helped.contains(name), "no HELP before {line}");
            assert!(metrics.types.insert(name.to_owned(), kind.to_owned()).is_none(), "TYPE twice: {line}");
            finished.insert(std::mem::replace(&mut current, name.to_owned()));
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let name = check_key(key);
            let family = family(&metrics.types, name);
            assert_eq!(family, current, "a sample outside of its family: {line}");
            assert!(!finished.contains(family), "a family in two places: {line}");
            let value: f64 = value.parse().unwrap();
            assert!(metrics.samples.insert(key.to_owned(), value).is_none(), "a series twice: {line}");
        }
    }
    check_histograms(&metrics);
    metrics
}

/// The metric's name; panics if name or labels are not well-formed.
fn check_key(key: &str) -> &str {
    let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
    assert!(name.starts_with("pgherd_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{key}");
    let mut rest = labels.strip_suffix('}').unwrap();
    let mut names = BTreeSet::new();
    while !rest.is_empty() {
        let (label, tail) = rest.split_once("=\"").unwrap();
        assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{key}");
        assert!(names.insert(label), "a label twice: {key}");
        let mut escaped = false;
        let end = tail.bytes().position(|b| {
            assert!(!escaped || matches!(b, b'\\' | b'"' | b'n'), "a bad escape: {key}");
            let closes = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            closes
        });
        rest = &tail[end.unwrap() + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    name
}

fn family<'a>(types: &BTreeMap<String, String>, name: &'a str) -> &'a str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find(|family| types.get(*family).is_some_and(|kind| kind == "histogram"))
        .unwrap_or(name)
}

/// Buckets rise, end with +Inf, and +Inf is the count.
fn check_histograms(metrics: &Metrics) {
    let mut series: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (key, value) in &metrics.samples {
        if let Some((head, bound)) = key.split_once(",le=\"").filter(|_| key.contains("_bucket{")) {
            let bound = bound.trim_end_matches("\"}");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            series.entry(head.to_owned()).or_default().push((bound, *value));
        }
    }
    assert!(series.len().is_multiple_of(3));
    for (head, mut buckets) in series {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{head}: {buckets:?}");
        let (last, total) = *buckets.last().unwrap();
        assert!(last.is_infinite(), "{head}");
        let count = format!("{}}}", head.replace("_bucket{", "_count{"));
        assert_eq!(metrics.samples[&count], total, "{head}");
    }
}
