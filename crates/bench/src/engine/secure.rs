//! TLS of a generator's session: ciphertext in, plaintext out, and back. Small when idle ([`chaski_tls`]).

use chaski_tls::Session;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;

/// Tickets taken per session if TLS sessions may be resumed at all.
const TICKETS: u8 = 1;

/// A client's side of a TLS connection.
pub(crate) struct Secure(Box<Session>);

impl Secure {
    /// Begins; what has to be sent is appended to `wire`.
    pub(crate) fn begin(
        config: &Arc<ClientConfig>,
        name: &ServerName<'static>,
        takes_tickets: bool,
        wire: &mut Vec<u8>,
    ) -> Result<Self, rustls::Error> {
        let tickets = if takes_tickets { TICKETS } else { 0 };
        Ok(Self(Box::new(Session::client(config.clone(), name.clone(), tickets, wire)?)))
    }

    /// Takes ciphertext, which is destroyed. True: the handshake was completed by this.
    pub(crate) fn feed(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<bool, rustls::Error> {
        Ok(self.0.feed(incoming, plain, wire)?.established)
    }

    /// Encrypts; the ciphertext is appended to `wire`.
    pub(crate) fn encrypt(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), rustls::Error> {
        self.0.encrypt(plain, wire)
    }
}
