//! What Chaski promises, in terms that a client, an operator or an attacker can see: docs/promises.md as code.
//!
//! A *history* is what an observer saw, in the order in which it saw it ([`event`]). The [`checker`] reads a history, event by
//! event, and says which promise was broken by which of them ([`verdict`]). The [`model`] is the smallest server that keeps
//! the promises, and makes valid histories; [`mutants`] spoil them, and the checker must notice.
//! Called by the plays and chaos of `services`, the power cuts of `store`, the crash test and the loads of `bench`: one judge
//! for all of them is why this is a crate of its own. Pure: no clock, no randomness, no I/O, no dependency.

pub mod checker;
pub mod event;
pub mod fates;
pub mod model;
pub mod mutants;
pub mod store;
pub mod verdict;

pub use checker::{Checker, Knobs};
pub use event::{Account, Cause, Content, Device, Event, GapCause, Letter, Lock, Session, StanzaId, Timed};
pub use verdict::{Rule, Verdict};

/// A digest of bytes for [`event::Content`] and the like: equal for equal bytes, also in another process.
pub fn digest(bytes: &[u8]) -> u64 {
    // FNV-1a, with a last mixing: short, and nobody attacks an observer.
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(hash)
}

/// Spreads the bits of a number (the finalizer of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
