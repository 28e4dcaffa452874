//! Where PostgreSQL's programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::Error;

/// A complete set of programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    dir: PathBuf,
    /// As `postgres --version` says: `15.18`.
    pub version: String,
}

/// What a cluster needs. `pgbench` and `pg_rewind` are not among them: who wants them asks.
const NEEDED: [&str; 5] = ["initdb", "postgres", "pg_ctl", "pg_basebackup", "psql"];
/// `wal_keep_size` came with 13.
const OLDEST: u32 = 13;
/// Directories with one version each below them, and what follows the version.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/local", "pgsql", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

// === impl Binaries ===

impl Binaries {
    /// From `PGHERD_PG_BIN` if it is set, else the newest complete set on PATH or in the usual places.
    pub fn find() -> Result<Self, Error> {
        if let Some(dir) = std::env::var_os("PGHERD_PG_BIN").filter(|dir| !dir.is_empty()) {
            let dir = PathBuf::from(dir);
            return Self::in_dir(&dir).map_err(|lacks| {
                Error::Missing(format!("PGHERD_PG_BIN={} can't be used: {lacks}\n{HOW_TO}", dir.display()))
            });
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::newest_of(std::env::split_paths(&path).chain(versioned_dirs()))
    }

    /// The path of one program; it may be one that is not needed, and missing.
    pub fn path(&self, program: &str) -> PathBuf {
        self.dir.join(program)
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Is there a program that a cluster does not need (`pgbench`, `pg_rewind`)?
    pub fn has(&self, program: &str) -> bool {
        self.path(program).is_file()
    }

    fn newest_of(dirs: impl Iterator<Item = PathBuf>) -> Result<Self, Error> {
        let mut best: Option<(Vec<u32>, Self)> = None;
        let mut incomplete = Vec::new();
        for dir in dirs.filter(|dir| NEEDED.iter().any(|program| dir.join(program).is_file())) {
            match Self::in_dir(&dir) {
                Ok(found) => {
                    let numbers = version_numbers(&found.version);
                    if best.as_ref().is_none_or(|(best, _)| *best < numbers) {
                        best = Some((numbers, found));
                    }
                }
                Err(lacks) => incomplete.push(format!("  {}: {lacks}\n", dir.display())),
            }
        }
        match best {
            Some((_, found)) => Ok(found),
            None if incomplete.is_empty() => Err(Error::Missing(format!("no PostgreSQL server was found\n{HOW_TO}"))),
            None => {
                incomplete.dedup();
                Err(Error::Missing(format!(
                    "no complete PostgreSQL server was found:\n{}{HOW_TO}",
                    incomplete.concat()
                )))
            }
        }
    }

    /// `Err`: what is wrong with it.
    fn in_dir(dir: &Path) -> Result<Self, String> {
        let missing: Vec<_> = NEEDED.into_iter().filter(|program| !dir.join(program).is_file()).collect();
        if !missing.is_empty() {
            return Err(format!("{} missing", missing.join(", ")));
        }
        let postgres = dir.join("postgres");
        let output = Command::new(&postgres)
            .arg("--version")
            .output()
            .map_err(|error| format!("{} does not run: {error}", postgres.display()))?;
        // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split_whitespace().nth(2).unwrap_or("?").to_owned();
        match version_numbers(&version).first() {
            Some(major) if *major >= OLDEST => Ok(Self { dir: dir.to_owned(), version }),
            _ => Err(format!("its version is {version}, and {OLDEST} or newer is needed")),
        }
    }
}

const HOW_TO: &str = "\
Needed are initdb, postgres, pg_ctl, pg_basebackup and psql, version 13 or newer.
  Debian, Ubuntu:  apt-get install postgresql
  Fedora, RHEL:    dnf install postgresql-server
  macOS:           brew install postgresql@17
Or set PGHERD_PG_BIN to the directory they are in. Looked at: the directories of PATH, /usr/lib/postgresql/*/bin,
/usr/pgsql-*/bin, /usr/local/pgsql*/bin, /opt/homebrew/opt/postgresql*/bin, /usr/local/opt/postgresql*/bin, Postgres.app.";

fn versioned_dirs() -> impl Iterator<Item = PathBuf> {
    VERSIONED.into_iter().flat_map(|(parent, prefix, below)| {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(move |entry| entry.path().join(below))
    })
}

/// `15.18` → [15, 18]; `18beta1` → [18].
fn version_numbers(version: &str) -> Vec<u32> {
    let leading = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().ok();
    version.split('.').map_while(leading).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version_numbers("15.18") > version_numbers("15.9"));
        assert!(version_numbers("18beta1") > version_numbers("9.6.24"));
        assert_eq!(version_numbers("devel"), Vec::<u32>::new());
    }

    #[test]
    fn an_incomplete_set_says_what_it_lacks() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("psql"), "").unwrap();
        let error = Binaries::newest_of([dir.path().to_owned()].into_iter()).unwrap_err().to_string();
        assert!(error.contains("initdb, postgres, pg_ctl, pg_basebackup missing"), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }
}
