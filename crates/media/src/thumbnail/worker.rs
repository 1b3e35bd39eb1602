//! The process in which pictures are decoded: `chaski thumbnail-worker`, which nobody calls by hand.
//!
//! Started by [`super::process`] with an empty environment and a socket as its standard input. It puts walls around itself
//! ([`super::confine`]), makes a thumbnail of a picture of its own to see that it still can, and then of what it is handed, one after the
//! other, until the server closes the socket. Blocking code on one thread. It has no path of anything: a picture comes as an open file, and
//! is read at offsets of its own, so that a descriptor's position matters to nobody.

use super::confine::confine;
use super::picture::{Encoding, Limits, Made, Unfit, make};
use super::wire::{Hello, Request, Status, answer};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// The argument that makes a worker of the program.
pub const COMMAND: &str = "thumbnail-worker";
/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Works until the server has no more use for this process.
pub fn run() -> ExitCode {
    serve(|picture, length, width, limits| {
        make(BufReader::with_capacity(READ_BYTES, picture), length, width, limits)
    })
}

/// The same, with something else in the place of what makes thumbnails: for tests of what happens to a process that misbehaves.
#[doc(hidden)]
pub fn serve(make: impl Fn(&mut Picture, u64, u32, &Limits) -> Result<Made, Unfit>) -> ExitCode {
    // Nobody reads what a panic says, and the filter would not let it be written.
    std::panic::set_hook(Box::new(|_| {}));
    let socket = io::stdin();
    match work(socket.as_fd(), &make) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn work(
    socket: BorrowedFd<'_>,
    make: &impl Fn(&mut Picture, u64, u32, &Limits) -> Result<Made, Unfit>,
) -> io::Result<()> {
    let Some(Hello { limits, cpu_seconds }) = Hello::receive(socket)? else { return Ok(()) };
    let is_filtered = confine(limits.memory_bytes, cpu_seconds)?;
    try_oneself(&limits)?;
    answer(socket, if is_filtered { Status::Ready } else { Status::ReadyUnfiltered }, &[])?;
    while let Some((request, file)) = Request::receive(socket)? {
        let mut picture =
            Picture { file: file.into(), length: request.length, at: 0, failed: Cell::new(false) };
        let made =
            catch_unwind(AssertUnwindSafe(|| make(&mut picture, request.length, request.width, &limits)));
        // A decoder that panics has met something that is no picture; it has no state that outlives it.
        let made = made.unwrap_or(Err(Unfit::NotAPicture));
        match made {
            _ if picture.failed.get() => answer(socket, Status::Unreadable, &[])?,
            Ok(Made { encoding: Encoding::Jpeg, bytes }) => answer(socket, Status::Jpeg, &bytes)?,
            Ok(Made { encoding: Encoding::Png, bytes }) => answer(socket, Status::Png, &bytes)?,
            Err(Unfit::NotAPicture) => answer(socket, Status::NotAPicture, &[])?,
            Err(Unfit::TooLarge) => answer(socket, Status::TooLarge, &[])?,
        }
    }
    Ok(())
}

/// Whether anything can be made behind these walls. If not, it is not the fault of the first picture that comes.
fn try_oneself(limits: &Limits) -> io::Result<()> {
    let opaque = image::DynamicImage::new_rgb8(64, 64);
    let mut png = Cursor::new(Vec::new());
    opaque.write_to(&mut png, image::ImageFormat::Png).map_err(io::Error::other)?;
    let length = png.get_ref().len() as u64;
    png.rewind()?;
    let jpeg = make(png, length, 32, limits).map_err(io::Error::other)?.bytes;
    let length = jpeg.len() as u64;
    make(Cursor::new(jpeg), length, 16, limits).map_err(io::Error::other)?;
    Ok(())
}

/// What is to be made small.
#[doc(hidden)]
#[derive(Debug)]
pub struct Picture {
    file: File,
    length: u64,
    at: u64,
    /// The file could not be read: no fault of what is in it.
    failed: Cell<bool>,
}

impl Read for Picture {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let room = into.len().min(left);
        let read = self.file.read_at(&mut into[..room], self.at).inspect_err(|error| {
            self.failed.set(self.failed.get() || error.kind() != io::ErrorKind::Interrupted);
        })?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Picture {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
