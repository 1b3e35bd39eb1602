//! The server's side of one worker: starts it, hands it pictures, does not wait longer than it has to, and ends it.
//!
//! Called by [`super::workers`], on a thread that blocks for it. A worker may have been taken over by a picture: nothing that it says is
//! believed beyond "these bytes are a JPEG", it is waited for until a deadline, and once it has failed it is killed. What
//! it failed of makes a difference: what a picture did to it is remembered of the picture; what the machine did (killed for memory, no
//! processor time to be had) is not.

use super::picture::{Encoding, Made, Unfit};
use super::wire::{Head, Hello, Request, Status};
use super::worker::COMMAND;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a worker may take to be ready, or longer if a picture may, and to end once its socket is closed.
const START_TIME: Duration = Duration::from_secs(20);
const END_TIME: Duration = Duration::from_secs(1);
/// How often the end of a worker is looked for.
const END_LOOK: Duration = Duration::from_millis(5);

/// What is run as a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// What makes a worker of it.
    pub arguments: Vec<String>,
}

impl Program {
    /// The program that runs now, if it takes [`COMMAND`]. By the kernel's own link to it, which still leads there when an
    /// upgrade has put another file in its place.
    pub fn of_this_process() -> Self {
        Self { path: "/proc/self/exe".into(), arguments: vec![COMMAND.to_owned()] }
    }
}

/// What became of a picture.
#[derive(Debug)]
pub(super) enum Outcome {
    Made(Made),
    Unfit(Unfit),
    /// The file could not be read.
    Unreadable,
}

/// A worker that is no more, and whose fault that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It died of the picture, took too long over it, or said nonsense after it.
    ByPicture,
    /// It was killed, or got no time on a processor.
    ByMachine,
}

/// A worker.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    is_filtered: bool,
}

impl Process {
    /// Starts one, and waits until it is ready.
    pub(super) fn start(program: &Program, hello: &Hello, picture_time: Duration) -> io::Result<Self> {
        let (socket, end) = UnixStream::pair()?;
        let child = Command::new(&program.path)
            .args(&program.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(end)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut process = Self { child, socket, is_filtered: false };
        hello.send(process.socket.as_fd())?;
        let head = process.read_head(now() + START_TIME.max(picture_time))?;
        process.is_filtered = match head.map(|head| head.status) {
            Some(Status::Ready) => true,
            Some(Status::ReadyUnfiltered) => false,
            _ => return Err(io::Error::other("the worker says nonsense")),
        };
        Ok(process)
    }

    /// Whether its system calls are filtered.
    pub(super) fn is_filtered(&self) -> bool {
        self.is_filtered
    }

    /// Has a thumbnail made. After an error the worker is of no more use.
    pub(super) fn make(
        &mut self,
        file: &File,
        length: u64,
        width: u32,
        picture_time: Duration,
    ) -> Result<Outcome, Lost> {
        let cpu_before = self.cpu_time();
        let deadline = now() + picture_time;
        let request = Request { length, width };
        let asked = request.send(self.socket.as_fd(), file.as_fd());
        match asked.and_then(|()| self.read_answer(deadline)) {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) => Err(Lost::ByPicture),
            Err(error) if is_timeout(&error) => {
                // Hardly any time on a processor: others wanted it, or it was stopped. That says nothing of the picture.
                let worked =
                    self.cpu_time().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
                let has_worked = worked.is_none_or(|worked| worked >= picture_time / 4);
                Err(if has_worked { Lost::ByPicture } else { Lost::ByMachine })
            }
            Err(_) => Err(self.why_it_ended()),
        }
    }

    /// `None`: nonsense.
    fn read_answer(&mut self, deadline: Instant) -> io::Result<Option<Outcome>> {
        let Some(head) = self.read_head(deadline)? else { return Ok(None) };
        let encoding = match head.status {
            Status::NotAPicture => return Ok(Some(Outcome::Unfit(Unfit::NotAPicture))),
            Status::TooLarge => return Ok(Some(Outcome::Unfit(Unfit::TooLarge))),
            Status::Unreadable => return Ok(Some(Outcome::Unreadable)),
            Status::Ready | Status::ReadyUnfiltered => return Ok(None),
            Status::Jpeg => Encoding::Jpeg,
            Status::Png => Encoding::Png,
        };
        let mut bytes = vec![0; head.length as usize];
        self.read(&mut bytes, deadline)?;
        let is_so = Encoding::of(&bytes) == Some(encoding);
        Ok(is_so.then_some(Outcome::Made(Made { encoding, bytes })))
    }

    fn read_head(&mut self, deadline: Instant) -> io::Result<Option<Head>> {
        let mut bytes = [0; Head::LENGTH];
        self.read(&mut bytes, deadline)?;
        Ok(Head::read(bytes))
    }

    fn read(&mut self, mut into: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !into.is_empty() {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(into) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => into = &mut into[read..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// For a worker that has closed its socket.
    fn why_it_ended(&mut self) -> Lost {
        let deadline = now() + END_TIME;
        loop {
            match self.child.try_wait() {
                // From outside: nobody here has killed it, and its limits end it otherwise.
                Ok(Some(status)) if status.signal() == Some(KILL) => return Lost::ByMachine,
                Ok(None) if now() < deadline => std::thread::sleep(END_LOOK),
                Ok(_) | Err(_) => return Lost::ByPicture,
            }
        }
    }

    /// Processor time so far, user's and system's (proc_pid_stat(5), fields 14 and 15).
    fn cpu_time(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name, field 2, is in parentheses and may have spaces.
        let (_, fields) = text.rsplit_once(')')?;
        let ticks: u64 = fields.split(' ').skip(12).take(2).map(|field| field.parse().unwrap_or(0)).sum();
        Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)))
    }
}

const KILL: i32 = rustix::process::Signal::KILL.as_raw();

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails for what has ended, which is then waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a worker is waited for by the real clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}
