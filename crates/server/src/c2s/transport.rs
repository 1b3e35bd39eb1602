//! TLS of one connection, without a socket: ciphertext in, plaintext out, and back.
//!
//! The shard reads into its own buffer and writes from its own, so that only the state of [`chaski_tls`] is kept per connection:
//! 300 bytes. A connection that HTTP has upgraded comes with rustls' buffered connection, and keeps it.

use crate::tls::TlsIdentity;
use chaski_tls::Session;
use chaski_xmpp::sasl::ChannelBindings;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;

/// See the module.
pub(crate) struct TlsSession {
    inner: Inner,
    /// The certificate's hash for the channel binding, until the handshake is over.
    end_point: Option<Arc<[u8]>>,
}

#[expect(clippy::large_enum_variant, reason = "the large one is what idle connections have")]
enum Inner {
    Small(Session),
    Buffered(Box<ServerConnection>),
}

/// What came of some ciphertext.
pub(crate) type Decrypted = chaski_tls::Progress;

impl TlsSession {
    /// A server session before its handshake.
    pub(crate) fn new(identity: &TlsIdentity) -> Result<Self, rustls::Error> {
        let session = Session::server(identity.xmpp().clone())?;
        Ok(Self { inner: Inner::Small(session), end_point: identity.end_point().cloned() })
    }

    /// A session whose handshake has been done by HTTP.
    pub(crate) fn established(mut connection: ServerConnection) -> Self {
        // Only output of the same turn is handed over; the bound for slow clients is in `Outbound`.
        connection.set_buffer_limit(None);
        Self { inner: Inner::Buffered(Box::new(connection)), end_point: None }
    }

    /// Whether the handshake is going on.
    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.inner {
            Inner::Small(session) => session.is_handshaking(),
            Inner::Buffered(connection) => connection.is_handshaking(),
        }
    }

    /// Whether the handshake has resumed an earlier TLS session.
    pub(crate) fn is_resumed(&self) -> bool {
        match &self.inner {
            Inner::Small(session) => session.is_resumed(),
            Inner::Buffered(connection) => connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Decrypts ciphertext in place: appends the plaintext to `plain`, and what has to be sent in return to `wire` (after an
    /// error: the alert).
    pub(crate) fn decrypt(
        &mut self,
        ciphertext: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Decrypted, rustls::Error> {
        match &mut self.inner {
            Inner::Small(session) => session.feed(ciphertext, plain, wire),
            Inner::Buffered(connection) => decrypt(connection, ciphertext, plain, wire),
        }
    }

    /// Appends the plaintext of what HTTP had read from the socket and not consumed.
    pub(crate) fn leftover(&mut self, plain: &mut Vec<u8>) -> Result<(), rustls::Error> {
        if let Inner::Buffered(connection) = &mut self.inner {
            let state = connection.process_new_packets()?;
            input(connection, state.plaintext_bytes_to_read(), plain);
        }
        Ok(())
    }

    /// Encrypts and appends to `wire`.
    pub(crate) fn encrypt(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        match &mut self.inner {
            // This fails before and after the session, when no peer could read it.
            Inner::Small(session) => drop(session.encrypt(plain, wire)),
            Inner::Buffered(connection) => {
                // Without a limit the writer takes everything, and a Vec does too.
                let _ = connection.writer().write_all(plain);
                output(connection, wire);
            }
        }
    }

    /// Appends `close_notify`.
    pub(crate) fn close(&mut self, wire: &mut Vec<u8>) {
        match &mut self.inner {
            Inner::Small(session) => session.close(wire),
            Inner::Buffered(connection) => {
                connection.send_close_notify();
                output(connection, wire);
            }
        }
    }

    /// What an authentication can be bound to (RFC 9266, RFC 5929). Once, after the handshake.
    pub(crate) fn channel_bindings(&mut self) -> ChannelBindings {
        let tls_exporter = match &mut self.inner {
            Inner::Small(session) => session.exporter(),
            // Of TLS 1.2 only sessions with extended master secret may be bound to (RFC 9266 §4.2), and rustls does
            // not say whether this one has it: leave it to `tls-server-end-point`.
            Inner::Buffered(connection) => (connection.protocol_version() == Some(ProtocolVersion::TLSv1_3))
                .then(|| {
                    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
                })
                .flatten(),
        };
        ChannelBindings {
            tls_exporter,
            tls_server_end_point: self.end_point.take().map(|hash| hash.as_ref().into()),
        }
    }
}

fn decrypt(
    connection: &mut ServerConnection,
    mut ciphertext: &[u8],
    plain: &mut Vec<u8>,
    wire: &mut Vec<u8>,
) -> Result<Decrypted, rustls::Error> {
    let mut ended = false;
    while !ciphertext.is_empty() && !ended {
        // Reading from a slice fails only if rustls' buffer is full, and it is emptied below each time.
        match connection.read_tls(&mut ciphertext) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(rustls::Error::General(error.to_string())),
        }
        let state = connection.process_new_packets();
        output(connection, wire);
        let state = state?;
        ended = state.peer_has_closed();
        input(connection, state.plaintext_bytes_to_read(), plain);
    }
    Ok(Decrypted { established: false, ended })
}

fn input(connection: &mut ServerConnection, bytes: usize, plain: &mut Vec<u8>) {
    if bytes > 0 {
        let start = plain.len();
        plain.resize(start + bytes, 0);
        let read = connection.reader().read(&mut plain[start..]).unwrap_or(0);
        plain.truncate(start + read);
    }
}

fn output(connection: &mut ServerConnection, wire: &mut Vec<u8>) {
    while connection.wants_write() {
        if !matches!(connection.write_tls(wire), Ok(1..)) {
            break;
        }
    }
}
