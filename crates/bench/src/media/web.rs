//! A kept connection of HTTP/1.1 that puts and gets, and keeps nothing of what it gets.

use chaski_client::Trust;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// Who says nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PIECE_BYTES: usize = 64 << 10;

/// Where files are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) port: u16,
    pub(super) is_tls: bool,
    /// What each file's path begins with.
    pub(super) path: String,
}

impl Place {
    /// From `http[s]://127.0.0.1:PORT/PATH`.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port = authority.strip_prefix("127.0.0.1:")?.parse().ok()?;
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Some(Self { port, is_tls: scheme == "https", path })
    }
}

/// See the module.
pub(super) enum Web {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Web {
    pub(super) fn to(place: &Place) -> io::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", place.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        if !place.is_tls {
            return Ok(Self::Plain(socket));
        }
        let mut config = (**Trust::anybody_on_loopback().xmpp_config()).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    pub(super) fn put(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        let length = content.len();
        let head = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        self.write_all(head.as_bytes())?;
        self.write_all(content)?;
        self.flush()?;
        let (head, early) = self.head()?;
        let is_stored = ["HTTP/1.1 201 ", "HTTP/1.1 204 "].iter().any(|status| head.starts_with(status));
        if !is_stored {
            return Err(io::Error::other(head));
        }
        self.skip(length_of(&head).saturating_sub(early as u64))
    }

    /// Asks for a file or a part of it.
    pub(super) fn ask(&mut self, path: &str, range: Option<(u64, u64)>) -> io::Result<()> {
        let range = range.map(|(from, to)| format!("Range: bytes={from}-{to}\r\n")).unwrap_or_default();
        self.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{range}\r\n").as_bytes())?;
        self.flush()
    }

    /// How many bytes came.
    pub(super) fn get(&mut self, path: &str, range: Option<(u64, u64)>) -> io::Result<u64> {
        self.ask(path, range)?;
        let (head, early) = self.head()?;
        let wanted = if range.is_some() { "HTTP/1.1 206 " } else { "HTTP/1.1 200 " };
        if !head.starts_with(wanted) {
            return Err(io::Error::other(head));
        }
        let length = length_of(&head);
        self.skip(length.saturating_sub(early as u64))?;
        Ok(length)
    }

    /// The head of an answer, and how much came behind it.
    fn head(&mut self) -> io::Result<(String, usize)> {
        let (mut heard, mut piece) = (Vec::new(), [0; 4_096]);
        loop {
            if let Some(at) = memchr::memmem::find(&heard, b"\r\n\r\n") {
                let early = heard.len() - at - 4;
                heard.truncate(at + 4);
                return Ok((String::from_utf8_lossy(&heard).into_owned(), early));
            }
            match self.read(&mut piece)? {
                0 => return Err(io::Error::other("the server has closed")),
                bytes => heard.extend_from_slice(&piece[..bytes]),
            }
        }
    }

    fn skip(&mut self, mut left: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let most = left.min(PIECE_BYTES as u64) as usize;
            match self.read(&mut piece[..most])? {
                0 => return Err(io::Error::other("the server has closed")),
                bytes => left -= bytes as u64,
            }
        }
        Ok(())
    }
}

fn length_of(head: &str) -> u64 {
    let head = head.to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0)
}

impl Read for Web {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Web {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
