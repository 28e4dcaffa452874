//! Nothing of a demo may outlive it, however it ends: a small shell process holds the other end of a pipe and is told
//! which processes run. When the pipe closes (dropped, panicked, killed with -9: the kernel closes it) the shell ends
//! them and removes the directory.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use super::error::Error;

pub struct Guard {
    /// The pipe; `None` once everything is being torn down.
    pipe: Mutex<Option<ChildStdin>>,
    shell: Mutex<Child>,
}

/// What becomes of the directory when all processes have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It was made for the demo: remove it.
    Remove,
    /// It was there, empty: leave it empty again.
    Empty,
    Keep,
}

/// Signals go to process groups: each watched process leads its own.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
alive() {
    kill -0 "$1" 2>/dev/null || return 1
    # A zombie, which only its parent can take away, is as good as gone.
    case $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null || ps -o stat= -p "$1" 2>/dev/null) in Z*) return 1 ;; esac
}
running=
while read -r verb signal pid; do
    case $verb in
        watch) running="$running $signal:$pid" ;;
        forget)
            rest=
            for entry in $running; do [ "${entry#*:}" = "$pid" ] || rest="$rest $entry"; done
            running=$rest ;;
    esac
done
for entry in $running; do
    kill -s "${entry%%:*}" -- "-${entry#*:}" 2>/dev/null
    kill -s CONT -- "-${entry#*:}" 2>/dev/null
done
for entry in $running; do
    tries=0
    while alive "${entry#*:}" && [ $tries -lt 160 ]; do sleep 0.05; tries=$((tries + 1)); done
    kill -s KILL -- "-${entry#*:}" 2>/dev/null
done
tries=0
while [ $tries -lt 50 ]; do
    case $2 in
        remove) rm -rf -- "$1" && break ;;
        empty) rm -rf -- "$1"/* && break ;;
        *) break ;;
    esac
    sleep 0.1
    tries=$((tries + 1))
done
"#;

// === impl Guard ===

impl Guard {
    pub fn start(dir: &Path, afterwards: Afterwards) -> Result<Self, Error> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "pgherd-guard"])
            .arg(dir)
            .arg(afterwards.as_str())
            .current_dir("/")
            .process_group(0) // Ctrl-C on the terminal must not reach it
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("start sh"))?;
        let pipe = shell.stdin.take();
        Ok(Self { pipe: Mutex::new(pipe), shell: Mutex::new(shell) })
    }

    /// Starts a process in a group of its own that gets `signal` (`QUIT`, `TERM` …) when everything ends.
    pub fn spawn(&self, command: &mut Command, signal: &str) -> Result<Child, Error> {
        // Locked while it spawns: either the process is known to the shell, or it is never started.
        let mut pipe = self.pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(pipe) = pipe.as_mut() else { return Err(Error::Stopping) };
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn().map_err(Error::io(format!("start {name}")))?;
        writeln!(pipe, "watch {signal} {}", child.id()).map_err(Error::io("write to the guard"))?;
        Ok(child)
    }

    /// The process has ended: its number may be somebody else's soon.
    pub fn forget(&self, pid: u32) {
        if let Some(pipe) = self.pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).as_mut() {
            // A guard that is gone has ended everything already.
            let _ = writeln!(pipe, "forget - {pid}");
        }
    }

    /// Ends every process and removes the directory; returns when that is done. Again: nothing happens.
    pub fn end(&self) {
        drop(self.pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
        let _ = self.shell.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).wait();
    }

    pub fn ended(&self) -> bool {
        self.pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).is_none()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}

// === impl Afterwards ===

impl Afterwards {
    fn as_str(self) -> &'static str {
        match self {
            Afterwards::Remove => "remove",
            Afterwards::Empty => "empty",
            Afterwards::Keep => "keep",
        }
    }
}
