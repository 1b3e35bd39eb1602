//! Descriptor tables: one per shard where the system allows it, and the passages by which sockets travel between them.
//!
//! A process' limit of open files counts per descriptor table, and a thread can have a table of its own: with one per
//! shard a server holds shards × limit connections, and a system call need not count references on a table that
//! nobody shares. What threads have in common (wake-ups, passages) is made before the tables part, so that it has the
//! same number in each; everything else a shard opens itself. A socket goes to another table as `SCM_RIGHTS` over the
//! receiver's [`Passage`] (unix(7)), with a ticket by which the receiver knows whose it is.
//!
//! Called by `edge` (which parts the tables) and the event loop (which sends and takes). Where tables can't be parted
//! (an old kernel, a sandbox) all shards share one and sockets stay where they are.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// Gives the calling thread a descriptor table of its own that holds `keep`, and nothing else, under the same numbers.
/// `Err`: the system can't, and nothing has changed.
pub(crate) fn part_table(keep: &mut [RawFd]) -> io::Result<()> {
    keep.sort_unstable();
    // The part above all that is kept comes first: this call parts the tables and copies only what is below.
    let above = keep.last().map_or(0, |&last| last as libc::c_uint + 1);
    close_range(above, libc::c_uint::MAX, libc::CLOSE_RANGE_UNSHARE as libc::c_uint)?;
    let mut next = 0;
    for &fd in keep.iter() {
        let fd = fd as libc::c_uint;
        if next < fd {
            // Fails only for a range that is none.
            let _ = close_range(next, fd - 1, 0);
        }
        next = fd + 1;
    }
    Ok(())
}

fn close_range(first: libc::c_uint, last: libc::c_uint, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the first call of a thread parts its table from the process' (flags), so that it closes numbers that no
    // object of this thread holds: it has been given nothing yet but what `part_table` keeps. Other threads' objects
    // are in their own table and stay open. Later calls close in that new table alone.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this system lets a thread have a table of its own; found out once, on a thread that ends at once.
fn can_part_tables() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(try_to_part_tables)
}

fn try_to_part_tables() -> bool {
    let trial = std::thread::Builder::new().name("descriptors".into()).spawn(|| {
        // Standard error stays, for the panic message of a thread that must not panic.
        part_table(&mut [0, 1, 2]).is_ok()
    });
    trial.is_ok_and(|trial| trial.join().unwrap_or(false))
}

/// Whether each of so many shards will have a descriptor table of its own.
pub fn has_table_per_shard(shards: u16) -> bool {
    shards > 1 && can_part_tables()
}

/// Wakes a thread that waits in epoll. The same number in every table.
#[derive(Debug)]
pub(crate) struct Wake(OwnedFd);

impl Wake {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Makes the owner's epoll return. Registered edge-triggered, it need never be read.
    pub(crate) fn wake(&self) {
        if rustix::io::write(&self.0, &1u64.to_ne_bytes()) == Err(Errno::AGAIN) {
            // The counter is full after 2^64 - 1 wake-ups: begin again.
            let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
            let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
        }
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Names a socket on its way. Unique among those on the way to one shard.
pub(crate) type Ticket = u64;

/// A shard's way in for sockets from other tables. Bounded by the kernel (about 270 at once).
#[derive(Debug)]
pub(crate) struct Passage {
    entrance: OwnedFd,
    exit: OwnedFd,
}

impl Passage {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (entrance, exit) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok(Self { entrance, exit })
    }

    /// The end for every shard but the owner.
    pub(crate) fn entrance(&self) -> RawFd {
        self.entrance.as_raw_fd()
    }

    /// The end for the owner.
    pub(crate) fn exit(&self) -> RawFd {
        self.exit.as_raw_fd()
    }

    /// Sends a copy of the socket on its way; the caller closes its own. `WouldBlock`: too many are on the way, try again.
    pub(crate) fn send(&self, ticket: Ticket, socket: BorrowedFd<'_>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        let sockets = [socket];
        if !rights.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::Error::other("no space for the descriptor"));
        }
        let bytes = ticket.to_ne_bytes();
        match sendmsg(&self.entrance, &[IoSlice::new(&bytes)], &mut rights, SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            // Too many of this user's descriptors are on the way: the same remedy as for a full socket.
            Err(Errno::TOOMANYREFS) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes all sockets that have arrived. One that this table has no room for is closed and not among them.
    pub(crate) fn take(&self, into: &mut HashMap<Ticket, OwnedFd>) {
        loop {
            let mut bytes = [0; size_of::<Ticket>()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut rights = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut bytes)];
            match recvmsg(self.exit.as_fd(), &mut slices, &mut rights, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => continue,
                // Empty.
                Err(_) => return,
                Ok(message) if message.bytes == 0 => return,
                Ok(_) => {}
            }
            let socket = rights.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
                _ => None,
            });
            if let Some(socket) = socket {
                into.insert(Ticket::from_ne_bytes(bytes), socket);
            }
        }
    }
}

