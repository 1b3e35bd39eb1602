//! Removal of an account: everything of it is deleted, in an order in which no crash leaves half an account.
//!
//! 1. The account is *marked*: one transaction deletes its record and writes a mark ([`Table::REMOVALS`]). Before that the
//!    removal can be given up; afterwards the account does not exist for anybody, and the rest is carried out whatever happens.
//! 2. Its sessions end, and its contacts are told.
//! 3. Its mailbox, phone book and records are purged, and the mark with them, until that is durable in every part of the store.
//! 4. The command is answered; accounts that have the number in their phone books get hints; commands that waited for the number
//!    go on.
//!
//! Step 3 also clears the way for an account that is going to be made, since nothing that is left under its number belongs to it.
//! And it clears leftovers that a search finds after the start ([`chaski_store::leftovers`]): marks of removals that were cut
//! short, and what older versions left.
//!
//! Promises: a removal that is refused before the mark leaves the account whole; one that fails after the mark is tried again
//! until it is done, and its number is not given to anybody before. Called by [`super::commands`] and the shard's ticks.

use crate::effects::turn::command::{ClearLeftovers, Command, Refusal, Reply, Request};
use crate::owner::context::Context;
use crate::owner::ledger::Removing;
use crate::owner::state::Owner;
use crate::owner::state::removals::Making;
use crate::owner::state::removals::Removal;
use crate::owner::state::removals::Search;
use crate::owner::state::removals::Why;
use crate::rooms::presence;
use crate::ticket::Purpose;
use chaski_store::leftovers::{Page, Place};
use chaski_store::records::Put;
use chaski_store::{AccountId, Revision, ShardIndex, StoreError, Table};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Accounts that are being removed or cleared at the same time, per shard; beyond: refused as overloaded.
const UNDER_WAY_MAX: usize = 4_096;
/// After this time, a step that failed is tried again.
const RETRY_MS: u64 = 1_000;
/// The time between two pages of the search for leftovers.
const PAGE_EVERY_MS: u64 = 250;
/// After this time the search is repeated, if some of what it found could not be cleared.
const SEARCH_AGAIN_MS: u64 = 60_000;

impl Owner {
    /// Begins a removal: asks the store to mark the account.
    pub(crate) fn remove_account(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        request: impl Request<Answer = ()>,
        reply: Reply<()>,
    ) {
        let is_full = self.removals.under_way.len() >= UNDER_WAY_MAX;
        let Some(account) = self.directory.present(id) else {
            return self.reply(ctx, reply, Err(Refusal::NoSuchAccount));
        };
        if account.ledger.is_busy() {
            return self.defer(ctx, Command::new(id, request, reply));
        }
        if is_full {
            return self.reply(ctx, reply, Err(Refusal::Overloaded));
        }
        // From here on nobody logs in to the account, and nothing of it is written.
        let was_disabled = std::mem::replace(&mut account.record.disabled, true);
        account.ledger.change(|writes| writes.removing = Some(Removing { was_disabled, is_marked: false }));
        self.removals.under_way.insert(id, Removal { why: Why::Removed, reply: Some(reply) });
        let key = id.record_key();
        let mark = format!("{{\"since_unix_ms\":{}}}", ctx.unix_ms).into_bytes();
        let puts = vec![
            Put { table: Table::ACCOUNTS, key: key.clone(), value: None },
            Put { table: Table::REMOVALS, key, value: Some(mark) },
        ];
        ctx.store.put(id, puts, Purpose::Mark(id).ticket());
    }

    /// The store has marked the account, or failed to.
    pub(crate) fn marked(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        result: Result<Revision, StoreError>,
    ) {
        match result {
            Ok(_) => {
                self.take_leave(ctx, id);
                ctx.store.purge(id, Purpose::Purge(id).ticket());
            }
            Err(error) => {
                let reply = self.removals.under_way.remove(&id).and_then(|removal| removal.reply);
                self.stay(id);
                self.desk.metrics.saves_failed_total.inc();
                self.reply_if_waiting(ctx, reply, Err(super::commands::refusal(&error)));
                self.do_deferred(ctx, id);
            }
        }
    }

    /// The account could not be marked: it stays as it was, switched off if an operator had done that.
    fn stay(&mut self, id: AccountId) {
        let Some(account) = self.at_work(id) else { return };
        if let Some(removing) = account.ledger.change(|writes| writes.removing.take()) {
            account.record.disabled = removing.was_disabled;
        }
    }

    /// The account is marked, so nobody may see it any more. A session that has asked for the removal stays until it has the
    /// answer, and can do nothing else.
    fn take_leave(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        self.forget_what_waits(ctx, id);
        let Some(account) = self.at_work(id) else { return };
        account.ledger.change(|writes| {
            if let Some(removing) = &mut writes.removing {
                removing.is_marked = true;
            }
        });
        let reply = self.removals.under_way.get(&id).and_then(|removal| removal.reply.as_ref());
        if reply.is_some_and(|reply| reply.is_in_band_of(id)) {
            for session in self.session_ids(id) {
                self.in_room(ctx, id, |turn, account| presence::leaving(turn, account, session));
            }
        } else {
            self.end_all(ctx, id, "the account was removed");
        }
        self.in_room(ctx, id, presence::removing);
    }

    /// An account is going to be made where none is: deletes first whatever was left under its number.
    pub(crate) fn clear_the_way(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        making: Making,
        reply: Reply<()>,
    ) {
        self.clear(ctx, id, Why::Making(Box::new(making)), reply);
    }

