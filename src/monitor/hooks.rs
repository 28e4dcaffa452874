//! The operator's commands: program and arguments, what it is about in the environment, a time limit, output to the log.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::perform::TARGET;
use crate::cluster::Hook;
use crate::config::Hooks;

/// More is read, and not logged.
const MAX_LINES: usize = 100;
const MAX_LINE_BYTES: u64 = 1024;
/// For what is still in the pipes after the command has ended; something it left running may hold them open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// `Ok`: its exit code was 0, or none is configured. `Err`: why not, in words.
pub(super) async fn run(hook: Hook, hooks: &Hooks, variables: &[(&'static str, String)]) -> Result<(), String> {
    let Some((program, arguments)) = command_of(hook, hooks).split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    // A group of its own: what it starts is ended with it.
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("{program} can't be started: {error}"))?;
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let told = async { tokio::join!(log_lines(hook, output), log_lines(hook, errors)) };
    let mut told = std::pin::pin!(told);
    let ended = async {
        tokio::select! {
            status = child.wait() => {
                drop(tokio::time::timeout(LAST_WORDS, &mut told).await);
                status
            }
            _ = &mut told => child.wait().await,
        }
    };
    let Ok(ended) = tokio::time::timeout(hooks.timeout, ended).await else {
        group.kill();
        return Err(killed(&mut child, hooks.timeout).await);
    };
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

pub(super) fn command_of(hook: Hook, hooks: &Hooks) -> &[String] {
    match hook {
        Hook::OnFailover => &hooks.on_failover,
        Hook::Fence => &hooks.fence,
        Hook::Promote => &hooks.promote,
        Hook::OnPromote => &hooks.on_promote,
    }
}

/// Of the command and all that it started.
struct Group(Option<Pid>);

// === impl Group ===

impl Group {
    fn kill(&self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL); // none is left: all the better
        }
    }
}

async fn killed(child: &mut Child, limit: Duration) -> String {
    drop(tokio::time::timeout(LAST_WORDS, child.wait()).await);
    format!("it ran longer than {limit:?} (failover.hook_timeout) and was killed")
}

/// To the end, so that the command never waits for a reader.
async fn log_lines(hook: Hook, pipe: Option<impl AsyncRead + Unpin>) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe);
    let mut logged = 0;
    let mut line = Vec::new();
    // What is beyond the limit of a line comes as the next one.
    while let Ok(1..) = (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
        logged += 1;
        if logged <= MAX_LINES {
            let text = String::from_utf8_lossy(&line);
            tracing::info!(target: TARGET, "{}: {}", hook.as_str(), text.trim_end());
        } else if logged == MAX_LINES + 1 {
            tracing::warn!(target: TARGET, "{}: says more than {MAX_LINES} lines; the rest is dropped", hook.as_str());
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn shell(script: &str, limit: Duration) -> Result<(), String> {
        let fence = ["/bin/sh", "-c", script].map(str::to_owned).into();
        let hooks = Hooks { fence, timeout: limit, ..Hooks::default() };
        run(Hook::Fence, &hooks, &[("PGHERD_NODE", "pg 1".to_owned())]).await
    }

    #[tokio::test]
    async fn exit_code_environment_and_output_are_as_said() {
        let limit = Duration::from_secs(10);
        assert_eq!(shell("exit 0", limit).await, Ok(()));
        assert!(shell("echo why; exit 3", limit).await.unwrap_err().contains("exit status: 3"));
        assert_eq!(shell("test \"$PGHERD_NODE\" = 'pg 1' && test -n \"$PATH\" && ! read x", limit).await, Ok(()));
        assert_eq!(
            shell("test $(env | grep -cv '^\\(PATH\\|HOME\\|PWD\\|OLDPWD\\|SHLVL\\|_\\|PGHERD_NODE\\)=') = 0", limit)
                .await,
            Ok(())
        );
        assert_eq!(shell("i=0; while [ $i -lt 300 ]; do echo line $i >&2; i=$((i+1)); done", limit).await, Ok(()));
        assert_eq!(shell("head -c 1000000 /dev/zero", limit).await, Ok(()));
        assert_eq!(run(Hook::Promote, &Hooks::default(), &[]).await, Ok(()), "none is configured");
        let nothing = Hooks { promote: vec!["/no/such/program".into()], timeout: limit, ..Hooks::default() };
        assert!(run(Hook::Promote, &nothing, &[]).await.unwrap_err().contains("can't be started"));
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_ends_with_all_it_started() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let begun = Instant::now();
        let script = format!("(sleep 1; echo alive > {}) & sleep 60", file.path().display());
        let error = shell(&script, Duration::from_millis(200)).await.unwrap_err();
        assert!(error.contains("hook_timeout") && begun.elapsed() < Duration::from_secs(1), "{error}");
        tokio::time::sleep(Duration::from_millis(1300)).await;
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
        let begun = Instant::now();
        assert_eq!(
            shell("sleep 5 & exit 0", Duration::from_secs(10)).await,
            Ok(()),
            "what it leaves is not waited for"
        );
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}
