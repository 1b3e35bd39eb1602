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

/// Puts the calling thread behind others: it gets a tenth of what each of them gets when there is not enough. On Linux the priority is a thread's own,
/// and that of those which it starts.
fn step_back() {
    // SAFETY: neither call touches memory of ours; 0 is the calling thread.
    let code = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    if code != 0 {
        tracing::debug!("the threads that serve files have the same priority as others");
    }
}

/// The same for a thread of a listener that carries files among other things, on whose turns messages would wait most: it also interrupts nobody
/// when it has something to do (`SCHED_BATCH`).
pub fn give_way() {
    step_back();
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is alive during the call, which only reads it; 0 is the calling thread.
    let code = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) };
    if code != 0 {
        tracing::debug!("the threads of the HTTP listener may interrupt those that carry messages");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_behind_the_others() {
        let of_thread = || {
            // SAFETY: neither call touches memory of ours; 0 is the calling thread.
            unsafe { (libc::getpriority(libc::PRIO_PROCESS, 0), libc::sched_getscheduler(0)) }
        };
        let own = of_thread();
        let runtime = build(1).unwrap();
        let waits = runtime.block_on(runtime.spawn_blocking(of_thread)).unwrap();
        let works = runtime.block_on(runtime.spawn(async move { of_thread() })).unwrap();
        assert_eq!((waits.0, works.0), (NICE, NICE));
        let listener = std::thread::spawn(move || {
            give_way();
            of_thread()
        });
        assert_eq!(listener.join().unwrap(), (NICE, libc::SCHED_BATCH));
        assert_eq!(of_thread(), own, "whoever makes them stays where it is");
    }
}
