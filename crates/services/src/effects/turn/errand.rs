//! Errands: what a room wants read or written of its account before it goes on.
//!
//! A room answers in one turn; what is not in memory with the account (an item of a node, say) it asks for by an
//! [`Errand`] and goes on in its continuation, which gets the account again. Called by rooms through
//! [`crate::effects::turn::outbox::Outbox::errand`]; carried out by the account's owner (`shard/errands.rs`).
//!
//! Promises: one errand of an account at a time, in the order in which they were given, each with its write before the
//! next one reads: so reading, changing and writing is one step. What a client says behind a request that changes something is
//! handled when the change is durable and in force, or refused ([`Errand::change`]; docs/promises.md, M8; RFC 6120 §10.1).
//! Bounded by [`ERRANDS_MAX`]: one more is answered at once with [`StoreError::Overloaded`]. The account stays in memory until its errands are done; if it is removed for good,
//! they are forgotten.

use crate::account::Account;
use crate::effects::turn::Turn;
use crate::wire::SessionId;
use chaski_store::records::Put;
use chaski_store::{StoreError, Table, Versioned};

/// Errands of one account that wait for the one under way.
pub const ERRANDS_MAX: usize = 64;

/// What was read: one value for each record asked for, in that order.
pub type Found = Result<Vec<Option<Versioned>>, StoreError>;
/// Goes on with what was read.
pub type Then = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Found) -> Option<Change> + Send>;
/// Goes on once it is written, or not.
pub type Done = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<(), StoreError>) + Send>;

/// See the module.
pub struct Errand {
    /// Records of the account, whose keys are its own or begin with its own and `/`, or that of its quota
    /// ([`crate::account::contact_sync_quota`]). None: nothing is read.
    pub reads: Vec<(Table, String)>,
    /// What happens then. What it posts is sent at once.
    pub then: Then,
    /// It changes what the account's requests are answered by.
    pub(crate) is_change: bool,
    /// The session that waits for the change.
    pub(crate) by: Option<SessionId>,
}

/// What an errand writes.
pub struct Change {
    /// Written in one transaction.
    pub puts: Vec<Put>,
    /// What happens once they are durable, or refused.
    pub done: Done,
}

impl Errand {
    /// An errand that reads.
    pub fn read(
        reads: Vec<(Table, String)>,
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Found) -> Option<Change> + Send + 'static,
    ) -> Self {
        Self { reads, then: Box::new(then), is_change: false, by: None }
    }

    /// The same for what changes something: the gate of the session whose request it is ([`crate::shard`]) is shut until it is done.
    pub fn change(
        reads: Vec<(Table, String)>,
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Found) -> Option<Change> + Send + 'static,
    ) -> Self {
        Self { is_change: true, ..Self::read(reads, then) }
    }

    /// An errand that writes what `change` says when its turn comes, without reading anything.
    pub fn write(
        change: impl FnOnce(&mut Turn<'_>, &mut Account) -> Option<Change> + Send + 'static,
    ) -> Self {
        Self::read(Vec::new(), |turn, account, found| match found {
            Ok(_) => change(turn, account),
            Err(error) => {
                tracing::warn!(account = ?account.id, %error, "too much waits to be written for an account");
                None
            }
        })
    }
}

impl Change {
    /// A change, and what happens once it is durable or refused.
    pub fn new(
        puts: Vec<Put>,
        done: impl FnOnce(&mut Turn<'_>, &mut Account, Result<(), StoreError>) + Send + 'static,
    ) -> Self {
        Self { puts, done: Box::new(done) }
    }
}

#[cfg(test)]
mod tests;
