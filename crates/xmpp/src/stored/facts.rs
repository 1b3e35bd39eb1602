//! What is known of a stanza without looking into it: its kind, its type, and which of the children are there that the server asks for.
//!
//! Found in one pass over the children when a client's stanza comes in, and carried along in front of the stored form. Called by
//! [`super`] and by whoever decides about a message. Promises: one look at each child's name and namespace, whatever is asked of it later.

use crate::escape;
use crate::ns;
use crate::rewrite::may_be_a_servers;
use crate::stanza::{ChildName, IqType, Kind, MessageType, PresenceType, Stanza, Start};

/// Which children a stanza has, of those that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Has(u16);

impl Has {
    /// `<body/>`.
    pub const BODY: Self = Self(1);
    /// A chat state (XEP-0085).
    pub const CHAT_STATE: Self = Self(1 << 1);
    /// Anything that is no chat state, hint or thread.
    pub const MORE: Self = Self(1 << 2);
    /// Something of receipts (XEP-0184).
    pub const RECEIPT: Self = Self(1 << 3);
    /// Something of chat markers (XEP-0333).
    pub const MARKER: Self = Self(1 << 4);
    /// A chat marker that says that the message was read: `<displayed/>`, `<acknowledged/>`.
    pub const READ_MARK: Self = Self(1 << 5);
    /// A call's proposal, or what becomes of one (XEP-0353).
    pub const CALL: Self = Self(1 << 6);
    /// Something of carbons (XEP-0280).
    pub const CARBON: Self = Self(1 << 7);
    /// An event of a node (XEP-0060 §7).
    pub const EVENT: Self = Self(1 << 8);
    /// The hint `<store/>` (XEP-0334).
    pub const STORE: Self = Self(1 << 9);
    /// The hint `<no-store/>`.
    pub const NO_STORE: Self = Self(1 << 10);
    /// The hint `<no-copy/>`.
    pub const NO_COPY: Self = Self(1 << 11);
    /// What perhaps only a server may say ([`crate::rewrite::servers_words`]).
    pub const SERVERS: Self = Self(1 << 12);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one of these is there.
    pub const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    fn of_child(child: &ChildName<'_>) -> Self {
        let of_a_server = if may_be_a_servers(child) { Self::SERVERS } else { Self::default() };
        let name = child.local();
        of_a_server.and(match &*escape::attr_value(child.raw_ns()) {
            ns::CLIENT if name == "body" => Self::BODY.and(Self::MORE),
            ns::CLIENT if name == "thread" => Self(0),
            ns::CHAT_STATES => Self::CHAT_STATE,
            ns::HINTS => match name {
                "store" => Self::STORE,
                "no-store" => Self::NO_STORE,
                "no-copy" => Self::NO_COPY,
                _ => Self(0),
            },
            ns::RECEIPTS => Self::RECEIPT.and(Self::MORE),
            ns::MARKERS if matches!(name, "displayed" | "acknowledged") => {
                Self::MARKER.and(Self::READ_MARK).and(Self::MORE)
            }
            ns::MARKERS => Self::MARKER.and(Self::MORE),
            ns::JINGLE_MESSAGE => Self::CALL.and(Self::MORE),
            ns::CARBONS => Self::CARBON.and(Self::MORE),
            ns::PUBSUB_EVENT if name == "event" => Self::EVENT.and(Self::MORE),
            _ => Self::MORE,
        })
    }
}

/// What is known of a stanza without looking into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    kind: Kind,
    /// [`MessageType`], [`PresenceType`] or [`IqType`] as a number; [`NO_TYPE`] for what does not exist.
    type_number: u8,
    has: Has,
}

/// The type is none of those that its kind knows.
const NO_TYPE: u8 = 15;

const MESSAGE_TYPES: [MessageType; 5] = [
    MessageType::Normal,
    MessageType::Chat,
    MessageType::Groupchat,
    MessageType::Headline,
    MessageType::Error,
];
const PRESENCE_TYPES: [PresenceType; 8] = [
    PresenceType::Available,
    PresenceType::Unavailable,
    PresenceType::Subscribe,
    PresenceType::Subscribed,
    PresenceType::Unsubscribe,
    PresenceType::Unsubscribed,
    PresenceType::Probe,
    PresenceType::Error,
];
const IQ_TYPES: [IqType; 4] = [IqType::Get, IqType::Set, IqType::Result, IqType::Error];
const KINDS: [Kind; 4] = [Kind::Message, Kind::Presence, Kind::Iq, Kind::Nonza];

/// The number of a value among those that there are.
fn number<T: PartialEq>(values: &[T], value: Option<T>) -> u8 {
    let number = value.and_then(|value| values.iter().position(|one| *one == value));
    number.map_or(NO_TYPE, |number| number as u8)
}

impl Facts {
    /// Of a stanza that was parsed.
    pub fn of(stanza: &Stanza<'_>) -> Self {
        let has = stanza.child_names().map(|child| Has::of_child(&child)).fold(Has::default(), Has::and);
        Self {
            kind: stanza.kind(),
            type_number: type_number(stanza.kind(), stanza.type_attr().as_deref()),
            has,
        }
    }

    /// Of a start tag, which is all that is asked of presence and requests.
    pub(super) fn of_start(start: &Start<'_>) -> Self {
        let kind_of = start.type_attr();
        Self {
            kind: start.kind,
            type_number: type_number(start.kind, kind_of.as_deref()),
            has: Has::default(),
        }
    }

