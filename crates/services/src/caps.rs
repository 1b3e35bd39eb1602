//! Entity capabilities (XEP-0115): which nodes a session wants to hear of, without asking each session for it.
//!
//! A client says with its presence a hash of what it can. The shard keeps, for each hash it has verified, the client's
//! `+notify` interests ([`Interests`]), shared by all sessions that say the same; for one it does not know it asks the
//! session. Called by the presence room with each broadcast, and by the router with answers to our question. Calls `pep`
//! when a session's interests become known.
//! Promises: only what hashes to the announced value is remembered for others (XEP-0115 §5.4: no poisoning), the rest is
//! believed of the session alone that said it; the cache, the questions under way and each session's interests are bounded.

mod hash;
mod interests;

pub(crate) use hash::of as hash_of;
pub use interests::Interests;

use crate::directory::Account;
use crate::iq::{Scope, Xep};
use crate::outbox::Turn;
use crate::pep;
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::{ElementRef, Header, Kind, Stanza, Writer, ns};
use std::collections::HashMap;
use std::sync::Arc;

/// What this room implements.
pub const SPEC: &[Xep] = &[Xep::new(115, "1.6.0", "Entity Capabilities", &[(Scope::Domain, ns::CAPS)])];

/// Hashes that a shard remembers. Beyond, those that no session uses are forgotten; if all are in use, new ones are asked
/// for session by session.
const KNOWN_MAX: usize = 1_024;
/// Questions under way. Beyond, a session with an unknown hash is not asked and gets no notifications.
const ASKED_MAX: usize = 16_384;
/// How often an account's sessions may ask its contacts for last items in a minute, and how many contacts: a client that comes
/// and goes would have megabytes moved by a few bytes. Of so many accounts that is noted; beyond, all is forgotten.
const ASKING_MAX: u32 = 20;
const ASKING_CONTACTS_MAX: u32 = 2_000;
const ASKING_MS: u64 = 60_000;
const ASKING_ACCOUNTS_MAX: usize = 16_384;
/// Longest hash and node that are taken for one.
const VER_BYTES_MAX: usize = 128;
const NODE_BYTES_MAX: usize = 512;

/// What a shard knows of its clients' capabilities.
#[derive(Debug, Default)]
pub struct Caps {
    known: HashMap<Box<str>, Arc<Interests>>,
    asked: HashMap<SessionId, Question>,
    count: u64,
    /// Since when, how often, and of how many.
    asking: HashMap<AccountId, (u64, u32, u32)>,
}

/// What a session was asked.
#[derive(Debug)]
struct Question {
    number: u64,
    /// The hash to be verified, if it is one that we can verify.
    ver: Option<Box<str>>,
}

impl Caps {
    /// The session is gone.
    pub(crate) fn forget(&mut self, session: SessionId) {
        self.asked.remove(&session);
    }

    /// Whether an account's session may ask so many contacts for last items now.
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

    /// Takes the answer to question `id`; gives the hash to be verified.
    fn take(&mut self, session: SessionId, id: &str) -> Option<Question> {
        let question = self.asked.get(&session)?;
        if id != question_id(question.number) {
            return None;
        }
        self.asked.remove(&session)
    }

    fn remember(&mut self, ver: Box<str>, interests: &Arc<Interests>) {
        if self.known.len() >= KNOWN_MAX {
            self.known.retain(|_, interests| Arc::strong_count(interests) > 1);
        }
        if self.known.len() < KNOWN_MAX {
            self.known.insert(ver, Arc::clone(interests));
        }
    }
}

fn question_id(number: u64) -> String {
    format!("caps-{number}")
}

