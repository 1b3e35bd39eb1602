//! Saving rosters: what a change makes others see waits until the change is durable, and a change that can't be kept is
//! taken back.
//!
//! One write of an account's roster at a time; what changes meanwhile goes into the next one. Whatever else a room says
//! for the account waits in line, so that presence never overtakes the subscription that allows it. Called by `rooms`,
//! which carries out what is released here.

use crate::context::Context;
use crate::directory::Account;
use crate::outbox::Post;
use crate::roster::Undo;
use crate::shard::Shard;
use crate::ticket::Purpose;
use chaski_store::{AccountId, Revision, StoreError, Table};

/// Most steps that wait for the write before them: then rooms refuse changes ([`Account::roster_is_busy`]).
const CHANGES_MAX: usize = 64;
/// Most steps in line at all: beyond, what is no change is sent at once, out of order.
const STEPS_MAX: usize = 1_024;

/// The writes of one account's roster.
#[derive(Default)]
pub(crate) struct RosterWrites {
    /// On its way to the disk.
    now: Vec<Step>,
    /// Made since.
    next: Vec<Step>,
}

/// What one call of a room wants.
pub(crate) struct Step {
    /// It has changed the roster: how to take that back.
    pub(crate) undo: Option<Undo>,
    /// What is sent once that, and all before it, is durable.
    pub(crate) posts: Vec<Post>,
    /// What is sent if the change can't be kept.
    pub(crate) unless_saved: Vec<Post>,
}

impl Account {
    /// Too many changes of the roster wait for the disk: no more for now.
    pub(crate) fn roster_is_busy(&self) -> bool {
        self.saving.is_leaving()
            || self.roster_writes().is_some_and(|writes| writes.next.len() >= CHANGES_MAX)
    }

    /// Whether what a room says for this account has to wait in line.
    pub(crate) fn has_line(&self) -> bool {
        self.roster_writes().is_some_and(|writes| writes.next.len() < STEPS_MAX)
    }

    fn roster_writes(&self) -> Option<&RosterWrites> {
        self.saving.writes()?.roster.as_ref()
    }
}

impl Shard {
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

fn write(ctx: &mut Context<'_>, account: &mut Account, steps: Vec<Step>) {
    account.saving.change(|writes| writes.roster = Some(RosterWrites { now: steps, next: Vec::new() }));
    let value = Some(account.roster.to_document());
    let ticket = Purpose::Roster(account.id, account.stay).ticket();
    ctx.store.save(account.id, Table::Rosters, value, account.roster_revision(), ticket);
}
