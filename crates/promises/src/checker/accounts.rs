//! Who has a number, and since when: *lives*. A number that is removed, or registered by somebody without the right to what was
//! there, begins a new life; what was for the old one is for nobody.

use super::Checker;
use super::messages::Fate;
use crate::event::{Account, Lock};
use crate::verdict::Rule;
use std::collections::BTreeSet;

/// A life, by its place among all.
pub(super) type LifeIndex = u32;

/// What is known of a life's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was never spoken of before.
    Unknown,
    /// The number is nobody's.
    Nobody,
    /// There is an account.
    Alive,
    /// It was removed, and that was answered.
    Removed { at_ms: u64, at: u32 },
    /// Somebody else has the number now.
    Replaced { at: u32 },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) state: State,
    /// Its removal was asked for after so many crashes, and not answered.
    pub(super) leaving_in: Option<u32>,
    /// Where it was registered again while nobody knew whether its removal had been carried out; 0: never.
    pub(super) may_begin_at: u32,
    /// The generation of its key; 0: not known.
    pub(super) key: u32,
    pub(super) key_at: u32,
    pub(super) blocks: Vec<Account>,
    /// Whom it has asked to block, answered or not.
    pub(super) may_block: Vec<Account>,
    /// Messages that were accepted for it and never shown.
    pub(super) waits: BTreeSet<u32>,
    pub(super) gap: Option<super::judging::Gap>,
}

impl Life {
    /// Whether its removal was asked for.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving_in.is_some()
    }

    /// Whether what was sent then, and not again since, may have gone with a removal that nobody has answered: it may have been accepted
    /// before that, and its acceptance told behind it.
    pub(super) fn may_be_without(&self, sent_at: u32) -> bool {
        sent_at < self.may_begin_at
    }

    /// Whether a crash, after which there have been `epoch`, may have left a removal half done. Nothing is owed then, and of what was
    /// sent twice the first copy may be gone and the second not: it stands where it was sent last.
    pub(super) fn may_be_half_gone(&self, epoch: u32) -> bool {
        self.leaving_in.is_some_and(|leaving_in| leaving_in < epoch)
    }
}

/// A number.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) life: LifeIndex,
    /// Earlier lives under this number.
    pub(super) former: Vec<LifeIndex>,
}

impl Checker {
    /// Who has this number.
    pub(super) fn life_of(&mut self, account: Account) -> LifeIndex {
        if let Some(person) = self.people.get(&account) {
            return person.life;
        }
        let life = self.new_life(State::Unknown);
        self.people.insert(account, Person { life, former: Vec::new() });
        life
    }

    pub(super) fn life(&self, index: LifeIndex) -> &Life {
        &self.lives[index as usize]
    }

    pub(super) fn life_mut(&mut self, index: LifeIndex) -> &mut Life {
        &mut self.lives[index as usize]
    }

    fn new_life(&mut self, state: State) -> LifeIndex {
        let (blocks, may_block, waits) = (Vec::new(), Vec::new(), BTreeSet::new());
        let (key, key_at) = (0, self.position);
        let life = Life {
            state,
            leaving_in: None,
            may_begin_at: 0,
            key,
            key_at,
            blocks,
            may_block,
            waits,
            gap: None,
        };
        self.lives.push(life);
        (self.lives.len() - 1) as LifeIndex
    }

    /// From now on the number is in this life.
    fn succeed(&mut self, account: Account, next: LifeIndex) {
        let before = self.life_of(account);
        if let Some(person) = self.people.get_mut(&account) {
            person.former.push(before);
            person.life = next;
        }
    }

