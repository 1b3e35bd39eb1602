//! How a mailbox, and the last room of a disk, are shared out among those who write: the rule that every engine keeps.
//!
//! Of what waits in one mailbox, one sender owns at most a share; a stranger's is smaller than a contact's, and all
//! strangers together leave room for contacts. What is acknowledged, refused, expired or purged gives its share back.
//! As long as little waits nobody's share is looked at, so that nothing is counted for the many mailboxes that are
//! nearly empty; and who has nothing waiting may always put in one message, however large. What is over a share is
//! refused as from a full mailbox ([`crate::StoreError::MailboxFull`]): a sender learns nothing new from it.
//!
//! An engine may count too much against a sender, never too little, but for what waited before a restart: it knows that
//! no longer by sender, and takes it for strangers'.
//!
//! Pure. Called by the engines; the services say who writes ([`Sender`]) and the operator how much ([`Shares`]).

use crate::AccountId;

/// So much may wait in a mailbox before shares are looked at; at most half a stranger's share.
const UNSHARED: Count = Count { messages: 64, bytes: 64 << 10 };

/// What a sender is to the owner of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The owner has put them into the phone book or the roster, or is it.
    Contact,
    /// Anybody else.
    Stranger,
}

/// Who puts a message into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The account.
    pub account: AccountId,
    /// What it is to the mailbox' owner.
    pub standing: Standing,
    /// It has stored so much lately that it counts as a stranger where the disk's last room is given out.
    pub is_heavy: bool,
}

impl Sender {
    /// A contact who has not stored much.
    pub fn contact(account: AccountId) -> Self {
        Self { account, standing: Standing::Contact, is_heavy: false }
    }

    /// A stranger who has not stored much.
    pub fn stranger(account: AccountId) -> Self {
        Self { standing: Standing::Stranger, ..Self::contact(account) }
    }

    /// Whether it may use the room that is kept for contacts when the disk is nearly full.
    pub(crate) fn may_use_last_room(self) -> bool {
        self.standing == Standing::Contact && !self.is_heavy
    }
}

/// Parts of a mailbox, in hundredths of its messages and of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Most of one contact.
    pub contact_percent: u32,
    /// Most of one stranger.
    pub stranger_percent: u32,
    /// Most of all strangers together.
    pub strangers_percent: u32,
}

impl Shares {
    /// Nobody is held to less than the mailbox.
    pub const WHOLE: Self = Self { contact_percent: 100, stranger_percent: 100, strangers_percent: 100 };
}

impl Default for Shares {
    fn default() -> Self {
        Self { contact_percent: 25, stranger_percent: 10, strangers_percent: 50 }
    }
}

/// Messages and the bytes of their stanzas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Count {
    pub(crate) messages: u32,
    pub(crate) bytes: u32,
}

impl Count {
    /// One more message.
    pub(crate) fn add(&mut self, size: usize) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(clamped(size));
    }

    /// One message less.
    pub(crate) fn sub(&mut self, size: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(clamped(size));
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// Not more than `most`, of either.
    pub(crate) fn at_most(self, most: Self) -> Self {
        Self { messages: self.messages.min(most.messages), bytes: self.bytes.min(most.bytes) }
    }

    /// Whether it is not more than `most`, in both.
    pub(crate) fn is_within(self, most: Self) -> bool {
        self.messages <= most.messages && self.bytes <= most.bytes
    }

    /// Half of both.
    pub(crate) fn half(self) -> Self {
        Self { messages: self.messages / 2, bytes: self.bytes / 2 }
    }

    /// So many hundredths, one message at least.
    fn percent(self, percent: u32) -> Self {
        let part = |whole: u32| (u64::from(whole) * u64::from(percent.min(100)) / 100) as u32;
        Self { messages: part(self.messages).max(1), bytes: part(self.bytes) }
    }

    /// Whether one more message of this size would be too much of this.
    fn is_full_for(self, size: usize, most: Self) -> bool {
        self.messages >= most.messages || u64::from(self.bytes) + size as u64 > u64::from(most.bytes)
    }

    /// The same of a share, into which one message always fits.
    fn is_over_for(self, size: usize, share: Self) -> bool {
        self.messages > 0 && self.is_full_for(size, share)
    }
}

fn clamped(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// Why a mailbox does not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// It is full.
    Mailbox,
    /// All strangers together have too much in it.
    Strangers,
    /// The sender has too much in it.
    Sender,
}

/// The bounds of a mailbox and of its shares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    mailbox: Count,
    contact: Count,
    stranger: Count,
    strangers: Count,
    /// Shares are not looked at below.
    pub(crate) unshared: Count,
}

impl Bounds {
    /// Of mailboxes of this size.
    pub(crate) fn new(messages: u32, bytes: u32, shares: Shares) -> Self {
        let mailbox = Count { messages, bytes };
        let stranger = mailbox.percent(shares.stranger_percent);
        Self {
            mailbox,
            contact: mailbox.percent(shares.contact_percent),
            stranger,
            strangers: mailbox.percent(shares.strangers_percent),
            unshared: UNSHARED.at_most(stranger.half()),
        }
    }

    /// Whether shares matter for one more message where so much waits.
    pub(crate) fn is_shared(&self, waiting: Count, size: usize) -> bool {
        waiting.is_full_for(size, self.unshared)
    }

    /// Whether the mailbox has room for a message.
    pub(crate) fn has_room(&self, waiting: Count, size: usize) -> Result<(), Over> {
        if waiting.is_full_for(size, self.mailbox) { Err(Over::Mailbox) } else { Ok(()) }
    }

