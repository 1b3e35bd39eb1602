//! TLS of a generator's session: ciphertext in, plaintext out, and back. Small when idle ([`chaski_tls`]). If TLS sessions may be
//! resumed, a phone's ticket is its own ([`Purse`]), as in life; so it is lent to whatever rustls does.

use super::purse::{Purse, Ticket};
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
        (takes_tickets, ticket): (bool, &mut Option<Ticket>),
        wire: &mut Vec<u8>,
    ) -> Result<Self, rustls::Error> {
        let tickets = if takes_tickets { TICKETS } else { 0 };
        let begun = Purse::lend(ticket, || Session::client(config.clone(), name.clone(), tickets, wire));
        Ok(Self(Box::new(begun?)))
    }

    /// Takes ciphertext, which is destroyed. True: the handshake was completed by this.
    pub(crate) fn feed(
        &mut self,
        ticket: &mut Option<Ticket>,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<bool, rustls::Error> {
        Ok(Purse::lend(ticket, || self.0.feed(incoming, plain, wire))?.established)
    }

    /// Whether the handshake took up an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.0.is_resumed()
    }

    /// Encrypts; the ciphertext is appended to `wire`.
    pub(crate) fn encrypt(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), rustls::Error> {
        self.0.encrypt(plain, wire)
    }
}
