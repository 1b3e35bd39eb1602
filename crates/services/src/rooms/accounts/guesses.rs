//! Limits against guessing keys and passwords, in memory, for all ways in: SASL of either kind and HTTP.
//!
//! A wrong secret is counted four times: for the account that was named and the client's near network, for the account and
//! the wide one, and for both networks whatever was named ([`Network`]). So nobody outside a client's own network can use up its tries, and who
//! walks through numbers uses up the network's. Whether there is such an account makes no difference here, and must make
//! none to what the caller answers. A secret that can't be guessed (a key of ours, a token) is let in by the callers
//! whatever was counted, so that only clients with a password of their own can be kept waiting, and only by somebody in
//! their own network.
//!
//! The tables have a fixed size. Where a subject finds its places taken, the one there that is suspected least is forgotten
//! ([`GuessMetrics`] counts): what has to be remembered longest stays longest. Nothing is kept over a restart, and nothing
//! is written for what strangers say. Time is the caller's; a try costs a lock and 32 comparisons.

use crate::account::network::{Network, WIDER};
use crate::allowance::{Allowance, Bucket};
use chaski_store::AccountId;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// Places in which a subject may stand.
const WAYS: usize = 8;
/// Subjects remembered of accounts in networks, and of networks: 512 and 256 KiB.
const ACCOUNT_SETS: usize = 4_096;
const NETWORK_SETS: usize = 2_048;

/// How many wrong secrets there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowances {
    /// For one account from one near network.
    pub account: Allowance,
    /// For all accounts from one near network.
    pub network: Allowance,
}

impl Default for Allowances {
    fn default() -> Self {
        Self { account: Allowance::per_hour(10, 20), network: Allowance::per_hour(100, 600) }
    }
}

chaski_telemetry::metrics! {
    /// What is counted of guesses.
    pub struct GuessMetrics("chaski_guesses") {
        /// Wrong keys and passwords, whatever they were for, as long as they were counted.
        wrong_total: Counter,
        /// Tries not looked at, because there were too many at one account from one network.
        refused_account_total: Counter,
        /// Tries not looked at, because there were too many from one network.
        refused_network_total: Counter,
        /// Subjects forgotten before their time, for want of room.
        forgotten_total: Counter,
    }
}

/// A subject and when it may try as often as at first again. `tag` 0: free.
#[derive(Clone, Copy, Default)]
struct Place {
    tag: u64,
    bucket: Bucket,
}

struct Table(Box<[[Place; WAYS]]>);

/// The buckets of one try, near ones first.
struct Subjects {
    accounts: [Option<(u64, Allowance)>; 2],
    networks: [Option<(u64, Allowance)>; 2],
}

struct Tables {
    accounts: Table,
    networks: Table,
}

/// See the module. One for the process.
pub struct Guesses {
    tables: Mutex<Tables>,
    allowances: Allowances,
    secret: [u8; 16],
    metrics: Arc<GuessMetrics>,
}

impl Guesses {
    /// Nothing has been guessed yet. `secret` keeps strangers from choosing whose places they take.
    pub fn new(allowances: Allowances, secret: [u8; 16]) -> Self {
        Self::with_sets(allowances, secret, ACCOUNT_SETS, NETWORK_SETS)
    }

