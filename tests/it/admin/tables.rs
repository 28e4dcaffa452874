//! Columns and rows, without any protocol.

use std::sync::Arc;

use pgherd::admin::Dialect;
use pgherd::admin::command::Show;
use pgherd::admin::operation::USAGE;
use pgherd::admin::show::{columns, events, table};
use pgherd::admin::table::{Table, Type, Value};
use pgherd::cluster::status::State;
use pgherd::cluster::{Health, NodeId, Status};

use super::fixture::snapshot;

/// PgBouncer 1.24: command, types (s text, i int4, N numeric, T a time as text), columns.
const PGBOUNCER: [(Show, &str, &str); 14] = [
    (
        Show::Pools,
        "ssiiiiiiiiiiiiiss",
        "database,user,cl_active,cl_waiting,cl_active_cancel_req,cl_waiting_cancel_req,sv_active,sv_active_cancel,\
         sv_being_canceled,sv_idle,sv_used,sv_tested,sv_login,maxwait,maxwait_us,pool_mode,load_balance_hosts",
    ),
    (Show::Clients, "ssssssisiTTiiississii", SOCKET),
    (Show::Servers, "ssssssisiTTiiississii", SOCKET),
    (
        Show::Databases,
        "ssissiiiissiiiiii",
        "name,host,port,database,force_user,pool_size,min_pool_size,reserve_pool_size,server_lifetime,pool_mode,\
         load_balance_hosts,max_connections,current_connections,max_client_connections,current_client_connections,\
         paused,disabled",
    ),
    (
        Show::Users,
        "siisiiii",
        "name,pool_size,reserve_pool_size,pool_mode,max_user_connections,current_connections,\
         max_user_client_connections,current_client_connections",
    ),
    (
        Show::Stats,
        "sNNNNNNNNNNNNNNNNNNNNNN",
        "database,total_server_assignment_count,total_xact_count,total_query_count,total_received,total_sent,\
         total_xact_time,total_query_time,total_wait_time,total_client_parse_count,total_server_parse_count,\
         total_bind_count,avg_server_assignment_count,avg_xact_count,avg_query_count,avg_recv,avg_sent,avg_xact_time,\
         avg_query_time,avg_wait_time,avg_client_parse_count,avg_server_parse_count,avg_bind_count",
    ),
    (
        Show::StatsTotals,
        "sNNNNNNNNNNN",
        "database,server_assignment_count,xact_count,query_count,bytes_received,bytes_sent,xact_time,query_time,\
         wait_time,client_parse_count,server_parse_count,bind_count",
    ),
    (
        Show::StatsAverages,
        "sNNNNNNNNNNN",
        "database,server_assignment_count,xact_count,query_count,bytes_received,bytes_sent,xact_time,query_time,\
         wait_time,avg_client_parse_count,avg_server_parse_count,avg_bind_count",
    ),
    (Show::Totals, "sN", "name,value"),
    (Show::Lists, "si", "list,items"),
    (Show::Config, "ssss", "key,value,default,changeable"),
    (Show::Mem, "siiii", "name,size,used,free,memtotal"),
    (Show::Version, "s", "version"),
    (Show::State, "ss", "key,value"),
];

const SOCKET: &str = "type,user,database,replication,state,addr,port,local_addr,local_port,connect_time,request_time,\
    wait,wait_us,close_needed,ptr,link,remote_pid,tls,application_name,prepared_statements,id";

/// Ours, after PgBouncer's.
const APPENDED: [(Show, &str); 5] = [
    (Show::Pools, "node,role"),
    (Show::Clients, "pin,route,node"),
    (Show::Servers, "node,role"),
    (Show::Stats, "total_reads_on_primary,total_reads_on_standbys"),
    (Show::StatsTotals, "reads_on_primary,reads_on_standbys"),
];

#[test]
fn columns_begin_as_pgbouncer_has_them() {
    for (show, types, names) in PGBOUNCER {
        let mut expected = names.to_owned();
        if let Some((_, ours)) = APPENDED.iter().find(|(appended, _)| *appended == show) {
            expected = format!("{names},{ours}");
        }
        let columns = columns(show);
        let found: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        assert_eq!(found.join(","), expected, "{}", show.name());
        assert_eq!(types.len(), names.split(',').count(), "{}", show.name());
        for ((name, found), letter) in columns.iter().zip(types.chars()) {
            let expected = match letter {
                'i' => Type::Int4,
                'N' => Type::Numeric,
                _ => Type::Text,
            };
            assert_eq!(*found, expected, "{} {name}", show.name());
        }
    }
}

