//! What an operator types and reads on the console, on a real cluster in quorum mode.

use std::process::{Command, Stdio};

use tokio_postgres::error::SqlState;

use super::rig::Rig;
use super::{shown, until_shown};
use crate::harness::{Proxy, eventually};

#[tokio::test]
async fn the_console_takes_orders_and_tells_what_became_of_them() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    eventually("the quorum is known", || {
        cluster(&proxy, "state,primary,quorum,paused").eq("up|pg1|any 1 of pg2, pg3|f").then_some(())
    });
    assert_eq!(cluster(&proxy, "mode,durability,timeline,last_failover,failovers"), "automatic|quorum|1||0");

    said(&proxy, "PAUSE FAILOVER", "PAUSE FAILOVER", "paused");
    assert_eq!(cluster(&proxy, "paused"), "t");
    said(&proxy, "RESUME FAILOVER", "RESUME FAILOVER", "goes on");
    assert_eq!(cluster(&proxy, "paused"), "f");
    said(&proxy, "DETACH pg3", "DETACH", "pg3 is detached");
    until_shown(&proxy, "state,advice", "pg3", "detached|ATTACH pg3 takes it back");
    assert_eq!(cluster(&proxy, "detached"), "pg3");
    said(&proxy, "ATTACH PG3", "ATTACH", "pg3 is attached");
    until_shown(&proxy, "state,reason,advice", "pg3", "up||");

    let console = proxy.client_as("pgherd", "admin").await.unwrap();
    for (command, state, words) in [
        ("FAILOVER TO pg3", SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "pg1 lives"),
        ("SWITCHOVER TO pg1", SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "the primary already"),
        ("DETACH pg1", SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "SWITCHOVER first"),
        ("ATTACH pg2", SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "not detached"),
        ("DETACH pg5", SqlState::INVALID_PARAMETER_VALUE, "there is no node pg5"),
    ] {
        let error = console.simple_query(command).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(*error.code(), state, "{command}: {error:?}");
        assert!(error.message().contains(words) && error.hint().is_some(), "{command}: {error:?}");
    }
    assert_eq!(cluster(&proxy, "state,primary,failovers,switchovers"), "up|pg1|0|0", "nothing was changed");

    said(&proxy, "SWITCHOVER TO pg2", "SWITCHOVER", "pg2");
    assert_eq!(cluster(&proxy, "primary,last_failover,last_lost_bytes,failovers,switchovers"), "pg2|pg2|0|0|1");
    until_shown(&proxy, "state", "pg1", "refused");
    let advice = shown(&proxy, "advice", "pg1");
    assert!(advice.contains("pg_rewind -R ") && advice.contains("application_name=pg1"), "{advice}");
    let events = proxy.console("SHOW EVENTS 1000");
    for words in ["switchover from pg1 to pg2", "paused, until RESUME FAILOVER"] {
        assert!(events.contains(words), "{words}\n{events}");
    }
    let (_, metrics) = eventually("the metrics are published", || {
        let answer = proxy.process.http_get("/metrics").unwrap();
        answer.1.contains("pgherd_switchovers_total 1\n").then_some(answer)
    });
    assert!(metrics.contains("pgherd_cluster_state{state=\"up\"} 1\n"), "{metrics}");
    look(&proxy);

    // The advice, as it is typed.
    follow(&rig, "pg1", &advice);
    until_shown(&proxy, "role,state,upstream", "pg1", "standby|up|pg2");
}

