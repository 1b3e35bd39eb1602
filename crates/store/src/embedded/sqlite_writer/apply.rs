//! What a frame has SQLite do, done: the one place where an effect becomes rows. Called by SQLite's writer in its open transaction and by
//! recovery, so that a start does what the writer would have done.
//!
//! An effect can't fail for what it says: where an `If` finds another revision, that is its outcome, the same whenever it is
//! carried out in its place. How far the frames are carried out ([`Place`]) is written in the same transaction.

use super::PURGE_SLICE;
use crate::books::CHANGE_MAX;
use crate::embedded::database::Messages;
use crate::embedded::journal::effects::{Effect, Numbered};
use crate::embedded::{books, media, records};
use crate::media::PAGE_MAX;
use crate::records::{Put, Revision};
use crate::{AccountId, Seq, StoreError, books as contract};
use rusqlite::Connection;

/// How far frames have been carried out: so many effects of this frame, and all of every frame before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::embedded) struct Place {
    pub(in crate::embedded) frame: u64,
    /// `u64::MAX`: all.
    pub(in crate::embedded) effects: u64,
}

impl Place {
    /// All of a frame.
    pub(in crate::embedded) fn behind(frame: u64) -> Self {
        Self { frame, effects: u64::MAX }
    }

    /// The last frame of which all is done.
    pub(in crate::embedded) fn whole_frame(self) -> u64 {
        if self.effects == u64::MAX { self.frame } else { self.frame.saturating_sub(1) }
    }

    /// How many effects of a frame are done.
    pub(in crate::embedded) fn done_of(self, frame: u64) -> usize {
        match self.frame.cmp(&frame) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => usize::try_from(self.effects).unwrap_or(usize::MAX),
            std::cmp::Ordering::Greater => usize::MAX,
        }
    }
}

/// What an effect came to.
#[derive(Debug)]
pub(in crate::embedded) enum Done {
    /// Records are written, the newest with this revision; or another revision was there.
    Written(Result<Revision, StoreError>),
    /// A phone book is changed.
    Book(contract::Answer),
    /// The index of media is changed, or it says why not.
    Media(crate::media::Answer),
    /// Nothing is left.
    Purged { messages: usize },
    /// There was too much for one transaction: so much went, and the rest is for the next.
    InPart { messages: usize },
}

/// Carries out one effect.
pub(in crate::embedded) fn carry_out(
    messages: &mut Messages<'_>,
    numbered: &Numbered,
) -> rusqlite::Result<Done> {
    let (connection, revision) = (messages.connection, numbered.revision);
    match &numbered.effect {
        Effect::Puts(puts) => Ok(Done::Written(Ok(put_all(connection, puts, revision)?))),
        Effect::If { put, expected } => {
            let found = records::get(connection, put.table, &put.key)?.map(|record| record.revision);
            if found != *expected {
                return Ok(Done::Written(Err(StoreError::Conflict)));
            }
            put_all(connection, std::slice::from_ref(put), revision)?;
            Ok(Done::Written(Ok(revision)))
        }
        Effect::Book { owner, add, remove, puts } => {
            let answer = books::change(connection, *owner, add, remove)?;
            put_all(connection, puts, revision)?;
            Ok(Done::Book(answer))
        }
        Effect::Media(edit) => Ok(Done::Media(media::write(connection, edit)?)),
        Effect::Purge { accounts, upto } => {
            let mut gone = 0;
            for &account in accounts {
                let (messages, is_rest) = purge(messages, account, *upto)?;
                gone += messages;
                if is_rest {
                    return Ok(Done::InPart { messages: gone });
                }
            }
            Ok(Done::Purged { messages: gone })
        }
    }
}

fn put_all(connection: &Connection, puts: &[Put], first: Revision) -> rusqlite::Result<Revision> {
    let mut last = first;
    for (revision, put) in (first.0..).map(Revision).zip(puts) {
        records::put(connection, put.table, &put.key, put.value.as_deref(), revision)?;
        last = revision;
    }
    Ok(last)
}

/// A slice of a purge: how many messages went, and whether something may be left.
fn purge(messages: &mut Messages<'_>, account: AccountId, upto: Seq) -> rusqlite::Result<(usize, bool)> {
    let gone = messages.purge(account, upto, PURGE_SLICE)?;
    let connection = messages.connection;
    if gone == PURGE_SLICE
        || books::purge(connection, account, CHANGE_MAX)? == CHANGE_MAX
        || media::purge(connection, account, PAGE_MAX)? == PAGE_MAX
    {
        return Ok((gone, true));
    }
    // The mark of the removal is among them: last, when nothing else is left.
    records::purge(connection, account)?;
    Ok((gone, false))
}
