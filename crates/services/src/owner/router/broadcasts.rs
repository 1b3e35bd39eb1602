//! A presence broadcast on its way: one letter for each shard that owns recipients, and there to each recipient, piece by piece
//! if they are very many ([`crate::owner::broadcast_queue`]).

use super::Refuse;
use crate::effects::letter::{Handling, Letter, RoutedStanza};
use crate::effects::presence::{PresenceBroadcast, Probes};
use crate::owner::broadcast_delivery::hear;
use crate::owner::broadcast_queue::{Next, Place};
use crate::owner::context::Context;
use crate::owner::directory::Work;
use crate::owner::outgoing::Class;
use crate::owner::state::Owner;
use chaski_store::AccountId;

/// So many recipients without a session cost as much as one with a session: one look into a table each, instead of a write.
const ABSENT_PER_PRESENT: usize = 8;
/// If very many recipients wait, because everybody reconnects at once, more of them are told in a turn, so that no more turns
/// than this are needed.
const TURNS_BEHIND: usize = 128;

impl Owner {
    /// Sends a presence broadcast to the owners of its recipients.
    pub(crate) fn fan_out(&mut self, ctx: &mut Context<'_>, mut tell: PresenceBroadcast) {
        self.hurry_before(ctx, &tell);
        self.desk.trace(ctx, tell.by, || format!("presence for {} contacts", tell.to.len()));
        for (number, to) in self.by_owner(std::mem::take(&mut tell.to)) {
            let count = to.len() as u64;
            let tell = PresenceBroadcast { to, ..tell.without_recipients() };
            if self.desk.realm.places.owners()[number] == self.desk.here {
                self.told(ctx, tell);
                continue;
            }
            let class = if tell.is_end { Class::Must } else { Class::Presence };
            if self.desk.outgoing.post(ctx, number, Letter::PresenceBroadcast(Box::new(tell)), class).is_err()
            {
                let metrics = &self.desk.metrics;
                match class {
                    Class::Presence => metrics.presence_dropped_total.add(count),
                    _ => metrics.envelopes_lost_total.inc(),
                }
            }
        }
    }

    /// Sends a session's presence probes to the owners of the probed accounts.
    pub(crate) fn ask_all(&mut self, ctx: &mut Context<'_>, mut probes: Probes) {
        for (number, to) in self.by_owner(std::mem::take(&mut probes.to)) {
            let count = to.len() as u64;
            let probes = Probes { to, ..probes.clone() };
            if self.desk.realm.places.owners()[number] == self.desk.here {
                self.probed(ctx, &probes);
                continue;
            }
            let letter = Letter::Probes(Box::new(probes));
            if self.desk.outgoing.post(ctx, number, letter, Class::Presence).is_err() {
                self.desk.metrics.presence_dropped_total.add(count);
            }
        }
    }

    /// The recipients of one presence broadcast, grouped by the number of their owner's place. Charges each recipient as if it
    /// had no session, as most have none; a recipient that has one costs a write besides.
    fn by_owner(&mut self, mut to: Vec<AccountId>) -> Vec<(usize, Vec<AccountId>)> {
        self.desk.spend(to.len() as u32 / 4);
        let places = &self.desk.realm.places;
        let owner_of = |account: &AccountId| places.owner_number(*account);
        to.sort_by_key(owner_of);
        let parts = to.chunk_by(|a, b| owner_of(a) == owner_of(b));
        parts.filter_map(|part| Some((owner_of(part.first()?), part.to_vec()))).collect()
    }

    /// A session's presence probes have arrived at the owner of the probed accounts. An account that is not in memory has no
    /// session, and so no presence to answer with.
    pub(crate) fn probed(&mut self, ctx: &mut Context<'_>, probes: &Probes) {
        for &to in &probes.to {
            if !self.directory.is_absent(to)
                && let Some(stanza) = probes.stanza_for(&mut self.desk.scratch, &self.desk.realm.domain, to)
            {
                self.arrive(ctx, RoutedStanza::new(to, None, stanza, Handling::Quiet).sent_by(probes.by));
            }
        }
    }

