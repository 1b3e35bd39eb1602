//! A shard's phone books at work: whose turn it is, what is under way, who is still to be told, and what was lost of that.

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

/// Accounts whose own look failed; beyond, all of the shard look.
const FAILED_MAX: usize = 1_024;

/// A shard's phone books at work.
pub(crate) struct Books {
    pub(crate) lines: Lines,
    /// What is under way; the key is the ticket's. Bounded by the lines.
    pub(crate) jobs: Slab<Job>,
    /// Jobs that go on in the next slices.
    pub(crate) spelling: VecDeque<usize>,
    pub(crate) following: VecDeque<usize>,
    pub(crate) follow_at_ms: u64,
    /// Looks that came while their account was being loaded.
    pub(crate) again: Vec<(AccountId, u64)>,
    pub(crate) tellings: Tellings,
    pub(crate) lost: Again,
    pub(crate) metrics: Arc<BookMetrics>,
}

pub(crate) struct Job {
    pub(crate) account: AccountId,
    /// `None` while it is being worked on.
    pub(crate) stage: Option<Stage>,
    pub(crate) answer: Answer,
    pub(crate) synced: Synced,
    pub(crate) patience: u16,
    /// It was asked for by the account's key.
    pub(crate) is_by_key: bool,
    /// That key is void: what the job has not written it does not write.
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
