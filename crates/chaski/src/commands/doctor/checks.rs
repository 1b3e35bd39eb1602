//! The looks that the doctor takes, in the order in which they are shown.

use super::Finding;
use super::machine::Machine;
use chaski_server::config::Config;
use chaski_store::embedded;

/// Descriptors besides the clients': listeners, SQLite, journal, HTTP.
const OTHER_FILES: u64 = 1_000;
/// The same of a shard with a table of its own, besides two for each shard.
const OTHER_FILES_OF_SHARD: u64 = 64;
/// Memory of one idle TLS session: ours (1.3 KB) and the kernel's (4.1 KB).
const SESSION_BYTES: u64 = 5_632;
/// What a listener asks for; more has no effect.
const BACKLOG: u64 = 8_192;
/// The journal, SQLite's logs and a day of waiting messages want at least this.
const DISK_BYTES: u64 = 1 << 30;

pub(super) fn all(machine: &Machine, config: &Config, sessions: u64, unix_ms: u64) -> Vec<Finding> {
    let mut findings = vec![open_files(machine, config, sessions)];
    findings.extend(file_max(machine, sessions));
    findings.extend(nr_open(machine, config, sessions));
    findings.extend(backlog(machine, sessions));
    findings.extend(tcp_memory(machine, sessions));
    findings.extend(memory(machine, sessions));
    findings.extend(conntrack(machine, sessions));
    findings.extend(ports(machine, config));
    findings.extend(overcommit(machine));
    findings.extend(huge_pages(machine));
    findings.extend(data_directory(config));
    findings.extend(running_server(config));
    findings.extend(clock());
    findings.extend(believed(config, unix_ms));
    findings
}

/// The limit of open files counts per table, and a shard's accounts may be a tenth more than its share.
fn files_needed(machine: &Machine, shards: u64, sessions: u64) -> u64 {
    if shards < 2 || !machine.has_table_per_shard {
        return sessions + OTHER_FILES;
    }
    let share = sessions.div_ceil(shards);
    share + share / 10 + OTHER_FILES_OF_SHARD + 2 * shards
}

fn open_files(machine: &Machine, config: &Config, sessions: u64) -> Finding {
    let (soft, hard) = machine.open_files;
    let needed = files_needed(machine, config.shard_count().into(), sessions);
    let mut mend = format!(
        "ulimit -Hn {needed} (as root, in the shell that starts it), LimitNOFILE={needed} in the systemd unit, \
         or \"* hard nofile {needed}\" in /etc/security/limits.conf"
    );
    let enough = (2..1_000).find(|&shards| files_needed(machine, shards, sessions) <= hard);
    if let Some(shards) = enough.filter(|_| machine.has_table_per_shard) {
        mend += &format!("; or \"shards = {shards}\" in the configuration, each of which has its own table");
    }
    // The server raises its own soft limit to the hard one at start.
    Finding::new(
        "open files",
        hard >= needed,
        format!("hard limit {hard}, soft {soft}; {needed} needed"),
        mend,
    )
}

fn sysctl(what: &'static str, name: &str, found: u64, needed: u64) -> Finding {
    let mend = format!("sysctl -w {name}={needed}   (and in /etc/sysctl.d/ to keep it)");
    Finding::new(what, found >= needed, format!("{name} = {found}; {needed} needed"), mend)
}

fn file_max(machine: &Machine, sessions: u64) -> Option<Finding> {
    let found = machine.number("proc/sys/fs/file-max")?;
    Some(sysctl("files of the system", "fs.file-max", found, 2 * (sessions + OTHER_FILES)))
}

fn nr_open(machine: &Machine, config: &Config, sessions: u64) -> Option<Finding> {
    let found = machine.number("proc/sys/fs/nr_open")?;
    let needed = files_needed(machine, config.shard_count().into(), sessions);
    Some(sysctl("files of a process", "fs.nr_open", found, needed))
}

