//! News of nodes between accounts: on their way, and at the account they are for ([`crate::rooms::pep`]).
//!
//! Nobody waits for them and nothing is lost for good without them: the last item of a node can always be asked for. So
//! they are dropped rather than queued, and read no account's records for a notification.

use crate::budget;
use crate::effects::letter::{Envelope, Letter};
use crate::effects::pep::Tiding;
use crate::owner::context::Context;
use crate::owner::directory::Work;
use crate::owner::state::Owner;
use crate::realm::Pressure;
use crate::rooms::pep;

impl Owner {
    /// Has a tiding carried, in this turn or a later one: one publication may be for thousands.
    pub(crate) fn tiding(&mut self, tiding: Box<Tiding>) {
        if self.desk.tidings.len() >= self.desk.realm.limits.tidings_waiting {
            return self.desk.metrics.tidings_dropped_total.inc();
        }
        // A question is answered by reading.
        self.desk.spend(if tiding.is_question() { budget::READ } else { budget::CARRIED });
        self.desk.tidings.push_back(tiding);
    }

    /// The next that is carried in this turn.
    pub(crate) fn next_tiding(&mut self) -> Option<Box<Tiding>> {
        if self.desk.tidings_left == 0 {
            return None;
        }
        let next = self.desk.tidings.pop_front()?;
        self.desk.tidings_left -= 1;
        Some(next)
    }

    /// A turn ends. Whether some are left.
    pub(crate) fn tidings_turn(&mut self) -> bool {
        self.desk.tidings_left = self.desk.realm.limits.tidings_per_turn;
        self.desk.metrics.tidings_waiting.set(self.desk.tidings.len() as i64);
        !self.desk.tidings.is_empty()
    }

    /// Sends a tiding to its account's owner, which may be this shard.
    pub(crate) fn send_tiding(&mut self, ctx: &mut Context<'_>, tiding: Box<Tiding>) {
        let owner = self.desk.owner(tiding.to());
        if owner == self.desk.here {
            return self.with_account(ctx, tiding.to(), Work::Tiding(tiding));
        }
        if ctx.wire.forward(Envelope::new(owner, Letter::Tiding(tiding))).is_err() {
            self.desk.metrics.tidings_dropped_total.inc();
        }
    }

    /// Whether the records of an account that is not in memory are to be read for it.
    pub(crate) fn is_worth_loading(ctx: &Context<'_>, tiding: &Tiding) -> bool {
        tiding.is_question() && ctx.pressure < Pressure::Presence
    }

    /// A tiding is there.
    pub(crate) fn tell(&mut self, ctx: &mut Context<'_>, tiding: &Tiding) {
        if self.directory.present(tiding.to()).is_some_and(|account| account.saving.is_gone()) {
            return;
        }
        self.in_room(ctx, tiding.to(), |turn, account| pep::told(turn, account, tiding));
    }
}