    /// Something was found in the store of an account that does not exist: deletes it.
    pub(crate) fn clear_leftovers(&mut self, ctx: &mut Context<'_>, id: AccountId, reply: Reply<()>) {
        self.clear(ctx, id, Why::Left, reply);
    }

    fn clear(&mut self, ctx: &mut Context<'_>, id: AccountId, why: Why, reply: Reply<()>) {
        if self.removals.under_way.len() >= UNDER_WAY_MAX {
            return self.reply(ctx, reply, Err(Refusal::Overloaded));
        }
        // Work for the account that arrives meanwhile is parked.
        self.directory.hold_back(id);
        self.removals.under_way.insert(id, Removal { why, reply: Some(reply) });
        ctx.store.purge(id, Purpose::Purge(id).ticket());
    }

    /// The store has purged the account durably, or that is not certain.
    pub(crate) fn purged(&mut self, ctx: &mut Context<'_>, id: AccountId, result: Result<(), StoreError>) {
        if let Err(error) = result {
            return self.cannot_finish(ctx, id, super::commands::refusal(&error));
        }
        let Some(Removal { why, reply }) = self.removals.under_way.remove(&id) else { return };
        match why {
            Why::Removed => {
                self.desk.metrics.accounts_removed_total.inc();
                // A session that has asked for the removal gets the answer before its stream ends.
                self.reply_if_waiting(ctx, reply, Ok(()));
                self.forget_account(ctx, id);
            }
            Why::Making(making) => match reply {
                Some(reply) => self.make_account(ctx, id, *making, reply),
                None => self.let_go(ctx, id),
            },
            Why::Left => {
                self.desk.metrics.leftovers_cleared_total.inc();
                self.reply_if_waiting(ctx, reply, Ok(()));
                self.let_go(ctx, id);
            }
        }
    }

    /// A step has failed. For a marked account it is tried again, since the removal can't be taken back.
    fn cannot_finish(&mut self, ctx: &mut Context<'_>, id: AccountId, refusal: Refusal) {
        tracing::warn!(account = ?id, %refusal, "what is left of an account could not be deleted");
        self.desk.metrics.saves_failed_total.inc();
        let Some(removal) = self.removals.under_way.get_mut(&id) else { return };
        let reply = removal.reply.take();
        if matches!(removal.why, Why::Removed) {
            self.removals.retries.push_back((ctx.now_ms + RETRY_MS, id));
        } else {
            self.removals.under_way.remove(&id);
            self.let_go(ctx, id);
        }
        self.reply_if_waiting(ctx, reply, Err(refusal));
    }

    fn reply_if_waiting(
        &mut self,
        ctx: &mut Context<'_>,
        reply: Option<Reply<()>>,
        outcome: Result<(), Refusal>,
    ) {
        if let Some(reply) = reply {
            self.reply(ctx, reply, outcome);
        }
    }

    /// Goes on with the parked work for an account that was not made, as for a number without an account.
    fn let_go(&mut self, ctx: &mut Context<'_>, id: AccountId) {
        let load = self.directory.load_again(id);
        ctx.store.load(id, super::directory::TABLES, Purpose::Load(id, load).ticket());
    }

    /// Tries again the steps that are due, and goes on with the search for leftovers.
    pub(crate) fn removals_tick(&mut self, ctx: &mut Context<'_>) {
        while let Some((_, id)) = self.removals.retries.pop_front_if(|(at_ms, _)| *at_ms <= ctx.now_ms) {
            self.desk.metrics.removals_retried_total.inc();
            ctx.store.purge(id, Purpose::Purge(id).ticket());
        }
        self.desk.metrics.removals_under_way.set(self.removals.under_way.len() as i64);
        if matches!(self.removals.search, Search::Over)
            && self.removals.search_failed.swap(false, Ordering::Relaxed)
        {
            self.removals.search =
                Search::Due { at_ms: ctx.now_ms + SEARCH_AGAIN_MS, from: Place::default() };
        }
        if self.desk.index == ShardIndex(0)
            && let Search::Due { at_ms, from } = &self.removals.search
            && *at_ms <= ctx.now_ms
        {
            let from = from.clone();
            ctx.store.find_leftovers(from.clone(), Purpose::Leftovers.ticket());
            self.removals.search = Search::Reading(from);
        }
    }

    /// A page of the search has been read: each owner checks its accounts, since it knows which are being made.
    pub(crate) fn leftovers_found(&mut self, ctx: &mut Context<'_>, result: Result<Page, StoreError>) {
        let Search::Reading(from) = std::mem::replace(&mut self.removals.search, Search::Over) else {
            return;
        };
        let page = match result {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "leftovers of accounts could not be looked for; trying again");
                self.removals.search = Search::Due { at_ms: ctx.now_ms + RETRY_MS, from };
                return;
            }
        };
        if !page.accounts.is_empty() {
            tracing::info!(accounts = page.accounts.len(), "clearing what is left of removed accounts");
        }
        for account in page.accounts {
            let failed = Arc::clone(&self.removals.search_failed);
            let reply = Reply::call(move |outcome| {
                if outcome.is_err() {
                    failed.store(true, Ordering::Relaxed);
                }
            });
            self.command_to_owner(ctx, Command::new(account, ClearLeftovers, reply));
        }
        self.removals.search = match page.next {
            Some(from) => Search::Due { at_ms: ctx.now_ms + PAGE_EVERY_MS, from },
            None => Search::Over,
        };
    }
}
