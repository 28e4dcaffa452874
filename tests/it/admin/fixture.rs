//! A small world: pg1 primary, pg2 standby, pg3 never reached; one pool on each of the first two; three clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use pgherd::admin::Snapshot;
use pgherd::admin::snapshot::Counted;
use pgherd::catalogs::{CatalogOf, Catalogs};
use pgherd::client::registry::{ClientState, Clients, NewClient, Pin};
use pgherd::cluster::journal::Line;
use pgherd::cluster::quorum::Quorum;
use pgherd::cluster::status::State;
use pgherd::cluster::{Health, Level, Lsn, NodeId, Observation, Opened, Role, Status, Topology};
use pgherd::config::Config;
use pgherd::pool::{PoolKey, PoolSnapshot};
use pgherd::server::{ServerEntry, ServerState};
use pgherd::sql::knowledge::{Knowledge, Rows};
use pgherd::sql::shapes::{Row, Went};
use pgherd::stats::{PoolCounters, PoolTotals, ProcessCounters};

const CONFIG: &str = r#"
[monitor]
password = "not shown"
[[node]]
name = "pg1"
host = "10.0.0.1"
[[node]]
name = "pg2"
host = "10.0.0.2"
port = 5433
[[node]]
name = "pg3"
host = "10.0.0.3"
[[user]]
name = "configured"
password = "not shown"
"#;

pub fn snapshot() -> Snapshot {
    let now = Instant::now();
    let config = Config::from_toml(CONFIG, "test").unwrap();
    let topology = topology(&config, now);
    let clients = Clients::default();
    let (busy, idle, waiting) = (client(&clients, "app"), client(&clients, "app"), client(&clients, "o\"dd\\"));
    busy.set_state(ClientState::Active);
    busy.set_pin(Pin::TemporaryTable);
    busy.server_id.store(7, Relaxed);
    waiting.set_state(ClientState::Waiting);
    waiting.waiting_since_us.store(58_500_000, Relaxed);
    for (client, seconds) in [(&busy, 3), (&idle, 1), (&waiting, 58)] {
        client.request_at_us.store(seconds * 1_000_000, Relaxed);
    }
    Snapshot {
        now,
        started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000),
        uptime: Duration::from_secs(60),
        config: Arc::new(config),
        topology: Arc::new(topology),
        closed: Arc::default(),
        events: events(),
        pools: vec![pool(key(0, "app"), 1, 2, 0), pool(key(1, "app"), 0, 1, 0), pool(key(1, "o\"dd\\"), 0, 0, 1)],
        counted: vec![counted(key(0, "app"), 10), counted(key(1, "app"), 100), counted(key(1, "o\"dd\\"), 1)],
        servers: vec![Arc::new(server(7, busy.id))],
        clients: clients.all(),
        catalogs: catalogs(now),
        routed: vec![(Went::ToPrimary, 5, 3), (Went::ToStandby, 0, 40)],
        shapes: vec![shape(Went::ToStandby, 30, 0), shape(Went::ToPrimary, 3, 98), shape(Went::ToStandby, 10, 0)],
        averages: BTreeMap::from([(Arc::from("shop"), PoolTotals { queries: 5, ..PoolTotals::default() })]),
        process: process(),
        resident_bytes: Some(12 << 20),
    }
}

fn catalogs(now: Instant) -> Vec<Arc<CatalogOf>> {
    let catalogs = Catalogs::new(true);
    let (loaded, failed) = (catalogs.of("shop"), catalogs.of("other"));
    let since = loaded.since();
    loaded.publish(Knowledge::new(catalogs.next_version(), None, Rows::default()), since, now);
    failed.fail("FATAL: permission denied".to_owned());
    vec![loaded, failed]
}

/// As one worker counted it.
fn shape(went: Went, count: u64, reason: u8) -> Row {
    let text = "SELECT * FROM t WHERE id = ?".into();
    Row { database: "shop".into(), text, went, count, replays: u64::from(went == Went::ToStandby), reason }
}

