//! First stanzas to numbers ([`crate::account::acquaintances`]): which of them an account may send, and how its quota is read and
//! written.
//!
//! No stanza waits for the store: it is let through or refused at once, by what the account's purse holds. A purse is read or
//! written by one errand of the account at a time, so the account stays in memory until that is done.

use crate::account::Account;
use crate::account::acquaintances::Acquaintances;
use crate::account::contact_sync_quota::{Purse, Quota, allowance};
use crate::account::first_stanza;
use crate::account::first_stanza::Leave;
use crate::allowance::LIMITS;
use crate::effects::turn::errand::{Change, Errand};
use crate::owner::context::Context;
use crate::owner::state::Owner;
use crate::rooms::contact_sync::BookMetrics;
use chaski_store::AccountId;
use chaski_store::records::Put;

impl Owner {
    /// Whether an account's client may send another account something from which it could learn that this account exists.
    pub(crate) fn may_ask(&mut self, ctx: &mut Context<'_>, id: AccountId, whom: AccountId) -> bool {
        let Some(account) = self.directory.present(id) else { return false };
        if first_stanza::is_free(account, whom, ctx.unix_ms) {
            return true;
        }
        let leave = first_stanza::pay(account, whom, allowance(self.desk.realm.knobs.of()), ctx.unix_ms);
        match leave {
            Leave::Paid => self.desk.room_metrics.of::<BookMetrics>().first_stanzas_total.inc(),
            Leave::Refused => self.desk.room_metrics.of::<BookMetrics>().first_stanzas_refused_total.inc(),
        }
        let errand = purse(account).and_then(|purse| write(purse, Quota::key(&self.desk.realm, id)));
        if let Some(errand) = errand {
            self.errand(ctx, id, errand);
        }
        leave == Leave::Paid
    }
}

fn purse(account: &mut Account) -> Option<&mut Purse> {
    Some(&mut account.rare.get_mut::<Acquaintances>()?.purse)
}

/// The errand that reads the purse, if that was not done yet, and writes it. `None`: such an errand is under way already.
fn write(purse: &mut Purse, key: String) -> Option<Errand> {
    let is_wanted = purse.begin()?;
    let reads = if is_wanted { vec![(LIMITS, key.clone())] } else { Vec::new() };
    Some(Errand::read(reads, move |turn, account, found| {
        let purse = purse_of(account);
        let Ok(found) = found else {
            // What could not be read counts as spent, but not for long: see `quota`.
            purse.closed(false);
            return None;
        };
        let record = found.first().and_then(Option::as_ref).map(|found| found.value.as_slice());
        let bucket =
            purse.opened(is_wanted.then_some(record), allowance(turn.realm.knobs.of()), turn.unix_ms);
        let put = Put { table: LIMITS, key: key.clone(), value: Some(bucket.to_json()) };
        Some(Change::new(vec![put], move |turn, account, result| {
            let purse = purse_of(account);
            if purse.closed(result.is_ok())
                && let Some(errand) = write(purse, key)
            {
                turn.outbox.errand(errand);
            }
        }))
    }))
}

fn purse_of(account: &mut Account) -> &mut Purse {
    &mut account.rare.get_or_make::<Acquaintances>().purse
}
