//! Entity capabilities (XEP-0115): of which PEP nodes a session wants notifications, without asking each session.
//!
//! A client announces in its presence a hash of its capabilities. For each hash that it has verified, the shard keeps the
//! client's `+notify` interests ([`Interests`]), shared by all sessions that announce the same. A session with an unknown hash is
//! sent a `disco#info` request. Told by an event of each presence broadcast, and called by the router with answers to these
//! requests. Posts an event when a session's interests become known.
//! Promises: only what hashes to the announced value is remembered for other sessions (XEP-0115 §5.4: no poisoning); anything
//! else is believed only of the session that has sent it. The cache, the requests under way and each session's interests are
//! bounded.

mod hash;

pub(crate) use hash::of as hash_of;

use crate::account::Account;
use crate::account::caps::ASKED_MAX;
use crate::account::caps::{Question, question_id};
use crate::account::interests::Interests;
use crate::effects::event::{CapsTag, Event};
use crate::effects::iq::{Scope, Xep};
use crate::effects::turn::Turn;
use crate::wire::SessionId;
use chaski_xmpp::{Header, Kind, Stanza, Writer, ns};
use std::sync::Arc;

/// What this room implements.
pub const SPEC: &[Xep] = &[Xep::new(115, "1.6.0", "Entity Capabilities", &[(Scope::Domain, ns::CAPS)])];

/// Longest hash and longest node that are accepted.
const VER_BYTES_MAX: usize = 128;
const NODE_BYTES_MAX: usize = 512;

/// Handles the event that a session has broadcast its presence.
pub(crate) fn heard(turn: &mut Turn<'_>, account: &mut Account, event: &Event) {
    if let Event::SessionCame { session, is_initial, caps } = event {
        came(turn, account, *session, *is_initial, caps.as_ref());
    }
}

fn came(turn: &mut Turn<'_>, account: &mut Account, id: SessionId, is_initial: bool, told: Option<&CapsTag>) {
    let Some(session) = account.session_mut(id) else { return };
    if let Some(caps) = told {
        let ver = caps.ver.as_deref().unwrap_or_default();
        match turn.caps.known.get(ver).filter(|_| is_verifiable(caps)) {
            Some(known) => {
                let known = Arc::clone(known);
                let how = if is_initial { Learned::AtOnce } else { Learned::Again };
                return learned(turn, account, id, known, how);
            }
            None if is_initial => session.interests = None,
            None => {}
        }
        ask(turn, account, id, caps);
    } else if let Some(gained) = session.interests.clone().filter(|_| is_initial) {
        turn.outbox.event(Event::InterestsKnown { session: id, gained, has_come: true });
    } else if is_initial {
        turn.outbox.event(Event::CameWithoutCaps(id));
    }
}

fn is_verifiable(caps: &CapsTag) -> bool {
    caps.hash.as_deref() == Some("sha-1")
}

/// Sends a `disco#info` request to the session.
fn ask(turn: &mut Turn<'_>, account: &Account, id: SessionId, caps: &CapsTag) {
    let (Some(node), Some(ver)) = (&caps.node, &caps.ver) else { return };
    let verifiable = is_verifiable(caps);
    let asked_already =
        turn.caps.asked.get(&id).is_some_and(|question| verifiable && question.ver.as_ref() == Some(ver));
    if asked_already || ver.len() > VER_BYTES_MAX || node.len() > NODE_BYTES_MAX {
        return;
    }
    if turn.caps.asked.len() >= ASKED_MAX && !turn.caps.asked.contains_key(&id) {
        return;
    }
    let Some(to) = account.session(id).map(|session| account.full_jid(session)) else { return };
    turn.caps.count += 1;
    let number = turn.caps.count;
    turn.caps.asked.insert(id, Question { number, ver: verifiable.then(|| ver.clone()) });
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

/// Handles an IQ result of a session: perhaps the answer to a `disco#info` request of this room.
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
    /// The session has become available, and its hash was known.
    AtOnce,
    /// The session was available with known interests before, and announces other capabilities.
    Again,
    /// The session was asked by `disco#info`.
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
    // Also sent to a session without interests, since its account may have subscribed to nodes explicitly.
    if session.presence.is_available() && (has_come || !gained.is_empty()) {
        turn.outbox.event(Event::InterestsKnown { session: id, gained, has_come });
    }
}
