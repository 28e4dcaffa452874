//! As whom PostgreSQL runs: it refuses to run as root, so root becomes an ordinary user for it.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::error::Error;

#[derive(Clone, Debug)]
pub enum Account {
    /// We are an ordinary user already.
    Ourselves,
    Other {
        name: &'static str,
        uid: u32,
        gid: u32,
    },
}

/// Whom root becomes: the first that exists.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

// === impl Account ===

impl Account {
    pub fn choose() -> Result<Self, Error> {
        if id(&["-u"])? != Some(0) {
            return Ok(Account::Ourselves);
        }
        for name in CANDIDATES {
            if let (Some(uid), Some(gid)) = (id(&["-u", name])?, id(&["-g", name])?) {
                return Ok(Account::Other { name, uid, gid });
            }
        }
        Err(Error::Refused(
            "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as; \
             make one, or start this as an ordinary user"
                .into(),
        ))
    }

    /// `None`: no other than who we are.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Account::Ourselves => None,
            Account::Other { name, .. } => Some(name),
        }
    }

    /// Makes a command run as this account, without root's further groups.
    pub fn apply(&self, command: &mut Command) {
        if let Account::Other { uid, gid, .. } = self {
            // `uid` of a root process drops the supplementary groups too.
            command.uid(*uid).gid(*gid);
        }
    }

    pub fn give(&self, path: &Path) -> Result<(), Error> {
        match self {
            Account::Ourselves => Ok(()),
            Account::Other { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).map_err(Error::at("change the owner of", path))
            }
        }
    }
}

/// What `id` prints as a number; `None` when it knows no such user.
fn id(arguments: &[&str]) -> Result<Option<u32>, Error> {
    let output = Command::new("id").args(arguments).output().map_err(Error::io("run `id`"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}
