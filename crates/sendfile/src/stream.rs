//! The stream below hyper: bytes as they are, and where a placeholder stands the file.
//!
//! A head goes with the beginning of its file in one segment (`MSG_MORE`, as `tcp_nopush` has it). A file is sent for as long as the socket takes
//! some, and then when it is ready again; nothing of it is kept here.

use super::{Lane, Piece, fetch, is_at_hand, is_placeholder};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// See the module.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    lane: Lane,
    /// The socket was full: what was at hand then may have been forgotten.
    pub(super) has_waited: bool,
    fetching: Option<JoinHandle<io::Result<()>>>,
    pub(super) moved: Arc<AtomicU64>,
}

impl Stream {
    /// On a connection. `moved` grows whenever some of a file has gone, for those who cut what does not move.
    pub fn new(tcp: TcpStream, moved: Arc<AtomicU64>) -> Self {
        Self { tcp, lane: Lane::default(), has_waited: false, fetching: None, moved }
    }

    /// For those who answer on it.
    pub fn lane(&self) -> Lane {
        self.lane.clone()
    }

    /// The connection. What the lane owes is forgotten.
    pub fn into_inner(self) -> TcpStream {
        self.tcp
    }

    /// Tries as often as the socket says that it is ready.
    fn poll_socket<T>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl Fn(&TcpStream) -> rustix::io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match self.tcp.try_io(Interest::WRITABLE, || Ok(attempt(&self.tcp)?)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.has_waited = true;
                    ready!(self.tcp.poll_write_ready(cx))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Bytes after which a file comes.
    fn poll_before_file(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.poll_socket(cx, |tcp| {
            rustix::net::sendmsg(tcp, slices, &mut SendAncillaryBuffer::default(), flags)
        })
    }

    /// Some of what the lane owes, so many bytes at most.
    fn poll_file(&mut self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<usize>> {
        let Some(piece) = self.lane.first() else { return Poll::Ready(Err(ErrorKind::InvalidData.into())) };
        ready!(self.poll_at_hand(cx, &piece))?;
        let count = count.min(piece.left);
        let sent = ready!(self.poll_socket(cx, |tcp| {
            let mut at = piece.next;
            rustix::fs::sendfile(tcp, &*piece.file, Some(&mut at), count)
        }))?;
        if sent == 0 {
            // It was longer when it was opened: the length that was said can't be kept.
            return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
        }
        self.lane.sent(sent);
        self.moved.fetch_add(1, Relaxed);
        Poll::Ready(Ok(sent))
    }

    /// Until nobody has to wait for a disk, as far as can be said.
    fn poll_at_hand(&mut self, cx: &mut Context<'_>, piece: &Piece) -> Poll<io::Result<()>> {
        if self.has_waited && self.fetching.is_none() {
            if !is_at_hand(&piece.file, piece.next, piece.left) {
                let piece = piece.clone();
                let runtime = piece.runtime.clone();
                self.fetching =
                    Some(runtime.spawn_blocking(move || fetch(&piece.file, piece.next, piece.left)));
            }
            self.has_waited = false;
        }
        if let Some(fetching) = &mut self.fetching {
            let fetched = ready!(Pin::new(fetching).poll(cx));
            self.fetching = None;
            return Poll::Ready(fetched.unwrap_or_else(|error| Err(io::Error::other(error))));
        }
        Poll::Ready(Ok(()))
    }

    /// What hyper has, a file in it.
    fn poll_with_file(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let before = slices.iter().position(is_placeholder).unwrap_or(slices.len());
        let (before, from_file) = slices.split_at(before);
        let mut done = 0;
        if !before.is_empty() {
            done = ready!(self.poll_before_file(cx, before))?;
            if done < before.iter().map(|slice| slice.len()).sum() {
                return Poll::Ready(Ok(done));
            }
        }
        for slice in from_file.iter().take_while(|slice| is_placeholder(slice)) {
            let sent = match self.poll_file(cx, slice.len()) {
                Poll::Ready(Ok(sent)) => sent,
                // What has gone is said first; the error comes again.
                Poll::Ready(Err(_)) | Poll::Pending if done > 0 => break,
                other => return other,
            };
            done += sent;
            if sent < slice.len() {
                break;
            }
        }
        Poll::Ready(Ok(done))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let shown: usize = slices.iter().filter(|slice| is_placeholder(slice)).map(|slice| slice.len()).sum();
        if shown != self.lane.bytes() {
            let error =
                io::Error::new(ErrorKind::InvalidData, "what stands for a file is not where it was put");
            return Poll::Ready(Err(error));
        }
        if shown == 0 {
            return Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        }
        self.poll_with_file(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
