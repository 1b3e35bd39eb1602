//! Hints: telling other accounts to look at a number, because a phone book has changed or a number's account has come or gone.
//!
//! A hint is a pair (account, number): the account is to look whether that number is in its phone book and has an account, and
//! follow in its roster. Only accounts in memory get hints: an account that is loaded later looks at everything then. So for a
//! number that is in a million phone books, pages of account numbers are read in order, one letter is sent per page and shard,
//! and more is read only for accounts in memory.

use crate::effects::letter::Letter;
use crate::effects::turn::command::{BookView, Refusal};
use crate::effects::turn::contact_sync::{Answer, Refused, SyncRequest, SyncWork, Synced};
use crate::owner::context::Context;
use crate::owner::outgoing::Class;
use crate::owner::state::Owner;
use crate::rooms::contact_sync::BookMetrics;
use crate::rooms::contact_sync::version::version;
use crate::ticket::Purpose;
use chaski_store::books::{self, Query};
use chaski_store::{AccountId, StoreError};

/// Phone books in one page, for a number whose account has come or gone.
const HOLDERS_PER_PAGE: usize = 512;
/// Numbers whose holders wait to be told, per shard; beyond, all accounts in memory look at all of their phone books.
const TELLINGS_MAX: usize = 4_096;
/// With more envelopes than this that wait for other shards, the next page waits too.
const ENVELOPES_MAX: usize = 1_024;

impl Owner {
    /// Another shard has sent hints.
    pub(crate) fn look_all(&mut self, ctx: &mut Context<'_>, hints: Vec<(AccountId, u64)>) {
        for (account, number) in hints {
            self.look(ctx, account, number);
        }
        self.start_books(ctx);
    }

    pub(crate) fn look(&mut self, ctx: &mut Context<'_>, account: AccountId, number: u64) {
        if !self.directory.is_absent(account) {
            self.desk.room_metrics.of::<BookMetrics>().looks_total.inc();
            self.join_line(ctx, SyncRequest { account, want: SyncWork::Look(number), answer: Answer::None });
        }
    }

    /// These accounts have come into the phone book of `owner` or gone out of it: each of them gets a hint to look at `owner`'s
    /// number.
    pub(crate) fn hint_others(&mut self, ctx: &mut Context<'_>, owner: AccountId, accounts: Vec<u64>) {
        let Some(own) = owner.phone_number() else { return };
        let others = accounts.into_iter().filter_map(AccountId::phone);
        self.hint(ctx, others.map(|other| (other, own)));
    }

    fn hint(&mut self, ctx: &mut Context<'_>, hints: impl Iterator<Item = (AccountId, u64)>) {
        let realm = std::sync::Arc::clone(&self.desk.realm);
        let owners = realm.places.owners();
        let mut by_owner: Vec<Vec<(AccountId, u64)>> = vec![Vec::new(); owners.len()];
        for hint in hints {
            by_owner[realm.places.owner_number(hint.0)].push(hint);
        }
        for (owner, hints) in owners.iter().zip(by_owner).filter(|(_, hints)| !hints.is_empty()) {
            if *owner == self.desk.here {
                self.look_all(ctx, hints);
            } else if !self.hand_on(ctx, *owner, Letter::Look(hints), Class::Must) {
                self.hints_lost(*owner);
            }
        }
    }

    /// A number's account has come or gone, durably: accounts that have the number in their phone books get a hint.
    pub(crate) fn tell_holders(&mut self, ctx: &mut Context<'_>, account: AccountId) {
        let Some(number) = account.phone_number() else { return };
        if self.books.tellings.waiting.len() >= TELLINGS_MAX {
            self.desk.room_metrics.of::<BookMetrics>().tellings_lost_total.inc();
            let realm = std::sync::Arc::clone(&self.desk.realm);
            return realm.places.owners().iter().for_each(|owner| self.hints_lost(*owner));
        }
        self.desk.room_metrics.of::<BookMetrics>().tellings_total.inc();
        self.books.tellings.waiting.push_back((number, None));
        self.go_on_telling(ctx);
    }

    pub(crate) fn go_on_telling(&mut self, ctx: &mut Context<'_>) {
        let tellings = &mut self.books.tellings;
        let Some(&(number, after)) = tellings.waiting.front() else { return };
        if tellings.reading || self.desk.outgoing.waiting() > ENVELOPES_MAX {
            return;
        }
        tellings.reading = true;
        let query = Query::Holders { number, after, limit: HOLDERS_PER_PAGE };
        ctx.store.ask_book(query, Purpose::Holders.ticket());
    }

    /// A page of the accounts that have a number in their phone books has been read. If that failed it is read again with the
    /// next tick.
    pub(crate) fn holders_found(&mut self, ctx: &mut Context<'_>, result: Result<books::Answer, StoreError>) {
        self.books.tellings.reading = false;
        let Ok(books::Answer::Holders { owners, more }) = result else { return };
        let Some((number, after)) = self.books.tellings.waiting.front_mut() else { return };
        let number = *number;
        match owners.last().filter(|_| more) {
            Some(last) => *after = Some(*last),
            None => _ = self.books.tellings.waiting.pop_front(),
        }
        self.hint(ctx, owners.into_iter().map(|owner| (owner, number)));
        self.go_on_telling(ctx);
    }

    /// Tells whoever waits what came of a wish.
    pub(crate) fn answer_sync(
        &mut self,
        ctx: &mut Context<'_>,
        id: AccountId,
        answer: Answer,
        result: Result<&Synced, Refused>,
    ) {
        match answer {
            Answer::None => {}
            Answer::Room { then, by, .. } => {
                self.in_room(ctx, id, |turn, account| then(turn, account, result.map(Some)));
                self.change_is_over(by);
            }
            Answer::Command(reply) => {
                let domain = self.desk.realm.domain.clone();
                let outcome = match result {
                    Ok(synced) => Ok(Box::new(BookView::of(synced, &domain))),
                    Err(refused) => Err(refused.into()),
                };
                self.reply(ctx, reply, outcome);
            }
            Answer::Leaving(reply) => self.leaves(ctx, id, reply, result),
            Answer::Contacts(reply) => self.contacts_known(ctx, id, reply, result),
        }
    }
}

impl BookView {
    fn of(synced: &Synced, domain: &str) -> Self {
        let matches: Vec<u64> = synced.matches.iter().map(|found| found.number).collect();
        let entries: Vec<_> = matches.iter().map(|n| (format!("+{n}"), format!("+{n}@{domain}"))).collect();
        let version = version(entries.iter().map(|(number, jid)| (number.as_str(), jid.as_str())));
        Self { numbers: synced.numbers, matches, version }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Quota { retry_after_ms } => Self::Limited { retry_after_ms },
            Refused::TooMany => Self::TooLarge,
            Refused::Busy => Self::Overloaded,
            Refused::Failed => Self::Unavailable("the phone book could not be read or written".into()),
            Refused::Gone => Self::NoSuchAccount,
        }
    }
}
