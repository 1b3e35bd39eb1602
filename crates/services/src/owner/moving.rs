//! The shards' part in a change of number: the old number's shard says what the account takes along.
//!
//! Requested by [`crate::rooms::accounts::registration`], which leads the change and says what is promised. The account was
//! marked in its record before, so no client can log in and no message is accepted any more: what is said here is final.

use crate::effects::turn::command::{Command, Leave, Leaving, Refusal, Reply};
use crate::effects::turn::contact_sync::{Answer, Refused, SyncRequest, SyncWork, Synced};
use crate::owner::context::Context;
use crate::owner::state::Owner;
use chaski_store::AccountId;

impl Owner {
    /// Whether an account in memory is marked as moving.
    pub(crate) fn is_moving(&mut self, id: AccountId) -> bool {
        self.directory.present(id).is_some_and(|account| account.record.is_moving())
    }

    /// Says what the account takes along to its new number, once nothing of it is being written.
    pub(crate) fn leave(&mut self, ctx: &mut Context<'_>, id: AccountId, reply: Reply<Box<Leaving>>) {
        if !self.is_moving(id) {
            return self.reply(ctx, reply, Err(Refusal::Conflict));
        }
        let is_busy = self.directory.present(id).is_some_and(|account| account.ledger.is_busy());
        if is_busy {
            return self.defer(ctx, Command::new(id, Leave, reply));
        }
        self.book(ctx, SyncRequest { account: id, want: SyncWork::Leave, answer: Answer::Leaving(reply) });
    }

    /// The phone book of a moving account has been read, or could not be.
    pub(crate) fn leaves(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        reply: Reply<Box<Leaving>>,
        book: Result<&Synced, Refused>,
    ) {
        let outcome = match (book, self.directory.present(id)) {
            (Ok(synced), Some(account)) if account.record.is_moving() => {
                let mutual = synced.matches.iter().filter(|found| found.mutual).map(|found| found.number);
                Ok(Box::new(Leaving {
                    roster: account.roster.to_moved_document(),
                    book: synced.book.clone(),
                    mutual: mutual.collect(),
                    waiting_messages: ctx.store.usage(id).messages,
                }))
            }
            (Ok(_), _) => Err(Refusal::Conflict),
            (Err(refused), _) => Err(refused.into()),
        };
        self.reply(ctx, reply, outcome);
    }
}
