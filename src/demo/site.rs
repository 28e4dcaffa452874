//! What all nodes of a demo cluster stand on: the directory, who runs PostgreSQL, its programs, the passwords, the guard.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};

use super::account::Account;
use super::error::Error;
use super::guard::{Afterwards, Guard};
use super::postgres::Binaries;
use super::setup;
use crate::config::Secret;

pub struct Site {
    pub dir: PathBuf,
    /// Leave the data when all is over.
    pub keep: bool,
    pub account: Account,
    pub binaries: Binaries,
    pub passwords: Passwords,
    pub guard: Arc<Guard>,
}

pub struct ScratchFile(PathBuf);

/// One for each role, made anew for each cluster; letters and digits only, so they fit anywhere unquoted.
#[derive(Debug)]
pub struct Passwords {
    /// `postgres`
    pub superuser: Secret,
    /// `replicator`
    pub replication: Secret,
    /// `pgherd`: the proxy's monitor.
    pub monitor: Secret,
    /// `app`
    pub app: Secret,
    /// `admin`: known to the proxy only, for its console.
    pub admin: Secret,
}

// === impl Site ===

impl Site {
    /// `dir` must be empty or absent; `None`: a new one in the directory for temporary files.
    pub fn prepare(dir: Option<&Path>, keep: bool) -> Result<Self, Error> {
        let binaries = Binaries::find()?;
        let account = Account::choose()?;
        let (dir, existed) = make_dir(dir)?;
        let afterwards = match (keep, existed) {
            (true, _) => Afterwards::Keep,
            (false, true) => Afterwards::Empty,
            (false, false) => Afterwards::Remove,
        };
        let guard = Arc::new(Guard::start(&dir, afterwards)?);
        account.give(&dir)?;
        let site = Self { dir, keep, account, binaries, passwords: Passwords::random()?, guard };
        site.check_reachable()?;
        Ok(site)
    }

    /// One of PostgreSQL's programs, as the right user, in the site's directory, undisturbed by our environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.path(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command.current_dir(&self.dir).env("LC_ALL", "C").stdin(Stdio::null());
        self.account.apply(&mut command);
        command
    }

    /// Runs to the end; what it wrote to its standard output.
    pub fn run(&self, doing: &str, command: &mut Command) -> Result<String, Error> {
        let child = self.guard.spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()), "TERM")?;
        let pid = child.id();
        let output = child.wait_with_output();
        self.guard.forget(pid);
        let Output { status, stdout, stderr } = output.map_err(Error::io(doing))?;
        if self.guard.ended() {
            Err(Error::Stopping)
        } else if status.success() {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        } else {
            let output = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
            Err(Error::Command { doing: doing.into(), status: status.to_string(), output })
        }
    }

    /// A file of the account's own, for nobody else to read.
    pub fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        write_private(path, text)?;
        self.account.give(path)
    }

    /// The same for a moment: it is removed when it is dropped.
    pub fn scratch_file(&self, name: &str, text: &str) -> Result<ScratchFile, Error> {
        let file = ScratchFile(self.dir.join(name));
        self.write(&file.0, text)?;
        Ok(file)
    }

    /// For the programs and standbys that log in by it.
    pub fn passfile(&self) -> PathBuf {
        self.dir.join("passfile")
    }

    /// A directory below one that only root may enter is of no use to another account: say so before initdb does.
    fn check_reachable(&self) -> Result<(), Error> {
        let mut command = self.command("psql");
        command.arg("--version");
        match (self.run("run psql", &mut command), self.account.name()) {
            (Err(Error::Io { error, .. }), Some(name)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(Error::Refused(format!(
                    "PostgreSQL would run as user `{name}`, who can't enter {}: give a directory it can enter (--dir, TMPDIR)",
                    self.dir.display()
                )))
            }
            (other, _) => other.map(|_| ()),
        }
    }
}

// === impl Passwords ===

impl Passwords {
    /// Of a role by its name.
    pub fn of(&self, role: &str) -> Option<&Secret> {
        match role {
            setup::SUPERUSER => Some(&self.superuser),
            setup::REPLICATION => Some(&self.replication),
            setup::MONITOR => Some(&self.monitor),
            setup::APP => Some(&self.app),
            setup::ADMIN => Some(&self.admin),
            _ => None,
        }
    }

    fn random() -> Result<Self, Error> {
        let random = SystemRandom::new();
        let password = || {
            let mut bytes = [0; 12];
            random.fill(&mut bytes).map_err(|_| Error::Refused("the system gives no random numbers".into()))?;
            Ok(Secret::new(bytes.map(|byte| format!("{byte:02x}")).concat()))
        };
        Ok(Self {
            superuser: password()?,
            replication: password()?,
            monitor: password()?,
            app: password()?,
            admin: password()?,
        })
    }
}

// === impl ScratchFile ===

impl ScratchFile {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// (its absolute path, was it there already)
fn make_dir(dir: Option<&Path>) -> Result<(PathBuf, bool), Error> {
    let Some(dir) = dir else {
        let new =
            tempfile::Builder::new().prefix("pgherd-").tempdir().map_err(Error::io("make a temporary directory"))?;
        return Ok((new.keep(), false));
    };
    let existed = dir.exists();
    if existed && std::fs::read_dir(dir).map_err(Error::at("read", dir))?.next().is_some() {
        return Err(Error::Refused(format!(
            "the directory {} is not empty: give an empty or a new one",
            dir.display()
        )));
    }
    std::fs::create_dir_all(dir).map_err(Error::at("create", dir))?;
    Ok((dir.canonicalize().map_err(Error::at("find", dir))?, existed))
}

pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(Error::at("write", path))
}
