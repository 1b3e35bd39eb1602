//! A suite for each contract that every engine passes, generic over a factory of engines.
//!
//! An engine's tests implement [`Fixture`] and call [`all`], which names every case that fails (one alone, or a suite alone, runs by [`cases`]). Each case takes
//! a fixture of its own: an empty data directory, or what the engine has instead. Cases only wait for completions,
//! never for time to pass. A case that fails panics and says why.

mod books;
mod cursors;
mod mailboxes;
mod media;
mod records;
mod removal;
mod rig;
mod shares;

pub use rig::{ACCEPTED_UNIX_MS, Rig};

use crate::Engine;

/// Where engines come from.
pub trait Fixture {
    /// Opens the engine on this fixture's data: empty the first time, later with what the last one left. The one
    /// before has been closed and dropped.
    fn open(&self) -> Box<dyn Engine>;

    /// Most messages of one mailbox in engines of this fixture, which has [`crate::Shares::default`]. Must be at least 100 and not large.
    fn max_messages(&self) -> u64;

    /// Most bytes of one mailbox in engines of this fixture.
    fn max_bytes(&self) -> u64;
}

/// A case: its name and what it does.
pub type Case = (&'static str, fn(&dyn Fixture));

/// The contract of mailboxes ([`crate::Mailboxes`]), and of their [shares](crate::shares).
pub const MAILBOXES: &[Case] = &[
    ("appended is readable at once and committed in order", mailboxes::append_and_read),
    ("reads keep their limits and say whether there is more", mailboxes::read_limits),
    ("a repeated message is a duplicate until acknowledged", mailboxes::duplicates),
    ("a repeated message is a duplicate wherever the first waits", mailboxes::duplicates_of_what_has_waited),
    ("what waits is known whenever an account is here", mailboxes::come_and_go),
    ("identities are of a mailbox, not of the store", mailboxes::same_id_elsewhere),
    ("acknowledged is never read again", mailboxes::acks),
    ("an early acknowledgement completes the ticket", mailboxes::ack_before_durable),
    ("tickets of an account complete in order whatever is acknowledged first", mailboxes::ticket_order),
    ("a full mailbox refuses and others don't", mailboxes::bounds),
    ("a purged mailbox is empty and usable", mailboxes::purge),
    ("a long mailbox is read through in order while it changes", mailboxes::long_mailbox),
    ("what was committed survives a restart and what was acknowledged doesn't", mailboxes::restart),
    ("a purge survives a restart", mailboxes::purge_and_restart),
    ("the number of shards may change", mailboxes::other_shards),
    ("an entry waits until all readers have it", cursors::all_have),
    ("cursors are known whenever an account is here", cursors::come_and_go),
    ("what is not durable yet can be read, too", cursors::before_durable),
    ("an acknowledgement speaks for all readers", cursors::for_all),
    ("a purge takes the cursors", cursors::purge),
    ("cursors survive a restart", cursors::restart),
    ("one sender has a share, others and contacts still get in", shares::of_one_sender),
    ("all strangers leave room for contacts, also after a restart", shares::of_all_strangers),
    ("shares are kept when an account goes and comes", shares::come_and_go),
    ("what is acknowledged gives its share back", shares::given_back),
    ("bytes have a share too, and one message always fits", shares::bytes),
    ("what is charged is refused like a message, and is none", shares::charge),
];

/// The contract of records ([`crate::AccountRecords`], [`crate::Records`]), and of what concerns all of an account.
pub const RECORDS: &[Case] = &[
    ("a purge takes all of an account and says when it is durable", removal::purge),
    ("a purge of what is not there is one too", removal::purge_of_nothing),
    ("leftovers are found, and nobody else's", removal::leftovers),
    ("a program that has the directory to itself clears accounts", removal::clear),
    ("records compare and set", records::compare_and_set),
    ("records are scanned in key order", records::scan),
    ("a batch is written without comparing", records::batch),
    ("a record made again has another revision", records::revisions_are_never_reused),
    ("a shard saves and loads records", records::shard_saves_and_loads),
    ("a shard puts and fetches any records of an account", records::shard_puts_and_fetches),
    ("records and the secret survive a restart", records::restart),
];

/// The contract of contacts ([`crate::Contacts`]).
pub const CONTACTS: &[Case] = &[
    ("a phone book is changed and read", books::change_and_read),
    ("matches are numbers that are accounts, page by page", books::matches),
    ("holders of a number are found page by page", books::holders),
    ("a purge takes the phone book, and nobody else's", books::purge),
    ("a change and its records are one transaction and survive a restart", books::change_with_records),
    ("who is second to commit sees the first", books::who_is_second_sees_the_first),
];

/// The contract of the index of media ([`crate::ShardMedia`], [`crate::media::Index`]).
pub const MEDIA: &[Case] = &[
    ("a file is stored under a name that is given once", media::store_and_read),
    ("files have a quota for each account", media::quota),
    ("a content is found by who refers to it and by its name only", media::sources),
    ("equal contents become one object, and go with the last reference", media::merged),
    ("references end page by page", media::pages),
    ("all objects are listed, page by page", media::listed),
    ("where an object lies is known until its file is gone", media::places),
    ("an account's references go with it, and none comes after", media::removal),
    ("what an operator removes goes at once, and its name is not given again", media::removed),
    ("what is blocked is found by nobody and comes from nobody", media::blocked),
    ("what was agreed under an earlier key of an account is not stored", media::another_key),
    ("the index of media survives a restart", media::restart),
    ("a shard asks and changes the index of media", media::of_a_shard),
];

/// Every suite.
pub const SUITES: &[&[Case]] = &[MAILBOXES, RECORDS, CONTACTS, MEDIA];

/// Runs every case of every suite, each on a new fixture: see [`cases`].
pub fn all<F: Fixture>(make: impl Fn() -> F) {
    cases(&SUITES.concat(), make);
}

/// Runs cases, each on a new fixture, and then panics if some failed, with the names of all of them: what an engine that is half done wants
/// to know. What went wrong in each is printed where it did.
pub fn cases<F: Fixture>(cases: &[Case], make: impl Fn() -> F) {
    let failed: Vec<_> =
        cases.iter().filter(|(name, case)| fails(name, *case, &make)).map(|(name, _)| *name).collect();
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:#?}", failed.len(), cases.len());
}

/// Whether a case fails.
fn fails<F: Fixture>(name: &str, case: fn(&dyn Fixture), make: &impl Fn() -> F) -> bool {
    tracing::info!(name, "conformance");
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&make()))).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_has_a_name_of_its_own() {
        let all = SUITES.concat();
        let names: std::collections::BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
    }
}
