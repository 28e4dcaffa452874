//! The proxy as a process of its own: `pgherd run` with a configuration written for the cluster.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;
use super::guard::Guard;
use super::machine::{free_port, kill};
use super::site::write_private;

pub struct Proxy {
    guard: Arc<Guard>,
    process: Mutex<Child>,
    ports: Ports,
    config: PathBuf,
    log: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// `listen.port`
    pub clients: u16,
    /// `http.port`
    pub http: u16,
}

/// What to wait for after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It accepts connections.
    Listens,
    /// `/readyz` says yes: a primary is known.
    Primary,
    /// And so many standbys are fit for reads.
    Standbys(usize),
}

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

// === impl Ports ===

impl Ports {
    /// Free at this moment; `clients` if one is wanted.
    pub fn free(clients: Option<u16>) -> Result<Self, Error> {
        let http = free_port()?;
        let clients = clients.map_or_else(free_port, Ok)?;
        Ok(Self { clients, http })
    }
}

// === impl Proxy ===

impl Proxy {
    /// Writes `NAME.toml` and `NAME.log` in `dir`, and runs `program run --config …`. It ends with the guard.
    pub fn start(
        guard: &Arc<Guard>,
        program: &Path,
        dir: &Path,
        name: &str,
        config_text: &str,
        ports: Ports,
    ) -> Result<Self, Error> {
        let config = dir.join(format!("{name}.toml"));
        let log = dir.join(format!("{name}.log"));
        write_private(&config, config_text)?;
        let out = File::create(&log).map_err(Error::at("create", &log))?;
        let errors = out.try_clone().map_err(Error::at("open", &log))?;
        let mut command = Command::new(program);
        // Only what the file says: PGHERD__… of our environment is meant for somebody else.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PGHERD__")) {
            command.env_remove(name);
        }
        command.args(["run", "--config"]).arg(&config).env("NO_COLOR", "1").current_dir("/");
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        let process = Mutex::new(guard.spawn(&mut command, "TERM")?);
        Ok(Self { guard: Arc::clone(guard), process, ports, config, log })
    }

    pub fn wait_ready(&self, ready: Ready) -> Result<(), Error> {
        let started = Instant::now();
        while !self.is_ready(ready) {
            if let Some(status) = self.ended() {
                let doing = "keep the proxy running; its log says".to_owned();
                return match self.guard.ended() {
                    true => Err(Error::Stopping),
                    false => Err(Error::Command { doing, status: status.to_string(), output: self.log_text() }),
                };
            }
            if started.elapsed() > PATIENCE {
                let waiting_for = format!("the proxy is ready ({ready:?})");
                return Err(Error::TimedOut { waiting_for, after: PATIENCE, log: self.log_text() });
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Of the client port.
    pub fn port(&self) -> u16 {
        self.ports.clients
    }

    pub fn http_port(&self) -> u16 {
        self.ports.http
    }

    pub fn config(&self) -> &Path {
        &self.config
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn pid(&self) -> u32 {
        self.process().id()
    }

    /// Its exit status, once it has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process().try_wait().ok().flatten()
    }

    /// (status, body) of `GET path` on the HTTP port.
    pub fn http_get(&self, path: &str) -> std::io::Result<(u16, String)> {
        let addr = SocketAddr::from(([127, 0, 0, 1], self.ports.http));
        let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok((status, body.to_owned()))
    }

    /// SIGTERM, and SIGKILL when it has not ended `within` that time. Its exit status.
    pub fn stop(&self, within: Duration) -> Result<ExitStatus, Error> {
        let pid = self.pid();
        let started = Instant::now();
        if self.ended().is_none() {
            kill("TERM", &[pid])?;
        }
        let status = loop {
            match self.ended() {
                Some(status) => break status,
                None if started.elapsed() > within => {
                    let mut process = self.process();
                    process.kill().map_err(Error::io("kill the proxy"))?;
                    break process.wait().map_err(Error::io("wait for the proxy"))?;
                }
                None => std::thread::sleep(POLL),
            }
        };
        self.guard.forget(pid);
        Ok(status)
    }

    fn is_ready(&self, ready: Ready) -> bool {
        match ready {
            Ready::Listens => TcpStream::connect(("127.0.0.1", self.ports.clients)).is_ok(),
            Ready::Primary => matches!(self.http_get("/readyz"), Ok((200, _))),
            Ready::Standbys(count) => {
                let wanted = format!("fit standbys: {count}");
                self.http_get("/readyz").is_ok_and(|(status, body)| status == 200 && body.trim_end().ends_with(&wanted))
            }
        }
    }

    fn process(&self) -> MutexGuard<'_, Child> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.stop(Duration::from_secs(3));
    }
}
