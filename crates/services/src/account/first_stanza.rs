//! Acquaintances: to whom an account may write freely, and that the first stanza to anybody else costs as much as a number of
//! a phone book.
//!
//! Whatever can come back as "there is nobody", or have the other's client answer by itself, tells whether a number is
//! registered: messages of all kinds (a receipt is one), requests, presence that asks or shows. So the first of these to a
//! number draws on the quota of contact sync ([`super::contact_sync_quota`]), and over it is refused before anybody has looked, in the
//! same words whether there is somebody or not (docs/promises.md, P1). What tells nothing (answers, errors, taking something
//! back) draws on nothing.
//!
//! Free are contacts (in the phone book, or a subscription or a request in either direction), who has written within a week,
//! service accounts, and whom the account has asked about lately. Members of a common group will be, by [`is_free`].
//!
//! Owns what an account in memory knows of these. Bounded: whoever is forgotten, because newer ones have taken the place or
//! because the account has left memory, costs one more. An account that writes to contacts alone has none of it.
//! Called by the router; the quota is written by [`crate::shard`] (`books/asking`).

use super::Account;
use super::acquaintances::{HEARD_AGAIN_MS, HEARD_MS};
use super::roster::Contact;
use crate::account::acquaintances::Acquaintances;
use crate::allowance::Allowance;
use chaski_store::AccountId;

/// Whether an account may write to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It costs nothing.
    Free,
    /// It was paid for just now: the purse is to be written.
    Paid,
    /// There is nothing left to pay with, or it is not known yet what is left: the purse is to be read.
    Refused,
}

/// Asks for leave to write to somebody. Who is known costs a look-up in memory.
pub(crate) fn ask(account: &mut Account, whom: AccountId, allowance: Allowance, unix_ms: u64) -> Leave {
    if is_free(account, whom, unix_ms) {
        return Leave::Free;
    }
    let acquaintances = account.rare.get_or_make::<Acquaintances>();
    if acquaintances.purse.take(allowance, unix_ms).is_err() {
        return Leave::Refused;
    }
    acquaintances.remember(whom);
    Leave::Paid
}

fn is_free(account: &Account, whom: AccountId, unix_ms: u64) -> bool {
    let Some(number) = whom.phone_number().filter(|_| account.id.phone_number().is_some()) else {
        return true; // Operators make service accounts, and answer for them.
    };
    if whom == account.id || is_contact(account, number) {
        return true;
    }
    let known = account.rare.get::<Acquaintances>();
    known.is_some_and(|known| known.has_asked(whom) || known.has_heard(whom, unix_ms, HEARD_MS))
}

/// Whether somebody is nobody's business of the account yet: no contact, and has not written to it lately. What it has paid for
/// may tell that somebody is registered, and no more.
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

/// Somebody has written to the account: it may answer.
pub(crate) fn heard(account: &mut Account, by: AccountId, unix_ms: u64) {
    let Some(number) = by.phone_number().filter(|_| by != account.id) else { return };
    let known = account.rare.get::<Acquaintances>();
    let is_noted = known.is_some_and(|known| known.has_heard(by, unix_ms, HEARD_AGAIN_MS));
    if !is_noted && !is_contact(account, number) {
        account.rare.get_or_make::<Acquaintances>().note(by, unix_ms);
    }
}
