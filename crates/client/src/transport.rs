//! The byte stream under a link: TCP with or without TLS.

use crate::error::ClientError;
use crate::target::Target;
use crate::trust::Trust;
use chaski_xmpp::sasl::ChannelBindings;
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens the TCP connection of `host:port`.
pub(crate) async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether the peer is this machine. An error: it has gone already, and nobody can say who it was.
pub(crate) fn is_loopback(stream: &TcpStream) -> io::Result<bool> {
    Ok(stream.peer_addr()?.ip().to_canonical().is_loopback())
}

/// Refuses a peer that is not this machine. One that has gone may be tried again.
pub(crate) fn must_be_loopback(stream: &TcpStream, target: &Target) -> Result<(), ClientError> {
    match is_loopback(stream) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ClientError::NotLoopback(target.to_string())),
        Err(source) => Err(ClientError::Unreachable { server: target.to_string(), source }),
    }
}

/// Does the TLS handshake for an XMPP connection. `direct`: announce the protocol (XEP-0368).
pub(crate) async fn tls(
    stream: TcpStream,
    target: &Target,
    trust: &Trust,
    direct: bool,
) -> Result<Transport, ClientError> {
    if trust.is_loopback_only() {
        must_be_loopback(&stream, target)?;
    }
    let failed = |source: io::Error| ClientError::Tls { server: target.to_string(), source };
    let name = ServerName::try_from(target.domain.clone())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let config = if direct { trust.xmpp_config() } else { trust.config() };
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(failed)?;
    Ok(Transport::Tls(Box::new(stream)))
}

impl Transport {
    /// What an authentication can be bound to (RFC 9266; only TLS 1.3 has it without further conditions).
    pub(crate) fn channel_bindings(&self) -> ChannelBindings {
        let Self::Tls(stream) = self else { return ChannelBindings::NONE };
        let (_, connection) = stream.get_ref();
        if connection.protocol_version() != Some(rustls::ProtocolVersion::TLSv1_3) {
            return ChannelBindings::NONE;
        }
        let exported = connection.export_keying_material([0u8; 32], b"EXPORTER-Channel-Binding", None);
        ChannelBindings { tls_exporter: exported.ok(), ..ChannelBindings::NONE }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that is killed right behind the handshake was once taken for one elsewhere, and not tried again.
    #[tokio::test]
    async fn a_peer_that_has_gone_may_be_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let security = crate::target::Security::Plain;
        let target = Target { host: "127.0.0.1".into(), port, security, domain: "localhost".into() };
        let stream = tcp(&target.host, port).await.unwrap();
        assert!(must_be_loopback(&stream, &target).is_ok());
        let (accepted, _) = listener.accept().await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(b"unread").unwrap();
        accepted.readable().await.unwrap();
        // What is unread makes the end a reset.
        drop(accepted);
        stream.readable().await.unwrap();
        let gone = must_be_loopback(&stream, &target).unwrap_err();
        assert!(matches!(gone, ClientError::Unreachable { .. }) && !gone.is_final(), "{gone}");
    }
}
