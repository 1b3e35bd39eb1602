//! A connection of somebody who asks: bytes out, bytes in, and when.
//!
//! Used by [`super::ways`]. Blocking, so that nothing but the server and the kernel stands between a question and its time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Who says nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// See the module.
pub(crate) struct Line {
    socket: TcpStream,
    heard: Vec<u8>,
}

impl Line {
    /// To a port of this machine.
    pub(crate) fn to(port: u16) -> io::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, heard: Vec::new() })
    }

    /// The same with a stream that is open.
    pub(crate) fn stream(port: u16) -> io::Result<Self> {
        let mut line = Self::to(port)?;
        line.open()?;
        Ok(line)
    }

    fn open(&mut self) -> io::Result<()> {
        self.say(HEADER)?;
        self.until("</stream:features>")?;
        Ok(())
    }

    /// Logged in by PLAIN and bound.
    pub(crate) fn session(port: u16, number: &str, key: &str) -> io::Result<Self> {
        let mut line = Self::stream(port)?;
        let secret = BASE64.encode(format!("\0{number}\0{key}"));
        line.say(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{secret}</auth>"))?;
        line.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")?;
        line.open()?;
        line.say("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>phone</resource></bind></iq>")?;
        line.until("</iq>")?;
        Ok(line)
    }

    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.socket.write_all(text.as_bytes())
    }

    pub(crate) fn say_bytes(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        self.socket.write_all(&[head, body].concat())
    }

    /// All that comes up to and with this text.
    pub(crate) fn until(&mut self, end: &str) -> io::Result<String> {
        self.take(|heard| Some(memchr::memmem::find(heard, end.as_bytes())? + end.len()))
    }

    /// A whole answer of HTTP.
    pub(crate) fn response(&mut self) -> io::Result<String> {
        self.take(|heard| {
            let head = memchr::memmem::find(heard, b"\r\n\r\n")? + 4;
            let text = String::from_utf8_lossy(&heard[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let whole = head + length.unwrap_or(0);
            (heard.len() >= whole).then_some(whole)
        })
    }

    /// What `end` takes for whole, as soon as it is there.
    pub(crate) fn take(&mut self, end: impl Fn(&[u8]) -> Option<usize>) -> io::Result<String> {
        loop {
            if let Some(bytes) = end(&self.heard) {
                let taken: Vec<u8> = self.heard.drain(..bytes).collect();
                return Ok(String::from_utf8_lossy(&taken).into_owned());
            }
            let mut piece = [0; 4_096];
            match self.socket.read(&mut piece)? {
                0 => {
                    let heard = String::from_utf8_lossy(&self.heard);
                    return Err(io::Error::other(format!("the server has closed after {heard:?}")));
                }
                bytes => self.heard.extend_from_slice(&piece[..bytes]),
            }
        }
    }
}
