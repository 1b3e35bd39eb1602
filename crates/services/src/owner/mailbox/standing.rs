//! What the sender of a message is to the owner of the mailbox: a contact or a stranger.
//!
//! A contact is whom the owner has put into the phone book or into the roster; who has only asked for that is a stranger.
//! Called by [`super`] for each message: one search in the roster of the account, which is in memory.

use super::By;
use crate::account::Account;
use crate::account::roster::Contact;
use crate::account::shows;
use chaski_store::{Sender, Standing};
use chaski_xmpp::{JidRef, Stored};

/// The sender of a message, for the store's shares.
pub(super) fn sender(account: &Account, by: By, stanza: &Stored) -> Sender {
    let is_known = by.account == account.id
        || match Contact::from_account(by.account) {
            Some(contact) => account.roster.state(&contact).is_listed(),
            None => is_known_by_name(account, stanza),
        };
    let standing = if is_known { Standing::Contact } else { Standing::Stranger };
    Sender { account: by.account, standing, is_heavy: by.is_heavy }
}

/// The same of an account whose number does not tell its name.
fn is_known_by_name(account: &Account, stanza: &Stored) -> bool {
    let from = stanza.from().unwrap_or_default();
    let bare = JidRef::split(&from).to_bare().to_string();
    account.roster.state(&Contact::new(&bare, shows::domain(account))).is_listed()
}