#[test]
fn pool_nodes_has_the_columns_of_pgpool() {
    let names: Vec<&str> = columns(Show::PoolNodes).iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names.join(","),
        "node_id,hostname,port,status,pg_status,lb_weight,role,pg_role,select_cnt,load_balance_node,\
         replication_delay,replication_state,replication_sync_state,last_status_change"
    );
}

#[test]
fn every_row_fits_its_columns() {
    let snapshot = snapshot();
    for show in Show::ALL {
        for dialect in [Dialect::Pgherd, Dialect::PgBouncer] {
            let table = table(show, dialect, &snapshot);
            assert!(!table.rows.is_empty(), "{}", show.name());
            for row in &table.rows {
                assert_eq!(row.len(), table.columns.len(), "{}", show.name());
                for (value, (name, column)) in row.iter().zip(&table.columns) {
                    let fits = match value {
                        Value::Null => true,
                        Value::Text(_) => *column == Type::Text,
                        Value::Number(_) => matches!(column, Type::Int4 | Type::Int8 | Type::Numeric),
                        Value::Boolean(_) => *column == Type::Boolean,
                    };
                    assert!(fits, "{} {name}: {value:?}", show.name());
                }
            }
        }
    }
}

#[test]
fn nodes_show_the_chain_the_lag_and_the_reason() {
    check(
        Show::Nodes,
        &["name", "role", "state", "reason", "upstream", "replayed_lsn", "lag_bytes", "servers_active", "last_probe"],
        &[
            "pg1 | primary | up | - | - | 16/B374D748 | - | 1 | 1",
            "pg2 | standby | up | - | pg1 | 16/B374D748 | 256 | 0 | 1",
            "pg3 | unknown | down | connection refused | - | - | - | 0 | -",
        ],
    );
}

#[test]
fn standbys_show_their_share_and_why_they_have_none() {
    let mut snapshot = snapshot();
    let mut topology = (*snapshot.topology).clone();
    (topology.nodes[0].weight, topology.nodes[0].is_near) = (25, true);
    topology.nodes[1].zone = "a".to_owned();
    snapshot.topology = topology.clone().into();
    let names = ["name", "reads", "no_reads", "share_percent", "weight", "zone", "queries", "lag_ms", "replay_paused"];
    let shown_of =
        |snapshot: &pgherd::admin::snapshot::Snapshot| shown(&table(Show::Standbys, Dialect::Pgherd, snapshot), &names);
    assert_eq!(
        shown_of(&snapshot),
        [
            "pg2 | true | - | 80 | 100 | a | 103 | 250 | false",
            "pg3 | false | connection refused | 0 | 0 | - | 0 | - | -"
        ]
    );
    topology.standbys.clear();
    topology.nodes[1].weight = 0;
    topology.nodes[1].no_reads = Some("its weight is 0".to_owned());
    snapshot.topology = topology.into();
    assert_eq!(shown_of(&snapshot)[0], "pg2 | false | its weight is 0 | 0 | 0 | a | 103 | 250 | false");
}

#[test]
fn a_node_that_gets_no_client_says_what_to_do() {
    let mut snapshot = snapshot();
    let mut topology = (*snapshot.topology).clone();
    topology.status.detached = vec![NodeId(1), NodeId(2)];
    let mut returned = topology.nodes[0].observation.clone().unwrap();
    (returned.timeline, returned.system_identifier) = (2, 7);
    topology.system_identifier = Some(7);
    topology.nodes[2].health = Health::Refused("a primary on the older timeline 2".to_owned());
    topology.nodes[2].observation = Some(returned);
    snapshot.topology = Arc::new(topology);
    let table = table(Show::Nodes, Dialect::Pgherd, &snapshot);
    assert_eq!(
        shown(&table, &["name", "state", "advice"]),
        [
            "pg1 | up | -",
            "pg2 | detached | ATTACH pg2 takes it back",
            "pg3 | refused | stop pg3; psql -h 10.0.0.1 -p 5432 -U postgres -c CHECKPOINT; pg_rewind -R -D \"$PGDATA\" \
             --source-server='host=10.0.0.1 port=5432 user=postgres dbname=postgres application_name=pg3'; start pg3 \
             (or rebuild it: pg_basebackup)",
        ]
    );
}

