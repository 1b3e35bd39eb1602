//! Leftovers: what is kept of an account that has no record any more.
//!
//! There is none while everything works: an account's removal is marked in [`Table::REMOVALS`], and the mark goes with the last
//! of it. What an older version left, or a removal that was cut short, is found here page by page, so that the owner can have
//! it [purged](crate::ShardStore::purge). Asked through [`crate::ShardStore::find_leftovers`].
//!
//! Promises: a page looks at no more than [`KEYS_PER_PAGE`] keys; what is there when the search begins and stays is found.
//! An account that is being made while a page is read may be named wrongly: its owner knows.

use crate::{AccountId, Table};

/// Keys looked at for one page.
pub const KEYS_PER_PAGE: usize = 500;

/// Where a search is to go on. The default is its start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    pub(crate) part: usize,
    pub(crate) after: Option<After>,
}

/// What was looked at last in a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    Key(String),
    /// As signed 64 bits, the order of the tables that are keyed with them.
    Account(i64),
}

/// What one page found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Accounts without record. One may be named on several pages.
    pub accounts: Vec<AccountId>,
    /// Where to go on; `None`: that was all.
    pub next: Option<Place>,
}

/// What is searched one after the other: marks first, since somebody may wait for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Records of the kind with this name.
    Records(String),
    Messages,
    Gaps,
    Books,
    Media,
}

impl Part {
    /// All parts, where these are the kinds of records under accounts' keys.
    pub(crate) fn all(kinds: Vec<String>) -> Vec<Self> {
        let marks = Table::REMOVALS.name();
        let records = kinds.into_iter().filter(|kind| kind != marks).map(Self::Records);
        let first = [Self::Records(marks.to_owned()), Self::Messages, Self::Gaps, Self::Books, Self::Media];
        first.into_iter().chain(records).collect()
    }
}

impl Place {
    pub(crate) fn part<'a>(&self, of: &'a [Part]) -> Option<&'a Part> {
        of.get(self.part)
    }

    /// Behind `last` in the same part, or at the start of the next one.
    pub(crate) fn next(&self, last: Option<After>, of: &[Part]) -> Option<Self> {
        match last {
            Some(last) => Some(Self { part: self.part, after: Some(last) }),
            None => (self.part + 1 < of.len()).then_some(Self { part: self.part + 1, after: None }),
        }
    }
}
