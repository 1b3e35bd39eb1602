//! Looks that were lost are made good: whoever may be concerned looks at all of its book, within a minute.
//!
//! A hint can be lost because another shard takes no more, because too many numbers come and go at once, or because the store
//! failed. Which one it was is not remembered: there is no bound on that. Instead a flag is: for an account whose look failed,
//! and, beyond so many of these or where nobody knows whom it concerned, for all accounts in memory of a shard. They look in
//! small portions, as fast as the store answers and no faster than it takes to be through in a minute.

use crate::effects::letter::Letter;
use crate::effects::turn::contact_sync::{Answer, SyncRequest, SyncWork};
use crate::owner::context::Context;
use crate::owner::outgoing::Class;
use crate::owner::state::Owner;
use crate::places::Place;
use crate::rooms::contact_sync::BookMetrics;

/// When they look again.
const AGAIN_AFTER_MS: u64 = 5_000;
/// In how many portions the accounts of a shard look: with five a second, in 40 seconds.
const PORTIONS: usize = 200;
/// Accounts in one portion at least.
const PORTION_MIN: usize = 16;
/// Accounts with something to do with their books: with more, the next portion waits.
const LINES_MAX: usize = 4_096;

impl Owner {
    /// Hints for a shard, perhaps this one, were lost.
    pub(crate) fn hints_lost(&mut self, owner: Place) {
        self.desk.room_metrics.of::<BookMetrics>().hints_lost_total.inc();
        if owner == self.desk.here { self.books.lost.all() } else { self.books.lost.all_of(owner) }
    }

    /// Another shard says that hints for accounts here were lost.
    pub(crate) fn look_at_all(&mut self) {
        self.books.lost.all();
    }

    /// Goes on with what was lost. Five times a second.
    pub(crate) fn look_again(&mut self, ctx: &mut Context<'_>) {
        self.tell_untold(ctx);
        let lost = &mut self.books.lost;
        if lost.looking.is_empty() && (lost.all || !lost.failed.is_empty()) {
            match lost.at_ms {
                None => lost.at_ms = Some(ctx.now_ms + AGAIN_AFTER_MS),
                Some(at_ms) if ctx.now_ms >= at_ms => {
                    lost.at_ms = None;
                    let failed = std::mem::take(&mut lost.failed);
                    lost.looking = match std::mem::take(&mut lost.all) {
                        true => self.directory.ids().collect(),
                        false => failed.into_iter().collect(),
                    };
                    lost.portion = lost.looking.len().div_ceil(PORTIONS).max(PORTION_MIN);
                }
                Some(_) => {}
            }
        }
        for _ in 0..self.books.lost.portion {
            if self.books.lines.len() > LINES_MAX {
                return;
            }
            let Some(account) = self.books.lost.looking.pop_front() else { return };
            if !self.directory.is_absent(account) {
                self.desk.room_metrics.of::<BookMetrics>().looks_total.inc();
                self.join_line(ctx, SyncRequest { account, want: SyncWork::LookAtAll, answer: Answer::None });
            }
        }
    }

    fn tell_untold(&mut self, ctx: &mut Context<'_>) {
        for owner in std::mem::take(&mut self.books.lost.untold) {
            if !self.hand_on(ctx, owner, Letter::LookAtAll, Class::Must) {
                self.books.lost.untold.insert(owner);
            }
        }
    }
}
