//! What a shard knows of its clients' capabilities: the interests behind each announced hash (XEP-0115), and the `disco#info`
//! requests to clients that are under way.
//!
//! Owned by the shard, used by the room of XEP-0115 (`rooms/caps`). Pure and bounded: see the constants.

use super::interests::Interests;
use crate::wire::SessionId;
use chaski_store::AccountId;
use std::collections::HashMap;
use std::sync::Arc;

/// Hashes that a shard remembers. Beyond, hashes that no session uses are forgotten; if all are in use, each session with a new
/// hash is asked by itself.
const KNOWN_MAX: usize = 1_024;
/// Most `disco#info` requests to clients under way. Beyond, a session with an unknown hash is not asked and gets no
/// notifications.
pub(crate) const ASKED_MAX: usize = 16_384;
/// How often in a minute an account's sessions may ask contacts for last items, and how many contacts. Otherwise a client that
/// connects again and again would cause megabytes of traffic by a few bytes. This is noted for so many accounts; beyond, all
/// notes are forgotten.
const ASKING_MAX: u32 = 20;
const ASKING_CONTACTS_MAX: u32 = 2_000;
const ASKING_MS: u64 = 60_000;
const ASKING_ACCOUNTS_MAX: usize = 16_384;
/// What a shard knows of its clients' capabilities.
#[derive(Debug, Default)]
pub struct Caps {
    pub(crate) known: HashMap<Box<str>, Arc<Interests>>,
    pub(crate) asked: HashMap<SessionId, Question>,
    pub(crate) count: u64,
    /// For each account: the begin of the minute, how often it has asked, and how many contacts.
    asking: HashMap<AccountId, (u64, u32, u32)>,
}

/// A `disco#info` request to a session.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) number: u64,
    /// The hash to be verified, if it is of a kind that the server can verify.
    pub(crate) ver: Option<Box<str>>,
}

impl Caps {
    /// The session has ended.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.asked.remove(&session);
    }

    /// Whether an account's session may now ask so many contacts for last items.
    pub(crate) fn may_ask(&mut self, account: AccountId, contacts: usize, now_ms: u64) -> bool {
        if self.asking.len() >= ASKING_ACCOUNTS_MAX {
            self.asking.clear();
        }
        let (since_ms, times, asked) = self.asking.entry(account).or_insert((now_ms, 0, 0));
        if now_ms.saturating_sub(*since_ms) >= ASKING_MS {
            (*since_ms, *times, *asked) = (now_ms, 0, 0);
        }
        *times = times.saturating_add(1);
        *asked = asked.saturating_add(contacts as u32);
        *times <= ASKING_MAX && *asked <= ASKING_CONTACTS_MAX
    }

    /// Takes the request with this id if it is the session's; it says which hash is to be verified.
    pub(crate) fn take(&mut self, session: SessionId, id: &str) -> Option<Question> {
        let question = self.asked.get(&session)?;
        if id != question_id(question.number) {
            return None;
        }
        self.asked.remove(&session)
    }

    pub(crate) fn remember(&mut self, ver: Box<str>, interests: &Arc<Interests>) {
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, interests| Arc::strong_count(interests) > 1);
        }
        if self.known.len() < KNOWN_MAX {
            self.known.insert(ver, Arc::clone(interests));
        }
    }
}

/// The stanza id of a `disco#info` request.
pub(crate) fn question_id(number: u64) -> String {
    format!("caps-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u64) -> AccountId {
        AccountId::phone(15_551_230_000 + number).unwrap()
    }

    #[test]
    fn what_is_known_is_bounded_and_what_nobody_uses_goes_first() {
        let mut caps = Caps::default();
        let used = Arc::new(Interests::default());
        caps.remember("used".into(), &used);
        for number in 0..2 * KNOWN_MAX {
            caps.remember(number.to_string().into(), &Arc::new(Interests::default()));
        }
        assert!(caps.known.len() <= KNOWN_MAX && caps.known.contains_key("used"));
    }

    #[test]
    fn asking_is_bounded_for_each_account_and_for_all() {
        let mut caps = Caps::default();
        for _ in 0..ASKING_MAX {
            assert!(caps.may_ask(account(0), 100, 1));
        }
        assert!(!caps.may_ask(account(0), 100, ASKING_MS));
        assert!(caps.may_ask(account(0), 100, ASKING_MS + 1), "a minute later");
        assert_eq!(
            (0..20).filter(|_| caps.may_ask(account(1), 500, 1)).count(),
            4,
            "with many contacts less often"
        );
        for number in 0..2 * ASKING_ACCOUNTS_MAX as u64 {
            caps.may_ask(account(number), 1, 2);
        }
        assert!(caps.asking.len() <= ASKING_ACCOUNTS_MAX);
    }

    #[test]
    fn only_the_answer_to_the_question_is_taken() {
        let mut caps = Caps::default();
        let session = SessionId(1);
        caps.asked.insert(session, Question { number: 7, ver: None });
        assert!(caps.take(session, "caps-8").is_none() && caps.take(SessionId(2), "caps-7").is_none());
        assert!(caps.take(session, "caps-7").is_some() && caps.take(session, "caps-7").is_none());
    }
}
