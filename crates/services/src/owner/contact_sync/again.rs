//! Makes up for lost hints: each account that may be concerned compares all of its phone book with its roster, within a minute.
//!
//! A hint can be lost because another shard takes no more letters, because too many numbers come and go at once, or because the
//! store failed. The lost hint itself is not kept, since there would be no bound on that. A flag is kept instead: for an account
//! whose look failed, and, if these are too many or the account is not known, for all accounts in memory of a shard. These
//! accounts look in small portions, as fast as the store answers, but spread over most of a minute.

use crate::effects::letter::Letter;
use crate::effects::turn::contact_sync::{Answer, SyncRequest, SyncWork};
use crate::owner::context::Context;
use crate::owner::outgoing::Class;
use crate::owner::state::Owner;
use crate::places::Place;
use crate::rooms::contact_sync::BookMetrics;

/// After this time the accounts concerned look again.
const AGAIN_AFTER_MS: u64 = 5_000;
/// The number of portions in which the accounts of a shard look: at five portions a second this takes 40 seconds.
const PORTIONS: usize = 200;
/// Accounts in one portion, at least.
const PORTION_MIN: usize = 16;
/// With more accounts than this that have a job or wait for one, the next portion waits.
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

    /// Goes on with making up for lost hints. Called five times a second.
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
