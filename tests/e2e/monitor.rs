//! The monitor before a real cluster: it sees what is, follows what changes, and is not easily fooled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgherd::cluster::{Health, Node, NodeId, Role, Topology};
use pgherd::config::{self, Config, Secret};
use pgherd::demo::{self, Cluster, StopMode};
use pgherd::monitor::{self, StateFile};
use pgherd::shared::Shared;
use tokio::sync::oneshot;

use crate::harness::private_cluster;

const PG1: NodeId = NodeId(0);
const PG2: NodeId = NodeId(1);
const PG3: NodeId = NodeId(2);
const INTERVAL: Duration = Duration::from_millis(500);
/// Generous: other tests run beside this one.
const PATIENCE: Duration = Duration::from_secs(20);
const END_PROBE_CONNECTION: &str =
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pgherd monitor'";

#[test]
fn a_healthy_cluster_is_seen_as_it_is() {
    let cluster = private_cluster();
    let watch = Watch::over(&cluster);
    let seen = watch.wait("all is well", PATIENCE, all_is_well);
    assert_eq!(seen.nodes.iter().map(|node| node.upstream).collect::<Vec<_>>(), [None, Some(PG1), Some(PG2)]);
    let system = cluster.pg1.psql("SELECT system_identifier FROM pg_control_system()").unwrap();
    assert_eq!(seen.system_identifier.map(|id| id.to_string()), Some(system));
    let told = seen.node(PG3).observation.as_ref().unwrap();
    assert_eq!(told.version, cluster.pg3.psql("SHOW server_version").unwrap());
    assert_eq!((told.timeline, told.in_recovery), (1, true));
    assert_eq!((told.sync_name.as_deref(), told.sync_names.as_deref()), (Some("pg3"), Some("")));
    assert!(told.heard_ms < Some(60_000) && told.severed_from.is_none(), "{told:?}");

    lag_is_measured(&cluster, &watch);
    let epoch = watch.now().epoch;
    a_lost_probe_connection_is_no_lost_node(&cluster, &watch);
    a_full_node_is_up(&cluster, &watch);
    assert_eq!(watch.now().epoch, epoch, "nothing has changed");
    a_role_without_privileges_serves(&cluster);
    a_wrong_password_is_said(&cluster);
}

fn lag_is_measured(cluster: &Cluster, watch: &Watch) {
    // A standby that has not replayed a commit since its start can't tell how old the last one is.
    cluster.pg1.psql_as("app", "app", "CREATE TABLE commit ()").unwrap();
    cluster.wait_caught_up().unwrap();
    cluster.pg3.psql("SELECT pg_wal_replay_pause()").unwrap();
    cluster.pg3.wait_for("SELECT pg_get_wal_replay_pause_state()", "paused").unwrap();
    cluster.pg1.psql_as("app", "app", "CREATE TABLE lag AS SELECT generate_series(1, 10000)").unwrap();
    let behind = |node: &Node| node.lag_bytes > Some(300_000) && node.lag_ms > Some(500);
    let seen = watch.wait("pg3 lags, pg2 does not", PATIENCE, |seen| {
        behind(seen.node(PG3)) && seen.node(PG2).lag_bytes == Some(0) && seen.node(PG2).lag_ms == Some(0)
    });
    assert_eq!(seen.node(PG1).lag_bytes, None);
    cluster.pg3.psql("SELECT pg_wal_replay_resume()").unwrap();
    watch.wait("pg3 has caught up", PATIENCE, |seen| {
        seen.node(PG3).lag_bytes == Some(0) && seen.node(PG3).lag_ms == Some(0)
    });
}

fn a_lost_probe_connection_is_no_lost_node(cluster: &Cluster, watch: &Watch) {
    assert_eq!(cluster.pg1.psql(END_PROBE_CONNECTION).unwrap(), "1");
    let at = Instant::now();
    watch.wait("a later answer of pg1", PATIENCE, |seen| seen.node(PG1).observation.as_ref().unwrap().at > at);
    assert_eq!(watch.now().node(PG1).warning, None);
}

fn a_full_node_is_up(cluster: &Cluster, watch: &Watch) {
    // Replication connections are bound by neither limit, so the right to them must go too.
    cluster.pg1.psql("ALTER ROLE pgherd NOREPLICATION CONNECTION LIMIT 0").unwrap();
    cluster.wait_caught_up().unwrap();
    cluster.pg2.psql(END_PROBE_CONNECTION).unwrap();
    let seen = watch.wait("pg2 is full", PATIENCE, |seen| seen.node(PG2).warning.is_some());
    assert!(seen.node(PG2).warning.as_ref().unwrap().contains("too many connections for role"), "{seen:?}");
    std::thread::sleep(INTERVAL * 4);
    assert_eq!((watch.now().standbys.as_slice(), watch.now().primary), ([PG2, PG3].as_slice(), Some(PG1)));
    cluster.pg1.psql("ALTER ROLE pgherd REPLICATION CONNECTION LIMIT -1").unwrap();
    watch.wait("pg2 has room again", PATIENCE, |seen| seen.node(PG2).warning.is_none());
}