fn backlog(machine: &Machine, sessions: u64) -> Option<Finding> {
    let found = machine.number("proc/sys/net/core/somaxconn")?;
    // When all come back at once, this many a shard may wait to be accepted.
    Some(sysctl("accept queue", "net.core.somaxconn", found, (sessions / 20).clamp(1_024, BACKLOG)))
}

fn tcp_memory(machine: &Machine, sessions: u64) -> Option<Finding> {
    let words = machine.words("proc/sys/net/ipv4/tcp_mem")?;
    let pages: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let &[_, pressure, most] = pages.as_slice() else { return None };
    // Idle sockets hold no buffers; a tenth of them with 4 KiB each is a busy moment.
    let needed = (sessions / 10).max(4_096);
    let mend = format!("sysctl -w net.ipv4.tcp_mem=\"{} {} {}\"", needed, 2 * needed, 4 * needed);
    let found = format!("net.ipv4.tcp_mem pressure at {pressure}, most {most} pages; {needed} needed");
    Some(Finding::new("TCP memory", pressure >= needed, found, mend))
}

fn memory(machine: &Machine, sessions: u64) -> Option<Finding> {
    let found = machine.memory_bytes()?;
    let needed = (256 << 20) + sessions * SESSION_BYTES;
    let mend = format!(
        "use a machine with more memory, or for at most {} sessions",
        found.saturating_sub(256 << 20) / SESSION_BYTES
    );
    Some(Finding::new(
        "memory",
        found >= needed,
        format!("{} MiB; {} MiB needed", found >> 20, needed >> 20),
        mend,
    ))
}

fn conntrack(machine: &Machine, sessions: u64) -> Option<Finding> {
    // Only there when the firewall follows connections.
    let found = machine.number("proc/sys/net/netfilter/nf_conntrack_max")?;
    Some(sysctl(
        "connection tracking",
        "net.netfilter.nf_conntrack_max",
        found,
        sessions + sessions / 4 + OTHER_FILES,
    ))
}

fn ports(machine: &Machine, config: &Config) -> Option<Finding> {
    let words = machine.words("proc/sys/net/ipv4/ip_local_port_range")?;
    let range: Vec<u16> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let &[first, last] = range.as_slice() else { return None };
    let reserved = machine.words("proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default().join(",");
    let listens = config.c2s.iter().map(|c2s| c2s.listen.port());
    let listens =
        listens.chain([config.http.listen.port()]).chain(config.http.private_listen.map(|a| a.port()));
    let exposed: Vec<String> = listens
        .filter(|port| (first..=last).contains(port) && !is_reserved(&reserved, *port))
        .map(|port| port.to_string())
        .collect();
    let found = match exposed.is_empty() {
        true => format!("outgoing connections use {first} to {last}; no listener's port is among them"),
        false => format!(
            "outgoing connections use {first} to {last} and may take the listeners' {}",
            exposed.join(", ")
        ),
    };
    let mend = format!("sysctl -w net.ipv4.ip_local_reserved_ports={}", exposed.join(","));
    Some(Finding::new("ports", exposed.is_empty(), found, mend))
}

/// Whether a list such as `5222-5223,8080` has this port.
fn is_reserved(list: &str, port: u16) -> bool {
    list.split(',').any(|item| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
    })
}

fn overcommit(machine: &Machine) -> Option<Finding> {
    let found = machine.number("proc/sys/vm/overcommit_memory")?;
    let text = format!("vm.overcommit_memory = {found}");
    Some(Finding::new(
        "overcommit",
        found != 2,
        text,
        "sysctl -w vm.overcommit_memory=0   (2 refuses memory that is never touched)",
    ))
}

fn huge_pages(machine: &Machine) -> Option<Finding> {
    let words = machine.words("sys/kernel/mm/transparent_hugepage/enabled")?;
    let chosen = words.iter().find(|word| word.starts_with('['))?.trim_matches(['[', ']']).to_string();
    let mend =
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled   (always makes small sessions large)";
    Some(Finding::new("huge pages", chosen != "always", format!("transparent_hugepage = {chosen}"), mend))
}

