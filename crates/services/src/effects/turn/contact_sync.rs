//! Requests for contact sync, and where their results go.

use super::Turn;
use super::command::reply::Reply;
use super::command::{BookChange, BookView, Contacts, Leaving};
use crate::account::Account;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_store::books::Match;
use chaski_xmpp::StanzaCondition;
use std::collections::HashMap;

/// The continuation of a room with the result. There is no [`Synced`] if it waited for the roster to follow a change.
pub(crate) type Then = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<Option<&Synced>, Refused>) + Send>;

/// A request about one account's phone book.
pub(crate) struct SyncRequest {
    pub(crate) account: AccountId,
    pub(crate) want: SyncWork,
    pub(crate) answer: Answer,
}

/// What is to be done with the phone book.
pub(crate) enum SyncWork {
    /// A sync of the whole phone book, with the numbers as people wrote them.
    Spelled(Vec<Box<str>>),
    /// A sync, with numbers in E.164.
    Change(BookChange),
    /// A number's account has come or gone, or has changed its own phone book: look whether the number is in this phone book, and
    /// follow.
    Look(u64),
    /// Look at all numbers of the phone book, and follow.
    LookAtAll,
    /// The account's owner changes to another number: return the whole phone book.
    Leave,
    /// The number is registered again: return the contacts by the phone books of both.
    Contacts,
}

impl SyncWork {
    /// The asker has proved the account's key. (`Adopt` comes from a contact that has changed its number, and has not.)
    pub(crate) fn is_by_key(&self) -> bool {
        self.is_asked_for() && !matches!(self, Self::Change(BookChange::Adopt(_)))
    }

    /// An asker waits for the result, and can be told to come again.
    pub(crate) fn is_asked_for(&self) -> bool {
        matches!(self, Self::Spelled(_) | Self::Change(_))
    }
}

/// Where the result goes.
pub(crate) enum Answer {
    /// Nobody.
    None,
    /// A room of the account.
    Room {
        /// The room is called when the roster has followed, or with the refusal.
        when_followed: bool,
        /// The session whose next stanza waits for that.
        by: Option<SessionId>,
        /// The room's continuation.
        then: Then,
    },
    /// The command that has asked.
    Command(Reply<Box<BookView>>),
    /// The command that moves the account to another number.
    Leaving(Reply<Box<Leaving>>),
    /// The command that registers the number again.
    Contacts(Reply<Contacts>),
}

impl Answer {
    /// The place where the session is noted that waits for a change of the roster.
    pub(crate) fn waiter(&mut self) -> Option<&mut Option<SessionId>> {
        match self {
            Self::Room { when_followed: true, by, .. } => Some(by),
            _ => None,
        }
    }

    /// A room is called with the result, or with the refusal.
    pub(crate) fn room(
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Result<Option<&Synced>, Refused>) + Send + 'static,
    ) -> Self {
        Self::Room { when_followed: false, by: None, then: Box::new(then) }
    }

    /// A room is called when the roster has followed, or with the refusal.
    pub(crate) fn room_when_followed(
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Result<(), Refused>) + Send + 'static,
    ) -> Self {
        let then =
            move |turn: &mut Turn<'_>, account: &mut Account, result: Result<Option<&Synced>, Refused>| {
                then(turn, account, result.map(|_| ()));
            };
        Self::Room { when_followed: true, by: None, then: Box::new(then) }
    }
}

/// What a sync found.
#[derive(Default)]
pub(crate) struct Synced {
    /// How many numbers the book has.
    pub(crate) numbers: usize,
    /// The numbers of the phone book, for [`SyncWork::Leave`] only.
    pub(crate) book: Vec<u64>,
    /// The numbers that have accounts, in ascending order.
    pub(crate) matches: Vec<Match>,
    /// How numbers were spelled that were not written in E.164.
    pub(crate) spelled: HashMap<u64, Box<str>>,
}

/// Why a sync was not done. Nothing is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// More new numbers than the quota has left.
    Quota { retry_after_ms: u64 },
    /// More numbers than a book may have.
    TooMany,
    /// Too much waits.
    Busy,
    /// The store failed.
    Failed,
    /// The account is gone.
    Gone,
}

impl Refused {
    pub(crate) fn condition(self) -> StanzaCondition {
        match self {
            Self::Quota { .. } | Self::Busy => StanzaCondition::ResourceConstraint,
            Self::TooMany => StanzaCondition::PolicyViolation,
            Self::Failed => StanzaCondition::InternalServerError,
            Self::Gone => StanzaCondition::ItemNotFound,
        }
    }

    /// For a person.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Quota { retry_after_ms } => {
                let seconds = retry_after_ms.div_ceil(1_000);
                format!("too many new numbers; again in {seconds} seconds")
            }
            Self::TooMany => "more numbers than a phone book may have".into(),
            Self::Busy => "too many syncs wait; again in a minute".into(),
            Self::Failed => "the phone book could not be read or written; nothing is lost".into(),
            Self::Gone => "the account was removed".into(),
        }
    }
}