/// Neither REPLICATION nor pg_monitor: roles, timelines and lag are still known.
fn a_role_without_privileges_serves(cluster: &Cluster) {
    cluster.pg1.psql("CREATE ROLE plain LOGIN PASSWORD 'plain'").unwrap();
    cluster.wait_caught_up().unwrap();
    let settings = config::Monitor { user: "plain".into(), password: Secret::new("plain"), ..settings(cluster) };
    let watch = Watch::start(nodes(cluster), settings);
    let seen = watch.wait("all is well", PATIENCE, all_is_well);
    assert_eq!(seen.nodes.iter().map(|node| node.upstream).collect::<Vec<_>>(), [None, None, None]);
    assert!(seen.nodes.iter().all(|node| node.observation.as_ref().unwrap().timeline == 1));
}

fn a_wrong_password_is_said(cluster: &Cluster) {
    let watch = Watch::start(nodes(cluster), config::Monitor { password: Secret::new("wrong"), ..settings(cluster) });
    let seen = watch.wait("the reason is known", PATIENCE, |seen| {
        seen.no_primary_because.as_ref().is_some_and(|because| because.contains("password authentication failed"))
    });
    assert!(seen.nodes.iter().all(|node| node.health == Health::Starting && node.warning.is_some()), "{seen:?}");
}

#[test]
fn nodes_that_go_and_come_are_followed() {
    let cluster = private_cluster();
    cluster.pg3.stop(StopMode::Fast).unwrap();
    let watch = Watch::over(&cluster);
    watch.wait("two of three serve", PATIENCE, |seen| seen.primary == Some(PG1) && seen.standbys == [PG2]);
    let seen = watch.wait("pg3 is down", PATIENCE, |seen| seen.node(PG3).health.as_str() == "down");
    assert!(seen.node(PG3).health.reason().unwrap().contains("refused"), "{seen:?}");
    cluster.pg3.start().unwrap();
    watch.wait("pg3 has come", PATIENCE, all_is_well);

    cluster.pg2.sigstop().unwrap();
    let seen = watch.wait("the frozen pg2 is down", PATIENCE, |seen| seen.standbys == [PG3]);
    assert!(seen.node(PG2).health.reason().unwrap().contains("no answer within"), "{seen:?}");
    let answered = seen.node(PG1).observation.as_ref().unwrap().at;
    assert!(answered.elapsed() < INTERVAL * 3, "pg1 was asked meanwhile: {:?}", answered.elapsed());
    cluster.pg2.sigcont().unwrap();
    watch.wait("pg2 is back", PATIENCE, all_is_well);

    cluster.pg1.kill9().unwrap();
    let seen = watch.wait("the primary is down", PATIENCE, |seen| seen.primary.is_none());
    assert_eq!(seen.standbys, [PG2, PG3], "reads go on");
    assert!(seen.no_primary_because.as_ref().unwrap().contains("pg1 is down"), "{seen:?}");
    cluster.pg1.start().unwrap();
    watch.wait("the primary is back", PATIENCE, all_is_well);
}

