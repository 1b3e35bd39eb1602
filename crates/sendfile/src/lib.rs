//! Files on plain connections, sent by the system (`sendfile`) without passing through this process, under hyper, which lends its socket to
//! nobody.
//!
//! hyper keeps all of HTTP: heads, lengths, keep-alive, pipelining, time. A body that would yield a piece of a file tells the connection's [`Lane`]
//! of it and yields as many bytes of a *placeholder*, one piece of memory that nobody reads. The [`Stream`] below hyper knows the placeholder by
//! its address, and sends there what the lane says. So an answer is the same in every byte whichever way it goes; and what hyper does not
//! know, that its connection has a file to send, is between the two ends of this crate.
//!
//! Promise: a placeholder never leaves the machine. Whatever hyper has taken of it and not written is in every call of the stream, since hyper passes
//! all that it has; if it ever copied instead, the bytes shown and those owed would differ, and the connection ends before any of it is sent.
//!
//! Called by `chaski-media`, whose bodies use the lane, and `chaski-server`, whose listener has the stream; a crate of its own because those two do
//! not know each other. Bounds: a lane owes what hyper buffers, one or two pieces.

#![warn(missing_docs)]

mod stream;

pub use stream::Stream;

use bytes::Bytes;
use rustix::io::ReadWriteFlags;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

/// The longest piece.
pub const PIECE_BYTES: usize = 256 << 10;
/// Of a piece, one byte in so many is looked for in the system's memory.
const LOOK_BYTES: usize = 16 << 10;

/// Memory that is never touched: it costs addresses and no pages.
static PLACEHOLDER: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![0; PIECE_BYTES]));

fn is_placeholder(slice: &IoSlice<'_>) -> bool {
    // Nothing else lies there, and nothing of length 0 stands for a file.
    PLACEHOLDER.as_ptr_range().contains(&slice.as_ptr())
}

/// What a connection's bodies have left to its stream. Cloned into each request.
#[derive(Debug, Clone, Default)]
pub struct Lane(Arc<Mutex<Owed>>);

#[derive(Debug, Default)]
struct Owed {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

/// A part of a file that is to be sent.
#[derive(Debug, Clone)]
struct Piece {
    file: Arc<File>,
    next: u64,
    left: usize,
    /// Where threads may wait for a disk.
    runtime: Handle,
}

impl Lane {
    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes of a file, at most [`PIECE_BYTES`], are sent where what this returns is written: next, and on this connection. They should be
    /// [at hand](is_at_hand); what is not any more when its time comes is read on a thread of `runtime` that may wait.
    pub fn hand_over(&self, file: &Arc<File>, from: u64, count: usize, runtime: &Handle) -> Bytes {
        let placeholder = PLACEHOLDER.slice(..count.min(PIECE_BYTES));
        let (left, file, runtime) = (placeholder.len(), file.clone(), runtime.clone());
        if left > 0 {
            let mut owed = self.owed();
            owed.bytes += left;
            owed.pieces.push_back(Piece { file, next: from, left, runtime });
        }
        placeholder
    }

    /// How many bytes are owed.
    fn bytes(&self) -> usize {
        self.owed().bytes
    }

    fn first(&self) -> Option<Piece> {
        self.owed().pieces.front().cloned()
    }

    /// So many of the first piece have been sent.
    fn sent(&self, count: usize) {
        let mut owed = self.owed();
        owed.bytes = owed.bytes.saturating_sub(count);
        let Some(first) = owed.pieces.front_mut() else { return };
        first.next += count as u64;
        first.left = first.left.saturating_sub(count);
        if first.left == 0 {
            owed.pieces.pop_front();
        }
    }
}

/// Whether a part of a file is in the system's memory, so that nobody who sends it waits for a disk.
///
/// One byte in each [`LOOK_BYTES`] is read on the condition that nothing is waited for (`RWF_NOWAIT`), and the last. The system reads files in
/// stretches of a hundred kilobytes and more and forgets them in the order that they were used, so that a hole between two bytes
/// so near to each other is rare; to look at every page would cost as much as to copy them. Who meets a hole waits for
/// one stretch, as for any page of a program that has been pushed out.
pub fn is_at_hand(file: &File, from: u64, count: usize) -> bool {
    let Some(last) = count.checked_sub(1) else { return true };
    let is_there = |at: usize| {
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        rustix::io::preadv2(file, &mut into, from + at as u64, ReadWriteFlags::NOWAIT).is_ok_and(|n| n == 1)
    };
    (0..count).step_by(LOOK_BYTES).chain([last]).all(is_there)
}

/// Brings a part of a file into the system's memory.
fn fetch(file: &File, from: u64, count: usize) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut scratch = vec![0; LOOK_BYTES];
    for at in (0..count).step_by(LOOK_BYTES) {
        let length = (count - at).min(LOOK_BYTES);
        file.read_exact_at(&mut scratch[..length], from + at as u64)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
