//! Saves documents that have changed in memory: rosters with the stanzas that follow from their changes, and accounts' records.
//!
//! Stanzas that show a change of the roster to others wait until the change is durable, and whatever else a room sends for the
//! account waits behind them, so that presence never overtakes the subscription that allows it. A change that can't be saved is
//! taken back, with all later changes that stand on it. A record is saved as it is when its turn comes. Nobody waits for that,
//! except a client that has given its tokens back.

use super::context::Context;
use super::ledger::{Documents, GivenBack, Step, UnderWay};
use super::state::Owner;
use super::transactions::Progress;
use crate::account::Account;
use crate::account::roster::document::ROSTERS;
use crate::budget;
use chaski_store::records::Put;
use chaski_store::{AccountId, StoreError, Table};

/// With so many records being saved, the end of a last session is not noted in the account's record.
const LEAVING_SAVES_MAX: usize = 64;

impl Owner {
    /// Notes the account's activity in its record, if the last note is old enough.
    pub(crate) fn note_activity(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        let Some(account) = self.at_work(id) else { return };
        if !account.ledger.has_record() && account.record.seen(ctx.unix_ms) {
            self.save_record(ctx, id);
        }
    }

    /// Notes in the account's record when its last session has ended, for "last seen". When thousands of sessions end at once,
    /// not each is noted: messages need the disk more.
    pub(crate) fn note_left(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        let room = self.desk.records_saving < LEAVING_SAVES_MAX;
        let Some(account) = self.at_work(id) else { return };
        if room
            && account.sessions.is_empty()
            && !account.ledger.has_record()
            && account.record.left(ctx.unix_ms)
        {
            self.save_record(ctx, id);
        }
    }

    /// Has an account's record saved as it is.
    pub(crate) fn save_record(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        self.save_record_for(ctx, id, None);
    }

    /// Has an account's record saved for a client that waits for it.
    pub(crate) fn save_record_for(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        given_back: Option<GivenBack>,
    ) {
        let Some(account) = self.at_work(id) else { return };
        if account.ledger.is_leaving() {
            // The account is being removed: its record must not be written again. A client that gives its tokens back has
            // succeeded, since nobody can log in.
            return self.tell_given_back(ctx, id, given_back.into_iter().collect(), true);
        }
        account.ledger.add_record(given_back);
        self.advance(ctx, id);
    }

    /// A room has changed the account's roster, or sends something while the roster is being saved.
    pub(crate) fn stand_in_line(&mut self, ctx: &mut Context<'_>, id: AccountId, step: Step) {
        let Some(account) = self.at_work(id) else { return };
        if account.ledger.is_leaving() {
            // The account is being removed: its roster is not written any more, since the next owner of the number would inherit
            // it.
            let mut refused = vec![step];
            take_back(account, &mut refused);
            return self.carry_out_steps(ctx, id, refused);
        }
        account.ledger.add_step(step);
        self.advance(ctx, id);
    }

    /// The turn of changed documents in the ledger has come: writes them.
    pub(crate) fn write_documents(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        documents: Documents,
    ) -> Progress {
        let Some(account) = self.at_work(id) else { return Progress::Over };
        let key = account.id.record_key();
        let put = |table, value| Put { table, key: key.clone(), value: Some(value) };
        let roster = documents.has_roster.then(|| put(ROSTERS, account.roster.to_document()));
        let record = documents.has_record.then(|| put(Table::ACCOUNTS, account.full_record().to_json()));
        let puts: Vec<Put> = roster.into_iter().chain(record).collect();
        if puts.is_empty() {
            self.carry_out_steps(ctx, id, documents.steps);
            return Progress::Over;
        }
        self.desk.records_saving += usize::from(documents.has_record);
        let ticket = self.wait(id, UnderWay::Documents(documents));
        self.desk.spend(budget::SAVED);
        ctx.store.put(id, puts, ticket);
        Progress::Waits
    }

    /// The store has written documents, or failed to.
    pub(crate) fn documents_written(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        documents: Documents,
        result: Result<(), StoreError>,
    ) {
        let Documents { has_roster, has_record, mut steps, given_back } = documents;
        self.desk.records_saving -= usize::from(has_record);
        let is_saved = result.is_ok();
        if let Err(error) = result {
            self.not_saved(ctx, id, (has_roster, has_record), &error);
        }
        if let Some(account) = self.directory.present(id).filter(|_| has_roster && !is_saved) {
            // Later changes stand on the one that failed: all are taken back.
            steps.append(&mut account.ledger.take_roster_steps());
            take_back(account, &mut steps);
        }
        self.carry_out_steps(ctx, id, steps);
        self.tell_given_back(ctx, id, given_back, is_saved);
    }

    fn not_saved(
        &mut self,
        ctx: &Context<'_>,
        id: AccountId,
        (has_roster, has_record): (bool, bool),
        error: &StoreError,
    ) {
        self.desk.metrics.saves_failed_total.inc();
        self.desk.trace(ctx, id, || format!("documents could not be saved: {error}"));
        if has_roster {
            tracing::error!(account = ?id, %error, "a roster could not be saved; its changes are taken back");
        }
        if has_record {
            tracing::warn!(account = ?id, %error, "an account's activity or tokens could not be saved");
        }
    }

    fn carry_out_steps(&mut self, ctx: &mut Context<'_>, id: AccountId, steps: Vec<Step>) {
        for post in steps.into_iter().flat_map(|step| step.posts) {
            self.carry_out_one(ctx, Some(id), post);
        }
    }
}

fn take_back(account: &mut Account, steps: &mut [Step]) {
    for step in steps.iter_mut().rev() {
        if let Some(undo) = step.undo.take() {
            account.roster.take_back(undo);
            step.posts = std::mem::take(&mut step.unless_saved);
        }
    }
}
