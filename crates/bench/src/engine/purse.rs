//! A TLS ticket for each simulated phone: rustls asks for it by the server's name, which all phones share.
//!
//! Used by [`super::secure`]. Of a run's settings there is one [`Purse`]; whose ticket it holds is decided before each call of
//! rustls, on the thread that makes it, and nothing stays in it between two calls.

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::cell::RefCell;

/// By which a phone comes back. Large: the server's certificate is in it.
pub(crate) type Ticket = Box<Tls13ClientSessionValue>;

thread_local! {
    static IN_HAND: RefCell<Option<Ticket>> = const { RefCell::new(None) };
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Purse;

impl Purse {
    /// Has rustls run with this ticket in hand. What is in hand afterwards, be it a new one, is the phone's.
    pub(crate) fn lend<R>(ticket: &mut Option<Ticket>, run: impl FnOnce() -> R) -> R {
        IN_HAND.set(ticket.take());
        let result = run();
        *ticket = IN_HAND.take();
        result
    }
}

impl ClientSessionStore for Purse {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        IN_HAND.set(Some(Box::new(ticket)));
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        IN_HAND.take().map(|ticket| *ticket)
    }
}
