//! The tickets that a shard gives to the store: 8 bits for the purpose, then a number, then the stay in memory of the account
//! that it is for.
//!
//! The numbers of messages, commands and phone books are slab keys: one is used again only when its ticket has come back, which
//! it does once. The number of a session is never used again. An account's number stays the same, so a ticket may outlive the
//! account's stay in memory: therefore the ticket names the stay.

use crate::wire::SessionId;
use chaski_store::{AccountId, Ticket};

/// One stay of an account in a shard's memory. In its next stay the number may belong to another account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stay(pub(crate) u32);

/// What a completion is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A message was appended; its key in `Desk::in_flight`.
    Message(usize),
    /// A session reads its mailbox.
    Read(SessionId),
    /// An account's records are loaded.
    Load(AccountId, Stay),
    /// A command's record is saved; its key in `Owner::commands`.
    Command(usize),
    /// The entry under way of an account's ledger reads or writes.
    Ledger(AccountId, Stay),
    /// A phone book is read or written; the job's key in `Books::jobs`.
    Book(usize),
    /// Accounts that have a number in their phone books are looked up.
    Holders,
    /// An account is looked up only so that a refusal takes as long as for a number without an account: see `Desk::refusals`.
    Refusal(AccountId),
    /// An account that is being removed is marked.
    Mark(AccountId),
    /// What is left of an account is purged.
    Purge(AccountId),
    /// The store is searched for leftovers.
    Leftovers,
    /// A notice of a new key was appended; its key in `Owner::notices`.
    Notice(usize),
    /// The index of uploaded media was asked; the key in `Owner::asked_of_index`.
    Index(usize),
}

impl Purpose {
    /// The ticket with this purpose.
    pub(crate) fn ticket(self) -> Ticket {
        let mut stay = Stay::default();
        let mut of = |account: AccountId, its| {
            stay = its;
            account.to_bits()
        };
        let (kind, number) = match self {
            Self::Message(key) => (1, key as u64),
            Self::Read(session) => (2, session.0),
            Self::Load(account, load) => (3, of(account, load)),
            Self::Command(key) => (6, key as u64),
            Self::Ledger(account, stay) => (7, of(account, stay)),
            Self::Book(key) => (8, key as u64),
            Self::Holders => (9, 0),
            Self::Refusal(account) => (10, account.to_bits()),
            Self::Mark(account) => (11, account.to_bits()),
            Self::Purge(account) => (12, account.to_bits()),
            Self::Leftovers => (13, 0),
            Self::Notice(key) => (14, key as u64),
            Self::Index(key) => (15, key as u64),
        };
        Ticket(u128::from(stay.0) << 72 | u128::from(number) << 8 | kind)
    }

    /// The purpose of a ticket that was made by [`Self::ticket`]; `None` for any other.
    pub(crate) fn of(ticket: Ticket) -> Option<Self> {
        let (number, stay) = ((ticket.0 >> 8) as u64, Stay((ticket.0 >> 72) as u32));
        Some(match ticket.0 & 0xFF {
            1 => Self::Message(number as usize),
            2 => Self::Read(SessionId(number)),
            3 => Self::Load(AccountId::from_bits(number), stay),
            6 => Self::Command(number as usize),
            7 => Self::Ledger(AccountId::from_bits(number), stay),
            8 => Self::Book(number as usize),
            9 => Self::Holders,
            10 => Self::Refusal(AccountId::from_bits(number)),
            11 => Self::Mark(AccountId::from_bits(number)),
            12 => Self::Purge(AccountId::from_bits(number)),
            13 => Self::Leftovers,
            14 => Self::Notice(number as usize),
            15 => Self::Index(number as usize),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_come_back_as_they_went() {
        let account = AccountId::service("bot");
        for purpose in [
            Purpose::Message(7),
            Purpose::Notice(7),
            Purpose::Index(7),
            Purpose::Refusal(account),
            Purpose::Read(SessionId(u64::MAX)),
            Purpose::Load(account, Stay(u32::MAX)),
            Purpose::Command(0),
            Purpose::Ledger(account, Stay(3)),
            Purpose::Mark(account),
            Purpose::Purge(account),
        ] {
            assert_eq!(Purpose::of(purpose.ticket()), Some(purpose));
        }
        assert_eq!(Purpose::of(Ticket(0)), None);
    }
}
