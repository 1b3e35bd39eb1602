//! Contact sync: which of the numbers in a phone book have accounts here.
//!
//! A phone book is kept in the store as numbers ([`chaski_store::books`]) and nothing else: no names, no spellings. Its owner
//! learns which of the numbers have accounts, and the roster follows ([`following`]). It can be sent in two ways: by Quicksy's IQ
//! ([`quicksy`]) and over HTTPS, which arrives as [`crate::effects::turn::command::Action::Book`].
//!
//! **The phone book is the truth, and everybody else is told to look again.** A change is committed first. Then each account that
//! may be concerned gets a *hint* ([`Letter::Look`](crate::effects::letter::Letter)): "look how you stand with this number". That
//! account asks the store, and its roster follows. So hints need no order, and a lost hint costs only a delay of a minute: then
//! each account that may have been concerned looks at all of its phone book, as an account does that is loaded later. A
//! registration, and an addition to a phone book, commits before it looks; so whichever of two is second sees the first, and they
//! can't miss each other.
//!
//! Promises: what is asked of one account's book is done one after the other ([`line`]); nobody learns of more numbers than
//! the [quota](crate::account::contact_sync_quota) allows, across restarts; a huge book holds up neither the shard (slices) nor the store's writer (chunks).
//! An account that has blocked the asker is in the answer like any other: contact sync says who is registered, by design, and a
//! number that vanished for one asker only would tell that it has blocked them.
//! The work is a state machine ([`job`]); `owner/contact_sync` has the queue, the store, and the way to other shards.

mod following;
pub(crate) mod job;
pub(crate) mod line;
pub(crate) mod quicksy;
pub(crate) mod version;

chaski_telemetry::metrics! {
    /// What contact sync counts.
    pub(crate) struct BookMetrics("chaski_books") {
        /// Syncs asked for, by both forms.
        syncs_total: Counter,
        /// Of those, refused because of the quota.
        quota_reached_total: Counter,
        /// First stanzas to numbers that draw on the same quota.
        first_stanzas_total: Counter,
        /// First stanzas refused because of it.
        first_stanzas_refused_total: Counter,
        /// Of those, refused because too much waits.
        busy_total: Counter,
        /// Numbers added to books.
        numbers_added_total: Counter,
        /// Numbers removed from books.
        numbers_removed_total: Counter,
        /// Accounts of a book that had no room in their owner's roster.
        unlisted_total: Counter,
        /// Accounts told to look at one number again.
        looks_total: Counter,
        /// Numbers whose holders were told that it came or went.
        tellings_total: Counter,
        /// Numbers whose holders were not told because too many waited.
        tellings_lost_total: Counter,
        /// How often accounts of a shard were not told; within a minute all of them look at all of their books.
        hints_lost_total: Counter,
        /// Accounts whose books have something to do.
        lines: Gauge,
    }
}
