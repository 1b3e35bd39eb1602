//! What a change of the book means for the account at hand: its roster, its sessions, and the contact's view of it.

use crate::directory::Account;
use crate::outbox::Turn;
use crate::presence;
use crate::roster::{Contact, Full, PresenceDue, answer::push};

/// The book says this of the contact now: not in it (or no account), in it, or each in the other's.
pub(crate) fn follow(
    turn: &mut Turn<'_>,
    account: &mut Account,
    contact: &Contact,
    mutual: Option<bool>,
) -> Result<(), Full> {
    let followed = account.roster.follow(contact, mutual, &turn.realm.limits)?;
    if followed.stale_document {
        // Nothing to take back if that fails: the book is the truth, and the name goes with the next save.
        turn.outbox.undo = Some(account.roster.undo_point(contact));
    }
    if followed.presence == PresenceDue::Unavailable {
        presence::pay(turn, account, contact, followed.presence);
    }
    if followed.push {
        push(turn, account, contact);
    }
    if followed.presence == PresenceDue::Current {
        presence::pay(turn, account, contact, followed.presence);
    }
    if followed.sees {
        // The contact's owner may have followed first. What it sent then came before the roster push, and clients pass over the
        // presence of somebody who is not on the roster.
        presence::look_again(turn, account, contact);
    }
    Ok(())
}
