//! The socket of a connection; a connection on its way to another descriptor table has none.
//!
//! Called by the connection's reading, writing and deadlines. Without a socket every operation fails with
//! `NotConnected`; the event loop never sees such a connection.

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// See the module.
#[derive(Debug)]
pub(crate) struct Socket(Option<TcpStream>);

impl Socket {
    /// Takes the descriptor out, to be sent to another shard.
    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        self.0.take().map(OwnedFd::from)
    }

    /// The descriptor as it is.
    pub(crate) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Sends FIN.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.as_ref().ok_or(io::ErrorKind::NotConnected)?.shutdown(how)
    }

    fn here(&mut self) -> io::Result<&mut TcpStream> {
        self.0.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self(Some(socket))
    }
}

impl From<OwnedFd> for Socket {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Some(TcpStream::from_std(descriptor.into())))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.here()?.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.here()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Socket {
    /// -1, which every system call refuses, if the socket is on its way.
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_ref().map_or(-1, TcpStream::as_raw_fd)
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.here()?.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.here()?.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.here()?.deregister(registry)
    }
}
