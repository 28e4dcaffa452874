//! One PostgreSQL of the demo cluster: start it, stop it, harm it, ask it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;
use super::machine::{children_of, free_port, kill};
use super::setup::{self, SUPERUSER};
use super::site::Site;

pub struct Node {
    site: Arc<Site>,
    name: &'static str,
    data_dir: PathBuf,
    log: PathBuf,
    port: AtomicU16,
    process: Mutex<Option<Child>>,
    frozen: AtomicBool,
}

/// `pg_ctl stop`'s modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Waits for the clients.
    Smart,
    /// Disconnects them and writes a checkpoint.
    Fast,
    /// Ends at once, as in a crash but tidier.
    Immediate,
}

/// For a start (recovery included), a stop, a promotion.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);
// === impl Node ===

impl Node {
    pub(super) fn new(site: &Arc<Site>, name: &'static str) -> Self {
        Self {
            name,
            data_dir: site.dir.join(name),
            log: site.dir.join(format!("{name}.log")),
            port: AtomicU16::new(0),
            process: Mutex::new(None),
            frozen: AtomicBool::new(false),
            site: Arc::clone(site),
        }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    pub fn port(&self) -> u16 {
        self.port.load(Relaxed)
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// What PostgreSQL wrote to its log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Of the postmaster; `None` when it is not running.
    pub fn pid(&self) -> Option<u32> {
        let mut process = self.process();
        match process.as_mut()?.try_wait() {
            Ok(None) => process.as_ref().map(Child::id),
            _ => None,
        }
    }

    /// `postgresql://USER:PASSWORD@127.0.0.1:PORT/DATABASE`, with the password if the role is one of the cluster's own.
    pub fn dsn(&self, database: &str, user: &str) -> String {
        let password = self.site.passwords.of(user).map(|password| format!(":{}", password.expose()));
        format!("postgresql://{user}{}@{}:{}/{database}", password.unwrap_or_default(), self.host(), self.port())
    }

    /// Runs psql as the superuser in database `postgres`: unaligned rows, `|` between the columns, no header, and
    /// without the last line end.
    pub fn psql(&self, sql: &str) -> Result<String, Error> {
        self.psql_as("postgres", SUPERUSER, sql)
    }

    pub fn psql_as(&self, database: &str, user: &str, sql: &str) -> Result<String, Error> {
        let mut command = self.psql_command(database, user);
        let output = self.site.run(&format!("run psql on {}", self.name), command.args(["-c", sql]))?;
        Ok(output.trim_end_matches('\n').to_owned())
    }

    /// Each statement by itself, as the superuser in database `postgres`.
    pub fn psql_file(&self, file: &Path) -> Result<(), Error> {
        let mut command = self.psql_command("postgres", SUPERUSER);
        self.site.run(&format!("run psql on {}", self.name), command.arg("-f").arg(file)).map(|_| ())
    }

    fn psql_command(&self, database: &str, user: &str) -> Command {
        let mut command = self.site.command("psql");
        let port = self.port().to_string();
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.host(), "-p", &port, "-U", user, "-d", database]);
        if let Some(password) = self.site.passwords.of(user) {
            command.env("PGPASSWORD", password.expose());
        }
        command
    }