fn data_directory(config: &Config) -> Vec<Finding> {
    let data = &config.data;
    let shown = data.display();
    let mut findings = vec![Finding::new(
        "data directory",
        Machine::writable(data),
        if Machine::writable(data) {
            format!("{shown} can be written")
        } else {
            format!("{shown} can't be written")
        },
        format!("install -d -o $USER {shown}   (as root), or choose another with --data"),
    )];
    let Some(fs) = Machine::file_system(data) else { return findings };
    let mend = "free some room, or choose another disk with --data";
    let free = format!("{} MiB free; {} MiB needed", fs.free_bytes >> 20, DISK_BYTES >> 20);
    findings.push(Finding::new("disk", fs.free_bytes >= DISK_BYTES, free, mend));
    // Some file systems have no fixed number of files and say 0.
    if fs.free_inodes > 0 {
        findings.push(Finding::new(
            "files on the disk",
            fs.free_inodes >= 1_000,
            format!("{} more can be made", fs.free_inodes),
            mend,
        ));
    }
    let (kind, durable) = file_system_name(fs.kind);
    let mend = "choose a directory on a local disk with --data: acceptance means that a message survives";
    findings.push(Finding::new("file system", durable, kind, mend));
    findings
}

/// What a server that runs here says of itself; nothing if none does.
fn running_server(config: &Config) -> Option<Finding> {
    let address = config.http.private_listen.filter(|address| address.port() != 0)?;
    let health = Machine::health(address)?;
    let mend = "see \"When something is wrong\" in docs/operating.md; the server's log says more";
    let found = if health.is_empty() { "runs and is well".to_string() } else { health.join("; ") };
    Some(Finding::new("running server", health.is_empty(), found, mend))
}

/// The magic numbers of statfs(2) that matter, and whether a sync there survives a power cut.
fn file_system_name(kind: i64) -> (String, bool) {
    match kind & 0xFFFF_FFFF {
        0x0102_1994 | 0x8584_58F6 => ("in memory (tmpfs): everything is lost at a restart".into(), false),
        0x6969 => ("NFS: locks and syncs are not to be trusted".into(), false),
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => ("SMB: locks and syncs are not to be trusted".into(), false),
        0x6573_5546 => ("FUSE: syncs are only as good as its program".into(), false),
        0x0102_1997 => ("9p: locks and syncs are not to be trusted".into(), false),
        0xEF53 => ("ext4".into(), true),
        0x5846_5342 => ("xfs".into(), true),
        0x9123_683E => ("btrfs".into(), true),
        0x2FC1_2FC1 => ("zfs".into(), true),
        0x794C_7630 => ("overlay (a container's own layer: gone with the container)".into(), true),
        other => (format!("local (type {other:#x})"), true),
    }
}

fn clock() -> Option<Finding> {
    let synchronised = Machine::clock_synchronised()?;
    let found = if synchronised {
        "set by a time service"
    } else {
        "not set by a time service, so stamps may be wrong"
    };
    // Containers and some virtual machines are set from outside without the kernel knowing: say it, but it stops nobody.
    let mend = "timedatectl set-ntp true   (if nothing outside sets this machine's clock)".to_string();
    Some(Finding { what: "clock", ok: true, found: found.into(), mend: (!synchronised).then_some(mend) })
}

