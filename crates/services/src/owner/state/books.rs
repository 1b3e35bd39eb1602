//! A shard's phone books at work: whose turn it is, what is under way, who is still to be told, and what was lost of that.

use crate::places::Place;
use crate::rooms::contact_sync::job::Job;
use crate::rooms::contact_sync::line::Lines;
use chaski_store::AccountId;
use slab::Slab;
use std::collections::{HashSet, VecDeque};

/// Accounts whose own look failed; beyond, all of the shard look.
const FAILED_MAX: usize = 1_024;

/// A shard's phone books at work.
pub(crate) struct Books {
    pub(crate) lines: Lines,
    /// What is under way; the key is the ticket's. `None` while it makes a step. Bounded by the lines.
    pub(crate) jobs: Slab<Option<Job>>,
    /// Jobs that go on in the next slices.
    pub(crate) spelling: VecDeque<usize>,
    pub(crate) following: VecDeque<usize>,
    pub(crate) follow_at_ms: u64,
    /// Looks that came while their account was being loaded.
    pub(crate) again: Vec<(AccountId, u64)>,
    pub(crate) tellings: Tellings,
    pub(crate) lost: Again,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            lines: Lines::default(),
            jobs: Slab::new(),
            spelling: VecDeque::new(),
            following: VecDeque::new(),
            follow_at_ms: 0,
            again: Vec::new(),
            tellings: Tellings::default(),
            lost: Again::default(),
        }
    }
}

/// Numbers that came or went, and how far their holders have been told.
#[derive(Default)]
pub(crate) struct Tellings {
    pub(crate) waiting: VecDeque<(u64, Option<AccountId>)>,
    /// A page of the first one is being read.
    pub(crate) reading: bool,
}

/// What was lost.
#[derive(Default)]
pub(crate) struct Again {
    pub(crate) failed: HashSet<AccountId>,
    /// All accounts of this shard are concerned.
    pub(crate) all: bool,
    /// Shards that have not been told yet that all of theirs are.
    pub(crate) untold: HashSet<Place>,
    pub(crate) at_ms: Option<u64>,
    /// Who is still to look, and how many do at a time.
    pub(crate) looking: VecDeque<AccountId>,
    pub(crate) portion: usize,
}

impl Again {
    /// An account's look failed.
    pub(crate) fn failed(&mut self, account: AccountId) {
        if self.failed.len() < FAILED_MAX {
            self.failed.insert(account);
        } else {
            self.all();
        }
    }

    /// Some account of this shard is concerned, and nobody knows which.
    pub(crate) fn all(&mut self) {
        self.all = true;
        self.failed.clear();
    }

    /// The same of another shard.
    pub(crate) fn all_of(&mut self, owner: Place) {
        self.untold.insert(owner);
    }
}
