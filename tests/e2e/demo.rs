//! `pgherd demo`, as an operator runs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use pgherd::demo::machine::kill;

use crate::harness::eventually;
use crate::harness::leftovers::{assert_nothing_left, processes_naming};
use crate::harness::proxy::BINARY;

#[test]
fn demo_for_20s_ends_well_and_leaves_nothing() {
    let output = Command::new(BINARY).args(["demo", "--for", "20s"]).output().unwrap();
    let (out, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}\n{errors}");
    assert_eq!(errors, "");
    assert!(out.contains("psql 'postgresql://app:"), "{out}");
    // The last table: who is what, and who does how much.
    let last = |node: &str| {
        let line = out.lines().rfind(|line| line.starts_with(&format!("{node} ")) && line.ends_with(" up"));
        line.unwrap_or_else(|| panic!("no line of {node} in\n{out}")).split_whitespace().collect::<Vec<_>>()
    };
    let (pg1, pg2, pg3) = (last("pg1"), last("pg2"), last("pg3"));
    assert_eq!(pg1[1..5], ["primary", "-", "-", "0"], "the primary serves no read");
    assert_ne!(pg1[5], "0", "{pg1:?}");
    assert_eq!((pg2[1], pg2[2]), ("standby", "pg1"));
    assert_eq!((pg3[1], pg3[2]), ("standby", "pg2"));
    for standby in [&pg2, &pg3] {
        let (reads, writes) = (standby[standby.len() - 3], standby[standby.len() - 2]);
        assert!(reads != "0" && reads != "-" && writes == "0", "{standby:?}");
    }
    assert_nothing_left(&data_dir(&out));
}

#[test]
fn a_primary_killed_by_hand_is_replaced_and_nothing_acknowledged_is_lost() {
    let (mut demo, log) = start(&["--for", "15s"]);
    eventually("some writes", || read(&log).contains("   3 s  through the proxy").then_some(()));
    let dir = data_dir(&read(&log));
    let postmaster = std::fs::read_to_string(dir.join("pg1/postmaster.pid")).unwrap();
    kill("KILL", &[postmaster.lines().next().unwrap().parse().unwrap()]).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{}", read(&log));
    let out = read(&log);
    let line = out.lines().find(|line| line.contains("pg2 is the primary in place of pg1: writes paused"));
    let line = line.unwrap_or_else(|| panic!("no failover in\n{out}"));
    assert!(line.contains(" 0 of ") && line.ends_with(" acknowledged rows lost"), "{line}");
    let last = out.lines().rfind(|line| line.ends_with("acknowledged rows lost")).unwrap();
    assert!(last.trim().starts_with("0 of "), "{last}");
    assert_nothing_left(&dir);
}

#[test]
fn interrupt_in_the_middle_of_the_build_leaves_nothing() {
    for step in ["pg1: initdb", "pg2: base backup", "proxy: pgherd run"] {
        let (mut demo, log) = start(&["--for", "60s"]);
        eventually(step, || read(&log).contains(step).then_some(()));
        kill("INT", &[demo.id()]).unwrap();
        assert_eq!(demo.wait().unwrap().code(), Some(130), "{}", read(&log));
        assert_nothing_left(&data_dir(&read(&log)));
    }
}

#[test]
fn interrupt_ends_a_demo_without_a_time_well() {
    let (mut demo, log) = start(&["--no-workload"]);
    eventually("the table", || read(&log).contains("pg3    standby").then_some(()));
    kill("INT", &[demo.id()]).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "{}", read(&log));
    assert_nothing_left(&data_dir(&read(&log)));
}

#[test]
fn demo_killed_with_9_leaves_nothing() {
    let (mut demo, log) = start(&[]);
    eventually("the table", || read(&log).contains("pg3    standby").then_some(()));
    demo.kill().unwrap();
    demo.wait().unwrap();
    let dir = data_dir(&read(&log));
    eventually("everything has ended", || {
        (processes_naming(&dir.display().to_string()).is_empty() && !dir.exists()).then_some(())
    });
}

#[test]
fn kept_data_starts_again_as_the_demo_says() {
    let dir = tempfile::tempdir().unwrap();
    // Not below it: a temporary directory lets only its maker in.
    let data = dir.path().with_extension("kept");
    let _remove = RemoveDir(data.clone());
    let output = Command::new(BINARY).args(["demo", "--for", "2s", "--keep", "--dir"]).arg(&data).output().unwrap();
    let (out, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}\n{errors}");
    assert_eq!(processes_naming(&data.display().to_string()), Vec::<String>::new());
    let starts = out.lines().filter(|line| line.contains("pg_ctl start")).collect::<Vec<_>>();
    assert_eq!(starts.len(), 3, "{out}");
    let _stop = StopAll(&starts);
    for start in &starts {
        let status = Command::new("sh").args(["-c", start]).current_dir("/").stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{start}");
    }
}

#[test]
fn a_directory_that_is_not_empty_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "").unwrap();
    let output = Command::new(BINARY).args(["demo", "--dir"]).arg(dir.path()).output().unwrap();
    let (_, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("is not empty: give an empty or a new one"), "{errors}");
    assert!(dir.path().join("mine").exists());
}

#[test]
fn a_missing_postgresql_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(BINARY).arg("demo").env("PGHERD_PG_BIN", dir.path()).output().unwrap();
    let (_, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("initdb, postgres, pg_ctl, pg_basebackup, psql missing"), "{errors}");
}

struct StopAll<'a>(&'a [&'a str]);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        for start in self.0 {
            let stop = start.replace("pg_ctl start", "pg_ctl stop -m immediate");
            let _ = Command::new("sh").args(["-c", &stop]).current_dir("/").stdout(Stdio::null()).status();
        }
    }
}

struct RemoveDir(PathBuf);

impl Drop for RemoveDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A demo in the background, and the file its output goes to.
fn start(arguments: &[&str]) -> (Child, tempfile::NamedTempFile) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let out = log.reopen().unwrap();
    let demo = Command::new(BINARY).arg("demo").args(arguments).stdout(out).spawn().unwrap();
    (demo, log)
}

fn read(log: &tempfile::NamedTempFile) -> String {
    std::fs::read_to_string(log.path()).unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// From the demo's first line.
fn data_dir(out: &str) -> PathBuf {
    let (_, dir) = out.lines().next().and_then(|line| line.split_once("data in ")).unwrap();
    Path::new(dir).to_owned()
}
