//! Session ids of commands that carry their own proof: when, for whom and for which command they were made.
//!
//! XEP-0050 §4.4 asks for `bad-sessionid` and `session-expired`; both follow from the id alone, so that no state is
//! kept for a user who opens a form and walks away.

use super::reply::Fault;
use crate::effects::turn::Turn;
use chaski_xmpp::StanzaCondition;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hash;

/// How long a form may stay open.
const LIFETIME_MS: u64 = 60 * 60 * 1000;

/// A fresh id for this user and command.
pub(super) fn make(turn: &Turn<'_>, asker: &str, node: &str) -> String {
    let made = turn.unix_ms;
    format!("{made:x}-{:032x}", proof(&turn.realm.secrets.current, made, asker, node))
}

/// Whether the id was made for this user and command, and not too long ago.
pub(super) fn check(id: &str, turn: &Turn<'_>, asker: &str, node: &str) -> Result<(), Fault> {
    let bad = || Fault::specific(StanzaCondition::BadRequest, "bad-sessionid");
    let (made, given) = id.split_once('-').ok_or_else(bad)?;
    let made = u64::from_str_radix(made, 16).map_err(|_| bad())?;
    let given = u128::from_str_radix(given, 16).map_err(|_| bad())?;
    if given != proof(&turn.realm.secrets.current, made, asker, node) {
        return Err(bad());
    }
    if turn.unix_ms.saturating_sub(made) > LIFETIME_MS {
        return Err(Fault::specific(StanzaCondition::NotAllowed, "session-expired"));
    }
    Ok(())
}

fn proof(secret: &[u8; 16], made: u64, asker: &str, node: &str) -> u128 {
    let mut hasher = SipHasher13::new_with_key(secret);
    ("ad-hoc session", made, asker, node).hash(&mut hasher);
    hasher.finish128().as_u128()
}