#[tokio::test]
async fn ctrl_c_ends_the_wait_and_not_the_switchover() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("[failover]\ndrain = '20s'");
    let mut client = proxy.client().await;
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("CREATE TABLE kept ()").await.unwrap();
    let mut psql = proxy.client_program("psql", "pgherd", "admin");
    let psql = psql.args(["-XAt", "-c", "SWITCHOVER TO pg3"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let psql = psql.spawn().unwrap();
    eventually("it waits for the transaction", || (cluster(&proxy, "state") == "draining").then_some(()));
    assert_eq!(cluster(&proxy, "waits_for"), "the transactions on pg1 to end");

    let killed = Command::new("kill").args(["-INT", &psql.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = psql.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("no longer waiting; what was ordered goes on"), "{errors}");
    assert_eq!(cluster(&proxy, "state"), "draining");
    transaction.commit().await.unwrap();
    eventually("it is done", || (cluster(&proxy, "state,primary,switchovers") == "up|pg3|1").then_some(()));
    assert_eq!(proxy.psql("SELECT count(*) FROM kept"), "0");
}

#[test]
fn a_paused_failover_is_made_by_order() {
    let rig = Rig::quorum();
    let proxy = rig.proxy("");
    said(&proxy, "PAUSE FAILOVER", "PAUSE FAILOVER", "paused");
    said(&proxy, "DETACH pg2", "DETACH", "pg2 is detached");
    rig.node("pg1").kill9().unwrap();
    eventually("it is held", || (cluster(&proxy, "state,primary") == "held|").then_some(()));
    let told = cluster(&proxy, "waits_for,advice");
    assert!(told.contains("is paused") && told.contains("RESUME FAILOVER, or FAILOVER TO pg3"), "{told}");
    look(&proxy);
    assert_eq!(proxy.process.http_get("/readyz").unwrap().0, 503);

    let refused = proxy.psql_through("pgherd", "admin", &["-c", "SWITCHOVER TO pg3"]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("FAILOVER TO a standby is what is left") && errors.contains("HINT:"), "{errors}");
    let refused = proxy.psql_through("pgherd", "admin", &["-c", "FAILOVER TO pg2"]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("detached") && errors.contains("HINT:"), "{errors}");

    said(&proxy, "FAILOVER TO pg3", "FAILOVER", "pg3 is the primary");
    assert_eq!(cluster(&proxy, "state,primary,last_failover,failovers,paused"), "up|pg3|pg3|1|t");
    proxy.psql("CREATE TABLE again ()");
    look(&proxy);
}

/// Whoever wants to read what an operator reads: `--nocapture`.
fn look(proxy: &Proxy<'_>) {
    for command in ["SHOW CLUSTER", "SHOW EVENTS", "SHOW NODES"] {
        let arguments = ["-P", "tuples_only=off", "-P", "format=aligned", "-c", command];
        let wide = proxy.psql_through("pgherd", "admin", &arguments);
        println!("{command}\n{}", String::from_utf8_lossy(&wide.stdout));
        let tall = proxy.psql_through("pgherd", "admin", &[&["-x"], &arguments[..]].concat());
        println!("{command} \\gx\n{}", String::from_utf8_lossy(&tall.stdout));
    }
}

/// `stop NODE; COMMANDS; start NODE (…)`
fn follow(rig: &Rig, name: &str, advice: &str) {
    let node = rig.node(name);
    let commands = advice.strip_prefix(&format!("stop {name}; ")).unwrap_or_else(|| panic!("{advice}"));
    let (commands, _) = commands.split_once(&format!("; start {name}")).unwrap_or_else(|| panic!("{advice}"));
    let conf = node.data_dir().join("pgherd-demo.conf");
    let own = std::fs::read_to_string(&conf).unwrap();
    node.stop(pgherd::demo::StopMode::Immediate).unwrap();
    let site = rig.cluster.site();
    let psql = site.command("psql");
    let bin = std::path::Path::new(psql.get_program()).parent().unwrap().display().to_string();
    let mut shell = site.command("/bin/sh");
    shell.env("PGPASSWORD", site.passwords.superuser.expose()).env("PGDATA", node.data_dir());
    shell.env("PATH", format!("{bin}:/usr/bin:/bin"));
    site.run(advice, shell.args(["-ec", commands])).unwrap();
    // What is this machine's alone: the port, and where the clusters of this test lie.
    site.write(&conf, &own).unwrap();
    node.start().unwrap();
}

/// psql prints the notice and the tag.
fn said(proxy: &Proxy<'_>, command: &str, tag: &str, words: &str) {
    let output = proxy.client_program("psql", "pgherd", "admin").args(["-XAt", "-c", command]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{command}\n{err}{out}");
    assert!(output.status.success(), "{command}: {err}");
    assert_eq!(out.trim_end(), tag, "{command}");
    assert!(err.starts_with("NOTICE:") && err.contains(words), "{command}: {err}");
}

/// These columns of `SHOW CLUSTER`.
fn cluster(proxy: &Proxy<'_>, columns: &str) -> String {
    let text =
        proxy.psql_through("pgherd", "admin", &["-P", "tuples_only=off", "-P", "footer=off", "-c", "SHOW CLUSTER"]);
    let text = String::from_utf8(text.stdout).unwrap();
    let mut lines = text.lines().map(|line| line.split('|').collect::<Vec<_>>());
    let (titles, row) = (lines.next().unwrap(), lines.next().unwrap());
    let value = |column: &str| row[titles.iter().position(|title| *title == column).unwrap()];
    columns.split(',').map(value).collect::<Vec<_>>().join("|")
}