    /// Until `sql`, as the superuser, answers `want`; errors count as another answer.
    pub fn wait_for(&self, sql: &str, want: &str) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let got = self.psql(sql);
            match got {
                Ok(answer) if answer == want => return Ok(()),
                Err(Error::Stopping) => return Err(Error::Stopping),
                _ if started.elapsed() > PATIENCE => {
                    let got = got.unwrap_or_else(|error| error.to_string());
                    return Err(self.timed_out(format!("{} answers `{want}` to `{sql}` (last: {got})", self.name)));
                }
                _ => std::thread::sleep(POLL),
            }
        }
    }

    /// Returns when it accepts connections. Running already: nothing happens.
    pub fn start(&self) -> Result<(), Error> {
        self.start_by(&[])
    }

    /// The same by a program, with arguments, that in the end becomes the one in its last arguments (`exec "$@"`); it
    /// begins in the data directory.
    pub fn start_by(&self, wrapper: &[&str]) -> Result<(), Error> {
        if self.pid().is_some() {
            return Ok(());
        }
        let log = File::options().append(true).create(true).open(&self.log).map_err(Error::at("open", &self.log))?;
        let log_from = log.metadata().map_or(0, |metadata| metadata.len());
        // Whoever keeps the data starts it again as this account.
        self.site.account.give(&self.log)?;
        let errors = log.try_clone().map_err(Error::at("open", &self.log))?;
        let mut command = match wrapper {
            [] => self.site.command("postgres"),
            [program, arguments @ ..] => {
                let mut command = self.site.command(program);
                command.args(arguments).arg(self.site.binaries.path("postgres")).current_dir(&self.data_dir);
                command
            }
        };
        command.arg("-D").arg(&self.data_dir).stdout(log).stderr(errors);
        // SIGINT is PostgreSQL's fast shutdown: what is kept must not need recovery.
        let child = self.site.guard.spawn(&mut command, if self.site.keep { "INT" } else { "QUIT" })?;
        let pid = child.id();
        *self.process() = Some(child);
        self.wait_ready(pid, log_from)
    }

    /// Returns when it has ended. Not running: nothing happens.
    pub fn stop(&self, mode: StopMode) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let signal = match mode {
            StopMode::Smart => "TERM",
            StopMode::Fast => "INT",
            StopMode::Immediate => "QUIT",
        };
        kill(signal, &[pid])?;
        self.wait_ended(pid)
    }

    /// As a crash of the machine looks: no shutdown, no farewell to the clients.
    pub fn kill9(&self) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        // The children too, and stopped first: else one that outlives the postmaster for a moment could still answer.
        let family = self.family(pid);
        kill("STOP", &family)?;
        kill("KILL", &family)?;
        self.frozen.store(false, Relaxed);
        self.wait_ended(pid)
    }

    /// Freezes all its processes: connections stay open and nothing answers.
    pub fn sigstop(&self) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.frozen.store(true, Relaxed);
        // First the postmaster, so that no further child is born.
        kill("STOP", &[pid])?;
        kill("STOP", &self.family(pid))
    }

    pub fn sigcont(&self) -> Result<(), Error> {
        let Some(pid) = self.pid() else { return Ok(()) };
        self.frozen.store(false, Relaxed);
        kill("CONT", &self.family(pid))
    }

    /// `pg_ctl promote`; returns when it is a primary.
    pub fn promote(&self) -> Result<(), Error> {
        let mut command = self.site.command("pg_ctl");
        command.arg("promote").arg("-w").arg("-D").arg(&self.data_dir);
        self.site.run(&format!("promote {}", self.name), &mut command).map(|_| ())
    }

    /// Writes its configuration with a port that is free now, and starts it; with another one if that was taken meanwhile.
    pub(super) fn first_start(&self, conf: impl Fn(u16) -> String) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            self.port.store(free_port()?, Relaxed);
            self.site.write(&self.data_dir.join(setup::CONF_FILE), &conf(self.port()))?;
            match self.start() {
                Err(Error::Command { output, .. }) if tries < 5 && output.contains("Address already in use") => {
                    tries += 1
                }
                other => return other,
            }
        }
    }

    /// Other settings, of those that need no restart.
    pub(super) fn reconfigure(&self, conf: &str) -> Result<(), Error> {
        self.site.write(&self.data_dir.join(setup::CONF_FILE), conf)?;
        self.pid().map_or(Ok(()), |pid| kill("HUP", &[pid]))
    }

    /// When all is over: collects what the guard has ended, so that no zombie stays.
    pub(super) fn reap(&self) {
        if let Some(mut child) = self.process().take() {
            let _ = child.wait();
        }
    }

    /// A frozen process would take no signal but SIGKILL.
    pub(super) fn thaw(&self) {
        if self.frozen.load(Relaxed) {
            let _ = self.sigcont();
        }
    }

    fn wait_ready(&self, pid: u32, log_from: u64) -> Result<(), Error> {
        let started = Instant::now();
        while !self.is_ready(pid) {
            if self.pid().is_none() {
                self.forget(pid);
                let status = "it ended at once; its log says".into();
                return match self.site.guard.ended() {
                    true => Err(Error::Stopping),
                    false => Err(Error::Command {
                        doing: format!("start {}", self.name),
                        status,
                        output: self.log_end(log_from),
                    }),
                };
            }
            if started.elapsed() > PATIENCE {
                return Err(self.timed_out(format!("{} accepts connections", self.name)));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// What pg_ctl looks at: the postmaster writes its state into line 8 of its lock file, whose line 1 is its pid.
    fn is_ready(&self, pid: u32) -> bool {
        let text = std::fs::read_to_string(self.data_dir.join("postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        let ours = lines.next().is_some_and(|line| line.trim() == pid.to_string());
        ours && lines.nth(6).is_some_and(|line| line.trim() == "ready")
    }

    fn wait_ended(&self, pid: u32) -> Result<(), Error> {
        let started = Instant::now();
        while self.pid().is_some() {
            if started.elapsed() > PATIENCE {
                return Err(self.timed_out(format!("{} ends", self.name)));
            }
            std::thread::sleep(POLL);
        }
        self.forget(pid);
        Ok(())
    }

    fn forget(&self, pid: u32) {
        self.site.guard.forget(pid);
        *self.process() = None;
    }

    /// The postmaster and its children.
    fn family(&self, postmaster: u32) -> Vec<u32> {
        let mut family = vec![postmaster];
        family.extend(children_of(postmaster));
        family
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timed_out(&self, waiting_for: String) -> Error {
        let length = std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len());
        Error::TimedOut { waiting_for, after: PATIENCE, log: self.log_end(length.saturating_sub(4096)) }
    }

    fn log_end(&self, from: u64) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }
}