    /// A presence broadcast has arrived at the owner of its recipients.
    pub(crate) fn told(&mut self, ctx: &mut Context<'_>, tell: PresenceBroadcast) {
        match self.desk.lines.tell(tell, &self.desk.realm.limits) {
            Place::Now(tell) => self.hear_all(ctx, &tell),
            Place::InLine => {}
            Place::Full(tell) => self.desk.metrics.presence_dropped_total.add(tell.to.len() as u64),
            Place::Hurried(tell) => {
                self.hurry(ctx, tell.by);
                self.hear_all(ctx, &tell);
            }
        }
    }

    /// Handles a routed stanza at its recipient's owner, behind whatever its sender has waiting in the broadcast queue of this
    /// shard.
    pub(crate) fn in_line(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        match self.desk.lines.routed(routed, &self.desk.realm.limits) {
            Place::Now(routed) => self.arrive_now(ctx, routed),
            Place::InLine => {}
            Place::Full(routed) => self.refuse(routed, Refuse::Busy),
            Place::Hurried(routed) => {
                self.hurry(ctx, routed.by);
                self.arrive_now(ctx, routed);
            }
        }
    }

    /// Ends a turn: tells a bounded number of recipients of the presence broadcasts that wait in the queue. Returns whether some
    /// are left.
    pub(crate) fn lines_turn(&mut self, ctx: &mut Context<'_>) -> bool {
        let metrics = &self.desk.metrics;
        if self.desk.lines.is_empty()
            && metrics.presence_waiting.get() == 0
            && metrics.behind_presence_bytes.get() == 0
        {
            return false;
        }
        let most = self.desk.realm.limits.told_per_turn.max(self.desk.lines.recipients() / TURNS_BEHIND);
        let mut left = most * ABSENT_PER_PRESENT;
        while left > 0
            && let Some((by, next)) = self.desk.lines.next(left / ABSENT_PER_PRESENT)
        {
            self.desk.work = 0;
            let looked_at =
                if let Next::PresenceBroadcast(tell) = &next { tell.to.len() } else { ABSENT_PER_PRESENT };
            self.take_turn(ctx, next);
            let units = std::mem::take(&mut self.desk.work);
            left = left.saturating_sub(looked_at + units as usize * ABSENT_PER_PRESENT);
            if self.desk.owner(by) == self.desk.here {
                self.charge_account(by, units);
            }
        }
        self.desk.metrics.presence_waiting.set(self.desk.lines.recipients() as i64);
        self.desk.metrics.behind_presence_bytes.set(self.desk.lines.bytes() as i64);
        !self.desk.lines.is_empty()
    }

    fn hurry(&mut self, ctx: &mut Context<'_>, by: AccountId) {
        while let Some(next) = self.desk.lines.hurry(by) {
            self.take_turn(ctx, next);
        }
    }

    fn take_turn(&mut self, ctx: &mut Context<'_>, next: Next) {
        match next {
            Next::PresenceBroadcast(tell) => self.hear_all(ctx, &tell),
            Next::RoutedStanza(routed) => self.arrive_now(ctx, *routed),
        }
    }

    fn hear_all(&mut self, ctx: &mut Context<'_>, tell: &PresenceBroadcast) {
        tell.to.iter().for_each(|account| self.hear(ctx, *account, tell));
    }

    /// Tells one account of this shard of a presence broadcast.
    fn hear(&mut self, ctx: &mut Context<'_>, id: AccountId, tell: &PresenceBroadcast) {
        if let Some(account) = self.directory.present(id)
            && account.settings.is_none()
            // While the account's roster is being saved, stanzas sent to it wait for that, and presence waits behind them:
            // `unavailable` must not overtake `subscribed`.
            && !account.ledger.has_line()
        {
            hear(&mut self.desk, ctx, account, tell);
        } else if !self.directory.is_absent(id)
            && let Some(stanza) = tell.stanza_for(&mut self.desk.scratch, &self.desk.realm.domain, id)
        {
            let routed = RoutedStanza::new(id, None, stanza, Handling::Quiet);
            self.with_account(ctx, id, Work::RoutedStanza(routed));
        }
    }
}
