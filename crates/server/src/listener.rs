//! Listening sockets: one per shard and address, sharing the port by `SO_REUSEPORT`.
//!
//! Owned by the shards, bound by [`bind_all`] before any thread starts, so that a port in use is one clear error.
//! Accepted sockets inherit `TCP_NODELAY` from the listener (Linux), which saves a system call per connection.

use crate::edge::{ListenerConfig, ListenerTls, StartError};
use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;

/// Connections that the kernel keeps for us while a shard is busy.
const BACKLOG: i32 = 8192;

/// One listening socket of one shard.
#[derive(Debug)]
pub(crate) struct Listener {
    /// The socket.
    pub(crate) socket: TcpListener,
    /// Where TLS comes from.
    pub(crate) tls: ListenerTls,
    /// Whether there may be connections to accept (edge-triggered readiness, remembered).
    pub(crate) ready: bool,
}

/// Binds each configured address once per shard. Returns the shards' listeners and the addresses with port 0 resolved.
pub(crate) fn bind_all(
    listeners: &[ListenerConfig],
    shards: u16,
) -> Result<(Vec<Vec<Listener>>, Vec<SocketAddr>), StartError> {
    let mut per_shard: Vec<Vec<Listener>> = (0..shards).map(|_| Vec::new()).collect();
    let mut addrs = Vec::new();
    for config in listeners {
        let mut addr = config.addr;
        if config.tls == ListenerTls::Terminated && !config.force && !addr.ip().is_loopback() {
            return Err(StartError::TerminatedExposed(addr));
        }
        if addr.port() != 0 {
            // SO_REUSEPORT would let a second server share our port unnoticed: one bind without it finds it out.
            bind(addr, false).map_err(|error| bind_error(addr, error))?;
        }
        for shard in &mut per_shard {
            let socket = bind(addr, true).map_err(|error| bind_error(addr, error))?;
            addr = socket.local_addr()?;
            shard.push(Listener { socket: TcpListener::from_std(socket), tls: config.tls, ready: true });
        }
        addrs.push(addr);
    }
    Ok((per_shard, addrs))
}

fn bind_error(addr: SocketAddr, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse(addr),
        _ => StartError::Bind { addr, source },
    }
}

fn bind(addr: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // `[::]` beside `0.0.0.0` in the configuration must not collide.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(if shared { BACKLOG } else { 1 })?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(addr: &str, tls: ListenerTls) -> ListenerConfig {
        ListenerConfig { addr: addr.parse().unwrap(), tls, force: false }
    }

    #[test]
    fn shards_share_a_port_and_strangers_do_not() {
        let (shards, addrs) = bind_all(&[config("127.0.0.1:0", ListenerTls::StartTls)], 3).unwrap();
        assert_eq!(shards.len(), 3);
        assert!(shards.iter().all(|own| own[0].socket.local_addr().unwrap() == addrs[0]));
        let again = bind_all(&[config(&addrs[0].to_string(), ListenerTls::StartTls)], 1);
        assert!(matches!(again, Err(StartError::AddressInUse(addr)) if addr == addrs[0]));
    }

    #[test]
    fn terminated_is_for_loopback() {
        let refused = bind_all(&[config("0.0.0.0:0", ListenerTls::Terminated)], 1);
        assert!(matches!(refused, Err(StartError::TerminatedExposed(_))));
        let forced = ListenerConfig { force: true, ..config("0.0.0.0:0", ListenerTls::Terminated) };
        assert!(bind_all(&[forced], 1).is_ok());
    }
}