#[test]
fn the_cluster_is_one_row() {
    check(
        Show::Cluster,
        &["state", "epoch", "primary", "timeline", "mode", "durability", "quorum", "paused", "detached", "since_ms"],
        &["up | 4 | pg1 | 3 | off | async | any 1 of pg2, pg3 | false | - | 90250"],
    );
    check(
        Show::Cluster,
        &["waits_for", "advice", "last_failover", "last_ago_s", "last_took_ms", "last_lost_bytes", "failovers"],
        &["- | - | pg1 | 90 | 250 | 0 | 1"],
    );
}

#[test]
fn the_cluster_says_what_it_waits_for() {
    let mut snapshot = snapshot();
    let mut topology = (*snapshot.topology).clone();
    topology.primary = None;
    topology.no_primary_because = Some("pg1 is down".to_owned());
    topology.status = Status { state: State::Held, is_paused: true, detached: vec![NodeId(1)], ..Status::default() };
    snapshot.topology = Arc::new(topology.clone());
    let names = ["state", "primary", "timeline", "paused", "detached", "since_ms", "waits_for", "last_failover"];
    let now = |snapshot: &_| shown(&table(Show::Cluster, Dialect::Pgherd, snapshot), &names);
    assert_eq!(now(&snapshot), ["held | - | - | true | pg2 | - | pg1 is down | -"]);
    topology.status.waits_for = Some("RESUME FAILOVER".to_owned());
    snapshot.topology = Arc::new(topology);
    assert_eq!(now(&snapshot), ["held | - | - | true | pg2 | - | RESUME FAILOVER | -"]);
}

#[test]
fn events_come_oldest_first_and_the_last_are_kept() {
    check(
        Show::Events,
        &["at", "level", "event"],
        &[
            "2026-11-18 11:06:40.000 UTC | warn | pg1: the primary does not answer",
            "2026-11-18 11:06:40.040 UTC | info | pg2: told to become the primary",
            "2026-11-18 11:06:40.250 UTC | info | pg2 is the primary",
        ],
    );
    assert_eq!(shown(&events(1, &snapshot()), &["event"]), ["pg2 is the primary"]);
    assert_eq!(events(0, &snapshot()).rows.len(), 0);
    assert_eq!(events(9, &snapshot()).rows.len(), 3);
}

#[test]
fn pool_nodes_share_the_reads_among_the_standbys() {
    check(
        Show::PoolNodes,
        &["node_id", "hostname", "status", "lb_weight", "role", "select_cnt", "load_balance_node", "replication_delay"],
        &[
            "0 | 10.0.0.1 | up | 0.000000 | primary | 11 | false | 0",
            "1 | 10.0.0.2 | up | 1.000000 | standby | 103 | true | 256",
            "2 | 10.0.0.3 | down | 0.000000 | unknown | 0 | false | 0",
        ],
    );
}

#[test]
fn pools_are_per_node_and_idle_clients_have_none() {
    check(
        Show::Pools,
        &[
            "database",
            "user",
            "cl_active",
            "cl_waiting",
            "sv_active",
            "sv_idle",
            "maxwait",
            "maxwait_us",
            "node",
            "role",
        ],
        &[
            "shop | app | 1 | 0 | 0 | 0 | 0 | 0 | - | -",
            "shop | app | 1 | 0 | 1 | 2 | 0 | 0 | pg1 | primary",
            "shop | app | 0 | 0 | 0 | 1 | 0 | 0 | pg2 | standby",
            "shop | o\"dd\\ | 0 | 1 | 0 | 0 | 1 | 500000 | pg2 | standby",
        ],
    );
}

#[test]
fn pools_of_the_pgbouncer_database_are_one_per_database_and_user() {
    let table = table(Show::Pools, Dialect::PgBouncer, &snapshot());
    let found = shown(&table, &["user", "cl_active", "cl_waiting", "sv_active", "sv_idle", "maxwait", "node"]);
    assert_eq!(found, ["app | 2 | 0 | 1 | 3 | 0 | -", "o\"dd\\ | 0 | 1 | 0 | 0 | 1 | -"]);
}

