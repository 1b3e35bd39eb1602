//! A hostile process that is held to a share of a processor: stopped and let go, as what it has used says.
//!
//! A control group would do the same, where one may be made; this needs no right but to signal one's own child. Called by
//! [`super::run`]. Ends its child when it is dropped.

use super::Attack;
use crate::error::BenchError;
use crate::server::process;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// What it has not used of its share it may use later, up to so much: else it would be let go for a second after one of waiting.
const SAVED_MAX: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Leash {
    holding: JoinHandle<Child>,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl Leash {
    /// Starts the process.
    pub(super) fn spawn(binary: &Path, attack: &Attack, share: f64) -> Result<Self, BenchError> {
        let (plain, tls, http) = attack.ports;
        let acts: Vec<String> = attack.acts.iter().map(|act| act.name()).collect();
        let child = Command::new(binary)
            .args(["bench", "attack", "--part", attack.part.name()])
            .args(["--ports", &format!("{plain},{tls},{http}"), "--from", &attack.from.to_string()])
            .args(["--seed", &attack.seed.to_string(), "--account", &attack.account.to_string()])
            .args(["--acts", &acts.join(",")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(BenchError::io("can't start the hostile process"))?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        Ok(Self { holding: tokio::spawn(hold(child, share, stopped)), stop })
    }

    /// Ends it. An error: it had ended by itself.
    pub(super) async fn end(self) -> Result<(), BenchError> {
        // It is gone if nobody holds it any more, which the child tells.
        let _ = self.stop.send(());
        let gone = |why: String| BenchError::Server(format!("the hostile process {why}"));
        let mut child = self.holding.await.map_err(|error| gone(format!("was let go: {error}")))?;
        match child.try_wait() {
            Ok(None) => child.kill().await.map_err(BenchError::io("can't end the hostile process")),
            Ok(Some(status)) => Err(gone(format!("has ended by itself: {status}"))),
            Err(error) => Err(gone(format!("is lost: {error}"))),
        }
    }
}

async fn hold(child: Child, share: f64, mut stopped: tokio::sync::oneshot::Receiver<()>) -> Child {
    let Some(pid) = child.id() else { return child };
    let mut looks = tokio::time::interval(LOOK);
    let (mut since, mut used_then) = (Instant::now(), Duration::ZERO);
    let mut left_s = 0.0_f64;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = &mut stopped => break,
        }
        let Some(usage) = process::usage(pid) else { break };
        let now = Instant::now();
        left_s += now.duration_since(since).as_secs_f64() * share;
        left_s -= usage.cpu.saturating_sub(used_then).as_secs_f64();
        left_s = left_s.min(SAVED_MAX.as_secs_f64());
        (since, used_then) = (now, usage.cpu);
        signal(pid, if left_s > 0.0 { libc::SIGCONT } else { libc::SIGSTOP });
    }
    signal(pid, libc::SIGCONT);
    child
}

fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: a plain system call on our own child, which has not been waited for.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}
