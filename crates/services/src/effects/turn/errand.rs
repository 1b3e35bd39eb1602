//! Errands: reads and writes of an account's records, for which a room waits.
//!
//! A room answers in one turn. For what is not in memory with the account (an item of a PEP node, say) it gives an [`Errand`],
//! whose continuation gets the account again. Given by rooms through [`crate::effects::turn::outbox::Outbox::errand`]; carried
//! out by the account's owner (`owner/errands.rs`).
//!
//! Promises: the errands of an account are carried out one at a time, in the order in which they were given, each with its write
//! before the next one reads. So reading, changing and writing is one step. What a client sends behind a request that changes
//! something is handled when the change is durable and in force, or refused ([`Errand::change`]; docs/promises.md, M8; RFC 6120
//! §10.1). Bounded by [`ERRANDS_MAX`]: a further errand is answered at once with [`StoreError::Overloaded`]. The account stays in
//! memory until its errands are done. If it is removed for good, they are dropped.

use crate::account::Account;
use crate::effects::turn::Turn;
use crate::wire::SessionId;
use chaski_store::records::Put;
use chaski_store::{StoreError, Table, Versioned};

/// Most errands of one account that wait for the one under way.
pub const ERRANDS_MAX: usize = 64;

/// What was read: one value for each record asked for, in that order.
pub type Found = Result<Vec<Option<Versioned>>, StoreError>;
/// The continuation with what was read.
pub type Then = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Found) -> Option<Change> + Send>;
/// The continuation when the change is written, or could not be.
pub type Done = Box<dyn FnOnce(&mut Turn<'_>, &mut Account, Result<(), StoreError>) + Send>;

/// See the module.
pub struct Errand {
    /// Records of the account, whose keys are its own or begin with its own and `/`, or that of its quota
    /// ([`crate::account::contact_sync_quota`]). None: nothing is read.
    pub reads: Vec<(Table, String)>,
    /// The continuation. What it posts is sent at once.
    pub then: Then,
    /// The errand changes what the account's requests are answered from.
    pub(crate) is_change: bool,
    /// The session whose next stanzas wait for the change.
    pub(crate) by: Option<SessionId>,
}

/// What an errand writes.
pub struct Change {
    /// The records, written in one transaction.
    pub puts: Vec<Put>,
    /// The continuation when they are durable, or could not be written.
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

    /// An errand that changes something: the gate of the session that has asked for it ([`crate::owner`], `gate`) is shut until
    /// it is done.
    pub fn change(
        reads: Vec<(Table, String)>,
        then: impl FnOnce(&mut Turn<'_>, &mut Account, Found) -> Option<Change> + Send + 'static,
    ) -> Self {
        Self { is_change: true, ..Self::read(reads, then) }
    }

    /// An errand that writes what `change` returns when its turn comes, without reading anything.
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
    /// A change, and the continuation when it is durable or could not be written.
    pub fn new(
        puts: Vec<Put>,
        done: impl FnOnce(&mut Turn<'_>, &mut Account, Result<(), StoreError>) + Send + 'static,
    ) -> Self {
        Self { puts, done: Box::new(done) }
    }
}

#[cfg(test)]
mod tests;
