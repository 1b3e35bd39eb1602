//! The memory ceiling: how much the process may have resident, and what is given up on the way there.
//!
//! A thread looks at the resident memory four times a second and says how short it is as a
//! [`Pressure`](chaski_services::realm::Pressure), which every shard reads once per turn. First presence is no longer
//! passed on, then new connections are refused, then backlogs wait, and only then new messages are refused; what was
//! accepted is kept and delivered throughout. Each step is left again somewhat below where it was entered. Under
//! pressure the allocator is asked to give free pages back, since only these count against a machine.

use chaski_services::realm::Pressure;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How often the memory is looked at.
const LOOK_MS: u64 = 250;
/// The allocator is asked at most once in so many looks: it locks its arenas meanwhile.
const LOOKS_PER_RELEASE: u32 = 40;
/// Where each step begins, in hundredths of the ceiling.
const STEPS: [(u64, Pressure); 4] = [
    (98, Pressure::Messages),
    (95, Pressure::Backlog),
    (90, Pressure::Connections),
    (80, Pressure::Presence),
];
/// A step ends so many hundredths below its beginning.
const SLACK: u64 = 3;

chaski_telemetry::metrics! {
    /// The process' memory against its ceiling.
    pub(crate) struct MemoryMetrics("chaski_memory") {
        /// Resident bytes at the last look.
        resident_bytes: Gauge,
        /// The ceiling (`limits.memory`).
        ceiling_bytes: Gauge,
        /// What is given up: 0 nothing, 1 presence, 2 also new connections, 3 also backlogs, 4 also new messages.
        pressure: Gauge,
        /// How often the allocator was asked to give pages back.
        releases_total: Counter,
    }
}

/// What the shards read.
#[derive(Debug, Default)]
pub(crate) struct MemoryWatch(AtomicU8);

impl MemoryWatch {
    /// Begins to watch; ends when nobody holds the result any more. A ceiling of `u64::MAX` is none.
    pub(crate) fn start(ceiling_bytes: u64, metrics: Arc<MemoryMetrics>) -> io::Result<Arc<Self>> {
        let watch = Arc::new(Self::default());
        metrics.ceiling_bytes.set(i64::try_from(ceiling_bytes).unwrap_or(i64::MAX));
        let statm = File::open("/proc/self/statm");
        let Ok(statm) = statm else {
            tracing::warn!("this system does not tell how much memory is used: limits.memory has no effect");
            return Ok(watch);
        };
        let mut look = Look { statm, ceiling_bytes, metrics, looks_to_release: 0 };
        look.at(&watch);
        let watched = Arc::downgrade(&watch);
        std::thread::Builder::new().name("memory".into()).spawn(move || {
            while let Some(watch) = watched.upgrade() {
                look.at(&watch);
                drop(watch);
                std::thread::sleep(Duration::from_millis(LOOK_MS));
            }
        })?;
        Ok(watch)
    }

    /// How short memory is now.
    pub(crate) fn pressure(&self) -> Pressure {
        let code = self.0.load(Ordering::Relaxed);
        STEPS.iter().map(|(_, step)| *step).find(|step| *step as u8 == code).unwrap_or_default()
    }
}

struct Look {
    statm: File,
    ceiling_bytes: u64,
    metrics: Arc<MemoryMetrics>,
    looks_to_release: u32,
}

impl Look {
    fn at(&mut self, watch: &MemoryWatch) {
        let Some(resident) = resident_bytes(&self.statm) else { return };
        let before = watch.pressure();
        let now = pressure(resident, self.ceiling_bytes, before);
        if now != before {
            watch.0.store(now as u8, Ordering::Relaxed);
            let (resident_mib, ceiling_mib) = (resident >> 20, self.ceiling_bytes >> 20);
            tracing::warn!(resident_mib, ceiling_mib, given_up = now.given_up(), "memory");
        }
        self.metrics.resident_bytes.set(resident as i64);
        self.metrics.pressure.set(now as i64);
        self.looks_to_release = self.looks_to_release.saturating_sub(1);
        if now > Pressure::None && self.looks_to_release == 0 {
            self.looks_to_release = LOOKS_PER_RELEASE;
            self.metrics.releases_total.inc();
            release();
        }
    }
}

fn pressure(resident: u64, ceiling: u64, before: Pressure) -> Pressure {
    let hundredths = (u128::from(resident) * 100 / u128::from(ceiling.max(1))).min(1_000) as u64;
    let holds =
        |&(begin, step): &(u64, Pressure)| hundredths >= if step <= before { begin - SLACK } else { begin };
    STEPS.iter().find(|step| holds(step)).map_or(Pressure::None, |(_, step)| *step)
}

/// The second field of `/proc/self/statm` (proc(5)), in pages.
fn resident_bytes(statm: &File) -> Option<u64> {
    let mut text = [0; 128];
    let length = statm.read_at(&mut text, 0).ok()?;
    let pages: u64 = std::str::from_utf8(&text[..length]).ok()?.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: a plain question to the system.
    let page_bytes = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    Some(pages * page_bytes)
}

/// The ceiling where none is configured: four fifths of what the machine, or the control group, has.
pub fn default_ceiling_bytes() -> u64 {
    let read = |path: &str| {
        let mut text = String::new();
        File::open(path).and_then(|mut file| file.read_to_string(&mut text)).ok().map(|_| text)
    };
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim();
        line.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<u64>().ok());
    machine.into_iter().chain(group).min().map_or(u64::MAX, |bytes| bytes / 5 * 4)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn release() {
    // SAFETY: malloc_trim(3) may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn release() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_order_and_are_left_with_slack() {
        let at = |hundredths: u64, before| pressure(hundredths * 10, 1_000, before);
        assert_eq!(at(79, Pressure::None), Pressure::None);
        assert_eq!(at(80, Pressure::None), Pressure::Presence);
        assert_eq!(at(89, Pressure::Presence), Pressure::Presence);
        assert_eq!(at(91, Pressure::None), Pressure::Connections);
        assert_eq!(at(96, Pressure::None), Pressure::Backlog);
        assert_eq!(at(120, Pressure::None), Pressure::Messages);
        assert_eq!(at(88, Pressure::Connections), Pressure::Connections);
        assert_eq!(at(86, Pressure::Connections), Pressure::Presence);
        assert_eq!(at(76, Pressure::Presence), Pressure::None);
        assert_eq!(pressure(u64::MAX, u64::MAX - 1, Pressure::None), Pressure::Messages);
        assert_eq!(pressure(1 << 40, u64::MAX, Pressure::None), Pressure::None);
    }

    #[test]
    fn a_watch_sees_its_own_process() {
        let metrics = Arc::new(MemoryMetrics::default());
        assert_eq!(MemoryWatch::start(1, metrics).unwrap().pressure(), Pressure::Messages);
        let metrics = Arc::new(MemoryMetrics::default());
        assert_eq!(MemoryWatch::start(u64::MAX, metrics).unwrap().pressure(), Pressure::None);
        assert!(default_ceiling_bytes() > 1 << 20);
    }
}