    /// Of what can't be read: nothing but its kind.
    pub(super) fn unknown(kind: Kind) -> Self {
        Self { kind, type_number: NO_TYPE, has: Has::default() }
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The type of a message.
    pub fn message_type(self) -> MessageType {
        MESSAGE_TYPES.get(usize::from(self.type_number)).copied().unwrap_or(MessageType::Normal)
    }

    /// The type of a presence, if it is one that exists.
    pub fn presence_type(self) -> Option<PresenceType> {
        PRESENCE_TYPES.get(usize::from(self.type_number)).copied().filter(|_| self.kind == Kind::Presence)
    }

    /// The type of an iq, if it is one that exists.
    pub fn iq_type(self) -> Option<IqType> {
        IQ_TYPES.get(usize::from(self.type_number)).copied().filter(|_| self.kind == Kind::Iq)
    }

    /// Whether it has one of these children.
    pub fn has(self, any_of: Has) -> bool {
        self.has.any(any_of)
    }

    /// Nothing in it but a chat state and what comes along with it: a thread, hints.
    pub fn is_bare_chat_state(self) -> bool {
        self.has(Has::CHAT_STATE) && !self.has(Has::MORE)
    }

    /// In four bytes: kind, type, children.
    pub(super) fn to_bytes(self) -> [u8; 4] {
        let [low, high] = self.has.0.to_le_bytes();
        [number(&KINDS, Some(self.kind)), self.type_number, low, high]
    }

    /// From these; a number that means nothing is read as a nonza or as no type.
    pub(super) fn from_bytes([kind, type_number, low, high]: [u8; 4]) -> Self {
        let kind = KINDS.get(usize::from(kind)).copied().unwrap_or(Kind::Nonza);
        Self { kind, type_number, has: Has(u16::from_le_bytes([low, high])) }
    }
}

fn type_number(kind: Kind, text: Option<&str>) -> u8 {
    match kind {
        Kind::Message => number(&MESSAGE_TYPES, Some(MessageType::of(text))),
        Kind::Presence => number(&PRESENCE_TYPES, PresenceType::of(text)),
        Kind::Iq => number(&IQ_TYPES, text.and_then(IqType::of)),
        Kind::Nonza => NO_TYPE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> Facts {
        Facts::of(&Stanza::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn each_child_that_is_asked_for_is_found() {
        for (child, has) in [
            ("<body/>", Has::BODY),
            ("<active xmlns='http://jabber.org/protocol/chatstates'/>", Has::CHAT_STATE),
            ("<request xmlns='urn:xmpp:receipts'/>", Has::RECEIPT),
            ("<markable xmlns='urn:xmpp:chat-markers:0'/>", Has::MARKER),
            ("<m:displayed xmlns:m='urn:xmpp:chat-markers:0' id='1'/>", Has::READ_MARK),
            ("<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", Has::CALL),
            ("<private xmlns='urn:xmpp:carbons:2'/>", Has::CARBON),
            ("<event xmlns='http://jabber.org/protocol/pubsub#event'/>", Has::EVENT),
            ("<store xmlns='urn:xmpp:hin&#116;s'/>", Has::STORE),
            ("<no-store xmlns='urn:xmpp:hints'/>", Has::NO_STORE),
            ("<no-copy xmlns='urn:xmpp:hints'/>", Has::NO_COPY),
            ("<stanza-id xmlns='urn:xmpp:sid:0' by='x' id='1'/>", Has::SERVERS),
            ("<x xmlns='jabber:x:delay' from='x'/>", Has::SERVERS),
            ("<sent xmlns='urn:xmpp:carbons:2'/>", Has::SERVERS),
            ("<key-changed xmlns='urn:chaski:registration:0'/>", Has::SERVERS),
        ] {
            let found = facts(&format!("<message><other xmlns='x'/>{child}</message>"));
            assert!(found.has(has) && found.has(Has::MORE), "{child}");
            assert!(!facts("<message><other xmlns='x'/></message>").has(has), "{child}");
        }
    }

    #[test]
    fn a_bare_chat_state_is_told_from_a_message_that_has_one() {
        let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
        for (rest, is_bare) in [
            ("", true),
            ("<thread>t</thread><no-store xmlns='urn:xmpp:hints'/>", true),
            ("<body/>", false),
            ("<thread xmlns='x'/>", false),
            ("<received xmlns='urn:xmpp:receipts' id='1'/>", false),
        ] {
            assert_eq!(
                facts(&format!("<message>{state}{rest}</message>")).is_bare_chat_state(),
                is_bare,
                "{rest}"
            );
        }
        assert!(!facts("<message/>").is_bare_chat_state());
    }

    #[test]
    fn types_survive_being_written() {
        for text in [
            "<message/>",
            "<message type='chat'><body/></message>",
            "<message type='strange'/>",
            "<presence/>",
            "<presence type='unsubscribed'/>",
            "<presence type='strange'/>",
            "<iq type='result' id='1'/>",
            "<iq/>",
            "<r xmlns='urn:xmpp:sm:3'/>",
        ] {
            let stanza = Stanza::parse(text.as_bytes()).unwrap();
            let read = Facts::from_bytes(Facts::of(&stanza).to_bytes());
            assert_eq!(read, Facts::of(&stanza), "{text}");
            assert_eq!(read.kind(), stanza.kind(), "{text}");
            match read.kind() {
                Kind::Message => assert_eq!(read.message_type(), stanza.message_type(), "{text}"),
                Kind::Presence => assert_eq!(read.presence_type(), stanza.presence_type(), "{text}"),
                Kind::Iq => assert_eq!(read.iq_type(), stanza.iq_type(), "{text}"),
                Kind::Nonza => assert_eq!((read.presence_type(), read.iq_type()), (None, None)),
            }
        }
    }
}
