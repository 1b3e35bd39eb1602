//! The other end of the admin socket, for `chaski ctl`. Blocking.

use super::protocol::{Answer, Reply, Request};
use super::{LINE_BYTES, SOCKET_NAME, path};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than any answer takes; a stopped server closes the socket.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// A conversation with a running server.
#[derive(Debug)]
pub struct AdminClient {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no server is running on this data directory (nothing answers at {}); start it with: chaski serve", .0.display())]
    NotRunning(PathBuf),
    /// The socket is there but not ours to use, or the conversation broke.
    #[error("can't talk to the server at {}: {error}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// The server refused.
    #[error("{text}")]
    Refused {
        /// A word for programs.
        code: String,
        /// A sentence for people.
        text: String,
    },
}

impl AdminClient {
    /// Connects to the server of a data directory.
    pub fn connect(data: &Path) -> Result<Self, ClientError> {
        let path = data.join(SOCKET_NAME);
        let connected = path::with_short(&path, |short| {
            let stream = UnixStream::connect(short)?;
            stream.set_read_timeout(Some(ANSWER_TIME))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => Ok(Self { stream: BufReader::new(stream), path }),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    Err(ClientError::NotRunning(path))
                }
                _ => Err(ClientError::Broken { path, error }),
            },
        }
    }

    /// Asks and waits.
    pub fn call(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let answer =
            self.exchange(request).map_err(|error| ClientError::Broken { path: self.path.clone(), error })?;
        match answer {
            Answer::Ok(reply) => Ok(reply),
            Answer::Error { code, text } => Err(ClientError::Refused { code, text }),
        }
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Answer> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line)?;
        line.clear();
        (&mut self.stream).take(LINE_BYTES as u64).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        Ok(serde_json::from_slice(&line)?)
    }
}
