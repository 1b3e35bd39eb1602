//! PEP notifications between accounts: on their way, and at the account that they are for ([`crate::rooms::pep`]).
//!
//! Nobody waits for a notification, and nothing is lost for good without it, since a client can always ask for the last item of a
//! node. So notifications are dropped rather than queued for long, and no account's records are read for one.

use crate::budget;
use crate::effects::letter::{Envelope, Letter};
use crate::effects::pep::{PepKnobs, PepNotification};
use crate::owner::context::Context;
use crate::owner::directory::Work;
use crate::owner::state::Owner;
use crate::realm::Pressure;
use crate::rooms::pep;

impl Owner {
    /// Queues a PEP notification, for this turn or a later one: one publication may be for thousands of accounts.
    pub(crate) fn pep_notification(&mut self, pep_notification: Box<PepNotification>) {
        if self.desk.pep_notifications.len()
            >= self.desk.realm.knobs.of::<PepKnobs>().notifications_waiting.size()
        {
            return self.desk.metrics.pep_notifications_dropped_total.inc();
        }
        // The answer to a question for last items needs a read.
        self.desk.spend(if pep_notification.is_question() { budget::READ } else { budget::CARRIED });
        self.desk.pep_notifications.push_back(pep_notification);
    }

    /// Takes the next PEP notification that is sent in this turn.
    pub(crate) fn next_pep_notification(&mut self) -> Option<Box<PepNotification>> {
        if self.desk.pep_notifications.is_empty()
            || self.desk.pep_notifications_sent
                >= self.desk.realm.knobs.of::<PepKnobs>().notifications_per_turn.size()
        {
            return None;
        }
        self.desk.pep_notifications_sent += 1;
        self.desk.pep_notifications.pop_front()
    }

    /// A turn ends. Returns whether notifications are left.
    pub(crate) fn pep_notifications_turn(&mut self) -> bool {
        self.desk.pep_notifications_sent = 0;
        self.desk.metrics.pep_notifications_waiting.set(self.desk.pep_notifications.len() as i64);
        !self.desk.pep_notifications.is_empty()
    }

    /// Sends a PEP notification to the owner of its recipient, which may be this shard.
    pub(crate) fn send_pep_notification(
        &mut self,
        ctx: &mut Context<'_>,
        pep_notification: Box<PepNotification>,
    ) {
        let owner = self.desk.owner(pep_notification.to());
        if owner == self.desk.here {
            return self.with_account(ctx, pep_notification.to(), Work::PepNotification(pep_notification));
        }
        if ctx.wire.forward(Envelope::new(owner, Letter::PepNotification(pep_notification))).is_err() {
            self.desk.metrics.pep_notifications_dropped_total.inc();
        }
    }

    /// Whether the records of an account that is not in memory are to be read for this PEP notification: only if it asks for last
    /// items.
    pub(crate) fn is_worth_loading(ctx: &Context<'_>, pep_notification: &PepNotification) -> bool {
        pep_notification.is_question() && ctx.pressure < Pressure::Presence
    }

    /// A PEP notification has arrived at its recipient.
    pub(crate) fn tell(&mut self, ctx: &mut Context<'_>, pep_notification: &PepNotification) {
        if self.directory.present(pep_notification.to()).is_some_and(|account| account.ledger.is_gone()) {
            return;
        }
        self.in_room(ctx, pep_notification.to(), |turn, account| pep::told(turn, account, pep_notification));
    }
}
