//! An IQ request as a room gets it, the way back to the asker, and what a room declares of itself.
//!
//! A room declares which namespaces it serves ([`Door`]) and which specifications it implements ([`Xep`]).
//! [`crate::owner::dispatch`], which alone knows all rooms, finds the room for a request. Promise: exactly one answer to each
//! request, by its [`Reply`]. Specification: RFC 6120 §8.2.3.

mod ad_hoc;
mod answer;
mod xep;

pub(crate) use ad_hoc::{AdHocCommand, NoForm, Told};
pub(crate) use answer::Asker;
pub use answer::Reply;
pub(crate) use xep::features;
pub use xep::{Scope, Xep};

use crate::account::Account;
use crate::effects::turn::Turn;
use crate::wire::SessionId;
use chaski_xmpp::stanza::IqType;
use chaski_xmpp::{ElementRef, Stanza};

/// Handles a request of a session of the account. The room answers by the reply once, now or later.
type AskedBySession = fn(&mut Turn<'_>, &mut Account, SessionId, &Request<'_>, Reply);
/// Handles a request of another account.
type AskedByOther = fn(&mut Turn<'_>, &mut Account, Asker, &Request<'_>, Reply);

/// A room's door for requests in one namespace. A kind of request without a handler is refused with `service-unavailable`.
pub(crate) struct Door {
    /// The namespace of the request's child.
    pub(crate) ns: &'static str,
    /// Handles a request of the account's own session to its account.
    pub(crate) owner: Option<AskedBySession>,
    /// Handles a request of another account to this one.
    pub(crate) other: Option<AskedByOther>,
    /// Handles a request of a session of the account to the domain.
    pub(crate) domain: Option<AskedBySession>,
}

/// A request with its one child, and who asks.
pub(crate) struct Request<'s> {
    /// The stanza.
    pub(crate) stanza: &'s Stanza<'s>,
    /// `get` (true) or `set`.
    pub(crate) is_get: bool,
    /// Its child.
    pub(crate) child: ElementRef<'s>,
}

impl<'s> Request<'s> {
    pub(crate) fn read(stanza: &'s Stanza<'s>) -> Option<Self> {
        let is_get = match stanza.iq_type()? {
            IqType::Get => true,
            IqType::Set => false,
            IqType::Result | IqType::Error => return None,
        };
        Some(Self { stanza, is_get, child: stanza.children().next()? })
    }

    /// Whether it is a `get` with this child.
    pub(crate) fn gets(&self, name: &str, ns: &str) -> bool {
        self.is_get && self.child.is(name, ns)
    }
}
