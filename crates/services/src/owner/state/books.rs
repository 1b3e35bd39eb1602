//! The state of a shard's contact sync: whose turn it is, which jobs are under way, which hints are still to be sent, and which
//! were lost.

use crate::account::phone::Home;
use crate::account::quota::Quota;
use crate::account::roster::Contact;
use crate::effects::turn::command::BookChange;
use crate::effects::turn::contact_sync::{Answer, Synced};
use crate::places::Place;
use crate::rooms::contact_sync::BookMetrics;
use crate::rooms::contact_sync::line::Lines;
use chaski_store::AccountId;
use slab::Slab;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Accounts remembered because their own look failed; beyond, all accounts of the shard look.
const FAILED_MAX: usize = 1_024;

/// The state of a shard's contact sync.
pub(crate) struct Books {
    pub(crate) lines: Lines,
    /// The jobs under way; the key is that of the store's ticket. Bounded by the lines.
    pub(crate) jobs: Slab<Job>,
    /// Keys of jobs that go on with the next slice.
    pub(crate) spelling: VecDeque<usize>,
    pub(crate) following: VecDeque<usize>,
    pub(crate) follow_at_ms: u64,
    /// Looks that came while their account was being loaded, to be made later.
    pub(crate) again: Vec<(AccountId, u64)>,
    pub(crate) tellings: Tellings,
    pub(crate) lost: Again,
    pub(crate) metrics: Arc<BookMetrics>,
}

pub(crate) struct Job {
    pub(crate) account: AccountId,
    /// `None` while a slice of the job is running.
    pub(crate) stage: Option<Stage>,
    pub(crate) answer: Answer,
    pub(crate) synced: Synced,
    pub(crate) patience: u16,
    /// The account's client has asked for it, with the account's key.
    pub(crate) is_by_key: bool,
    /// That key has been replaced: what the job has not written yet it must not write.
    pub(crate) is_void: bool,
}

pub(crate) enum Stage {
    Spelling { home: Home, texts: std::vec::IntoIter<Box<str>>, numbers: Vec<u64> },
    Reading(BookChange),
    Writing { quota: Quota, rest: VecDeque<Chunk> },
    Matching { after: u64 },
    Following(std::vec::IntoIter<(Contact, Option<bool>)>),
    Looking(u64),
}

/// What one transaction changes.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) add: Vec<u64>,
    pub(crate) remove: Vec<u64>,
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
            metrics: Arc::default(),
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
