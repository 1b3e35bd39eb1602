//! The roster as clients see it (RFC 6121 §2): requests, pushes, and the subscriptions that end when an item is removed.
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

/// Requests of the account's own sessions.
pub(crate) const DOORS: &[Door] =
    &[Door { ns: ns::ROSTER, owner: Some(answer::asked), other: None, domain: None }];

/// Handles the event that an item has changed.
pub(crate) fn heard(turn: &mut Turn<'_>, account: &mut Account, event: &Event) {
    if let Event::RosterItemChanged(contact) = event {
        answer::push(turn, account, contact);
    }
}
