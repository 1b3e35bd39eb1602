//! Phone books in memory: two sorted sets, one the other turned round.

use super::State;
use crate::books::{Answer, Edit, Match, Query, Standing};
use crate::records::Table;
use crate::{AccountId, books::CHANGE_MAX};
use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

/// The books, as (owner, number) and as (number, owner). Owners are signed, as they are in SQLite.
#[derive(Default)]
pub(super) struct Books {
    by_owner: BTreeSet<(i64, u64)>,
    by_number: BTreeSet<(u64, i64)>,
}

impl Books {
    fn of(&self, owner: AccountId, after: u64) -> impl Iterator<Item = u64> {
        let owner = owner.to_bits() as i64;
        let rows = self.by_owner.range((Excluded((owner, after)), Unbounded));
        rows.take_while(move |(of, _)| *of == owner).map(|(_, number)| *number)
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = AccountId> {
        self.by_owner.iter().map(|(owner, _)| AccountId::from_bits(*owner as u64))
    }

    pub(super) fn clear(&mut self, owner: AccountId) {
        for number in self.of(owner, 0).collect::<Vec<_>>() {
            self.remove(owner, number);
        }
    }

    fn has(&self, owner: AccountId, number: u64) -> bool {
        self.by_owner.contains(&(owner.to_bits() as i64, number))
    }

    fn add(&mut self, owner: AccountId, number: u64) -> bool {
        self.by_number.insert((number, owner.to_bits() as i64));
        self.by_owner.insert((owner.to_bits() as i64, number))
    }

    fn remove(&mut self, owner: AccountId, number: u64) -> bool {
        self.by_number.remove(&(number, owner.to_bits() as i64));
        self.by_owner.remove(&(owner.to_bits() as i64, number))
    }
}

impl State {
    fn is_account(&self, number: u64) -> bool {
        self.records.contains_key(&(Table::ACCOUNTS, format!("+{number}")))
    }

    fn is_held(&self, owner: AccountId, by: u64) -> bool {
        owner.phone_number().is_some_and(|own| self.books.has(AccountId::from_bits(by), own))
    }

    pub(super) fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Book { owner, quota } => {
                let quota = self.get(Table::new("limits"), quota);
                Answer::Book { numbers: self.books.of(*owner, 0).collect(), quota }
            }
            Query::Matches { owner, after, limit } => {
                let page: Vec<u64> = self.books.of(*owner, *after).take(*limit).collect();
                let next = page.last().copied().filter(|_| page.len() >= *limit);
                let accounts = page.into_iter().filter(|number| self.is_account(*number));
                let matches =
                    accounts.map(|number| Match { number, mutual: self.is_held(*owner, number) }).collect();
                Answer::Matches { matches, next }
            }
            Query::Look { owner, number } => {
                let registered = self.is_account(*number);
                let held = registered && self.is_held(*owner, *number);
                Answer::Look(Standing { holds: self.books.has(*owner, *number), registered, held })
            }
            Query::Holders { number, after, limit } => {
                let after = after.map_or(i64::MIN, |after| after.to_bits() as i64);
                let rows = self.books.by_number.range((Excluded((*number, after)), Unbounded));
                let holders = rows.take_while(|(of, _)| of == number).take(*limit);
                let owners: Vec<_> = holders.map(|(_, owner)| AccountId::from_bits(*owner as u64)).collect();
                let more = owners.len() >= *limit;
                Answer::Holders { owners, more }
            }
        }
    }

    pub(super) fn edit(&mut self, edit: Edit) -> Answer {
        match edit {
            Edit::Change { owner, add, remove, puts } => {
                debug_assert!(add.len() + remove.len() <= CHANGE_MAX, "a change is cut by its caller");
                let mut changed: Vec<u64> =
                    remove.into_iter().filter(|number| self.books.remove(owner, *number)).collect();
                changed.extend(add.into_iter().filter(|number| self.books.add(owner, *number)));
                changed.retain(|number| self.is_account(*number));
                for put in puts {
                    self.set(put.table, &put.key, put.value);
                }
                Answer::Changed { accounts: changed }
            }
        }
    }
}