/// How a socket comes with its connection's record.
#[derive(Debug)]
pub(crate) enum Carried {
    /// As it is: both shards share a table.
    Here(OwnedFd),
    /// Over the receiver's passage.
    Passage(Ticket),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_socket_travels_into_another_table() {
        let passage = std::sync::Arc::new(Passage::new().unwrap());
        let (mut client, server) = connected();
        let (parted, is_parted) = std::sync::mpsc::channel();
        let receiver = {
            let passage = passage.clone();
            let hidden = client.as_raw_fd();
            std::thread::spawn(move || {
                part_table(&mut [0, 1, 2, passage.exit()]).unwrap();
                // SAFETY: asks about a number; nothing is done with it if it is open.
                assert_eq!(unsafe { libc::fcntl(hidden, libc::F_GETFD) }, -1, "the client's end is not here");
                parted.send(()).unwrap();
                let mut sockets = HashMap::new();
                while sockets.is_empty() {
                    std::thread::yield_now();
                    passage.take(&mut sockets);
                }
                let mut server = TcpStream::from(sockets.remove(&7).unwrap());
                server.set_nonblocking(false).unwrap();
                server.write_all(b"hello").unwrap();
            })
        };
        is_parted.recv().unwrap();
        passage.send(7, server.as_fd()).unwrap();
        drop(server);
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello");
        receiver.join().unwrap();
    }

    #[test]
    fn a_full_passage_says_so_and_loses_nothing() {
        let passage = Passage::new().unwrap();
        let (client, _server) = connected();
        let mut sent = 0;
        let error = loop {
            match passage.send(sent, client.as_fd()) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(sent > 16, "{sent}");
        let mut sockets = HashMap::new();
        passage.take(&mut sockets);
        assert_eq!(sockets.len() as u64, sent);
    }

    #[test]
    fn a_socket_that_a_full_table_has_no_room_for_is_closed() {
        let passage = std::sync::Arc::new(Passage::new().unwrap());
        let (mut lost, server) = connected();
        passage.send(1, server.as_fd()).unwrap();
        drop(server);
        let (sent, is_sent) = std::sync::mpsc::channel();
        let (full, is_full) = std::sync::mpsc::channel();
        let receiver = {
            let passage = passage.clone();
            std::thread::spawn(move || {
                part_table(&mut [0, 1, 2, passage.exit()]).unwrap();
                let mut filling = Vec::new();
                while let Ok(copy) = passage.exit.try_clone() {
                    filling.push(copy);
                }
                let mut sockets = HashMap::new();
                passage.take(&mut sockets);
                assert!(sockets.is_empty());
                filling.truncate(filling.len() - 2);
                full.send(()).unwrap();
                is_sent.recv().unwrap();
                passage.take(&mut sockets);
                assert_eq!(sockets.keys().copied().collect::<Vec<_>>(), [2]);
            })
        };
        is_full.recv().unwrap();
        assert_eq!(lost.read(&mut [0]).unwrap(), 0, "its peer sees the end");
        let (_client, server) = connected();
        passage.send(2, server.as_fd()).unwrap();
        sent.send(()).unwrap();
        receiver.join().unwrap();
    }

    #[test]
    fn waking_needs_no_reading() {
        let wake = Wake::new().unwrap();
        (0..3).for_each(|_| wake.wake());
        let mut count = [0; 8];
        assert_eq!(rustix::io::read(&wake.0, &mut count), Ok(8));
        assert_eq!(u64::from_ne_bytes(count), 3);
    }
}