/// Whether a server would believe the machine's clock, by what it kept of its last run.
fn believed(config: &Config, unix_ms: u64) -> Option<Finding> {
    // No data yet, or not ours to read: the look at the data directory has said so.
    let doubt = embedded::doubt(&config.data, unix_ms).ok()?;
    let found = match doubt {
        None => "where the server's last run would expect it".to_owned(),
        Some(doubt) => {
            format!("{} days from where the server's last run would expect it", doubt.by_ms / 86_400_000)
        }
    };
    let mend = "set it (timedatectl set-ntp true), or if it is right: chaski ctl clock accept";
    Some(Finding::new("clock and data", doubt.is_none(), found, mend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_store::time::HandClock;
    use std::fs;
    use std::sync::Arc;

    const NOW: u64 = 1_800_000_000_000;

    fn machine(files: &[(&str, &str)], open_files: (u64, u64)) -> (tempfile::TempDir, Machine) {
        machine_with_tables(files, open_files, false)
    }

    fn machine_with_tables(
        files: &[(&str, &str)],
        open_files: (u64, u64),
        has_table_per_shard: bool,
    ) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let machine = Machine::at(root.path(), open_files, has_table_per_shard);
        (root, machine)
    }

    fn mend_of(findings: &[Finding], what: &str) -> Option<String> {
        findings.iter().find(|finding| finding.what == what).unwrap().mend.clone()
    }

    #[test]
    fn a_small_machine_is_told_what_to_run() {
        let (_root, machine) = machine(
            &[
                ("proc/sys/fs/file-max", "9223372036854775807"),
                ("proc/sys/fs/nr_open", "1048576"),
                ("proc/sys/net/core/somaxconn", "4096"),
                ("proc/sys/net/ipv4/tcp_mem", "1000 2000 3000"),
                ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535"),
                ("proc/sys/net/ipv4/ip_local_reserved_ports", "5222-5223,8080"),
                ("proc/sys/vm/overcommit_memory", "2"),
                ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
                ("proc/meminfo", "MemTotal: 24000000 kB\nMemFree: 1 kB"),
            ],
            (1_024, 20_000),
        );
        let findings = all(&machine, &Config::default(), 1_000_000, NOW);
        assert!(mend_of(&findings, "open files").unwrap().contains("ulimit -Hn 1001000"));
        assert_eq!(mend_of(&findings, "files of the system"), None);
        assert_eq!(mend_of(&findings, "files of a process"), None);
        assert!(mend_of(&findings, "accept queue").unwrap().starts_with("sysctl -w net.core.somaxconn=8192"));
        assert!(mend_of(&findings, "TCP memory").unwrap().contains("tcp_mem=\"100000 200000 400000\""));
        assert_eq!(mend_of(&findings, "memory"), None);
        assert!(mend_of(&findings, "ports").unwrap().ends_with("ip_local_reserved_ports=9222"));
        assert!(mend_of(&findings, "overcommit").is_some() && mend_of(&findings, "huge pages").is_some());
    }

    #[test]
    fn a_large_machine_is_well() {
        let (_root, machine) = machine(&[("proc/sys/net/core/somaxconn", "65535")], (1_024, 2_000_000));
        let findings = all(&machine, &Config::default(), 1_000_000, NOW);
        assert_eq!((mend_of(&findings, "open files"), mend_of(&findings, "accept queue")), (None, None));
    }

    #[test]
    fn the_limit_of_open_files_counts_per_shard() {
        let (_root, machine) = machine_with_tables(&[], (1_024, 20_000), true);
        let with = |shards| Config { shards, ..Config::default() };
        assert_eq!(mend_of(&all(&machine, &with(60), 1_000_000, NOW), "open files"), None);
        let mend = mend_of(&all(&machine, &with(2), 1_000_000, NOW), "open files").unwrap();
        assert!(mend.contains("LimitNOFILE=550068") && mend.contains("\"shards = 56\""), "{mend}");
    }

    #[test]
    fn memory_is_no_disk() {
        assert!(!file_system_name(0x0102_1994).1 && file_system_name(0xEF53).1);
        assert!(is_reserved("5222-5223,8080", 5223) && !is_reserved("", 0));
    }

    #[test]
    fn a_clock_far_from_the_last_run_is_to_be_mended() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { data: dir.path().into(), ..Config::default() };
        assert!(believed(&config, NOW).is_none(), "nothing there");
        let clock = Arc::new(HandClock::at(NOW));
        let options = embedded::Options { clock, ..embedded::Options::default() };
        drop(embedded::open(dir.path(), options).unwrap());
        assert!(believed(&config, NOW + 3_600_000).unwrap().ok);
        let finding = believed(&config, NOW + 31 * 86_400_000).unwrap();
        assert!(!finding.ok && finding.found.starts_with("31 days"), "{}", finding.found);
        assert!(finding.mend.unwrap().contains("chaski ctl clock accept"));
    }
}
