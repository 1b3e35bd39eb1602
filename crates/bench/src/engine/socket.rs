//! Sockets and descriptor tables of generator threads: many more connections than one table or one address has room for.
//!
//! A thread has its own descriptor table (`unshare(CLONE_FILES)`), because the limit of open files counts per table, and its own
//! source addresses in 127.0.0.0/8, because there are 64 k ports per source and destination.

use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Source addresses of a thread: by turns, so that ports in TIME_WAIT do not run out.
const ADDRESSES: u32 = 4;

/// Gives the calling thread a descriptor table of its own: a copy of the process's.
pub(crate) fn own_descriptors() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a plain system call; other threads keep their table, and what is open stays open in both.
        if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// How many descriptors one table may have.
pub(crate) fn descriptors_max() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call gets a pointer to our own rlimit.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    if known { limit.rlim_cur } else { 1_024 }
}

/// The source of a thread's n-th connection, for destinations on loopback.
fn source(thread: u32, n: u32) -> Ipv4Addr {
    let [.., high, low] = (thread + 1).to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 128, low, 1 + (n % ADDRESSES) as u8)
}

/// Begins to connect.
pub(crate) fn connect(to: SocketAddr, thread: u32, n: u32) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let IpAddr::V4(ip) = to.ip()
        && ip.is_loopback()
        && cfg!(target_os = "linux")
    {
        bind(&socket, source(thread, n))?;
    }
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

/// Binds the address and leaves the port to `connect`, so that ports are free per destination (ip(7)).
#[cfg(target_os = "linux")]
fn bind(socket: &Socket, source: Ipv4Addr) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: the socket is open and the pointer is to our own integer of the length that is said.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))
}

#[cfg(not(target_os = "linux"))]
fn bind(_socket: &Socket, _source: Ipv4Addr) -> io::Result<()> {
    Ok(())
}

/// Makes the socket's end a reset, as of a phone that is gone.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // Where that can't be set it ends in order.
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_different_sources() {
        let mut seen = std::collections::HashSet::new();
        for thread in 0..300 {
            for n in 0..ADDRESSES {
                let ip = source(thread, n);
                assert!(ip.is_loopback() && seen.insert(ip));
            }
        }
        assert_eq!(source(0, 0), source(0, ADDRESSES));
    }
}