#[test]
fn a_promotion_by_hand_is_followed_and_the_old_primary_refused() {
    let cluster = private_cluster();
    let watch = Watch::over(&cluster);
    watch.wait("all is well", PATIENCE, all_is_well);
    cluster.pg2.promote().unwrap();
    let promoted = Instant::now();
    let seen = watch.wait("pg2 is followed", INTERVAL * 2, |seen| seen.primary == Some(PG2));
    println!("followed {:?} after pg_ctl promote had returned", promoted.elapsed());
    assert_eq!(seen.standbys, [PG3]);
    assert_eq!(seen.node(PG2).observation.as_ref().unwrap().timeline, 2);

    let seen = watch.wait("pg1 is refused", PATIENCE, |seen| matches!(seen.node(PG1).health, Health::Refused(_)));
    assert!(seen.node(PG1).health.reason().unwrap().contains("older timeline 1, the cluster is on 2"), "{seen:?}");
    watch.wait("pg3 follows onto the new timeline", PATIENCE, |seen| {
        seen.node(PG3).observation.as_ref().unwrap().timeline == 2 && seen.node(PG3).upstream == Some(PG2)
    });
    cluster.pg1.stop(StopMode::Fast).unwrap();
    watch.wait("pg1 is down", PATIENCE, |seen| seen.node(PG1).health.as_str() == "down");
    cluster.pg1.start().unwrap();
    let seen = watch.wait("pg1 is back", PATIENCE, |seen| seen.node(PG1).health.as_str() != "down");
    assert!(matches!(seen.node(PG1).health, Health::Refused(_)), "{seen:?}");
    assert_eq!((seen.primary, seen.standbys.as_slice()), (Some(PG2), [PG3].as_slice()));

    // Who starts only now, with the old primary up and the new one down, does not fall for the old one.
    cluster.pg2.stop(StopMode::Fast).unwrap();
    let late = Watch::over(&cluster);
    let seen = late.wait("pg1 is refused", PATIENCE, |seen| matches!(seen.node(PG1).health, Health::Refused(_)));
    assert_eq!((seen.primary, seen.standbys.as_slice()), (None, [PG3].as_slice()));
}

#[test]
fn a_node_of_another_cluster_is_refused() {
    let (cluster, other) = (private_cluster(), private_cluster());
    let password = cluster.passwords().monitor.expose();
    other.pg1.psql(&format!("ALTER ROLE pgherd PASSWORD '{password}'")).unwrap();
    let mut nodes = nodes(&cluster);
    nodes[usize::from(PG3.0)] = node(&other.pg1);
    let watch = Watch::start(nodes, settings(&cluster));
    let seen = watch.wait("all were heard", PATIENCE, |seen| {
        seen.primary.is_some() && seen.nodes.iter().all(|node| node.observation.is_some())
    });
    assert_eq!((seen.primary, seen.standbys.as_slice()), (Some(PG1), [PG2].as_slice()));
    assert_eq!(seen.node(PG3).role, Role::Unknown);
    assert!(seen.node(PG3).health.reason().unwrap().contains("belongs to another cluster"), "{seen:?}");
}

/// A monitor of its own in a thread, as the proxy runs it; ends when it is dropped.
struct Watch {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

// === impl Watch ===

impl Watch {
    fn over(cluster: &Cluster) -> Self {
        Self::start(nodes(cluster), settings(cluster))
    }

    fn start(nodes: Vec<config::Node>, settings: config::Monitor) -> Self {
        let shared = shared_of(nodes, settings);
        let (stop, stopped) = oneshot::channel();
        let of_the_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let state = StateFile::open(&std::env::temp_dir(), &config::Failover::default()).unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = monitor::run(of_the_thread, state) => panic!("the monitor has ended"),
                    _ = stopped => {}
                }
            });
        });
        Self { shared, stop: Some(stop), thread: Some(thread) }
    }

    fn now(&self) -> Arc<Topology> {
        self.shared.topology.latest()
    }

    fn wait(&self, what: &str, patience: Duration, is_so: impl Fn(&Topology) -> bool) -> Arc<Topology> {
        let started = Instant::now();
        loop {
            let seen = self.now();
            if is_so(&seen) {
                return seen;
            }
            assert!(started.elapsed() < patience, "{what}: not within {patience:?}; seen: {seen:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

fn all_is_well(seen: &Topology) -> bool {
    seen.primary == Some(PG1) && seen.standbys == [PG2, PG3] && seen.nodes.iter().all(|node| node.health == Health::Up)
}

/// What a proxy before these nodes would share.
pub fn shared_of(nodes: Vec<config::Node>, settings: config::Monitor) -> Arc<Shared> {
    let mut config = Config::from_toml("[[node]]\nname = 'n'\nhost = 'nowhere'\n", "the test's").unwrap();
    (config.nodes, config.monitor) = (nodes, settings);
    Arc::new(Shared::new(config).unwrap())
}

fn nodes(cluster: &Cluster) -> Vec<config::Node> {
    cluster.nodes().map(node).into()
}

fn node(node: &demo::Node) -> config::Node {
    config::Node {
        name: node.name().into(),
        host: node.host().into(),
        port: node.port(),
        max_servers: 10,
        weight: 100,
        zone: String::new(),
    }
}

fn settings(cluster: &Cluster) -> config::Monitor {
    config::Monitor {
        user: "pgherd".into(),
        password: cluster.passwords().monitor.clone(),
        database: "postgres".into(),
        write_interval: Duration::from_millis(50),
        interval: INTERVAL,
        timeout: INTERVAL,
        failures: 2,
    }
}
