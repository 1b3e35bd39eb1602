//! The roster as clients ask for it and are told of it (RFC 6121 §2): requests, pushes, and what a removal ends.
//!
//! The roster itself, with the state machine of subscriptions, is a document of the account ([`crate::account::roster`]).

mod answer;
mod query;

use crate::account::Account;
use crate::effects::event::Event;
use crate::effects::iq::{Door, Xep};
use crate::effects::turn::Turn;
use chaski_xmpp::ns;

/// What this room implements.
pub const SPEC: &[Xep] = &[Xep::new(237, "1.3", "Roster Versioning", &[])];

/// An account's own sessions ask for it, and change it.
pub(crate) const DOORS: &[Door] =
    &[Door { ns: ns::ROSTER, owner: Some(answer::asked), other: None, domain: None }];

/// An item has changed by another room's doing, or this one's.
pub(crate) fn heard(turn: &mut Turn<'_>, account: &mut Account, event: &Event) {
    if let Event::RosterItemChanged(contact) = event {
        answer::push(turn, account, contact);
    }
}
