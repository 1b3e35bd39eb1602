//! What a change of the phone book means for the account at hand: for its roster, its sessions, and what the contact sees of it.

use crate::account::Account;
use crate::account::roster::{Contact, Full, PresenceDue};
use crate::effects::event::Event;
use crate::effects::turn::Turn;

/// Applies what the phone book says of the contact now: not in it (or without an account), in it, or each in the other's.
pub(crate) fn follow(
    turn: &mut Turn<'_>,
    account: &mut Account,
    contact: &Contact,
    mutual: Option<bool>,
) -> Result<(), Full> {
    let followed = account.roster.follow(contact, mutual, turn.realm.knobs.of())?;
    if followed.stale_document {
        // If saving fails nothing has to be taken back: the phone book is the truth, and the name goes with the next save.
        turn.outbox.undo = Some(account.roster.undo_point(contact));
    }
    let due = followed.presence;
    let changed = || Event::SubscriptionChanged { contact: contact.clone(), due, is_repeated: false };
    if due == PresenceDue::Unavailable {
        turn.outbox.event(changed());
    }
    if followed.push {
        turn.outbox.event(Event::RosterItemChanged(contact.clone()));
    }
    if due == PresenceDue::Current {
        turn.outbox.event(changed());
    }
    if followed.sees {
        // The contact's account may have followed first. Then its presence came before the roster push, and clients ignore the
        // presence of a JID that is not on the roster.
        turn.outbox.event(Event::ContactSeen(contact.clone()));
    }
    Ok(())
}
