//! Listening sockets: one per shard and address, sharing the port by `SO_REUSEPORT`.
//!
//! Owned by the shards, each of which binds its own ([`listen`]) into its descriptor table. Before any thread starts
//! the addresses are [reserved](reserve), so that a port in use is one clear error and nobody can take it meanwhile.
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

/// Finds out whether the configured addresses can be bound, and holds them until the shards listen on them.
#[derive(Debug)]
pub(crate) struct Reservation {
    /// The addresses in the order of the configuration, with port 0 resolved.
    pub(crate) addrs: Vec<SocketAddr>,
    /// Bound and not listening: a socket like that takes no connections.
    _held: Vec<Socket>,
}

/// Reserves all addresses.
pub(crate) fn reserve(listeners: &[ListenerConfig]) -> Result<Reservation, StartError> {
    let mut reservation = Reservation { addrs: Vec::new(), _held: Vec::new() };
    for config in listeners {
        let addr = config.addr;
        if config.tls == ListenerTls::Terminated && !config.force && !addr.ip().is_loopback() {
            return Err(StartError::TerminatedExposed(addr));
        }
        let failed = |error| bind_error(addr, error);
        if addr.port() != 0 {
            // SO_REUSEPORT would let a second server share our port unnoticed: one bind without it finds it out.
            bind(addr, false).and_then(|socket| socket.listen(1)).map_err(failed)?;
        }
        let socket = bind(addr, true).map_err(failed)?;
        let bound = socket.local_addr()?.as_socket();
        reservation.addrs.push(bound.ok_or_else(|| bind_error(addr, io::ErrorKind::Unsupported.into()))?);
        reservation._held.push(socket);
    }
    Ok(reservation)
}

/// One shard's own listening sockets.
pub(crate) fn listen(listeners: &[ListenerConfig]) -> Result<Vec<Listener>, StartError> {
    let one = |config: &ListenerConfig| {
        let socket = bind(config.addr, true).and_then(|socket| socket.listen(BACKLOG).map(|()| socket));
        let socket = socket.map_err(|error| bind_error(config.addr, error))?;
        Ok(Listener { socket: TcpListener::from_std(socket.into()), tls: config.tls, ready: true })
    };
    listeners.iter().map(one).collect()
}

fn bind_error(addr: SocketAddr, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::AddressInUse(addr),
        _ => StartError::Bind { addr, source },
    }
}

fn bind(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
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
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(addr: &str, tls: ListenerTls) -> ListenerConfig {
        ListenerConfig { addr: addr.parse().unwrap(), tls, force: false }
    }

    #[test]
    fn shards_share_a_port_and_strangers_do_not() {
        let reservation = reserve(&[config("127.0.0.1:0", ListenerTls::StartTls)]).unwrap();
        let addr = reservation.addrs[0];
        let own = [config(&addr.to_string(), ListenerTls::StartTls)];
        let shards: Vec<Vec<Listener>> = (0..3).map(|_| listen(&own).unwrap()).collect();
        assert!(shards.iter().all(|own| own[0].socket.local_addr().unwrap() == addr));
        drop(reservation);
        assert!(matches!(reserve(&own), Err(StartError::AddressInUse(taken)) if taken == addr));
    }

    #[test]
    fn terminated_is_for_loopback() {
        let refused = reserve(&[config("0.0.0.0:0", ListenerTls::Terminated)]);
        assert!(matches!(refused, Err(StartError::TerminatedExposed(_))));
        let forced = ListenerConfig { force: true, ..config("0.0.0.0:0", ListenerTls::Terminated) };
        assert!(reserve(&[forced]).is_ok());
    }
}