/// A session has broadcast its presence. `initial`: it was not available before.
pub(crate) fn announced(
    turn: &mut Turn<'_>,
    account: &mut Account,
    id: SessionId,
    stanza: &Stanza<'_>,
    initial: bool,
) {
    let Some(session) = account.session_mut(id) else { return };
    let told = stanza.child("c", ns::CAPS);
    if let Some(caps) = &told {
        let ver = caps.attr("ver").unwrap_or_default();
        match turn.caps.known.get(&*ver).filter(|_| is_verifiable(caps)) {
            Some(known) => {
                let known = Arc::clone(known);
                let how = if initial { Learned::AtOnce } else { Learned::Again };
                return learned(turn, account, id, known, how);
            }
            None if initial => session.interests = None,
            None => {}
        }
        ask(turn, account, id, caps);
    } else if let Some(interests) = session.interests.clone().filter(|_| initial) {
        pep::interested(turn, account, id, &interests, true);
    } else if initial {
        pep::came_without_caps(turn, account, id);
    }
}

fn is_verifiable(caps: &ElementRef<'_>) -> bool {
    caps.attr("hash").as_deref() == Some("sha-1")
}

/// Asks the session what it can.
fn ask(turn: &mut Turn<'_>, account: &Account, id: SessionId, caps: &ElementRef<'_>) {
    let (Some(node), Some(ver)) = (caps.attr("node"), caps.attr("ver")) else { return };
    let verifiable = is_verifiable(caps);
    let asked_already =
        turn.caps.asked.get(&id).is_some_and(|question| verifiable && question.ver.as_deref() == Some(&*ver));
    if asked_already || ver.len() > VER_BYTES_MAX || node.len() > NODE_BYTES_MAX {
        return;
    }
    if turn.caps.asked.len() >= ASKED_MAX && !turn.caps.asked.contains_key(&id) {
        return;
    }
    let Some(to) = account.session(id).map(|session| account.full_jid(session)) else { return };
    turn.caps.count += 1;
    let number = turn.caps.count;
    turn.caps.asked.insert(id, Question { number, ver: verifiable.then(|| (&*ver).into()) });
    let (question, node) = (question_id(number), format!("{node}#{ver}"));
    let mut out = Vec::with_capacity(256);
    let mut writer = Writer::new(&mut out);
    let header =
        Header { from: Some(&account.bare), to: Some(&to), id: Some(&question), type_attr: Some("get") };
    header.open(&mut writer, Kind::Iq);
    writer.open_ns("query", ns::DISCO_INFO).attr("node", &node);
    writer.close_all();
    drop(writer);
    turn.outbox.to_session(id, out);
}

/// A session answers a request of the server's: perhaps our question.
pub(crate) fn answered(turn: &mut Turn<'_>, account: &mut Account, id: SessionId, stanza: &Stanza<'_>) {
    let Some(question) = stanza.id().and_then(|answered| turn.caps.take(id, &answered)) else { return };
    let Some(query) = stanza.child("query", ns::DISCO_INFO) else { return };
    let interests = Arc::new(Interests::of(&query));
    if let Some(ver) = question.ver.filter(|ver| hash::of(&query).as_deref() == Some(ver)) {
        turn.caps.remember(ver, &interests);
    }
    learned(turn, account, id, interests, Learned::ByAnswer);
}

/// How the interests of a session have become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Learned {
    /// It has become available, and is of a kind that is known.
    AtOnce,
    /// It was available and had said something of itself.
    Again,
    /// It was asked.
    ByAnswer,
}

/// A session's interests are known now.
fn learned(
    turn: &mut Turn<'_>,
    account: &mut Account,
    id: SessionId,
    interests: Arc<Interests>,
    how: Learned,
) {
    turn.caps.forget(id);
    let Some(session) = account.session_mut(id) else { return };
    let before = session.interests.take().filter(|_| how != Learned::AtOnce);
    let has_come = before.is_none() && how != Learned::Again;
    let gained = match before {
        Some(before) => Arc::new(interests.without(&before)),
        None => Arc::clone(&interests),
    };
    session.interests = (!interests.is_empty()).then_some(interests);
    // Without interests it may have subscribed by name.
    if session.presence.is_available() && (has_come || !gained.is_empty()) {
        pep::interested(turn, account, id, &gained, has_come);
    }
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