    /// Whether the sender's share has: `own` is what waits of this sender, `strangers` of all strangers.
    pub(crate) fn has_share(
        &self,
        standing: Standing,
        own: Count,
        strangers: Count,
        size: usize,
    ) -> Result<(), Over> {
        match standing {
            Standing::Stranger if strangers.is_over_for(size, self.strangers) => Err(Over::Strangers),
            Standing::Stranger if own.is_over_for(size, self.stranger) => Err(Over::Sender),
            Standing::Contact if own.is_over_for(size, self.contact) => Err(Over::Sender),
            Standing::Stranger | Standing::Contact => Ok(()),
        }
    }
}

/// Places for what was charged and not stored, in one shard.
const UNSTORED_PLACES: usize = 4_096;

/// What was charged to shares and not stored ([`crate::Mailboxes::charge`]): whom the owner has blocked finds
/// the mailbox full when somebody would who waits for an owner who stays away, also in that it takes until what was
/// sent first is too old.
///
/// A table of fixed size, made when it is first needed. Who meets another one in it finds the mailbox full
/// earlier; nobody else is concerned, since only who is charged again asks it.
#[derive(Debug, Default)]
pub(crate) struct Unstored {
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    count: Count,
    since_unix_ms: u64,
}

impl Unstored {
    /// What is charged to this sender in this mailbox.
    pub(crate) fn of(&self, hash: u64, now_unix_ms: u64, expire_after_ms: u64) -> Count {
        let place = self.places.get(hash as usize % UNSTORED_PLACES).copied().unwrap_or_default();
        let is_old = now_unix_ms.saturating_sub(place.since_unix_ms) >= expire_after_ms;
        if is_old { Count::default() } else { place.count }
    }

    /// Charges one more message.
    pub(crate) fn add(&mut self, hash: u64, size: usize, now_unix_ms: u64, expire_after_ms: u64) {
        let count = self.of(hash, now_unix_ms, expire_after_ms);
        if self.places.is_empty() {
            self.places = vec![Place::default(); UNSTORED_PLACES];
        }
        let Some(place) = self.places.get_mut(hash as usize % UNSTORED_PLACES) else { return };
        if count == Count::default() {
            place.since_unix_ms = now_unix_ms;
        }
        place.count = count;
        place.count.add(size);
    }
}

/// A number for a sender in a mailbox that nobody outside can guess, so that nobody can choose whom to meet in a table:
/// a few instructions.
pub(crate) fn hash(key: u64, mailbox: AccountId, sender: AccountId) -> u64 {
    let mixed = (sender.to_bits() ^ key).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ mailbox.to_bits();
    (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: fn(Shares) -> Bounds = |shares| Bounds::new(1_000, 1_000_000, shares);

    fn count(messages: u32, bytes: u32) -> Count {
        Count { messages, bytes }
    }

    #[test]
    fn a_strangers_share_is_smaller_and_strangers_leave_room_for_contacts() {
        let bounds = BOUNDS(Shares::default());
        let none = Count::default();
        let share = |standing, own, strangers| bounds.has_share(standing, own, strangers, 1);
        assert_eq!(share(Standing::Stranger, count(99, 99), none), Ok(()));
        assert_eq!(share(Standing::Stranger, count(100, 100), none), Err(Over::Sender));
        assert_eq!(share(Standing::Stranger, none, count(500, 500)), Err(Over::Strangers));
        assert_eq!(share(Standing::Contact, count(249, 249), count(500, 500)), Ok(()));
        assert_eq!(share(Standing::Contact, count(250, 250), none), Err(Over::Sender));
    }

    #[test]
    fn bytes_count_as_messages_do_and_one_message_always_fits() {
        let bounds = BOUNDS(Shares::default());
        let share = |own, size| bounds.has_share(Standing::Stranger, own, own, size);
        assert_eq!(share(count(1, 60_000), 40_000), Ok(()));
        assert_eq!(share(count(1, 60_000), 40_001), Err(Over::Sender));
        assert_eq!(share(Count::default(), 900_000), Ok(()));
        assert_eq!(bounds.has_room(count(1, 200_000), 900_000), Err(Over::Mailbox));
    }

    #[test]
    fn little_is_not_shared_out() {
        let bounds = BOUNDS(Shares::default());
        assert!(!bounds.is_shared(count(49, 100), 1));
        assert!(bounds.is_shared(count(50, 100), 1));
        assert!(bounds.is_shared(count(1, 50_000), 1));
        assert_eq!(Bounds::new(10_000, 64 << 20, Shares::default()).unshared, UNSHARED);
    }

    #[test]
    fn what_was_charged_and_not_stored_is_forgotten_when_it_is_old() {
        let mut unstored = Unstored::default();
        assert_eq!(unstored.of(7, 0, 100), Count::default());
        unstored.add(7, 10, 50, 100);
        unstored.add(7, 10, 149, 100);
        assert_eq!(unstored.of(7, 149, 100), count(2, 20));
        assert_eq!(unstored.of(8, 149, 100), Count::default());
        assert_eq!(unstored.of(7, 150, 100), Count::default());
        unstored.add(7, 10, 150, 100);
        assert_eq!(unstored.of(7, 160, 100), count(1, 10));
    }

    #[test]
    fn senders_spread_and_the_key_decides_where() {
        let places = |key| -> Vec<u64> {
            let senders = (0..64).map(|n| AccountId::from_bits(15_551_230_000 + n));
            senders.map(|sender| hash(key, AccountId::from_bits(5), sender) % 64).collect()
        };
        let mut distinct = places(1);
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > 24, "{} of 64", distinct.len());
        assert_ne!(places(1), places(2));
    }
}
