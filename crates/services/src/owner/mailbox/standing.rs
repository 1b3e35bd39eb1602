//! Whether the sender of a message is a contact of the mailbox's owner or a stranger.
//!
//! A contact is an account that the owner has put into its phone book or its roster. An account that has only sent a subscription
//! request is a stranger.
//! Called by [`super`] for each message: one search in the roster of the account, which is in memory.

use super::By;
use crate::account::Account;
use crate::account::roster::Contact;
use crate::account::shows;
use chaski_store::{Sender, Standing};
use chaski_xmpp::{JidRef, Stored};

/// The sender of a message, as the store needs it to keep the shares of a mailbox.
pub(super) fn sender(account: &Account, by: By, stanza: &Stored) -> Sender {
    let is_known = by.account == account.id
        || match Contact::from_account(by.account) {
            Some(contact) => account.roster.state(&contact).is_listed(),
            None => is_known_by_name(account, stanza),
        };
    let standing = if is_known { Standing::Contact } else { Standing::Stranger };
    Sender { account: by.account, standing, is_heavy: by.is_heavy }
}

/// Whether the roster lists the sender, for a sender with a name instead of a number: its contact is found by the bare JID in
/// `from`.
fn is_known_by_name(account: &Account, stanza: &Stored) -> bool {
    let from = stanza.from().unwrap_or_default();
    let bare = JidRef::split(&from).to_bare().to_string();
    account.roster.state(&Contact::new(&bare, shows::domain(account))).is_listed()
}
