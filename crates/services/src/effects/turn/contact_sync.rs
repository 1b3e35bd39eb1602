//! What is asked of an account's phone book, and who is told what came of it.

use super::Turn;
use super::command::reply::Reply;
use super::command::{BookChange, BookView, Contacts, Leaving};
use crate::account::Account;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_store::books::Match;
use chaski_xmpp::StanzaCondition;
use std::collections::HashMap;

/// A room goes on with what came of it. Nothing was found where the roster has followed a change.
pub(crate) type Then = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<Option<&Synced>, Refused>) + Send>;

/// Something to be done with one account's book.
pub(crate) struct SyncRequest {
    pub(crate) account: AccountId,
    pub(crate) want: SyncWork,
    pub(crate) answer: Answer,
}

/// What is to be done.
pub(crate) enum SyncWork {
    /// A sync whose numbers are as people wrote them: the whole book.
    Spelled(Vec<Box<str>>),
    /// A sync.
    Change(BookChange),
    /// A number's account has come or gone or changed its own book: how do we stand with it?
    Look(u64),
    /// The same for all of the book.
    LookAtAll,
    /// The account's owner changes their number: all of it is to be told.
    Leave,
    /// The number is registered again: who has each other is to be told.
    Contacts,
}

impl SyncWork {
    /// Whoever asked has proved the account's key. (Who has changed their number has not: they are one of its contacts.)
    pub(crate) fn is_by_key(&self) -> bool {
        self.is_asked_for() && !matches!(self, Self::Change(BookChange::Adopt(_)))
    }

    /// Somebody waits for it and may be told to come back.
    pub(crate) fn is_asked_for(&self) -> bool {
        matches!(self, Self::Spelled(_) | Self::Change(_))
    }
}

/// Who is told what came of it.
pub(crate) enum Answer {
    /// Nobody.
    None,
    /// A room of the account.
    Room {
        /// It is told when the roster has followed, or that it is refused.
        when_followed: bool,
        /// The session whose next stanza waits for that.
        by: Option<SessionId>,
        /// It goes on.
        then: Then,
    },
    /// Whoever gave a command.
    Command(Reply<Box<BookView>>),
    /// Whoever moves the account to another number.
    Leaving(Reply<Box<Leaving>>),
    /// Whoever registers the number again.
    Contacts(Reply<Contacts>),
}

impl Answer {
    /// Where the session is noted that waits for a change of the roster.
    pub(crate) fn waiter(&mut self) -> Option<&mut Option<SessionId>> {
        match self {
            Self::Room { when_followed: true, by, .. } => Some(by),
            _ => None,
        }
    }

    /// A room goes on with what was found, or that it is refused.
    pub(crate) fn room(
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Result<Option<&Synced>, Refused>) + Send + 'static,
    ) -> Self {
        Self::Room { when_followed: false, by: None, then: Box::new(then) }
    }

    /// A room goes on when the roster has followed, or that it is refused.
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
    /// The numbers themselves, for [`SyncWork::Leave`] only.
    pub(crate) book: Vec<u64>,
    /// Which of them are accounts, in ascending order.
    pub(crate) matches: Vec<Match>,
    /// How a number was spelled, where that was not E.164.
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
