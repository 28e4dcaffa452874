//! PgPool-II before the same cluster, through the same kill -9, with the same clients. Each round a cluster of its own:
//! bringing back a node is no part of what is compared.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pgherd::demo::machine::free_port;

use crate::load::{Load, TABLE};
use crate::rig::{Options, Rig};
use crate::table::{Block, Row};
use crate::tally::Tally;
use crate::{CROWD, harness};

/// Whoever does not write again within this time has the rest of it counted.
const LIMIT: Duration = Duration::from_secs(60);

/// Where Debian has it, or PATH.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/lib/postgresql/15/bin".into()]);
    places.map(|dir| dir.join("pgpool")).find(|file| file.exists())
}

pub fn failovers(program: &std::path::Path, times: usize) -> Block {
    let (mut outages, mut tally, mut verdicts) = (Vec::new(), Tally::default(), Vec::new());
    for number in 0..times {
        let hba = vec!["host all all 127.0.0.1/32 trust".to_owned()];
        let rig = Rig::start(Options { hba, ..Options::QUORUM });
        let port = start(program, &rig);
        let dsn = format!("postgresql://app@127.0.0.1:{port}/app");
        rig.cluster.pg1.psql_as("app", "app", TABLE).unwrap();
        rig.cluster.wait_caught_up().unwrap();
        let load = Load::start(&dsn, CROWD);
        load.run_for(Duration::from_secs(1));
        rig.cluster.pg1.kill9().unwrap();
        let killed = Instant::now();
        while !load.all_have_written(killed) && killed.elapsed() < LIMIT {
            std::thread::sleep(Duration::from_millis(20));
        }
        let these = load.outages_until_now(killed);
        eprintln!("{} of {times}: PgPool-II: {:?}", number + 1, these.iter().max());
        outages.extend(these);
        std::thread::sleep(Duration::from_millis(500));
        let round = load.end();
        verdicts.push(round.verdict(rig.primary_but("pg1")));
        tally.add(round);
    }
    let name = "PgPool-II, kill -9".to_owned();
    Block { rows: vec![Row { name, times, outages, target: None }], tally, verdicts }
}

/// Its port. It ends with the cluster's guard.
fn start(program: &std::path::Path, rig: &Rig) -> u16 {
    let site = rig.cluster.site();
    let dir = site.dir.join("pgpool");
    std::fs::create_dir(&dir).unwrap();
    site.account.give(&dir).unwrap();
    let port = free_port().unwrap();
    let script = dir.join("failover.sh");
    site.write(&script, &failover_script(rig)).unwrap();
    site.write(&dir.join("pool_hba.conf"), "host all all 127.0.0.1/32 trust\n").unwrap();
    site.write(&dir.join("pcp.conf"), "").unwrap();
    let backends: String = rig
        .nodes()
        .iter()
        .enumerate()
        .map(|(index, node)| {
            format!(
                "backend_hostname{index} = '127.0.0.1'\nbackend_port{index} = {}\nbackend_data_directory{index} = '{}'\n\
                 backend_weight{index} = 1\nbackend_flag{index} = 'ALLOW_TO_FAILOVER'\n",
                node.port(),
                node.data_dir().display()
            )
        })
        .collect();
    let config = format!(
        "{backends}
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{dir}'
pcp_socket_dir = '{dir}'
pcp_port = {pcp}
pid_file_name = '{dir}/pid'
logdir = '{dir}'
num_init_children = 60
max_pool = 1
enable_pool_hba = off
load_balance_mode = on
statement_level_load_balance = on
disable_load_balance_on_write = 'transaction'
sr_check_period = 1
sr_check_user = 'postgres'
sr_check_database = 'postgres'
health_check_period = 1
health_check_timeout = 2
health_check_max_retries = 0
health_check_user = 'postgres'
health_check_database = 'postgres'
failover_on_backend_error = on
search_primary_node_timeout = 30
failover_command = 'sh {script} %d %P %m'
",
        dir = dir.display(),
        pcp = free_port().unwrap(),
        script = script.display(),
    );
    site.write(&dir.join("pgpool.conf"), &config).unwrap();
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = std::process::Command::new(program);
    site.account.apply(&mut command);
    command.current_dir(&dir).arg("-n").arg("-f").arg(dir.join("pgpool.conf"));
    command.arg("-F").arg(dir.join("pcp.conf")).arg("-a").arg(dir.join("pool_hba.conf"));
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = rig.cluster.guard().spawn(&mut command, "INT").unwrap();
    harness::eventually("PgPool-II answers", || {
        assert!(child.try_wait().unwrap().is_none(), "{}", std::fs::read_to_string(dir.join("log")).unwrap());
        let dsn = format!("postgresql://app@127.0.0.1:{port}/app");
        let mut psql = site.command("psql");
        psql.args(["-XAtqc", "SELECT 1", &dsn]);
        site.run("ask PgPool-II", &mut psql).ok()
    });
    port
}

/// %d: the node that failed, %P: the old primary, %m: the new main node. Promotes pg2 or pg3, and points the other to it;
/// what a follow_primary_command does by stopping and rewinding the standby would only take longer.
fn failover_script(rig: &Rig) -> String {
    let site = rig.cluster.site();
    let mut script = "[ \"$1\" = \"$2\" ] || exit 0\n".to_owned();
    for (index, node) in rig.nodes().iter().enumerate().skip(1) {
        let other = if node.name() == "pg2" { "pg3" } else { "pg2" };
        let conninfo = rig.conninfo(other, node.name()).replace('\'', "''");
        script += &format!(
            "if [ \"$3\" = {index} ]; then\n{pg_ctl} promote -D '{data}'\n{psql} -h 127.0.0.1 -p {port} -U postgres -d postgres \
             -c \"ALTER SYSTEM SET primary_conninfo = '{conninfo}'\" -c 'SELECT pg_reload_conf()'\nfi\n",
            pg_ctl = site.binaries.path("pg_ctl").display(),
            psql = site.binaries.path("psql").display(),
            data = node.data_dir().display(),
            port = rig.node(other).port(),
        );
    }
    script
}
