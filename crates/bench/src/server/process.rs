//! What the system says about a process: `/proc/PID/stat`, `/proc/PID/task/*/schedstat` and `/proc/PID/status` (proc(5)).

use std::fs;
use std::time::Duration;

/// A process's use of the machine up to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory.
    pub resident_bytes: u64,
}

/// Reads it; `None`: there is no such process, or this is no Linux.
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // SAFETY: a plain question to the system.
    let ticks_per_s = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|&n| n > 0)?;
    let ticks = cpu_ticks(&stat)?;
    let counted = Duration::from_micros(ticks * 1_000_000 / ticks_per_s);
    // The scheduler knows nanoseconds where it is asked for each thread, but not of threads that have ended.
    let cpu = scheduled(pid).map_or(counted, |scheduled| scheduled.max(counted));
    Some(Usage { cpu, resident_bytes: resident_bytes(&status)? })
}

/// The time on a processor of all threads that there are; ticks are ten milliseconds, a login takes a quarter of one.
fn scheduled(pid: u32) -> Option<Duration> {
    let mut sum_ns = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread that has ended since it was listed.
        let Ok(line) = fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
        sum_ns += line.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(sum_ns))
}

/// Several processes as one; `None`: none is named, or one of them is not there.
pub fn usage_of_all(pids: &[u32]) -> Option<Usage> {
    let each: Option<Vec<Usage>> = pids.iter().map(|&pid| usage(pid)).collect();
    each.filter(|each| !each.is_empty()).map(|each| Usage {
        cpu: each.iter().map(|usage| usage.cpu).sum(),
        resident_bytes: each.iter().map(|usage| usage.resident_bytes).sum(),
    })
}

/// Fields 14 and 15, counted behind the name in brackets, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let stat = "42 (a) b c) S 1 2 3 4 5 6 7 8 9 10 300 45 0 0 20 0 3 0";
        assert_eq!(cpu_ticks(stat), Some(345));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        let own = usage(std::process::id()).unwrap();
        assert!(own.resident_bytes > 100_000);
        let scheduled = scheduled(std::process::id()).expect("Linux tells it");
        assert!(scheduled > Duration::ZERO && usage(std::process::id()).unwrap().cpu >= scheduled);
        let twice = usage_of_all(&[std::process::id(), std::process::id()]).unwrap();
        assert!(twice.resident_bytes > own.resident_bytes);
        assert_eq!(usage_of_all(&[]), None);
    }
}
