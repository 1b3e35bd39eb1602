//! A socket's path may have 107 bytes; a data directory's may have more. Through its directory's descriptor every
//! path is short.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Longest path that fits into `sockaddr_un`.
const PATH_BYTES: usize = 107;

/// Calls `action` with a path that means the same socket and is short enough.
pub(super) fn with_short<T>(path: &Path, action: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= PATH_BYTES {
        return action(path);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return action(path) };
    let directory = std::fs::File::open(parent)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    action(&short)
}
