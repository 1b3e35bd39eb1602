//! What SQLite's writer is told to do, and who hears of it.

use super::{Answer, give};
use crate::embedded::database::Moving;
use crate::embedded::journal::effects::Numbered;
use crate::embedded::link::{Event, Link};
use crate::embedded::readers::Job;
use crate::records::Revision;
use crate::{AccountId, Completion, Seq, StoreError, Ticket, media};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// Where the answer to a blocking write goes.
pub(crate) type RecordsReply = SyncSender<Result<Revision, StoreError>>;

/// Who waits for an edit of the index of media.
#[derive(Clone)]
pub(crate) enum ForMedia {
    Front(Arc<Link>, Ticket),
    Caller(SyncSender<Result<media::Answer, StoreError>>),
}

impl ForMedia {
    pub(super) fn answer(self, result: Result<media::Answer, StoreError>) {
        match self {
            Self::Front(link, ticket) => link.push(Event::Media(Completion::Media { ticket, result })),
            // Whoever asked may have stopped waiting.
            Self::Caller(reply) => drop(reply.send(result)),
        }
    }
}

/// What a frame has the writer do, and who hears when it is done.
pub(crate) struct Submitted {
    pub(crate) numbered: Numbered,
    pub(crate) waiter: Waiter,
}

/// Who waits until an effect is done. Whoever waits only for the frame to be durable hears from the journal's writer.
pub(crate) enum Waiter {
    Nobody,
    /// A front, of a record that is written under a condition.
    Save {
        link: Arc<Link>,
        account: AccountId,
        ticket: Ticket,
    },
    /// A front, of a phone book.
    Book {
        link: Arc<Link>,
        ticket: Ticket,
    },
    /// A front, of a removal.
    Purge {
        link: Arc<Link>,
        account: AccountId,
        number: u64,
    },
    /// A front, of the cursors of a mailbox.
    Cursors {
        link: Arc<Link>,
        account: AccountId,
        revision: Revision,
    },
    /// Whoever has changed the index of media.
    Media(ForMedia),
    /// A program.
    Caller(RecordsReply),
}

impl Submitted {
    /// No frame with it is durable, nor will be. A front hears so of its batch.
    pub(crate) fn refuse(self, error: &StoreError) {
        match self.waiter {
            Waiter::Caller(reply) => give(Answer::Caller(reply, Err(error.clone()))),
            Waiter::Media(to) => to.answer(Err(error.clone())),
            Waiter::Cursors { link, account, revision } => link.push(Event::Cursors { account, revision }),
            _ => {}
        }
    }
}

/// What the writer is told.
pub(crate) enum ToSqlite {
    /// Messages leave a front's memory.
    Spill { link: Arc<Link>, slice: Vec<Moving> },
    /// Messages were acknowledged.
    Delete { link: Arc<Link>, seqs: Vec<(AccountId, Seq)> },
    /// Messages can't be read.
    Lose { link: Arc<Link>, account: AccountId, seqs: Vec<Seq>, now_unix_ms: u64 },
    /// What a durable frame says.
    Apply { frame: u64, effects: Vec<Submitted> },
    /// Something to read once everything before it is done.
    Then(Job),
    /// The time has changed: keep it, and look for what is old.
    KeepTime { reply: SyncSender<()> },
    /// Carry out what waits and end.
    Stop,
}

impl ToSqlite {
    /// Whether somebody waits for it, or memory that it would free.
    pub(super) fn is_urgent(&self) -> bool {
        match self {
            Self::Delete { .. } => false,
            Self::Apply { effects, .. } => {
                let is_waited_for = |of: &Waiter| !matches!(of, Waiter::Nobody | Waiter::Cursors { .. });
                effects.iter().any(|effect| is_waited_for(&effect.waiter))
            }
            _ => true,
        }
    }

    /// Whether it matters what has been carried out before it.
    pub(super) fn is_ordered(&self) -> bool {
        !matches!(self, Self::Spill { .. } | Self::Delete { .. } | Self::Lose { .. })
    }
}
