//! Limits against guessing keys and passwords, in memory, for all ways in: SASL of either kind and HTTP.
//!
//! A wrong secret is counted four times: for the named account together with the client's near network, for the account with the
//! wide network, and for each of the two networks whatever account was named ([`Network`]). So nobody outside a client's own
//! network can use up its tries, and somebody who tries many numbers uses up the tries of their own network. Whether the account
//! exists makes no difference here, and must make none to the caller's answer. A secret that can't be guessed (a key made by the
//! server, a token) is accepted by the callers whatever was counted. So only clients with a password of their own can be kept
//! waiting, and only by somebody in their own network.
//!
//! The tables have a fixed size. If all places for a subject are taken, the subject there that will be allowed its first rate
//! again soonest is forgotten ([`GuessMetrics`] counts that). Nothing is kept over a restart, and nothing is written to the
//! store. The caller passes the time. A try costs a lock and 32 comparisons.

use crate::account::network::{Network, WIDER};
use crate::allowance::{Allowance, Bucket};
use chaski_store::AccountId;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// Places in the table in which a subject may be.
const WAYS: usize = 8;
/// How many subjects are remembered: pairs of account and network, and networks. 512 and 256 KiB.
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

/// A subject, and the time from which it has all its tries again. `tag` 0: the place is free.
#[derive(Clone, Copy, Default)]
struct Place {
    tag: u64,
    bucket: Bucket,
}

struct Table(Box<[[Place; WAYS]]>);

/// The buckets that one try is counted in, those of near networks first.
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
    /// Empty tables. `secret` keeps clients from choosing whose places in the table they take.
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

    /// Whether a secret for this account may be checked now; if not, how long to wait. Counts only the refusal.
    pub fn look(&self, network: Network, account: AccountId, now_unix_ms: u64) -> Result<(), u64> {
        let subjects = self.subjects(network, account);
        self.check(&self.tables.lock().unwrap_or_else(PoisonError::into_inner), &subjects, now_unix_ms)
    }

    /// Counts a try before its secret is checked, for secrets that are checked elsewhere and many at a time; or says how long to
    /// wait. The caller calls [`Self::give_back`] if the secret was right.
    pub fn take(&self, network: Network, account: AccountId, now_unix_ms: u64) -> Result<(), u64> {
        let subjects = self.subjects(network, account);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(&tables, &subjects, now_unix_ms)?;
        self.count(&mut tables, &subjects, now_unix_ms);
        Ok(())
    }

    /// Counts a wrong secret. One that was not to be checked is not counted, so that a client which goes on trying waits no
    /// longer than it was told.
    pub fn wrong(&self, network: Network, account: AccountId, now_unix_ms: u64) {
        let subjects = self.subjects(network, account);
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        self.count(&mut tables, &subjects, now_unix_ms);
    }

    /// The secret of a try that was counted by [`Self::take`] was right, or could not be checked.
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
            // It is not known how many clients share the unknown network, so only the account is protected.
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

    /// Counts one try, if the subject has one left. Returns whether another subject had to be forgotten for it.
    fn count(&mut self, tag: u64, allowance: Allowance, now_unix_ms: u64) -> bool {
        let set = self.set(tag);
        let (mut at, mut is_forgotten) = (0, false);
        match self.0[set].iter().position(|place| place.tag == tag) {
            Some(found) => at = found,
            None => {
                // The bucket that is full again first is replaced; a free place counts as full.
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
