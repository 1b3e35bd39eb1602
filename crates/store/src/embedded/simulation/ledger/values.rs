//! What records and phone books may hold after a cut: the last value that was answered, or one that was submitted after it.

use super::{Event, Judged, Ledger};
use crate::AccountId;
use std::collections::BTreeSet;

/// What a record or phone book may hold: what is durable, and what it becomes with each change that is under way.
#[derive(Debug, Clone)]
pub(super) struct Values<T> {
    pub(super) durable: T,
    pub(super) under_way: Vec<(u128, T)>,
}

impl<T: Clone + PartialEq> Values<T> {
    pub(super) fn new(durable: T) -> Self {
        Self { durable, under_way: Vec::new() }
    }

    pub(super) fn newest(&self) -> &T {
        self.under_way.last().map_or(&self.durable, |(_, value)| value)
    }

    pub(super) fn settle(&mut self, ticket: u128, kept: bool) {
        let Some(at) = self.under_way.iter().position(|(of, _)| *of == ticket) else { return };
        if kept {
            self.durable = self.under_way[at].1.clone();
            self.under_way.drain(..=at);
        } else {
            self.under_way.remove(at);
        }
    }

    /// Takes what was found for the truth, if it may be.
    pub(super) fn found(&mut self, value: T) -> bool {
        let may_be = self.durable == value || self.under_way.iter().any(|(_, one)| *one == value);
        *self = Self::new(value);
        may_be
    }
}

impl Ledger {
    /// The newest value of a record, committed or not.
    pub fn newest(&self, key: &str) -> Option<Vec<u8>> {
        self.records.get(key).and_then(|values| values.newest().clone())
    }

    /// A record's change was submitted.
    pub fn changing(&mut self, key: &str, value: Option<Vec<u8>>, ticket: u128) {
        self.events.push(Event::Changed { key: key.to_owned(), ticket });
        self.records
            .entry(key.to_owned())
            .or_insert_with(|| Values::new(None))
            .under_way
            .push((ticket, value));
    }

    /// A phone book's change was submitted.
    pub fn changing_book(&mut self, owner: AccountId, add: &[u64], remove: &[u64], ticket: u128) {
        self.events.push(Event::Changed { key: format!("book of {owner:?}"), ticket });
        let values = self.books.entry(owner).or_insert_with(|| Values::new(BTreeSet::new()));
        let mut next = values.newest().clone();
        next.retain(|number| !remove.contains(number));
        next.extend(add);
        values.under_way.push((ticket, next));
    }

    /// The fate of a change of a record or phone book.
    pub fn settled(&mut self, ticket: u128, kept: bool) {
        self.events.push(Event::Settled { ticket, kept });
        self.records.values_mut().for_each(|values| values.settle(ticket, kept));
        self.books.values_mut().for_each(|values| values.settle(ticket, kept));
    }

    /// What a record holds after an opening.
    pub fn record_opened(&mut self, key: &str, value: Option<Vec<u8>>) -> Judged {
        let values = self.records.entry(key.to_owned()).or_insert_with(|| Values::new(None));
        let before = values.clone();
        if values.found(value) {
            return Ok(());
        }
        Err(format!("record {key} holds {:?}, which is none of {before:?}", values.durable))
    }

    /// What a phone book holds after an opening.
    pub fn book_opened(&mut self, owner: AccountId, numbers: &[u64]) -> Judged {
        let values = self.books.entry(owner).or_insert_with(|| Values::new(BTreeSet::new()));
        let before = values.clone();
        if values.found(numbers.iter().copied().collect()) {
            return Ok(());
        }
        Err(format!("a phone book holds {numbers:?}, which is none of {before:?}"))
    }
}
