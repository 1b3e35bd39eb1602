//! Saving rosters: what a change makes others see waits until the change is durable, and a change that can't be kept is
//! taken back.
//!
//! One write of an account's roster at a time; what changes meanwhile goes into the next one. Whatever else a room says
//! for the account waits in line, so that presence never overtakes the subscription that allows it. Called by `rooms`,
//! which carries out what is released here.

use crate::account::Account;
use crate::owner::context::Context;
use crate::owner::directory::Resident;
use crate::owner::ledger::RosterWrites;
use crate::owner::ledger::Step;
use crate::owner::state::Owner;
use crate::ticket::Purpose;
use chaski_store::{AccountId, Revision, StoreError, Table};

impl Owner {
    /// A room has changed the account's roster, or speaks while that is being saved.
    pub(crate) fn stand_in_line(&mut self, ctx: &mut Context<'_>, id: AccountId, step: Step) {
        let Some(account) = self.directory.present(id) else { return };
        if account.saving.is_leaving() {
            // Nothing of it is written any more: whoever gets the number next would inherit it.
            let mut refused = [step];
            take_back(account, &mut refused);
            for post in refused.into_iter().flat_map(|step| step.posts) {
                self.carry_out_one(ctx, Some(id), post);
            }
            return;
        }
        let first = account.saving.change(|writes| match &mut writes.roster {
            // Nothing new for the disk: it is due with the write before it.
            Some(roster) if roster.next.is_empty() && step.undo.is_none() => {
                roster.now.push(step);
                None
            }
            Some(roster) => {
                roster.next.push(step);
                None
            }
            None => Some(step),
        });
        if let Some(step) = first {
            write(ctx, account, vec![step]);
        }
    }

    /// The store has saved a roster, or not.
    pub(crate) fn roster_saved(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        result: Result<Revision, StoreError>,
    ) {
        let Some(account) = self.directory.present(id) else { return };
        let Some(writes) = account.saving.change(|writes| writes.roster.take()) else { return };
        let RosterWrites { mut now, next } = writes;
        match result {
            Ok(revision) => {
                account.roster_saved(revision);
                if !next.is_empty() {
                    write(ctx, account, next);
                }
            }
            Err(error) => {
                tracing::error!(account = ?id, %error, "a roster could not be saved; its changes are taken back");
                self.desk.metrics.saves_failed_total.inc();
                // The later changes stand on the earlier ones: all go.
                now.extend(next);
                take_back(account, &mut now);
            }
        }
        for post in now.into_iter().flat_map(|step| step.posts) {
            self.carry_out_one(ctx, Some(id), post);
        }
        self.do_deferred(ctx, id);
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

fn write(ctx: &mut Context<'_>, account: &mut Resident, steps: Vec<Step>) {
    account.saving.change(|writes| writes.roster = Some(RosterWrites { now: steps, next: Vec::new() }));
    let value = Some(account.roster.to_document());
    let ticket = Purpose::Roster(account.id, account.stay).ticket();
    ctx.store.save(account.id, Table::Rosters, value, account.roster_revision(), ticket);
}
