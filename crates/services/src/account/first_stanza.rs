//! To which accounts an account may write freely, and what the first stanza to any other account costs: as much as a number in
//! contact sync.
//!
//! Whatever can come back as "there is nobody", or have the other's client answer by itself, tells whether a number is
//! registered: messages of all kinds (a receipt is one), requests, presence that asks or shows. So the first of these to a
//! number draws on the quota of contact sync ([`super::contact_sync_quota`]), and over it is refused before anybody has looked, in the
//! same words whether there is somebody or not (docs/promises.md, P1). What tells nothing (answers, errors, taking something
//! back) draws on nothing.
//!
//! Free are stanzas to contacts (in the phone book, or with a subscription or request in either direction), to accounts that have
//! written within a week, to service accounts, and to accounts that were paid for lately.
//!
//! What an account in memory knows of these is in [`super::acquaintances`]. Called by the router; the quota is written by
//! [`crate::owner`] (`owner/contact_sync/asking`).

use super::Account;
use super::acquaintances::{HEARD_AGAIN_MS, HEARD_MS};
use super::roster::Contact;
use crate::account::acquaintances::Acquaintances;
use crate::allowance::Allowance;
use chaski_store::AccountId;

/// Whether an account may write to another, if that is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The first stanza was paid for just now: the purse has to be written.
    Paid,
    /// The quota is used up, or what is left is not known yet: the purse has to be read.
    Refused,
}

/// Pays for the first stanza to `whom`, which is not free.
pub(crate) fn pay(account: &mut Account, whom: AccountId, allowance: Allowance, unix_ms: u64) -> Leave {
    let acquaintances = account.rare.get_or_make::<Acquaintances>();
    if acquaintances.purse.take(allowance, unix_ms).is_err() {
        return Leave::Refused;
    }
    acquaintances.remember(whom);
    Leave::Paid
}

/// Whether an account may write to `whom` without paying. This costs a look-up in memory.
pub(crate) fn is_free(account: &Account, whom: AccountId, unix_ms: u64) -> bool {
    let Some(number) = whom.phone_number().filter(|_| account.id.phone_number().is_some()) else {
        return true; // Operators make service accounts, and answer for them.
    };
    if whom == account.id || is_contact(account, number) {
        return true;
    }
    let known = account.rare.get::<Acquaintances>();
    known.is_some_and(|known| known.has_asked(whom) || known.has_heard(whom, unix_ms, HEARD_MS))
}

/// Whether `whom` is a stranger to the account: no contact, and has not written to it lately. To have been paid for does not make
/// it less of a stranger: payment lets the account learn that `whom` is registered, and nothing more.
pub(crate) fn is_stranger(account: &Account, whom: AccountId, unix_ms: u64) -> bool {
    let Some(number) = whom.phone_number().filter(|_| account.id.phone_number().is_some()) else {
        return false;
    };
    let has_written =
        account.rare.get::<Acquaintances>().is_some_and(|it| it.has_heard(whom, unix_ms, HEARD_MS));
    whom != account.id && !is_contact(account, number) && !has_written
}

fn is_contact(account: &Account, number: u64) -> bool {
    let state = account.roster.state(&Contact::Phone(number));
    state.is_booked() || state.to() || state.from() || state.pending_in() || state.pending_out()
}

/// Another account has written to this one, which may answer freely from now on.
pub(crate) fn heard(account: &mut Account, by: AccountId, unix_ms: u64) {
    let Some(number) = by.phone_number().filter(|_| by != account.id) else { return };
    let known = account.rare.get::<Acquaintances>();
    let is_noted = known.is_some_and(|known| known.has_heard(by, unix_ms, HEARD_AGAIN_MS));
    if !is_noted && !is_contact(account, number) {
        account.rare.get_or_make::<Acquaintances>().note(by, unix_ms);
    }
}
