//! The state file: what the controller must not forget, on disk before anything that follows from it is done.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::cluster::Record;
use crate::config::{Failover, FailoverMode};

const HEADER: &str =
    "# Written by pgherd; see failover.state_file in docs/failover.md. Not to be changed while it runs.\n";

/// The file and what it says.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    record: Record,
}

// === impl StateFile ===

impl StateFile {
    /// Reads it, and makes sure that it can be written; no file is as if nothing was ever written. `directory`: the
    /// configuration's. `Err` only where the mode is automatic, in other modes the log says it.
    pub fn open(directory: &Path, settings: &Failover) -> Result<Self, String> {
        let path = directory.join(&settings.state_file);
        let complain = |text: String| match settings.mode {
            FailoverMode::Automatic => Err(text),
            FailoverMode::Off | FailoverMode::Manual => {
                tracing::warn!("{text}");
                Ok(())
            }
        };
        let record = match read(&path) {
            Ok(record) => record,
            Err(error) => {
                complain(format!(
                    "failover.state_file {}: {error}. It says which primary was served last: mend it, or remove it once \
                     you know that no node of an older timeline can be taken for the primary",
                    path.display()
                ))?;
                Record::default()
            }
        };
        if settings.mode != FailoverMode::Off
            && let Err(error) = temporary(&path)
        {
            complain(format!("failover.state_file {}: it can't be written: {error}", path.display()))?;
        }
        Ok(Self { path, record })
    }

    /// As written last, or as it should have been.
    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Returns when it is on disk, or can't be: the log says so.
    pub(super) async fn remember(&mut self, record: Record) {
        if self.record == record {
            return;
        }
        self.record = record.clone();
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || write(&path, &record)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::error!(
                "failover.state_file {}: it can't be written: {error}; a restart of pgherd would forget what was decided",
                self.path.display()
            );
        }
    }
}

fn read(path: &Path) -> Result<Record, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| error.to_string().trim_end().replace('\n', " ")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Record::default()),
        Err(error) => Err(error.to_string()),
    }
}

/// All of it or nothing, also after a power failure. Mode 0600.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    let text = toml::to_string(record).map_err(io::Error::other)?;
    let mut file = temporary(path)?;
    file.write_all(HEADER.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(directory_of(path))?.sync_all()
}

/// Beside it, gone when it is dropped.
fn temporary(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".pgherd.state.").tempfile_in(directory_of(path))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cluster::record::Promotion;

    fn settings(mode: FailoverMode) -> Failover {
        Failover { mode, ..Failover::default() }
    }

    #[tokio::test]
    async fn what_is_remembered_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut state = StateFile::open(directory.path(), &settings(FailoverMode::Automatic)).unwrap();
        assert_eq!(*state.record(), Record::default());
        let record = Record {
            system_identifier: Some(7_123_456_789_012_345_678),
            epoch: 12,
            timeline: 3,
            primary: Some("pg \"1\"".into()),
            sync_names: Some("ANY 1 (pg1, pg3)".into()),
            promotion: Some(Promotion { lost: "pg1".into(), winner: "pg2".into() }),
            is_paused: true,
            detached: vec!["pg3".into()],
        };
        state.remember(record.clone()).await;
        state.remember(Record { epoch: 13, ..record.clone() }).await;
        let path = directory.path().join("pgherd.state");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing temporary is left");
        let again = StateFile::open(directory.path(), &settings(FailoverMode::Automatic)).unwrap();
        assert_eq!(*again.record(), Record { epoch: 13, ..record });
    }

    #[test]
    fn a_broken_or_unwritable_file_stops_only_who_promotes_by_himself() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgherd.state");
        std::fs::write(&path, "epoch = 'many'\n").unwrap();
        let error = StateFile::open(directory.path(), &settings(FailoverMode::Automatic)).unwrap_err();
        assert!(error.contains("pgherd.state") && error.contains("line 1") && !error.contains('\n'), "{error}");
        for mode in [FailoverMode::Off, FailoverMode::Manual] {
            assert_eq!(*StateFile::open(directory.path(), &settings(mode)).unwrap().record(), Record::default());
        }
        let nowhere = directory.path().join("none");
        let error = StateFile::open(&nowhere, &settings(FailoverMode::Automatic)).unwrap_err();
        assert!(error.contains("can't be written"), "{error}");
    }
}
