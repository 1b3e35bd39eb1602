//! What processes and threads took of the processors, and what others took meanwhile.
//!
//! Reads `/proc`. Called by: the rates. Promises: times are the kernel's own, user and system; what is gone counts nothing.

use crate::clock;
use std::path::Path;
use std::time::{Duration, Instant};

/// Others take less than this part of a processor on a quiet machine.
pub(crate) const QUIET: f64 = 0.15;
/// How long to look whether it is.
const LOOK: Duration = Duration::from_secs(3);

/// Seconds of a processor, from a `stat` file of a process or a thread.
fn seconds_of(stat: &Path) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    ticks(&text).map_or(0.0, |ticks| ticks as f64 / per_second())
}

/// User and system time, which stand 12th and 13th behind the name in brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn per_second() -> f64 {
    // SAFETY: asks for a constant of the system.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

/// What a process has taken so far.
pub(crate) fn process_s(pid: u32) -> f64 {
    seconds_of(Path::new(&format!("/proc/{pid}/stat")))
}

/// What our threads of a name have taken so far.
pub(crate) fn threads_s(name: &str) -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let own = tasks.flatten().filter(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    });
    own.map(|task| seconds_of(&task.path().join("stat"))).sum()
}

/// What all processors have done so far, in seconds: everything but idling and waiting for disks.
fn busy_s() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, then idle, iowait, then irq, softirq, steal.
    fields
        .iter()
        .enumerate()
        .filter(|(at, _)| *at < 8 && *at != 3 && *at != 4)
        .map(|(_, ticks)| ticks)
        .sum::<u64>() as f64
        / per_second()
}

/// The load of the last minute, as the system says it.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Times at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    at: Instant,
    busy_s: f64,
    servers_s: f64,
    own_s: f64,
    publishers_s: f64,
    followers_s: f64,
}

/// What was taken between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use {
    /// How long that was.
    pub(crate) seconds: f64,
    /// Of a processor, the servers.
    pub(crate) servers_s: f64,
    /// The publishers' thread.
    pub(crate) publishers_s: f64,
    /// The followers'.
    pub(crate) followers_s: f64,
    /// Processors that everybody else had, on average.
    pub(crate) others: f64,
}

impl Reading {
    /// Now.
    pub(crate) fn now(servers: &[u32]) -> Self {
        Self {
            at: clock::now(),
            busy_s: busy_s(),
            servers_s: servers.iter().map(|pid| process_s(*pid)).sum(),
            own_s: process_s(std::process::id()),
            publishers_s: threads_s(crate::stage::PUBLISHERS),
            followers_s: threads_s(crate::stage::FOLLOWERS),
        }
    }

    /// From here to there.
    pub(crate) fn until(&self, end: &Self) -> Use {
        let seconds = end.at.duration_since(self.at).as_secs_f64().max(1e-9);
        let (servers_s, own_s) = (end.servers_s - self.servers_s, end.own_s - self.own_s);
        Use {
            seconds,
            servers_s,
            publishers_s: end.publishers_s - self.publishers_s,
            followers_s: end.followers_s - self.followers_s,
            others: ((end.busy_s - self.busy_s - servers_s - own_s) / seconds).max(0.0),
        }
    }
}

/// Waits until nobody else needs the processors, at most so long. Returns what others had in the end.
pub(crate) async fn quiet(servers: &[u32], patience: Duration) -> f64 {
    let start = clock::now();
    loop {
        let before = Reading::now(servers);
        tokio::time::sleep(LOOK).await;
        let others = before.until(&Reading::now(servers)).others;
        if others < QUIET || start.elapsed() >= patience {
            return others;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_that_may_have_brackets() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 130 20 0 0 20 0 1 0 5";
        assert_eq!(ticks(stat), Some(150));
        assert_eq!(ticks("42 (a"), None);
    }
}