    pub(super) fn registered(
        &mut self,
        account: Account,
        key: u32,
        (proof, silent_ms, lock): (bool, u64, Lock),
    ) {
        let index = self.life_of(account);
        let seen_within_ms = self.knobs.seen_within_ms;
        let at = self.position;
        let life = self.life_mut(index);
        if life.leaving_in.take().is_some() {
            // Nobody knows whether the removal was carried out, and with it what the account had: messages, blocks.
            life.waits.clear();
            life.blocks.clear();
            life.may_begin_at = at;
        }
        let stays = match (life.state, lock) {
            (State::Unknown | State::Nobody, _) => true,
            (_, Lock::Standing) if !proof => {
                let since = life.key_at;
                self.broken(Rule::LockIgnored, &[since], || {
                    "a number was registered over a lock that stands, and nothing proved continuity".into()
                });
                true
            }
            (_, Lock::Fallen) => proof,
            _ => proof || silent_ms <= seen_within_ms,
        };
        let index = if stays {
            index
        } else {
            let life = self.life_mut(index);
            life.state = State::Replaced { at };
            life.waits.clear();
            let next = self.new_life(State::Nobody);
            self.succeed(account, next);
            next
        };
        let life = self.life_mut(index);
        (life.state, life.key, life.key_at) = (State::Alive, key.max(life.key), at);
    }

    pub(super) fn key_changed(&mut self, account: Account, key: u32) {
        let (index, at) = (self.life_of(account), self.position);
        let life = self.life_mut(index);
        (life.key, life.key_at) = (key.max(life.key), at);
    }

    pub(super) fn removing(&mut self, account: Account) {
        let (index, epoch) = (self.life_of(account), self.epoch);
        self.life_mut(index).leaving_in.get_or_insert(epoch);
    }

    pub(super) fn removed(&mut self, account: Account) {
        let index = self.life_of(account);
        let (at_ms, at) = (self.now_ms, self.position);
        let life = self.life_mut(index);
        life.state = State::Removed { at_ms, at };
        life.waits.clear();
        let next = self.new_life(State::Nobody);
        self.succeed(account, next);
    }

    /// Everything goes with its owner; the old number is nobody's.
    pub(super) fn moved(&mut self, from: Account, to: Account) {
        let life = self.life_of(from);
        let nobody = self.new_life(State::Nobody);
        self.succeed(from, nobody);
        self.succeed(to, life);
    }

    pub(super) fn blocking(&mut self, by: Account, whom: Account) {
        let index = self.life_of(by);
        self.life_mut(index).may_block.push(whom);
        self.is_unsure_under_way(index, whom);
    }

    /// What is under way from somebody to an account comes before its owner blocks or unblocks him, or after it. So does the second copy
    /// of what was dropped because he was blocked; what was accepted otherwise stays owed.
    fn is_unsure_under_way(&mut self, to: LifeIndex, from: Account) {
        let under_way = self.messages.iter_mut().flatten().filter(|message| {
            let may_be_new = message.fate == Fate::Open || message.is_blocked;
            message.from == from && message.life == to && message.open > 0 && may_be_new
        });
        for message in under_way {
            if message.is_blocked && message.fate == Fate::Accepted {
                // Of the first nothing is kept: it stands where it was sent again.
                (message.fate, message.covered_at, message.last) = (Fate::Open, 0, message.again);
            }
            (message.is_blocked, message.may_be_blocked, message.is_unsure) = (false, true, true);
        }
    }

    pub(super) fn blocked(&mut self, by: Account, whom: Account) {
        let index = self.life_of(by);
        let life = self.life_mut(index);
        if !life.blocks.contains(&whom) {
            life.blocks.push(whom);
        }
    }

    pub(super) fn unblocked(&mut self, by: Account, whom: Option<Account>) {
        let index = self.life_of(by);
        // What was asked for may still come true after this, or not have been undone.
        let undone: Vec<Account> = self
            .life(index)
            .blocks
            .iter()
            .copied()
            .filter(|blocked| whom.is_none_or(|whom| whom == *blocked))
            .collect();
        undone.into_iter().for_each(|whom| self.is_unsure_under_way(index, whom));
        self.life_mut(index).blocks.retain(|blocked| whom.is_some_and(|whom| whom != *blocked));
    }

    /// A number's earlier life, if a message was for that.
    pub(super) fn is_former(&self, account: Account, life: LifeIndex) -> bool {
        self.people.get(&account).is_some_and(|person| person.former.contains(&life))
    }
}
