//! TLS of one connection, without a socket: ciphertext in, plaintext out, and back.
//!
//! The shard reads into its own buffer and writes from its own, so what is kept per connection is rustls' state.
//! The seam is deliberate: everything outside of this file sees only [`TlsSession`], so that rustls' unbuffered
//! connection (2.1 KB instead of 6.3 KB) can take its place.

use crate::tls::TlsIdentity;
use chaski_xmpp::sasl::ChannelBindings;
use rustls::{ProtocolVersion, ServerConnection};
use std::io::{Read, Write};
use std::sync::Arc;

/// See the module.
pub(crate) struct TlsSession {
    inner: ServerConnection,
    /// For the channel binding, until the handshake is over.
    end_point: Option<Arc<[u8]>>,
}

/// What came of some ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decrypted {
    /// The handshake was completed by this.
    pub(crate) established: bool,
    /// The peer said `close_notify`.
    pub(crate) ended: bool,
}

impl TlsSession {
    /// A server session before its handshake.
    pub(crate) fn new(identity: &TlsIdentity) -> Result<Self, rustls::Error> {
        let mut inner = ServerConnection::new(identity.xmpp().clone())?;
        // We hand over only what we send in the same turn; the bound on slow clients is `Outbound`'s.
        inner.set_buffer_limit(None);
        Ok(Self { inner, end_point: identity.end_point().cloned() })
    }

    /// One whose handshake someone else has done (HTTP).
    pub(crate) fn established(mut inner: ServerConnection) -> Self {
        inner.set_buffer_limit(None);
        Self { inner, end_point: None }
    }

    /// Whether the handshake is going on.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    /// Takes ciphertext; appends what it says to `plain` and what has to be sent for it to `wire` (also on error: the
    /// alert).
    pub(crate) fn decrypt(
        &mut self,
        mut ciphertext: &[u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<Decrypted, rustls::Error> {
        let was_handshaking = self.inner.is_handshaking();
        let mut ended = false;
        while !ciphertext.is_empty() && !ended {
            // Reading from a slice fails only if rustls' buffer is full, and it is emptied below each time.
            match self.inner.read_tls(&mut ciphertext) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(rustls::Error::General(error.to_string())),
            }
            let state = self.inner.process_new_packets();
            self.output(wire);
            let state = state?;
            ended = state.peer_has_closed();
            self.input(state.plaintext_bytes_to_read(), plain);
        }
        Ok(Decrypted { established: was_handshaking && !self.inner.is_handshaking(), ended })
    }

    /// Appends what someone else had read and not decrypted, or decrypted and not taken.
    pub(crate) fn leftover(&mut self, plain: &mut Vec<u8>) -> Result<(), rustls::Error> {
        let state = self.inner.process_new_packets()?;
        self.input(state.plaintext_bytes_to_read(), plain);
        Ok(())
    }

    fn input(&mut self, bytes: usize, plain: &mut Vec<u8>) {
        if bytes > 0 {
            let start = plain.len();
            plain.resize(start + bytes, 0);
            let read = self.inner.reader().read(&mut plain[start..]).unwrap_or(0);
            plain.truncate(start + read);
        }
    }

    /// Encrypts and appends to `wire`.
    pub(crate) fn encrypt(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        // Without a limit the writer takes everything, and a Vec does too.
        let _ = self.inner.writer().write_all(plain);
        self.output(wire);
    }

    /// Appends `close_notify`.
    pub(crate) fn close(&mut self, wire: &mut Vec<u8>) {
        self.inner.send_close_notify();
        self.output(wire);
    }

    fn output(&mut self, wire: &mut Vec<u8>) {
        while self.inner.wants_write() {
            if !matches!(self.inner.write_tls(wire), Ok(1..)) {
                break;
            }
        }
    }

    /// What an authentication can be bound to (RFC 9266, RFC 5929). Once, after the handshake.
    pub(crate) fn channel_bindings(&mut self) -> ChannelBindings {
        // Of TLS 1.2 only sessions with extended master secret may be bound to (RFC 9266 §4.2), and rustls does not
        // say whether this one has it: leave it to `tls-server-end-point`.
        let is_13 = self.inner.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let exporter =
            || self.inner.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok();
        ChannelBindings {
            tls_exporter: is_13.then(exporter).flatten(),
            tls_server_end_point: self.end_point.take().map(|hash| hash.as_ref().into()),
        }
    }
}
