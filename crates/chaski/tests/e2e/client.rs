//! The smallest XMPP client that can log in: a socket, PLAIN, bind, and waiting for a text to come by.

use crate::server::PATIENCE;
use base64::Engine as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

pub(crate) type Tls = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// A connection and what it has received and not yet been waited for.
pub(crate) struct Client<S> {
    pub(crate) stream: S,
    received: String,
}

pub(crate) fn tcp(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp
}

/// A TLS connection that trusts this CA.
pub(crate) fn tls(tcp: TcpStream, ca: &Path, alpn: &[&[u8]]) -> Tls {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = Tls::new(rustls::ClientConnection::new(Arc::new(config), name).unwrap(), tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream
}

/// One HTTP request on one connection; the whole answer.
pub(crate) fn http(stream: impl Read + Write, request: &str) -> String {
    http_with_body(stream, request, "")
}

/// The same with a body.
pub(crate) fn http_with_body(mut stream: impl Read + Write, request: &str, body: &str) -> String {
    write!(stream, "{request}\r\nHost: localhost\r\nConnection: close\r\n\r\n{body}").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, received: String::new() }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }

    /// Everything up to and including this text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.received.find(text) {
                let rest = self.received.split_off(at + text.len());
                return std::mem::replace(&mut self.received, rest);
            }
            let mut buffer = [0u8; 4096];
            let n = self
                .stream
                .read(&mut buffer)
                .unwrap_or_else(|error| panic!("{error} after {:?}", self.received));
            assert_ne!(n, 0, "closed; no {text:?} in {:?}", self.received);
            self.received.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
    }

    /// Opens a stream. Gives the features.
    pub(crate) fn open(&mut self) -> String {
        self.send(
            "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>",
        );
        self.wait_for("</stream:features>")
    }

    /// `true` if the key is right.
    pub(crate) fn authenticate(&mut self, name: &str, key: &str) -> bool {
        let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0{name}\0{key}"));
        self.send(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>"
        ));
        self.wait_for("xmpp-sasl").contains("<success")
    }

    /// Logs in and sends presence. What comes before the answer to a ping of the domain after that (mail that waited in memory) is
    /// dropped; what has to be read from the disk comes later.
    pub(crate) fn log_in(stream: S, name: &str, key: &str, resource: &str) -> Self {
        let mut client = Self::bind(stream, name, key, resource);
        client.send("<presence/><iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
        client.wait_for("id='p'");
        client
    }

    /// Logs in without presence: nothing is delivered yet.
    pub(crate) fn bind(stream: S, name: &str, key: &str, resource: &str) -> Self {
        let mut client = Self::new(stream);
        client.open();
        assert!(client.authenticate(name, key), "{name} can't log in");
        client.open();
        client.send(&format!(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
        ));
        client.wait_for(&format!("{name}@localhost/{resource}"));
        client.wait_for("</iq>");
        client
    }

    /// Reads to the end of the connection.
    pub(crate) fn wait_for_end(mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        self.received + &String::from_utf8_lossy(&rest)
    }
}
