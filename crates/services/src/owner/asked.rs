//! What a shard has asked the owners of other places, and who waits here for the answers.
//!
//! The request goes as data with a number, the answer comes back with that ([`Letter::Answer`]), and whoever waits never leaves
//! this shard. Numbers are never given twice, so that a late answer is nobody's. Promises: everybody who waits is
//! answered once, at the latest after [`ANSWER_MS`]; at most [`ASKED_MAX`] wait, and who comes then is refused as overloaded.
//! Called by `control` and the shard's ticks.

use crate::effects::letter::{Envelope, Letter};
use crate::effects::turn::command::reply::{Answer, Due};
use crate::effects::turn::command::{ANSWER_MS, Asked, Command, Refusal};
use crate::owner::context::Context;
use crate::owner::state::Owner;
use crate::places::Place;

impl Owner {
    /// Sends a command's request to the owner of its account, which is another place.
    pub(crate) fn ask(&mut self, ctx: &mut Context<'_>, owner: Place, command: Command) {
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
    pub(crate) fn asked(&mut self, ctx: &mut Context<'_>, asked: Asked) {
        let Asked { asker, number, whom, question } = asked;
        self.command_to_owner(ctx, Command { whom, action: question.asked_by(asker, number) });
    }

    /// An answer has come, perhaps too late.
    pub(crate) fn answered(&mut self, ctx: &mut Context<'_>, number: u64, outcome: Result<Answer, Refusal>) {
        if let Some((_, waiting)) = self.asked.waiting.remove(&number) {
            self.tell_due(ctx, waiting.with(outcome));
        }
    }

    /// Nobody waits for ever.
    pub(crate) fn asked_tick(&mut self, ctx: &mut Context<'_>) {
        while let Some(waiting) = self.asked.next_overdue(ctx.now_ms) {
            self.desk.metrics.answers_missing_total.inc();
            self.tell_due(ctx, waiting.with(Err(Refusal::unanswered())));
        }
        self.desk.metrics.answers_awaited.set(self.asked.waiting.len() as i64);
        self.desk.metrics.answers_forgotten_total.add(crate::effects::turn::command::reply::take_forgotten());
    }

    /// Does what is left to be done for an answer that was given.
    pub(crate) fn tell_due(&mut self, ctx: &mut Context<'_>, due: Due) {
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
