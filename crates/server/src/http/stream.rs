//! An HTTP connection's byte stream, plain or TLS, that can be taken apart again for the shards.

use chaski_sendfile::{Lane, Stream};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// See the module.
#[derive(Debug)]
pub enum HttpStream {
    /// No TLS.
    Plain(Stream),
    /// TLS that ends here.
    Tls(Box<TlsStream<TcpStream>>),
}

impl HttpStream {
    /// Whether this protocol was agreed on by ALPN.
    pub(super) fn speaks(&self, protocol: &[u8]) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(protocol),
        }
    }

    /// Where files may be left for the system to send.
    pub(super) fn lane(&self) -> Option<Lane> {
        match self {
            Self::Plain(stream) => Some(stream.lane()),
            Self::Tls(_) => None,
        }
    }

    /// The socket, and the TLS state if there is one.
    pub fn into_parts(self) -> (TcpStream, Option<rustls::ServerConnection>) {
        match self {
            Self::Plain(stream) => (stream.into_inner(), None),
            Self::Tls(tls) => {
                let (tcp, state) = tls.into_inner();
                (tcp, Some(state))
            }
        }
    }
}

/// A plain request on a TLS port gets an answer that a person understands.
pub(super) async fn say_use_https(mut tcp: TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
        Content-Length: 30\r\n\r\nThis port speaks HTTPS only.\r\n";
    // What the client has sent is taken first: closing on unread bytes would reset the connection under our answer.
    let mut request = [0u8; 4096];
    let _ = tcp.try_read(&mut request);
    let _ = tcp.write_all(ANSWER).await;
    let _ = tcp.shutdown().await;
}

impl AsyncRead for HttpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    /// So that hyper copies no bodies into a buffer of its own.
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
