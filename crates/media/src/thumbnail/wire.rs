//! What the server and a worker say to each other, over the pair of sockets that is the worker's standard input.
//!
//! Both ends are the same binary, so numbers are in the machine's own order and there are no versions. The server begins with a
//! [`Hello`], the worker says [`Status::Ready`]; then a [`Request`], whose file travels along as `SCM_RIGHTS` (unix(7)), and an answer, by turns. Called by
//! [`super::worker`] and [`super::process`], which believes nothing of what a worker says: see [`Head::read`].

use super::picture::Limits;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The most that an answer can have: a thumbnail of the largest width with transparency, which did not get any smaller by being PNG.
pub(super) const ANSWER_BYTES_MAX: u32 = 10 << 20;

/// What a worker has to know before its first picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) limits: Limits,
    /// Processor time of its whole life.
    pub(super) cpu_seconds: u64,
}

impl Hello {
    const LENGTH: usize = 40;

    pub(super) fn send(&self, to: BorrowedFd<'_>) -> io::Result<()> {
        let Limits { file_bytes, pixels, side, memory_bytes } = self.limits;
        let words = [file_bytes, pixels, u64::from(side), memory_bytes, self.cpu_seconds];
        send_all(to, words.map(u64::to_ne_bytes).as_flattened())
    }

    pub(super) fn receive(from: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        let mut bytes = [0; Self::LENGTH];
        if receive(from, &mut bytes)?.is_none() {
            return Ok(None);
        }
        let [file_bytes, pixels, side, memory_bytes, cpu_seconds] = words(&bytes);
        let limits = Limits { file_bytes, pixels, side: side as u32, memory_bytes };
        Ok(Some(Self { limits, cpu_seconds }))
    }
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|index| words.get(index).map_or(0, |word| u64::from_ne_bytes(*word)))
}

/// A picture to be made small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) length: u64,
    pub(super) width: u32,
}

impl Request {
    const LENGTH: usize = 16;

    pub(super) fn send(&self, to: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        let files = [file];
        if !rights.push(SendAncillaryMessage::ScmRights(&files)) {
            return Err(io::Error::other("no space for the descriptor"));
        }
        let bytes = [self.length, u64::from(self.width)].map(u64::to_ne_bytes);
        let bytes = bytes.as_flattened();
        let sent = sendmsg(to, &[IoSlice::new(bytes)], &mut rights, SendFlags::NOSIGNAL)?;
        send_all(to, &bytes[sent..])
    }

    /// `None`: the server has gone, or has no more for this worker.
    pub(super) fn receive(from: BorrowedFd<'_>) -> io::Result<Option<(Self, OwnedFd)>> {
        let mut bytes = [0; Self::LENGTH];
        let Some(file) = receive(from, &mut bytes)? else { return Ok(None) };
        let [length, width] = words(&bytes);
        let file = file.ok_or_else(|| io::Error::other("a request without a file"))?;
        Ok(Some((Self { length, width: width as u32 }, file)))
    }
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Jpeg = 1,
    Png = 2,
    NotAPicture = 3,
    TooLarge = 4,
    /// The file could not be read.
    Unreadable = 5,
    /// Confined, system calls filtered too, and able to make thumbnails.
    Ready = 6,
    /// The same, without the filter, which this system does not have.
    ReadyUnfiltered = 7,
}

impl Status {
    const ALL: [Self; 7] = [
        Self::Jpeg,
        Self::Png,
        Self::NotAPicture,
        Self::TooLarge,
        Self::Unreadable,
        Self::Ready,
        Self::ReadyUnfiltered,
    ];
}

/// What stands before an answer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: Status,
    pub(super) length: u32,
}

impl Head {
    pub(super) const LENGTH: usize = 8;

    /// `None`: nonsense.
    pub(super) fn read(bytes: [u8; Self::LENGTH]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let (code, length) = (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]));
        let status = Status::ALL.into_iter().find(|status| *status as u32 == code)?;
        let has_bytes = matches!(status, Status::Jpeg | Status::Png);
        (has_bytes == (length > 0) && length <= ANSWER_BYTES_MAX).then_some(Self { status, length })
    }
}

/// Sends an answer.
pub(super) fn answer(to: BorrowedFd<'_>, status: Status, bytes: &[u8]) -> io::Result<()> {
    let head = [status as u32, bytes.len() as u32].map(u32::to_ne_bytes);
    send_all(to, head.as_flattened())?;
    send_all(to, bytes)
}

pub(super) fn send_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(to, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Fills `bytes`. The inner `Option` is a descriptor that came along, the outer one `None` at the end.
fn receive(from: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<Option<Option<OwnedFd>>> {
    let mut file = None;
    let mut filled = 0;
    while filled < bytes.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes[filled..])];
        let received = match recvmsg(from.as_fd(), &mut slices, &mut rights, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            received => received?.bytes,
        };
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(mut files) = message {
                file = files.next().or(file);
            }
        }
        match received {
            0 if filled == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => filled += received,
        }
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_file_travels_with_its_request() {
        let (server, worker) = UnixStream::pair().unwrap();
        let hello = Hello { limits: Limits::default(), cpu_seconds: 60 };
        hello.send(server.as_fd()).unwrap();
        let request = Request { length: 1 << 40, width: 256 };
        let file = std::fs::File::open("/proc/self/cmdline").unwrap();
        request.send(server.as_fd(), file.as_fd()).unwrap();
        drop(server);
        assert_eq!(Hello::receive(worker.as_fd()).unwrap(), Some(hello));
        let (received, file) = Request::receive(worker.as_fd()).unwrap().unwrap();
        assert_eq!(received, request);
        let mut text = Vec::new();
        std::fs::File::from(file).read_to_end(&mut text).unwrap();
        assert!(!text.is_empty());
        assert!(Request::receive(worker.as_fd()).unwrap().is_none());
    }

    #[test]
    fn nonsense_is_no_answer() {
        let head = |status: u32, length: u32| {
            let bytes: [[u8; 4]; 2] = [status, length].map(u32::to_ne_bytes);
            Head::read(bytes.as_flattened().try_into().unwrap())
        };
        assert_eq!(head(1, 500), Some(Head { status: Status::Jpeg, length: 500 }));
        assert_eq!(head(3, 0), Some(Head { status: Status::NotAPicture, length: 0 }));
        for (status, length) in
            [(0, 0), (8, 0), (1, 0), (2, ANSWER_BYTES_MAX + 1), (3, 1), (6, 1), (u32::MAX, 0)]
        {
            assert_eq!(head(status, length), None, "{status} {length}");
        }
    }
}
