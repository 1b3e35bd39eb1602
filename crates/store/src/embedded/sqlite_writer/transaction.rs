//! Operations inside the writer's open transaction, and what they answer once it is durable.

use super::apply::{self, Done, Place};
use super::{Answer, Carried, Submitted, ToSqlite, Waiter, book_event};
use crate::embedded::database::{self, Messages, Moving};
use crate::embedded::link::Event;
use crate::embedded::metrics::SqliteMetrics;
use crate::{AccountId, Seq};

/// The open transaction.
pub(super) struct Transaction<'a> {
    pub(super) messages: Messages<'a>,
    pub(super) metrics: &'a SqliteMetrics,
    /// How far frames are carried out in it.
    pub(super) place: Place,
    pub(super) answers: Vec<Answer>,
}

impl Transaction<'_> {
    pub(super) fn carry_out(&mut self, operation: &ToSqlite) -> rusqlite::Result<Carried> {
        let answer = match operation {
            ToSqlite::Spill { link, slice } => Answer::Front(link.clone(), self.spill(slice)?),
            ToSqlite::Delete { link, seqs } => Answer::Front(link.clone(), self.delete(seqs)?),
            ToSqlite::Lose { link, account, seqs, now_unix_ms } => {
                let Some(loss) = self.messages.lose(*account, seqs, *now_unix_ms)? else {
                    return Ok(Carried::Out);
                };
                Answer::Front(link.clone(), Event::Lost(loss))
            }
            ToSqlite::Apply { frame, effects } => return self.apply(*frame, effects),
            ToSqlite::Then(_) => return Ok(Carried::Out),
            // Never in the queue.
            ToSqlite::KeepTime { .. } | ToSqlite::Stop => return Ok(Carried::Out),
        };
        self.answers.push(answer);
        Ok(Carried::Out)
    }

    /// Carries out what is left of a frame, and notes how far that has come.
    fn apply(&mut self, frame: u64, effects: &[Submitted]) -> rusqlite::Result<Carried> {
        let done = self.place.done_of(frame);
        for (at, Submitted { numbered, waiter }) in effects.iter().enumerate().skip(done) {
            let outcome = apply::carry_out(&mut self.messages, numbered)?;
            let (Done::Purged { messages } | Done::InPart { messages }) = outcome else {
                self.answers.extend(waiter.answer(outcome));
                continue;
            };
            self.metrics.deleted_total.add(messages as u64);
            if matches!(outcome, Done::InPart { .. }) {
                self.place = Place { frame, effects: at as u64 };
                database::note_applied(self.messages.connection, self.place)?;
                return Ok(Carried::InPart);
            }
            self.answers.extend(waiter.answer(outcome));
        }
        self.metrics.applied_total.add(effects.len().saturating_sub(done) as u64);
        self.place = Place::behind(frame);
        database::note_applied(self.messages.connection, self.place)?;
        Ok(Carried::Out)
    }

    fn spill(&mut self, slice: &[Moving]) -> rusqlite::Result<Event> {
        let mut ignored = Vec::new();
        for (position, moving) in slice.iter().enumerate() {
            if !self.messages.insert(&moving.new_message())? {
                ignored.push(position);
            }
        }
        self.metrics.inserted_total.add((slice.len() - ignored.len()) as u64);
        Ok(Event::Spilled { ignored })
    }

    fn delete(&mut self, seqs: &[(AccountId, Seq)]) -> rusqlite::Result<Event> {
        let mut deleted = 0;
        for &(account, seq) in seqs {
            deleted += u64::from(self.messages.delete(account, seq)?);
        }
        self.metrics.deleted_total.add(deleted);
        Ok(Event::Deleted { seqs: seqs.to_vec() })
    }
}

impl Waiter {
    /// What it is told when what it waits for is durably done; `None` if it has been told before.
    fn answer(&self, done: Done) -> Option<Answer> {
        match (self, done) {
            (Self::Save { link, account, ticket }, Done::Written(result)) => {
                let (link, account, ticket) = (link.clone(), *account, *ticket);
                Some(Answer::Save { link, account, ticket, result })
            }
            (Self::Book { link, ticket }, Done::Book(answer)) => {
                Some(Answer::Front(link.clone(), book_event(*ticket, Ok(answer))))
            }
            (Self::Purge { link, account, number }, Done::Purged { .. }) => {
                Some(Answer::Front(link.clone(), Event::Purged { account: *account, number: *number }))
            }
            (Self::Cursors { link, account, revision }, Done::Written(_)) => {
                let event = Event::Cursors { account: *account, revision: *revision };
                Some(Answer::Front(link.clone(), event))
            }
            (Self::Media(to), Done::Media(answer)) => Some(Answer::Media(to.clone(), answer)),
            (Self::Caller(reply), Done::Written(result)) => Some(Answer::Caller(reply.clone(), result)),
            (Self::Caller(reply), Done::Purged { .. }) => {
                Some(Answer::Caller(reply.clone(), Ok(crate::Revision(0))))
            }
            (Self::Nobody, _) => None,
            // None of these is made.
            (_, done) => {
                debug_assert!(false, "nobody waits for {done:?}");
                None
            }
        }
    }
}
