//! What a shard has asked the owners of other places, and who waits here for the answers.
//!
//! The request goes as data with a number, the answer comes back with that ([`Letter::Answer`]), and whoever waits never leaves
//! this shard. Numbers are never given twice, so that a late answer is nobody's. Promises: everybody who waits is
//! answered once, at the latest after [`ANSWER_MS`]; at most [`ASKED_MAX`] wait, and who comes then is refused as overloaded.
//! Called by `control` and the shard's ticks.

use super::Shard;
use crate::command::reply::{Answer, Due, Waiting};
use crate::command::{ANSWER_MS, Asked, Command, Refusal};
use crate::context::Context;
use crate::places::Place;
use crate::router::{Envelope, Letter};
use std::collections::BTreeMap;

/// Requests of one shard that other owners have.
const ASKED_MAX: usize = 4_096;

/// Who waits, by number, and until when. All have the same time, so the least number is due first.
#[derive(Default)]
pub(super) struct AskedOfOthers {
    last: u64,
    waiting: BTreeMap<u64, (u64, Waiting)>,
}

impl AskedOfOthers {
    fn keep(&mut self, waiting: Waiting, until_ms: u64) -> Result<u64, Waiting> {
        if self.waiting.len() >= ASKED_MAX {
            return Err(waiting);
        }
        self.last += 1;
        self.waiting.insert(self.last, (until_ms, waiting));
        Ok(self.last)
    }

    fn next_overdue(&mut self, now_ms: u64) -> Option<Waiting> {
        let first = self.waiting.first_entry().filter(|first| first.get().0 <= now_ms)?;
        Some(first.remove().1)
    }
}

impl Shard {
    /// Sends a command's request to the owner of its account, which is another place.
    pub(super) fn ask(&mut self, ctx: &mut Context<'_>, owner: Place, command: Command) {
        let Command { whom, action } = command;
        let (question, waiting) = action.part();
        let number = match self.asked.keep(waiting, ctx.now_ms + ANSWER_MS) {
            Ok(number) => number,
            Err(waiting) => return self.tell_due(ctx, waiting.with(Err(Refusal::Overloaded))),
        };
        let asked = Asked { asker: self.desk.here, number, whom, question };
        if ctx.wire.forward(Envelope::new(owner, Letter::Asked(Box::new(asked)))).is_err() {
            self.answered(ctx, number, Err(Refusal::Overloaded));
        }
    }

    /// Another place asks something of an account of this shard.
    pub(super) fn asked(&mut self, ctx: &mut Context<'_>, asked: Asked) {
        let Asked { asker, number, whom, question } = asked;
        self.command_to_owner(ctx, Command { whom, action: question.asked_by(asker, number) });
    }

    /// An answer has come, perhaps too late.
    pub(super) fn answered(&mut self, ctx: &mut Context<'_>, number: u64, outcome: Result<Answer, Refusal>) {
        if let Some((_, waiting)) = self.asked.waiting.remove(&number) {
            self.tell_due(ctx, waiting.with(outcome));
        }
    }

    /// Nobody waits for ever.
    pub(super) fn asked_tick(&mut self, ctx: &mut Context<'_>) {
        while let Some(waiting) = self.asked.next_overdue(ctx.now_ms) {
            self.desk.metrics.answers_missing_total.inc();
            self.tell_due(ctx, waiting.with(Err(Refusal::unanswered())));
        }
        self.desk.metrics.answers_awaited.set(self.asked.waiting.len() as i64);
        self.desk.metrics.answers_forgotten_total.add(crate::command::reply::take_forgotten());
    }

    /// Does what is left to be done for an answer that was given.
    pub(super) fn tell_due(&mut self, ctx: &mut Context<'_>, due: Due) {
        match due {
            Due::Nothing => {}
            Due::Room(account, then) => self.in_room(ctx, account, then),
            Due::Letter(asker, number, outcome) if asker == self.desk.here => {
                self.answered(ctx, number, *outcome);
            }
            Due::Letter(asker, number, outcome) => {
                self.reliably(ctx, asker, Letter::Answer { number, outcome });
            }
        }
    }
}