    fn with_sets(allowances: Allowances, secret: [u8; 16], accounts: usize, networks: usize) -> Self {
        let tables = Tables { accounts: Table::new(accounts), networks: Table::new(networks) };
        Self { tables: Mutex::new(tables), allowances, secret, metrics: Arc::default() }
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<GuessMetrics> {
        self.metrics.clone()
    }

    /// Whether a secret for this account may be looked at, or how long to wait. Counts nothing but the refusal.
    pub fn look(&self, network: Network, account: AccountId, now_unix_ms: u64) -> Result<(), u64> {
        let subjects = self.subjects(network, account);
        self.check(&self.tables.lock().unwrap_or_else(PoisonError::into_inner), &subjects, now_unix_ms)
    }

    /// Counts a try before its secret is looked at, for those that are looked at elsewhere and many at a time; or says how
    /// long to wait. [`Self::give_back`] if it was right.
    pub fn take(&self, network: Network, account: AccountId, now_unix_ms: u64) -> Result<(), u64> {
        let subjects = self.subjects(network, account);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(&tables, &subjects, now_unix_ms)?;
        self.count(&mut tables, &subjects, now_unix_ms);
        Ok(())
    }

    /// Counts a secret that was wrong. One that was not to be looked at is not counted: who goes on trying must wait no longer than told.
    pub fn wrong(&self, network: Network, account: AccountId, now_unix_ms: u64) {
        let subjects = self.subjects(network, account);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        self.count(&mut tables, &subjects, now_unix_ms);
    }

    /// The try that was taken was right, or came to nothing.
    pub fn give_back(&self, network: Network, account: AccountId) {
        let subjects = self.subjects(network, account);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let Tables { accounts, networks } = &mut *tables;
        for (table, subjects) in [(accounts, subjects.accounts), (networks, subjects.networks)] {
            for (tag, allowance) in subjects.into_iter().flatten() {
                if let Some(place) = table.find_mut(tag) {
                    place.bucket = place.bucket.give_back(allowance);
                }
            }
        }
    }

    fn check(&self, tables: &Tables, subjects: &Subjects, now_unix_ms: u64) -> Result<(), u64> {
        let refused = &self.metrics;
        let parts = [
            (&tables.networks, subjects.networks, &refused.refused_network_total),
            (&tables.accounts, subjects.accounts, &refused.refused_account_total),
        ];
        for (table, subjects, refused) in parts {
            for (tag, allowance) in subjects.into_iter().flatten() {
                let bucket = table.find(tag).map_or_else(Bucket::default, |place| place.bucket);
                bucket.take(allowance, now_unix_ms).inspect_err(|_| refused.inc())?;
            }
        }
        Ok(())
    }

    fn count(&self, tables: &mut Tables, subjects: &Subjects, now_unix_ms: u64) {
        self.metrics.wrong_total.inc();
        let parts = [(&mut tables.accounts, subjects.accounts), (&mut tables.networks, subjects.networks)];
        for (table, subjects) in parts {
            for (tag, allowance) in subjects.into_iter().flatten() {
                let is_forgotten = table.count(tag, allowance, now_unix_ms);
                self.metrics.forgotten_total.add(u64::from(is_forgotten));
            }
        }
    }

    fn subjects(&self, network: Network, account: AccountId) -> Subjects {
        let Allowances { account: of_account, network: of_network } = self.allowances;
        let account = account.to_bits();
        let near = Some((self.tag((0u8, network.bits(), account)), of_account));
        if network.is_unknown() {
            // Nobody knows how many stand behind it: only the account is protected.
            return Subjects { accounts: [near, None], networks: [None, None] };
        }
        let wide = network.wide();
        Subjects {
            accounts: [near, Some((self.tag((1u8, wide.bits(), account)), of_account.times(WIDER)))],
            networks: [
                Some((self.tag((2u8, network.bits())), of_network)),
                Some((self.tag((3u8, wide.bits())), of_network.times(WIDER))),
            ],
        }
    }

    fn tag(&self, subject: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.secret.hash(&mut hasher);
        subject.hash(&mut hasher);
        hasher.finish().max(1)
    }
}

impl Table {
    fn new(sets: usize) -> Self {
        Self(vec![[Place::default(); WAYS]; sets].into_boxed_slice())
    }

    fn set(&self, tag: u64) -> usize {
        (tag % self.0.len() as u64) as usize
    }

    fn find(&self, tag: u64) -> Option<&Place> {
        self.0[self.set(tag)].iter().find(|place| place.tag == tag)
    }

    fn find_mut(&mut self, tag: u64) -> Option<&mut Place> {
        let set = self.set(tag);
        self.0[set].iter_mut().find(|place| place.tag == tag)
    }

    /// Counts one, as far as there is one to be counted. Whether somebody else had to be forgotten for it.
    fn count(&mut self, tag: u64, allowance: Allowance, now_unix_ms: u64) -> bool {
        let set = self.set(tag);
        let (mut at, mut is_forgotten) = (0, false);
        match self.0[set].iter().position(|place| place.tag == tag) {
            Some(found) => at = found,
            None => {
                // Where the bucket is full again first: a free place before all others.
                for way in 1..WAYS {
                    if self.0[set][way].bucket < self.0[set][at].bucket {
                        at = way;
                    }
                }
                is_forgotten = !self.0[set][at].bucket.is_full(now_unix_ms);
                self.0[set][at] = Place { tag, bucket: Bucket::default() };
            }
        }
        let place = &mut self.0[set][at];
        if let Ok(bucket) = place.bucket.take(allowance, now_unix_ms) {
            place.bucket = bucket;
        }
        is_forgotten
    }
}

#[cfg(test)]
mod tests;
