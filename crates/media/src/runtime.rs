//! The runtime on which files are served: threads of its own, which the system puts behind those that carry messages.

use std::io;
use tokio::runtime::{Builder, Runtime};

/// Threads that wait for a disk, at most. Beyond it reads and writes wait for each other.
const BLOCKING_THREADS: usize = 16;
/// How nice its threads are (0 is everybody, 19 the nicest): chat comes first, but files do not starve.
const NICE: i32 = 10;

/// Makes the runtime.
pub(crate) fn build(threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("media")
        .on_thread_start(step_back)
        .enable_all()
        .build()
}

/// Puts the calling thread behind others. On Linux the priority is a thread's own.
fn step_back() {
    // SAFETY: neither call touches memory of ours; 0 is the calling thread.
    let code = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    if code != 0 {
        tracing::debug!("the threads that serve files have the same priority as others");
    }
}
