//! A file on its way out: read piece by piece, each when the connection asks for it. What the system has in memory is taken at once; for the rest
//! a thread waits that may.
//!
//! On a plain connection that has a [`Lane`] pieces that the system has in memory do not come here at all: it sends them (`sendfile`).
//!
//! What it holds is one piece. A client that does not read is the listener's affair, which sees that nothing moves; here it costs a place.

use super::TRANSFER_BYTES;
use super::places::Place;
use super::share::Share;
use crate::Shared;
use crate::objects::Stored;
use axum::body::{Bytes, HttpBody};
use chaski_sendfile::{Lane, PIECE_BYTES};
use http_body::{Frame, SizeHint};
use rustix::io::ReadWriteFlags;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::task::JoinHandle;

/// A transfer ends when its last piece has been handed out, so that one is no longer than others' that are read.
const TAIL_BYTES: u64 = 64 << 10;

/// See the module.
pub(super) struct FileBody {
    shared: Arc<Shared>,
    stored: Arc<dyn Stored>,
    lane: Option<(Lane, Arc<File>)>,
    _place: Place,
    share: Share,
    /// For the turn of a piece.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// A piece that is there already.
    piece: Option<Piece>,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    /// Where the next piece begins, and what has not been sent.
    next: u64,
    left: u64,
}

/// What comes next.
enum Piece {
    Read(Vec<u8>),
    /// So many bytes, which the system has in memory and sends by itself.
    AtHand(usize),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Read(bytes) => bytes.len(),
            Self::AtHand(count) => *count,
        }
    }
}

impl FileBody {
    /// From a byte to another, the last included; `piece` is what comes first, if it has been read.
    pub(super) fn new(
        shared: Arc<Shared>,
        (stored, lane): (Arc<dyn Stored>, Option<Lane>),
        (place, share): (Place, Share),
        (first, last): (u64, u64),
        piece: Vec<u8>,
    ) -> Self {
        shared.metrics.transfers.add(1);
        let left = last - first + 1;
        // One of its own, which stays open until the last piece has gone.
        let file = lane.as_ref().and_then(|_| stored.file()?.try_clone().ok()).map(Arc::new);
        Self {
            shared,
            stored,
            lane: lane.zip(file),
            _place: place,
            share,
            waiting: None,
            piece: (!piece.is_empty()).then_some(Piece::Read(piece)),
            reading: None,
            next: first,
            left,
        }
    }

    /// How much the next piece may hold.
    fn room(&self) -> usize {
        self.left.min(TRANSFER_BYTES as u64) as usize
    }

    /// The next piece, or the beginning of one, if nobody has to wait for a disk (`RWF_NOWAIT`).
    fn at_hand(&self) -> Option<Piece> {
        if let Some((_, file)) = &self.lane {
            let count = lane_bytes(self.left, &self.share);
            if chaski_sendfile::is_at_hand(file, self.next, count) {
                return Some(Piece::AtHand(count));
            }
        }
        let mut piece = vec![0; self.room()];
        let mut into = [IoSliceMut::new(&mut piece)];
        let count = rustix::io::preadv2(self.stored.file()?, &mut into, self.next, ReadWriteFlags::NOWAIT);
        // What can't be said without waiting, errors too, is said by whoever waits.
        let count = count.ok().filter(|count| *count > 0)?;
        self.shared.metrics.read_at_once_total.inc();
        piece.truncate(count);
        Some(Piece::Read(piece))
    }

    fn begin(&self) -> JoinHandle<io::Result<Vec<u8>>> {
        let (stored, from, count) = (self.stored.clone(), self.next, self.room());
        self.shared.runtime.spawn_blocking(move || {
            let mut piece = vec![0; count];
            let count = stored.read_at(from, &mut piece)?;
            piece.truncate(count);
            Ok(piece)
        })
    }
}

/// How long the next piece may be that the system sends. Where turns are taken it is as long as others' are.
fn lane_bytes(left: u64, share: &Share) -> usize {
    let most = if share.is_bound() { TRANSFER_BYTES } else { PIECE_BYTES };
    let count = if left > TAIL_BYTES { left - TAIL_BYTES } else { left };
    count.min(most as u64) as usize
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let ready = self.piece.take();
        let ready = if ready.is_none() && self.reading.is_none() { self.at_hand() } else { ready };
        let piece = match ready {
            Some(piece) => piece,
            None => {
                let mut reading = self.reading.take().unwrap_or_else(|| self.begin());
                let Poll::Ready(read) = Pin::new(&mut reading).poll(cx) else {
                    self.reading = Some(reading);
                    return Poll::Pending;
                };
                match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(piece) => Piece::Read(piece),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        let count = piece.len() as u64;
        if count == 0 || count > self.left {
            // It was longer when it was opened: the length that was said can't be kept.
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        if self.share.is_bound() {
            let waiting = self.waiting.take();
            let mut waiting = waiting.unwrap_or_else(|| Box::pin(self.share.clone().take(piece.len())));
            if waiting.as_mut().poll(cx).is_pending() {
                (self.piece, self.waiting) = (Some(piece), Some(waiting));
                return Poll::Pending;
            }
        }
        let bytes = match (piece, &self.lane) {
            (Piece::Read(piece), _) => piece.into(),
            (Piece::AtHand(count), Some((lane, file))) => {
                self.shared.metrics.sent_by_system_total.inc();
                lane.hand_over(file, self.next, count, &self.shared.runtime)
            }
            (Piece::AtHand(_), None) => return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into()))),
        };
        self.next += count;
        self.left -= count;
        self.shared.metrics.sent_bytes_total.add(count);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Drop for FileBody {
    fn drop(&mut self) {
        self.shared.metrics.transfers.add(-1);
    }
}
