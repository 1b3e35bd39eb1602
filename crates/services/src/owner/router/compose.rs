//! Turns a client's stanza into the stored form in which it is kept and relayed, and decides whether it is stored at all.
//!
//! Called by [`super::client`]. Specification: RFC 6120 §8.1, XEP-0359 (stanza-id), XEP-0334 (hints), XEP-0085 (chat states),
//! docs/protocol.md "A message's fate".

use crate::owner::desk::Desk;
use chaski_store::MessageId;
use chaski_store::secrets::Secret;
use chaski_xmpp::rewrite::{Attr, Ranges, Rewrite, left_out};
use chaski_xmpp::stanza::MessageType;
use chaski_xmpp::stored::{Facts, Has};
use chaski_xmpp::{JidRef, Stanza, Stored, ns};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// A message id that is shorter is probably a counter that the client starts anew with each connection: two messages with such an
/// id may differ.
const ID_CHARS_MIN: usize = 8;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept in the recipient's mailbox until it is acknowledged.
    Stored,
    /// It goes to the sessions that are connected now, and is not kept.
    Transient,
}

/// Decides by message type, hints and content whether a message is stored. (`no-permanent-store` concerns archives, of which
/// there are none.)
pub(super) fn fate(message: Facts) -> Fate {
    match message.message_type() {
        MessageType::Headline | MessageType::Error | MessageType::Groupchat => Fate::Transient,
        MessageType::Chat | MessageType::Normal => {
            let is_passing = message.is_bare_chat_state() && !message.has(Has::STORE);
            if message.has(Has::NO_STORE) || is_passing { Fate::Transient } else { Fate::Stored }
        }
    }
}

/// The two numbers by which a message is recognised when its client sends it again. Nobody outside the server can compute either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// The stanza-id that its recipient sees: equal for two messages with the same sender, recipient and origin-id (XEP-0359), or
    /// stanza id where there is no origin-id.
    pub(super) stanza_id: u128,
    /// The key in the mailbox: equal only if everything else that the client sent is equal, too. Only then is nothing lost by
    /// dropping one of two: a client that adds a delay, or encrypts anew, sends other bytes under the same stanza-id.
    pub(super) id: MessageId,
}

/// The identity of a message that `sender` (a bare JID) has sent, by the secret of ids. `scratch` is overwritten.
pub(super) fn identity(
    secret: &Secret,
    scratch: &mut Vec<u8>,
    rng: &mut dyn rand::CryptoRng,
    message: &Stanza<'_>,
    recipient: &JidRef<'_>,
    sender: &str,
) -> Identity {
    let origin = message.child("origin-id", ns::STANZA_ID).and_then(|origin| origin.attr("id"));
    let is_long = |id: &str| id.chars().nth(ID_CHARS_MIN - 1).is_some();
    let id = origin.filter(|id| !id.is_empty()).or_else(|| message.id().filter(|id| is_long(id)));
    let Some(id) = id else {
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let stanza_id = u128::from_le_bytes(random);
        return Identity { stanza_id, id: MessageId(stanza_id) };
    };
    let mut hasher = SipHasher13::new_with_key(secret);
    // The text is hashed in one piece: hashing several short pieces costs more than copying them together.
    scratch.clear();
    for part in [recipient.local.unwrap_or_default(), sender, &id] {
        scratch.extend_from_slice(&part.len().to_ne_bytes());
        scratch.extend_from_slice(part.as_bytes());
    }
    hasher.write(scratch);
    let stanza_id = hasher.finish128().as_u128();
    hasher.write(message.bytes());
    Identity { stanza_id, id: MessageId(hasher.finish128().as_u128()) }
}

/// A message in its stored form: `from` is stamped; elements that only the server may add are removed; its head has `to` in
/// normal form and the server's own stanza-id, if the message has one.
pub(super) fn message(
    desk: &mut Desk,
    message: &Stanza<'_>,
    facts: Facts,
    from: &str,
    to: &JidRef<'_>,
    id: Option<u128>,
) -> Stored {
    let skip = match facts.has(Has::SERVERS) {
        true => left_out(message, &desk.realm.domain, from),
        false => Ranges::default(),
    };
    let lang = desk.languages.tag(desk.language);
    let change = Rewrite { from: Attr::Set(from), to: Attr::Drop, lang, skip: &skip, ..Rewrite::default() };
    let body = Stored::rewritten(message, facts, &change, &mut desk.scratch);
    desk.text.clear();
    to.to_bare().push_to(&mut desk.text);
    let bare = desk.text.len();
    if let Some(resource) = to.resource {
        desk.text.push('/');
        desk.text.push_str(resource);
    }
    let stanza_id = id.and_then(|id| Some((desk.text.get(..bare)?, id)));
    let stored = body.addressed(&desk.text, stanza_id, &mut desk.scratch);
    desk.ease_scratch();
    stored
}

/// An IQ request or its answer in its stored form. It has one recipient and is sent once.
pub(super) fn request(desk: &mut Desk, stanza: &Stanza<'_>, from: &str, to: &JidRef<'_>) -> Stored {
    desk.text.clear();
    to.push_to(&mut desk.text);
    let lang = desk.languages.tag(desk.language);
    let change = Rewrite { from: Attr::Set(from), to: Attr::Set(&desk.text), lang, ..Rewrite::default() };
    let stored = Stored::rewritten(stanza, Facts::of(stanza), &change, &mut desk.scratch);
    desk.ease_scratch();
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate_of(message: &str) -> Fate {
        fate(Facts::of(&Stanza::parse(message.as_bytes()).unwrap()))
    }

    /// What clients have under a stanza-id, and mailboxes under an id, is found again by every later version.
    #[test]
    fn identities_are_for_good() {
        let message = "<message id='12345678'><body>x</body></message>";
        let stanza = Stanza::parse(message.as_bytes()).unwrap();
        let (recipient, sender) =
            (JidRef::split("+15551230002@chaski.example"), "+15551230001@chaski.example");
        let mut rng = rand::rng();
        let found = identity(&[7; 16], &mut Vec::new(), &mut rng, &stanza, &recipient, sender);
        let mut hasher = SipHasher13::new_with_key(&[7; 16]);
        for part in ["+15551230002", sender, "12345678"] {
            hasher.write_usize(part.len());
            hasher.write(part.as_bytes());
        }
        assert_eq!(found.stanza_id, hasher.finish128().as_u128());
        hasher.write(message.as_bytes());
        assert_eq!(found.id, MessageId(hasher.finish128().as_u128()));
        assert_eq!(found.stanza_id, 189_484_918_700_600_385_253_372_663_005_429_053_856);
    }

    #[test]
    fn what_waits_for_its_recipient() {
        for stored in [
            "<message><body>x</body></message>",
            "<message type='chat'><body>x</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
            "<message type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
            "<message type='chat'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>",
            "<message><propose xmlns='urn:xmpp:jingle-message:0' id='1'/></message>",
            "<message type='strange'/>",
            "<message><composing xmlns='http://jabber.org/protocol/chatstates'/><store xmlns='urn:xmpp:hints'/></message>",
        ] {
            assert_eq!(fate_of(stored), Fate::Stored, "{stored}");
        }
    }

    #[test]
    fn what_does_not() {
        for transient in [
            "<message type='headline'><body>x</body></message>",
            "<message type='error'><body>x</body></message>",
            "<message type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
            "<message type='chat'><paused xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread></message>",
            "<message><body>x</body><no-store xmlns='urn:xmpp:hints'/></message>",
        ] {
            assert_eq!(fate_of(transient), Fate::Transient, "{transient}");
        }
    }
}
