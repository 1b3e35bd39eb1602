//! The floor relay: the least that a messaging server can do, to measure servers against.
//!
//! It reads, finds where an element ends and whom it is for, looks the addressee up and writes. No parsing, no check, no
//! storage, no TLS. It is made as quick as such a thing reasonably can be: each thread has its own listener
//! (`SO_REUSEPORT`), epoll and descriptor table; reads go into the thread's buffer; all that a turn has for a connection is one
//! write, and all that it has for another thread one hand-over; nothing is allocated per message. Connections stay on the thread
//! that accepted them: a pair's two ends are on different threads as often as not, wherever they are moved.
//!
//! What it speaks is XMPP as far as a load generator can tell: the login has canned answers ([`greeting`]: PLAIN, any key will do), then
//! `<message to='juliet@localhost'>…</message>` goes to the addressee as it is, and everything else is dropped. It trusts everybody, so
//! it listens on loopback only.
//!
//! With *acknowledgements* it also sends what stream management (XEP-0198) makes a relay send, and no more often than a server that batches:
//! stanzas are counted, and a client's `<r/>` is answered once a turn; the floor's own goes out behind messages, at most every
//! [`acks::ASK_INTERVAL_MS`] for a connection, and the answer is dropped. Neither ever goes alone where the turn has something else for the
//! connection. Nothing is kept for it, and no session is resumed.
//!
//! Called by: `chaski bench floor` and the tests. Promises: what it can't write at once it keeps up to a bound, and no longer.

mod acks;
mod element;
mod greeting;
mod outbound;
mod registry;
mod relay;

use crate::error::BenchError;
use mio::net::TcpListener;
use mio::{Interest, Poll, Token, Waker};
use registry::Registry;
use relay::{Inbox, Relay};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, RwLock};
use std::thread::JoinHandle;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// More would only wait for each other.
const THREADS_MAX: usize = 64;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; loopback. Port 0: any.
    pub listen: SocketAddr,
    /// How many threads.
    pub threads: usize,
    /// Whether each thread has a descriptor table of its own. For a process that is nothing but the floor: what else it has open
    /// stays open in every table.
    pub own_tables: bool,
    /// Whether it does its half of stream management.
    pub acks: bool,
}

/// What the threads share.
struct Shared {
    registry: RwLock<Registry>,
    inboxes: Vec<Inbox>,
    stop: AtomicBool,
    own_tables: bool,
    has_acks: bool,
    /// Nobody accepts before everybody has a descriptor table of its own.
    start: Barrier,
}

/// A floor that runs; it ends when dropped.
pub struct Floor {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Floor {
    /// Starts it; when this returns, it listens.
    pub fn start(options: &Options) -> Result<Self, BenchError> {
        if !options.listen.ip().is_loopback() {
            return Err(BenchError::Refused(
                "the floor trusts everybody: it listens on loopback only".into(),
            ));
        }
        if options.threads == 0 || options.threads > THREADS_MAX {
            return Err(BenchError::Refused(format!("--threads is 1 to {THREADS_MAX}")));
        }
        Self::open(options).map_err(BenchError::io(format!("can't start the floor on {}", options.listen)))
    }

    fn open(options: &Options) -> io::Result<Self> {
        let mut address = options.listen;
        let (mut parts, mut inboxes) = (Vec::new(), Vec::new());
        for _ in 0..options.threads {
            let mut listener = listen(address)?;
            address = listener.local_addr()?;
            let poll = Poll::new()?;
            poll.registry().register(&mut listener, relay::LISTENER, Interest::READABLE)?;
            inboxes.push(Inbox::new(Waker::new(poll.registry(), relay::WAKER)?));
            parts.push((poll, listener));
        }
        let shared = Arc::new(Shared {
            registry: RwLock::new(Registry::default()),
            inboxes,
            stop: AtomicBool::new(false),
            own_tables: options.own_tables,
            has_acks: options.acks,
            start: Barrier::new(options.threads),
        });
        let mut floor = Self { address, shared: shared.clone(), threads: Vec::new() };
        for (index, (poll, listener)) in parts.into_iter().enumerate() {
            let relay = Relay::new(index, poll, listener, shared.clone());
            let thread = std::thread::Builder::new().name(format!("floor-{index}"));
            floor.threads.push(thread.spawn(move || relay.run())?);
        }
        Ok(floor)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until its threads end, which they don't by themselves.
    pub fn join(mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.inboxes.iter().for_each(Inbox::wake);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A connection's token.
fn token(slot: usize) -> Token {
    Token(slot)
}

#[cfg(test)]
mod tests;
