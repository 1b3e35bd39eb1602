//! Requests to the owners of accounts on other shards or nodes, and who waits here for the answers.
//!
//! A request travels as data with a number, and its answer comes back with that number ([`Letter::Answer`]); what waits for the
//! answer (an HTTP response, a room's continuation) stays on this shard. Numbers are never used twice, so that a late answer is
//! ignored. Promises: each request is answered once, after [`ANSWER_MS`] at the latest; at most `ASKED_MAX` requests wait
//! ([`super::state::asked`]), and further ones are refused as overloaded. Called by [`super::commands`], [`super::links`] and the
//! shard's ticks.

use crate::effects::letter::{Envelope, Letter};
use crate::effects::turn::command::reply::{Answer, Due};
use crate::effects::turn::command::{ANSWER_MS, Asked, Command, Refusal};
use crate::owner::context::Context;
use crate::owner::state::Owner;
use crate::places::Place;

impl Owner {
    /// Sends a command to the owner of its account at another place.
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

    /// Another place has sent a command for an account of this shard.
    pub(crate) fn asked(&mut self, ctx: &mut Context<'_>, asked: Asked) {
        let Asked { asker, number, whom, question } = asked;
        self.command_to_owner(ctx, Command { whom, action: question.asked_by(asker, number) });
    }

    /// The answer to a request has come, or it is decided that none will. A late answer is ignored.
    pub(crate) fn answered(&mut self, ctx: &mut Context<'_>, number: u64, outcome: Result<Answer, Refusal>) {
        if let Some((_, waiting)) = self.asked.waiting.remove(&number) {
            self.tell_due(ctx, waiting.with(outcome));
        }
    }

    /// Answers requests whose time is over with a refusal.
    pub(crate) fn asked_tick(&mut self, ctx: &mut Context<'_>) {
        while let Some(waiting) = self.asked.next_overdue(ctx.now_ms) {
            self.desk.metrics.answers_missing_total.inc();
            self.tell_due(ctx, waiting.with(Err(Refusal::unanswered())));
        }
        self.desk.metrics.answers_awaited.set(self.asked.waiting.len() as i64);
        self.desk.metrics.answers_forgotten_total.add(crate::effects::turn::command::reply::take_forgotten());
    }

    /// Does what an answer leaves to be done: calls a room's continuation, or sends the answer to the place that has asked.
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