#[test]
fn clients_and_servers_name_each_other() {
    check(
        Show::Clients,
        &["type", "state", "wait", "wait_us", "request_time", "ptr", "link", "pin", "route", "node"],
        &[
            "C | active | 0 | 0 | 2026-11-18 11:06:43 UTC | c1 | s7 | temporary table | primary | pg1",
            "C | idle | 0 | 0 | 2026-11-18 11:06:41 UTC | c2 |  |  | - | -",
            "C | waiting | 1 | 500000 | 2026-11-18 11:07:38 UTC | c3 |  |  | - | -",
        ],
    );
    check(
        Show::Servers,
        &["type", "state", "connect_time", "ptr", "link", "remote_pid", "application_name", "node", "role"],
        &["S | active | 2026-11-18 11:06:41 UTC | s7 | c1 | 4242 | tills | pg1 | primary"],
    );
}

#[test]
fn statistics_sum_over_users_nodes_and_workers() {
    check(
        Show::Stats,
        &["database", "total_query_count", "total_query_time", "avg_query_count"],
        &["shop | 114 | 7500000 | 5"],
    );
    let totals = shown(&table(Show::Totals, Dialect::Pgherd, &snapshot()), &["name", "value"]);
    assert_eq!(totals.len(), 22);
    assert!(totals.contains(&"total_query_count | 114".to_owned()), "{totals:?}");
    assert!(totals.contains(&"avg_query_count | 5".to_owned()), "{totals:?}");
}

#[test]
fn inventory_counts_what_there_is() {
    check(
        Show::Databases,
        &[
            "name",
            "host",
            "port",
            "pool_mode",
            "load_balance_hosts",
            "current_connections",
            "current_client_connections",
        ],
        &["shop | 10.0.0.1 | 5432 | transaction | round-robin | 1 | 3"],
    );
    check(
        Show::Users,
        &["name", "current_connections", "current_client_connections"],
        &["app | 1 | 2", "configured | 0 | 0", "o\"dd\\ | 0 | 1"],
    );
    let lists = shown(&table(Show::Lists, Dialect::Pgherd, &snapshot()), &["list", "items"]);
    assert_eq!(lists.len(), 14);
    assert!(lists.contains(&"pools | 2".to_owned()) && lists.contains(&"used_clients | 3".to_owned()), "{lists:?}");
}

#[test]
fn routes_of_all_workers_come_together_the_most_frequent_first() {
    let text = "SELECT * FROM t WHERE id = ?";
    let expected = [
        format!("shop | standby | 40 | plain-read | 2 | {text}"),
        format!("shop | primary | 3 | not-split | 0 | {text}"),
    ];
    let names = ["database", "target", "count", "reason", "replays", "shape"];
    check(Show::Routes, &names, &expected.each_ref().map(String::as_str));
}

#[test]
fn config_shows_no_secret_and_what_the_exporter_reads() {
    let config = shown(&table(Show::Config, Dialect::PgBouncer, &snapshot()), &["key", "value"]);
    assert!(!config.iter().any(|line| line.contains("not shown")), "{config:?}");
    let find = |key: &str| config.iter().find_map(|line| line.strip_prefix(&format!("{key} | "))).unwrap();
    assert!(find("max_client_conn").parse::<u32>().is_ok());
    assert_eq!(find("max_user_connections"), "0");
    assert_eq!(find("pool.mode"), "transaction");
}

#[test]
fn the_manual_names_every_command_and_column() {
    let manual = include_str!("../../../docs/console.md");
    assert!(
        State::ALL.iter().all(|state| manual.contains(&format!("`{}`", state.as_str()))),
        "each state has a meaning"
    );
    assert!(USAGE.iter().all(|(usage, _)| manual.contains(&format!("### {usage}"))), "each operation has a heading");
    for show in Show::ALL {
        let command = format!("SHOW {}", show.name());
        assert!(manual.contains(&command) || manual.contains(&format!("`{}`", show.name())), "{command}");
        for (column, _) in columns(show).iter().filter(|_| !matches!(show, Show::StatsTotals | Show::StatsAverages)) {
            assert!(manual.contains(column), "{command}: {column}");
        }
    }
}

fn check(show: Show, names: &[&str], expected: &[&str]) {
    let table = table(show, Dialect::Pgherd, &snapshot());
    assert_eq!(shown(&table, names), expected, "SHOW {} {names:?}", show.name());
}

/// The rows, reduced to the columns `names`; `-` is NULL.
fn shown(table: &Table, names: &[&str]) -> Vec<String> {
    let at = |name: &&str| table.columns.iter().position(|(column, _)| column == name).unwrap();
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
    };
    let row = |row: &Vec<Value>| names.iter().map(|name| text(&row[at(name)])).collect::<Vec<_>>().join(" | ");
    table.rows.iter().map(row).collect()
}
