//! The admin socket: what `chaski ctl` talks to.
//!
//! A Unix socket `admin.sock` (mode 0600) in the data directory; whoever may open it may do everything. The protocol is
//! lines of JSON: each line from the client is a [`protocol::Request`], each is answered by one line, a
//! [`protocol::Answer`], in order. Runs on the tokio runtime beside the shards; what it asks of accounts goes through
//! their owners ([`desk::Desk`]).
//!
//! Called by `serve`. Promises: at most [`CONNECTIONS`] clients and [`LINE_BYTES`] a line; a stuck client holds nobody up.

pub mod client;
pub mod desk;
mod path;
pub mod protocol;

use desk::Desk;
use protocol::{Answer, Request};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

/// The socket's name in the data directory.
pub const SOCKET_NAME: &str = "admin.sock";
/// Most clients at once; more wait in the backlog.
pub const CONNECTIONS: usize = 16;
/// Longest line of either side.
pub const LINE_BYTES: usize = 8 << 20;

/// The bound socket.
pub struct AdminSocket {
    listener: UnixListener,
}

impl AdminSocket {
    /// Binds in the data directory, which the caller has locked, so that a socket left there is a dead one.
    /// Must be called within the runtime.
    pub fn bind(data: &Path) -> io::Result<Self> {
        let path = data.join(SOCKET_NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = path::with_short(&path, |short| UnixListener::bind(short))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener })
    }

    /// Serves until `stop` becomes true.
    pub async fn serve(self, desk: Arc<Desk>, mut stop: watch::Receiver<bool>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stopping| *stopping) => return,
            };
            let desk = desk.clone();
            match accepted {
                Ok((stream, _)) => drop(tokio::spawn(async move {
                    let _slot = slot;
                    if let Err(error) = converse(stream, desk).await {
                        tracing::debug!(%error, "an admin client went away");
                    }
                })),
                Err(error) => {
                    tracing::warn!(%error, "can't accept on the admin socket");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn converse(stream: UnixStream, desk: Arc<Desk>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(64 * 1024, read);
    let mut line = Vec::new();
    while read_line(&mut read, &mut line).await? {
        let answer = match serde_json::from_slice::<Request>(&line) {
            Err(error) => Answer::refused("bad-request", format!("not a request: {error}")),
            Ok(request) => {
                let desk = desk.clone();
                // Derivations, SQLite and waiting for a shard block.
                tokio::task::spawn_blocking(move || desk.answer(request)).await.map_err(io::Error::other)?
            }
        };
        let mut out = serde_json::to_vec(&answer).map_err(io::Error::other)?;
        out.push(b'\n');
        write.write_all(&out).await?;
    }
    Ok(())
}

/// One line without its end; false at the end of the stream. A line that is too long is an error.
async fn read_line(read: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let available = read.fill_buf().await?;
        if available.is_empty() {
            return Ok(false);
        }
        let end = available.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        line.extend_from_slice(&available[..taken]);
        read.consume(taken);
        if line.len() > LINE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
        }
        if end.is_some() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests;
