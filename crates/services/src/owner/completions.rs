//! Passes each completion of the store to the file that has asked for it.

use super::context::Context;
use super::mailbox;
use super::state::Owner;
use crate::ticket::Purpose;
use chaski_store::Completion;

impl Owner {
    /// The store has finished something: continues what asked for it.
    pub(crate) fn completed(&mut self, ctx: &mut Context<'_>, completion: Completion) {
        match completion {
            Completion::Committed(ticket) => match Purpose::of(ticket) {
                Some(Purpose::Message(key)) => self.committed(ctx, key),
                Some(Purpose::Notice(key)) => self.noticed(ctx, key, Ok(())),
                _ => {}
            },
            Completion::Refused(ticket, error) => match Purpose::of(ticket) {
                Some(Purpose::Message(key)) => self.not_committed(key, &error),
                Some(Purpose::Notice(key)) => self.noticed(ctx, key, Err(error)),
                _ => {}
            },
            Completion::Gap(account) => {
                if let Some(account) = self.directory.present(account) {
                    mailbox::inherit(&mut self.desk, ctx, account);
                }
            }
            Completion::Read { ticket, result } => {
                if let Some(Purpose::Read(id)) = Purpose::of(ticket)
                    && let Some((desk, account)) = self.account_of(id)
                {
                    mailbox::read_done(desk, ctx, account, id, result);
                }
            }
            Completion::Loaded { ticket, result, book } => match Purpose::of(ticket) {
                Some(Purpose::Load(id, load)) => self.loaded(ctx, (id, load), result, &book),
                Some(Purpose::Ledger(id, stay)) if self.is_still(id, stay) => {
                    self.ledger_read(ctx, id, result);
                }
                Some(Purpose::Refusal(id)) => self.refuse_after_all(ctx, id, result.is_ok()),
                _ => {}
            },
            Completion::Book { ticket, result } => match Purpose::of(ticket) {
                Some(Purpose::Book(key)) => self.book_answered(ctx, key, result),
                Some(Purpose::Holders) => self.holders_found(ctx, result),
                _ => {}
            },
            Completion::Media { ticket, result } => {
                if let Some(Purpose::Index(key)) = Purpose::of(ticket) {
                    self.index_answered(ctx, key, result);
                }
            }
            Completion::Purged { ticket, result } => {
                if let Some(Purpose::Purge(id)) = Purpose::of(ticket) {
                    self.purged(ctx, id, result);
                }
            }
            Completion::Leftovers { result, .. } => self.leftovers_found(ctx, result),
            Completion::Saved { ticket, result } => match Purpose::of(ticket) {
                Some(Purpose::Ledger(id, stay)) if self.is_still(id, stay) => {
                    self.ledger_written(ctx, id, result.map(drop));
                }
                Some(Purpose::Command(key)) => self.command_saved(ctx, key, result),
                Some(Purpose::Mark(id)) => self.marked(ctx, id, result),
                _ => {}
            },
        }
    }
}
