//! The state of a shard's contact sync: whose turn it is, which jobs are under way, which hints are still to be sent, and which
//! were lost.

use crate::places::Place;
use crate::rooms::contact_sync::job::Job;
use crate::rooms::contact_sync::line::Lines;
use chaski_store::AccountId;
use slab::Slab;
use std::collections::{HashSet, VecDeque};

/// Accounts remembered because their own look failed; beyond, all accounts of the shard look.
const FAILED_MAX: usize = 1_024;

/// The state of a shard's contact sync.
pub(crate) struct Books {
    pub(crate) lines: Lines,
    /// What is under way; the key is the ticket's. `None` while it makes a step. Bounded by the lines.
    pub(crate) jobs: Slab<Option<Job>>,
    /// Jobs that go on in the next slices.
    pub(crate) spelling: VecDeque<usize>,
    pub(crate) following: VecDeque<usize>,
    pub(crate) follow_at_ms: u64,
    /// Looks that came while their account was being loaded, to be made later.
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

/// Numbers whose accounts came or went, and how far the accounts that have them in their phone books have been told.
#[derive(Default)]
pub(crate) struct Tellings {
    pub(crate) waiting: VecDeque<(u64, Option<AccountId>)>,
    /// A page for the first number is being read.
    pub(crate) reading: bool,
}

/// Hints that were lost.
#[derive(Default)]
pub(crate) struct Again {
    pub(crate) failed: HashSet<AccountId>,
    /// All accounts of this shard are concerned.
    pub(crate) all: bool,
    /// Other shards that have not been told yet that all of their accounts are concerned.
    pub(crate) untold: HashSet<Place>,
    pub(crate) at_ms: Option<u64>,
    /// Accounts that are still to look, and how many look at a time.
    pub(crate) looking: VecDeque<AccountId>,
    pub(crate) portion: usize,
}

impl Again {
    /// Remembers that an account's look failed.
    pub(crate) fn failed(&mut self, account: AccountId) {
        if self.failed.len() < FAILED_MAX {
            self.failed.insert(account);
        } else {
            self.all();
        }
    }

    /// Some account of this shard is concerned, and it is not known which.
    pub(crate) fn all(&mut self) {
        self.all = true;
        self.failed.clear();
    }

    /// Some account of another shard is concerned, and it is not known which.
    pub(crate) fn all_of(&mut self, owner: Place) {
        self.untold.insert(owner);
    }
}
