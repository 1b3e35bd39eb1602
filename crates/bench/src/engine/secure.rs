//! TLS of a generator's session: ciphertext in, plaintext out, and back.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{Read, Write};
use std::sync::Arc;

/// A client's side of a TLS connection.
pub(crate) struct Secure(Box<ClientConnection>);

impl Secure {
    /// Begins; what has to be sent is appended to `wire`.
    pub(crate) fn begin(
        config: &Arc<ClientConfig>,
        name: &ServerName<'static>,
        wire: &mut Vec<u8>,
    ) -> Result<Self, rustls::Error> {
        let mut connection = Box::new(ClientConnection::new(config.clone(), name.clone())?);
        drain(&mut connection, wire);
        Ok(Self(connection))
    }

    /// Takes ciphertext. True: the handshake was completed by this.
    pub(crate) fn feed(
        &mut self,
        mut incoming: &[u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<bool, rustls::Error> {
        let was_handshaking = self.0.is_handshaking();
        while !incoming.is_empty() {
            if self.0.read_tls(&mut incoming).is_err() {
                return Err(rustls::Error::General("too much ciphertext at once".into()));
            }
            let state = self.0.process_new_packets()?;
            let (start, count) = (plain.len(), state.plaintext_bytes_to_read());
            plain.resize(start + count, 0);
            if self.0.reader().read_exact(&mut plain[start..]).is_err() {
                plain.truncate(start);
            }
        }
        drain(&mut self.0, wire);
        Ok(was_handshaking && !self.0.is_handshaking())
    }

    /// Encrypts; the ciphertext is appended to `wire`.
    pub(crate) fn encrypt(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), rustls::Error> {
        self.0.set_buffer_limit(None);
        let written = self.0.writer().write_all(plain);
        written.map_err(|error| rustls::Error::General(error.to_string()))?;
        drain(&mut self.0, wire);
        Ok(())
    }
}

fn drain(connection: &mut ClientConnection, wire: &mut Vec<u8>) {
    while connection.wants_write() {
        // A vector takes everything.
        if connection.write_tls(wire).unwrap_or(0) == 0 {
            return;
        }
    }
}
