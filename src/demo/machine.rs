//! Ports, signals and processes of this machine.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use super::error::Error;

/// Below the ports the system gives to outgoing connections, so that none of these takes ours.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port of 127.0.0.1 that nobody listens on at this moment.
pub fn free_port() -> Result<u16, Error> {
    let random = ring::rand::SystemRandom::new();
    for _ in 0..1000 {
        let number: [u8; 2] = ring::rand::generate(&random)
            .map_err(|_| Error::Refused("the system gives no random numbers".into()))?
            .expose();
        let port = PORTS.start + u16::from_ne_bytes(number) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::Refused(format!("no free port on 127.0.0.1 among {PORTS:?}")))
}

/// By the shell's own `kill`: the program of that name is not everywhere. Processes that are gone are no error.
pub fn kill(signal: &str, pids: &[u32]) -> Result<(), Error> {
    let mut command = Command::new("sh");
    command.args(["-c", r#"signal=$1; shift; for pid; do kill -s "$signal" "$pid"; done; :"#, "kill", signal]);
    command.args(pids.iter().map(u32::to_string)).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().map(|_| ()).map_err(Error::io("run sh"))
}

/// Process ids: from /proc, or from `ps` where there is none.
pub fn children_of(parent: u32) -> Vec<u32> {
    let of_proc: Vec<u32> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            // "PID (NAME) STATE PPID …", and NAME may hold anything.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect();
    if !of_proc.is_empty() {
        return of_proc;
    }
    let Ok(output) = Command::new("ps").args(["-A", "-o", "ppid=", "-o", "pid="]).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    let pairs = text.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    pairs.filter(|(ppid, _)| *ppid == parent).map(|(_, pid)| pid).collect()
}
