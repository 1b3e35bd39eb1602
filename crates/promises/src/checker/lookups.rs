//! Somebody has looked at disks and mailboxes (M1, M4, A2).

use super::Checker;
use super::judging::removed_ms;
use super::messages::Fate;
use crate::event::{Account, Content};
use crate::verdict::Rule;

impl Checker {
    pub(super) fn looked(&mut self, account: Account, from: Account, content: Content, found: bool) {
        let alike = self.alike(from, content);
        // Equal messages can't be told apart on a disk.
        let [index] = alike[..] else { return };
        let Some(message) = self.message(index).filter(|message| message.to == account) else { return };
        let (life, gone, sent_at, covered_at) =
            (message.life, message.gone, message.first.1, message.covered_at);
        let is_accepted = message.fate == Fate::Accepted;
        let may_be_dropped = message.is_blocked || message.is_unsure;
        let is_owed = message.is_kept && !may_be_dropped && !self.life(life).may_be_without(message.last.1);
        let limit_ms = self.knobs.erased_within_ms + self.knobs.slack_ms;
        let state = self.life(life).state;
        if let Some((at_ms, at)) = removed_ms(state) {
            if found && self.now_ms > at_ms + limit_ms {
                self.broken(Rule::RemovedReadable, &[sent_at, at], || {
                    "a removed account's message is still on a disk".into()
                });
            }
        } else if let Some(gone) = gone {
            if found && gone.epoch == self.epoch && self.now_ms > gone.at_ms + limit_ms {
                self.broken(Rule::StillReadable, &[sent_at, gone.at], || {
                    "an acknowledged message is still on a disk".into()
                });
            }
        } else if !found && is_accepted && is_owed && self.life(life).gap.is_none() {
            self.broken(Rule::GoneTooEarly, &[sent_at, covered_at], || {
                "an accepted message is nowhere, and nobody has acknowledged it".into()
            });
        }
    }
}
