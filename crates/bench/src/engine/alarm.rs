//! Waking a generator thread at a time that is finer than the event loop's milliseconds: a timerfd on Linux.
//!
//! Without it an open loop's latencies would hold up to a millisecond of the generator's own.

#[cfg(target_os = "linux")]
pub(crate) use linux::Alarm;

#[cfg(target_os = "linux")]
mod linux {
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    /// See the module.
    pub(crate) struct Alarm(OwnedFd);

    impl Alarm {
        pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            // SAFETY: a plain system call; a descriptor that is none is caught below.
            let fd = unsafe {
                libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
            };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor was made just now and is nobody else's.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(fd))
        }

        /// Rings once, in so many microseconds (at least 1). An earlier setting is forgotten.
        pub(crate) fn set(&self, in_us: u64) {
            let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let in_us = in_us.max(1);
            let value = libc::timespec {
                tv_sec: (in_us / 1_000_000) as libc::time_t,
                tv_nsec: (in_us % 1_000_000 * 1_000) as libc::c_long,
            };
            let setting = libc::itimerspec { it_interval: zero, it_value: value };
            // SAFETY: the descriptor is ours and open, the pointer is to our own setting; setting it also takes back that it has rung.
            unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const setting, std::ptr::null_mut()) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(crate) fn new(_registry: &mio::Registry, _token: mio::Token) -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn set(&self, _in_us: u64) {}
}