fn topology(config: &Config, now: Instant) -> Topology {
    let mut topology = Topology::unknown(&config.nodes);
    topology.epoch = 4;
    topology.primary = Some(NodeId(0));
    topology.standbys = vec![NodeId(1)];
    for (node, role) in topology.nodes.iter_mut().zip([Role::Primary, Role::Standby]) {
        node.role = role;
        node.health = Health::Up;
        node.observation = Some(observation(now - Duration::from_secs(1), role == Role::Standby));
    }
    topology.nodes[1].upstream = Some(NodeId(0));
    topology.nodes[1].weight = 100;
    topology.nodes[1].lag_bytes = Some(0x100);
    topology.nodes[1].lag_ms = Some(250);
    topology.nodes[2].health = Health::Down("connection refused".to_owned());
    topology.status = Status {
        state: State::Up,
        since: Some(now - Duration::from_millis(90_250)),
        quorum: Quorum::parse("ANY 1 (pg2, pg3)"),
        opened: Some(Opened {
            node: NodeId(0),
            timeline: 3,
            at: now - Duration::from_secs(90),
            xmax: Some(800),
            lost_bytes: 0,
            took_ms: 250,
        }),
        failovers: 1,
        switchovers: 2,
        ..Status::default()
    };
    topology
}

fn events() -> Vec<Line> {
    let line = |ms: u64, level, text: &str| {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_000 + ms);
        Line { at, level, text: text.to_owned() }
    };
    vec![
        line(0, Level::Warn, "pg1: the primary does not answer"),
        line(40, Level::Info, "pg2: told to become the primary"),
        line(250, Level::Info, "pg2 is the primary"),
    ]
}

fn observation(at: Instant, in_recovery: bool) -> Observation {
    Observation {
        at,
        round_trip_us: 420,
        in_recovery,
        system_identifier: 7_300_000_000_000_000_001,
        timeline: 3,
        received: Some(Lsn(0x16_B374_D848)),
        replayed: Some(Lsn(0x16_B374_D748)),
        inserted: None,
        is_replay_paused: false,
        replay_delay_ms: Some(250),
        has_receiver: in_recovery,
        upstream: None,
        heard_ms: None,
        severed_from: None,
        sync_name: None,
        sync_names: None,
        version_num: 150_018,
        version: "15.18".to_owned(),
    }
}

pub fn key(node: u16, user: &str) -> PoolKey {
    PoolKey { node: NodeId(node), database: "shop".into(), user: user.into() }
}

fn pool(key: PoolKey, active: usize, idle: usize, waiting: usize) -> PoolSnapshot {
    let max_wait = Duration::from_millis(1500 * waiting as u64);
    let mode = pgherd::config::PoolMode::Transaction;
    PoolSnapshot { key, mode, size: 20, active, idle, connecting: 0, waiting, max_wait }
}

fn counted(key: PoolKey, queries: u64) -> Counted {
    let workers = [PoolCounters::default(), PoolCounters::default()];
    workers[0].queries.add(queries);
    workers[1].queries.add(1);
    workers[1].query_time_us.add(2_500_000);
    workers[0].wait.record(Duration::from_micros(100));
    workers[1].server.record(Duration::from_millis(3));
    Counted::sum(&key, &workers)
}

fn client(clients: &Clients, user: &str) -> Arc<pgherd::client::registry::ClientEntry> {
    clients.add(NewClient {
        cancel_key: [1, 2, 3, 4].into(),
        user: user.into(),
        database: "shop".into(),
        replication: None,
        addr: "192.168.0.9:50000".parse().unwrap(),
        local_addr: "192.168.0.1:6432".parse().unwrap(),
        worker: 0,
        application_name: "tills".into(),
    })
}

fn server(id: u64, client_id: u64) -> ServerEntry {
    let entry = ServerEntry {
        id,
        node: NodeId(0),
        database: "shop".to_owned(),
        user: "app".to_owned(),
        addr: "10.0.0.1:5432".parse().unwrap(),
        local_addr: "10.0.0.9:40000".parse().unwrap(),
        process_id: 4242,
        connected_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_001),
        state: 0.into(),
        request_at_us: 2_000_000.into(),
        client_id: client_id.into(),
        prepared_statements: 3.into(),
        at_rest: false.into(),
        stale: false.into(),
        alarm: Default::default(),
        socket: None,
    };
    entry.set_state(ServerState::Active);
    entry
}

fn process() -> Vec<(&'static str, &'static str, u64)> {
    let mut process = Vec::from(ProcessCounters::default().list());
    process.push(("pgherd_servers_connected_total", "Done.", 12));
    process.push(("pgherd_server_connect_failures_total", "Failed.", 1));
    process
}
