//! Where the doctor's figures come from: `/proc`, `/sys` and a few system calls. A directory in a test stands in for `/`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The machine to look at.
pub(super) struct Machine {
    root: PathBuf,
    /// Soft and hard limit of open files.
    pub(super) open_files: (u64, u64),
    /// Whether each shard can have a descriptor table of its own, for which that limit holds.
    pub(super) has_table_per_shard: bool,
}

/// A file system.
pub(super) struct FileSystem {
    /// `f_type` of `statfs(2)`.
    pub(super) kind: i64,
    /// Bytes that may be written.
    pub(super) free_bytes: u64,
    /// Files that may be made.
    pub(super) free_inodes: u64,
}

impl Machine {
    pub(super) fn this() -> Self {
        Self {
            root: "/".into(),
            open_files: open_files(),
            has_table_per_shard: chaski_server::has_table_per_shard(2),
        }
    }

    #[cfg(test)]
    pub(super) fn at(root: &Path, open_files: (u64, u64), has_table_per_shard: bool) -> Self {
        Self { root: root.into(), open_files, has_table_per_shard }
    }

    /// The words of a file such as `/proc/sys/net/core/somaxconn`; `None` if it isn't there.
    pub(super) fn words(&self, path: &str) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.split_whitespace().map(String::from).collect())
    }

    /// The first number of a file.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.words(path)?.first()?.parse().ok()
    }

    /// `MemTotal` in bytes.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        let words = self.words("proc/meminfo")?;
        let at = words.iter().position(|word| word == "MemTotal:")?;
        Some(words.get(at + 1)?.parse::<u64>().ok()? * 1024)
    }

    /// The file system of a path, or of its nearest ancestor that exists.
    pub(super) fn file_system(path: &Path) -> Option<FileSystem> {
        let absolute = std::path::absolute(path).ok()?;
        let existing = absolute.ancestors().find(|ancestor| ancestor.exists())?;
        let c_path = std::ffi::CString::new(existing.as_os_str().as_encoded_bytes()).ok()?;
        // SAFETY: statfs is plain data for which zeroes are valid; the path is a C string and the pointer is ours.
        let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        if unsafe { libc::statfs(c_path.as_ptr(), &raw mut stat) } != 0 {
            return None;
        }
        Some(FileSystem {
            kind: stat.f_type as i64,
            free_bytes: stat.f_bavail.saturating_mul(stat.f_bsize as u64),
            free_inodes: stat.f_ffree,
        })
    }

    /// What a server's `/healthz` complains of; `None` if nobody answers there.
    pub(super) fn health(address: SocketAddr) -> Option<Vec<String>> {
        let patience = Duration::from_secs(2);
        let mut server = TcpStream::connect_timeout(&address, patience).ok()?;
        server.set_read_timeout(Some(patience)).ok()?;
        server.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        server.take(64 << 10).read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        match head.split(' ').nth(1)? {
            "200" => Some(Vec::new()),
            "503" => Some(body.lines().map(String::from).collect()),
            _ => None,
        }
    }

    /// Whether the directory, or the nearest ancestor that exists, can be written.
    pub(super) fn writable(path: &Path) -> bool {
        let Ok(absolute) = std::path::absolute(path) else { return false };
        let Some(existing) = absolute.ancestors().find(|ancestor| ancestor.exists()) else { return false };
        let Ok(c_path) = std::ffi::CString::new(existing.as_os_str().as_encoded_bytes()) else {
            return false;
        };
        // SAFETY: the path is a C string that lives through the call.
        unsafe { libc::access(c_path.as_ptr(), libc::W_OK | libc::X_OK) == 0 }
    }

    /// Whether the kernel believes that its clock is set by something.
    pub(super) fn clock_synchronised() -> Option<bool> {
        // SAFETY: timex is plain data for which zeroes are valid (modes 0: read only).
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to our own timex.
        let state = unsafe { libc::adjtimex(&raw mut timex) };
        (state >= 0).then_some(timex.status & libc::STA_UNSYNC == 0)
    }
}

/// Soft and hard limit of open files of this process.
pub(crate) fn open_files() -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to our own rlimit.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}
