//! Letters from and to other places, in order, by the links that [`super::outgoing`] keeps.

use super::context::Context;
use super::directory::Work;
use super::outgoing::Class;
use super::state::Owner;
use crate::effects::letter::{Letter, Stamp};
use crate::places::Place;

impl Owner {
    pub(crate) fn open(&mut self, ctx: &mut Context<'_>, letter: Letter) {
        match letter {
            Letter::RoutedStanza(routed) => self.arrive(ctx, *routed),
            Letter::PresenceBroadcast(tell) => self.told(ctx, *tell),
            Letter::Probes(probes) => self.probed(ctx, &probes),
            Letter::Settled(origins) => self.release(ctx, &origins),
            Letter::Login(question) => self.with_account(ctx, question.account, Work::Login(*question)),
            Letter::Verdict { conn, number, verdict } => ctx.wire.verdict(conn, number, *verdict),
            Letter::PepNotification(pep_notification) => {
                self.with_account(ctx, pep_notification.to(), Work::PepNotification(pep_notification))
            }
            Letter::Look(hints) => self.look_all(ctx, hints),
            Letter::LookAtAll => self.look_at_all(),
            Letter::Asked(asked) => self.asked(ctx, *asked),
            Letter::Answer { number, outcome } => self.answered(ctx, number, *outcome),
            Letter::Seen | Letter::Tally(_) | Letter::Gone => {}
        }
    }

    /// Whether a letter is the next in order on its link, and neither a repetition nor behind one that is lost.
    pub(crate) fn is_next(&mut self, stamp: &Stamp, letter: &Letter) -> bool {
        let Some(number) = self.desk.realm.places.number_of(stamp.from()) else {
            // It comes from an earlier run of another node.
            self.desk.metrics.envelopes_astray_total.inc();
            return false;
        };
        let came = self.desk.outgoing.came(number, stamp, letter);
        self.desk.metrics.envelopes_sent_again_total.add(came.again as u64);
        if !came.is_next && !matches!(letter, Letter::Seen | Letter::Tally(_)) {
            self.desk.metrics.envelopes_repeated_total.inc();
        }
        came.is_next
    }

    pub(crate) fn links_tick(&mut self, ctx: &mut Context<'_>) {
        self.desk.outgoing.tick(ctx);
        let (metrics, level) = (&self.desk.metrics, self.desk.outgoing.level());
        metrics.envelopes_kept.set(level.kept as i64);
        metrics.envelopes_kept_bytes.set(level.bytes as i64);
        metrics.places_silent.set(level.silent as i64);
    }

    /// Sends another place an answer that somebody waits for.
    pub(crate) fn reliably(&mut self, ctx: &mut Context<'_>, to: Place, letter: Letter) {
        if !self.hand_on(ctx, to, letter, Class::Awaited) {
            self.desk.metrics.envelopes_lost_total.inc();
        }
    }

    /// Sends a letter to another place. False: there is no room for a letter of its class, and the caller has to make up for it.
    /// A letter for a run that is over counts as sent: nobody is left to miss it.
    pub(crate) fn hand_on(&mut self, ctx: &mut Context<'_>, to: Place, letter: Letter, class: Class) -> bool {
        let Some(number) = self.desk.realm.places.number_of(to) else { return true };
        self.desk.outgoing.post(ctx, number, letter, class).is_ok()
    }
}
