//! What is said at the end, and what somebody finds who looks: lost, expired, told (M1, M2, M4, M6, M7, A2).

use super::Checker;
use super::accounts::State;
use crate::event::{Account, GapCause, Session, StanzaId};
use crate::verdict::Rule;

/// A notice of a gap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    at: u32,
    cause: GapCause,
    notice: StanzaId,
    place: u32,
    faults: u32,
    epoch: u32,
}

impl Checker {
    pub(super) fn gap(&mut self, session: Session, cause: GapCause, notice: StanzaId) {
        let Some(stream) = self.streams.get(&session) else { return };
        let (life, place) = (stream.life, stream.place);
        let faults = self.places[place as usize].faults;
        let new = Gap { at: self.position, cause, notice, place, faults, epoch: self.epoch };
        let known = self.life(life);
        if let Some(before) = known.gap
            && before.notice == notice
            && (before.place, before.faults, before.epoch) == (place, faults, self.epoch)
        {
            self.broken(Rule::GapTwice, &[before.at], || "one gap was told twice".into());
        }
        self.life_mut(life).gap = Some(new);
    }

    /// What has not come by now will not come.
    pub(super) fn drained(&mut self, account: Account) {
        let index = self.life_of(account);
        if self.life(index).is_leaving() {
            return;
        }
        let gap = self.life(index).gap;
        let waits = std::mem::take(&mut self.life_mut(index).waits);
        for index in waits {
            let Some(message) = self.message(index) else { continue };
            let age_ms = self.now_ms - message.covered_ms;
            let (sent_at, covered_at, is_beside) = (message.first.1, message.covered_at, message.is_beside);
            let is_old = age_ms >= self.knobs.expiry_ms;
            let crashed = message.covered_epoch != self.epoch;
            let told = gap.filter(|gap| gap.at > message.last.1);
            let (rule, text) = match told {
                Some(Gap { cause: GapCause::Age, .. }) if !is_old => {
                    (Rule::ExpiredTooEarly, "was taken away by its age, before it was so old")
                }
                Some(_) => continue,
                None if is_old => (Rule::SilentExpiry, "became too old, and its recipient was not told"),
                None if is_beside => (
                    Rule::DroppedUnequal,
                    "had an identity known before and bytes that were not: it was dropped",
                ),
                None if crashed => (Rule::LostInCrash, "was lost in a crash"),
                None => (Rule::NeverShown, "was never shown"),
            };
            let told_at = told.map_or(0, |gap| gap.at);
            self.broken(rule, &[sent_at, covered_at, told_at], || format!("an accepted message {text}"));
        }
    }
}

/// Whether the account of a message is gone, and since when.
pub(super) fn removed_ms(state: State) -> Option<(u64, u32)> {
    match state {
        State::Removed { at_ms, at } => Some((at_ms, at)),
        _ => None,
    }
}
