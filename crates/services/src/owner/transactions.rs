//! Carries out the entries of accounts' ledgers ([`super::ledger`]), one after the other. Each kind of entry has a file of its
//! own.

use super::context::Context;
use super::ledger::{Entry, Next, UnderWay};
use super::state::Owner;
use crate::effects::turn::errand::Found;
use crate::ticket::Purpose;
use chaski_store::{AccountId, StoreError, Ticket};

/// Whether an entry is over, or waits for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The entry waits for the store; it goes on in [`Owner::ledger_read`] or [`Owner::ledger_written`].
    Waits,
    /// The entry is over: the next one may begin.
    Over,
}

impl Owner {
    /// Carries out the entries of an account's ledger until one waits for the store.
    pub(crate) fn advance(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        loop {
            let Some(account) = self.at_work(id) else { return };
            let progress = match account.ledger.next() {
                Next::AtWork => return,
                Next::Nothing => return self.do_deferred(ctx, id),
                Next::Entry(Entry::Errand(errand)) => self.begin_errand(ctx, id, errand),
                Next::Entry(Entry::Documents(documents)) => self.write_documents(ctx, id, documents),
                Next::Entry(Entry::Replacing(replacing)) => self.begin_replacing(ctx, id, replacing),
            };
            match progress {
                Progress::Waits => return,
                Progress::Over => self.entry_is_over(id),
            }
        }
    }

    /// Has the entry under way wait for the store. Returns the ticket for that.
    pub(crate) fn wait(&mut self, id: AccountId, under_way: UnderWay) -> Ticket {
        let Some(account) = self.directory.present(id) else { return Ticket(0) };
        account.ledger.wait(under_way);
        Purpose::Ledger(id, account.stay).ticket()
    }

    /// The store has read what an errand asked for, or not.
    pub(crate) fn ledger_read(&mut self, ctx: &mut Context<'_>, id: AccountId, found: Found) {
        let under_way = self.directory.present(id).and_then(|account| account.ledger.resume());
        if let Some(UnderWay::Reading(then)) = under_way {
            let progress = self.go_on(ctx, id, then, found);
            self.go_on_with_ledger(ctx, id, progress);
        }
    }

    /// The store has written the entry under way, or not.
    pub(crate) fn ledger_written(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        result: Result<(), StoreError>,
    ) {
        let under_way = self.directory.present(id).and_then(|account| account.ledger.resume());
        match under_way {
            Some(UnderWay::Writing(done)) => self.errand_written(ctx, id, done, result),
            Some(UnderWay::Documents(documents)) => self.documents_written(ctx, id, documents, result),
            Some(UnderWay::Replacing(replacing)) => self.replaced(ctx, id, *replacing, result),
            Some(UnderWay::Running | UnderWay::Reading(_)) | None => return,
        }
        self.go_on_with_ledger(ctx, id, Progress::Over);
    }

    fn go_on_with_ledger(&mut self, ctx: &mut Context<'_>, id: AccountId, progress: Progress) {
        if progress == Progress::Over {
            self.entry_is_over(id);
            self.do_deferred(ctx, id);
            self.advance(ctx, id);
        }
    }

    /// An entry is over: the stanzas of the session that waited for it go on.
    fn entry_is_over(&mut self, id: AccountId) {
        let by = self.directory.present(id).and_then(|account| account.ledger.over());
        self.change_is_over(by);
    }
}
