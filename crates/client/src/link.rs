//! One connection as a stream of elements: reads and frames, buffers what is to be written.
//!
//! Owned by [`crate::Client`]. Promises: [`Link::element`] can be dropped half way without losing a byte; writing and reading
//! go on side by side, so that neither end can wait for the other for ever; a stanza from the server is bounded.

use crate::error::ClientError;
use crate::transport::Transport;
use chaski_xmpp::framer::FrameKind;
use chaski_xmpp::stream::client::StreamError;
use chaski_xmpp::stream::{Attributes, Framing};
use chaski_xmpp::{Framer, Stanza, StreamHeader};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes of one element from the server: servers may add to what clients may send.
const ELEMENT_BYTES_MAX: u32 = 1 << 20;
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A top-level element from the server, validated.
#[derive(Debug, Clone)]
pub struct Element(Box<[u8]>);

impl Element {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ClientError> {
        Stanza::parse(bytes).map_err(|_| ClientError::Protocol("a malformed element"))?;
        Ok(Self(bytes.into()))
    }

    /// The element, for reading.
    pub fn stanza(&self) -> Stanza<'_> {
        Stanza::parse(&self.0).expect("validated when it was received")
    }
}

pub(crate) struct Link {
    transport: Transport,
    framer: Framer,
    inbox: Vec<u8>,
    /// How much of `inbox` is done with.
    consumed: usize,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    flushing: bool,
}

enum Frame {
    Header,
    Element(Element),
}

impl Link {
    pub(crate) fn new(transport: Transport) -> Self {
        let mut framer = Framer::new();
        framer.set_max_bytes(ELEMENT_BYTES_MAX);
        Self {
            transport,
            framer,
            inbox: Vec::new(),
            consumed: 0,
            out: Vec::new(),
            written: 0,
            flushing: false,
        }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Gives the transport back for TLS to begin. Nothing may have come after `<proceed/>`: it would not be protected.
    pub(crate) fn into_transport(self) -> Result<Transport, ClientError> {
        if self.inbox.len() > self.consumed {
            return Err(ClientError::Protocol("more after <proceed/>, before TLS"));
        }
        Ok(self.transport)
    }

    /// Where to append what is to be sent; it is sent while [`element`](Self::element) or [`flush`](Self::flush) is polled.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes that wait to be written.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.out.len() - self.written
    }

    /// Begins a stream, the first or, after SASL, a new one, and waits for the server's header.
    pub(crate) async fn open(&mut self, domain: &str) -> Result<(), ClientError> {
        self.open_with(domain, &[]).await
    }

    /// The same, with something to be sent behind our header without waiting for the server's.
    pub(crate) async fn open_with(&mut self, domain: &str, behind: &[u8]) -> Result<(), ClientError> {
        self.framer.restart();
        Framing::Tcp.write_header(&Attributes { to: Some(domain), ..Attributes::default() }, &mut self.out);
        self.out.extend_from_slice(behind);
        match self.frame().await? {
            Frame::Header => Ok(()),
            Frame::Element(_) => Err(ClientError::Protocol("an element before the stream header")),
        }
    }

    /// The next element. Stream errors and the stream's end are errors.
    pub(crate) async fn element(&mut self) -> Result<Element, ClientError> {
        match self.frame().await? {
            Frame::Element(element) => {
                if let Some(error) = StreamError::parse(&element.stanza()) {
                    return Err(ClientError::Stream(error));
                }
                Ok(element)
            }
            Frame::Header => Err(ClientError::Protocol("a second stream header")),
        }
    }

    /// Writes everything out.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_out(cx)).await
    }

    /// Says goodbye and waits until the server has read it.
    pub(crate) async fn close(mut self) -> io::Result<()> {
        Framing::Tcp.write_footer(&mut self.out);
        self.flush().await?;
        // The server answers with its own footer: nothing more is to be read before that.
        while self.frame().await.is_ok() {}
        poll_fn(|cx| Pin::new(&mut self.transport).poll_shutdown(cx)).await
    }

    async fn frame(&mut self) -> Result<Frame, ClientError> {
        poll_fn(|cx| self.poll_frame(cx)).await
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, ClientError>> {
        // A broken pipe is no reason not to read what is there: it may say why.
        let broken = match self.poll_out(cx) {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        };
        loop {
            if let Some(frame) = self.cut()? {
                return Poll::Ready(Ok(frame));
            }
            match self.poll_in(cx) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(broken.map_or(ClientError::Closed, ClientError::Lost)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(ClientError::Lost(error))),
                Poll::Pending => {
                    return broken.map_or(Poll::Pending, |error| Poll::Ready(Err(ClientError::Lost(error))));
                }
            }
        }
    }

    /// Cuts the next frame that is of interest.
    fn cut(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            let buf = &self.inbox[self.consumed..];
            if buf.is_empty() {
                self.inbox.clear();
                self.inbox.shrink_to(READ_BYTES);
                self.consumed = 0;
                return Ok(None);
            }
            let frame =
                self.framer.next(buf).map_err(|_| ClientError::Protocol("bytes that are no XML stream"))?;
            let Some(frame) = frame else { return Ok(None) };
            let bytes = &buf[..frame.len];
            let result = match frame.kind {
                FrameKind::Whitespace | FrameKind::Excess(_) => None,
                FrameKind::StreamClose => return Err(ClientError::Closed),
                FrameKind::StreamOpen => {
                    StreamHeader::parse(bytes)
                        .map_err(|_| ClientError::Protocol("a malformed stream header"))?;
                    Some(Frame::Header)
                }
                FrameKind::Element => Some(Frame::Element(Element::parse(bytes)?)),
            };
            self.consumed += frame.len;
            if result.is_some() {
                return Ok(result);
            }
        }
    }

    fn poll_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.consumed > 0 {
            self.inbox.drain(..self.consumed);
            self.consumed = 0;
        }
        let mut space = [0u8; READ_BYTES];
        let mut buf = ReadBuf::new(&mut space);
        match Pin::new(&mut self.transport).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) => {
                self.inbox.extend_from_slice(buf.filled());
                Poll::Ready(Ok(buf.filled().len()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let ready = Pin::new(&mut self.transport).poll_write(cx, &self.out[self.written..]);
            match ready {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.flushing = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.out.clear();
        self.out.shrink_to(READ_BYTES);
        self.written = 0;
        if self.flushing {
            match Pin::new(&mut self.transport).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flushing = false,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }
}
