//! Namespace names, each with where it is defined. Called by everybody; owns nothing.

/// RFC 6120: stanzas between client and server.
pub const CLIENT: &str = "jabber:client";
/// The content namespace of streams between servers: none of ours.
pub const SERVER: &str = "jabber:server";
/// RFC 6120 §4.8.1: the stream element itself.
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// RFC 6120 §4.9: stream error conditions.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120 §8.3: stanza error conditions.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120 §5.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120 §6.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// RFC 6120 §7.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 3921 §3: the session request that old clients still make.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// RFC 7395: WebSocket framing.
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// RFC 6121 §2.
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121 §2.6.1: roster versioning as a stream feature.
pub const ROSTER_VERSIONING: &str = "urn:xmpp:features:rosterver";
/// RFC 6121 §3.4: subscription pre-approval as a stream feature.
pub const PRE_APPROVAL: &str = "urn:xmpp:features:pre-approval";
/// Ours: what a mailbox tells of itself (docs/protocol.md "A gap").
pub const MAILBOX: &str = "urn:chaski:mailbox:0";
/// XEP-0004.
pub const DATA_FORMS: &str = "jabber:x:data";
/// XEP-0012.
pub const LAST: &str = "jabber:iq:last";
/// XEP-0030.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0045.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// XEP-0045.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0049.
pub const PRIVATE: &str = "jabber:iq:private";
/// XEP-0050.
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// XEP-0054.
pub const VCARD: &str = "vcard-temp";
/// XEP-0060.
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// XEP-0060 §8: what only a node's owner may ask.
pub const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// XEP-0060: notifications.
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// XEP-0060: error conditions of its own.
pub const PUBSUB_ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";
/// XEP-0060 §16.4.4: the form that configures a node.
pub const PUBSUB_NODE_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
/// XEP-0060 §7.1.5: the form of preconditions that comes with an item.
pub const PUBSUB_PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// XEP-0077.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0077: as a stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// XEP-0084: images.
pub const AVATAR_DATA: &str = "urn:xmpp:avatar:data";
/// XEP-0084: which image it is.
pub const AVATAR_METADATA: &str = "urn:xmpp:avatar:metadata";
/// XEP-0085.
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0091: delays as they were said before XEP-0203.
pub const LEGACY_DELAY: &str = "jabber:x:delay";
/// XEP-0092.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0115.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0133.
pub const ADMIN: &str = "http://jabber.org/protocol/admin";
/// XEP-0153.
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// XEP-0172.
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// XEP-0184.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0191.
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0191, what an error says.
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// XEP-0198.
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0199.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0202.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0203.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0280.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0292.
pub const VCARD4: &str = "urn:xmpp:vcard4";
/// XEP-0297.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0313: refused on purpose.
pub const MAM: &str = "urn:xmpp:mam:2";
/// XEP-0319.
pub const IDLE: &str = "urn:xmpp:idle:1";
/// XEP-0333.
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// XEP-0215.
pub const EXTDISCO: &str = "urn:xmpp:extdisco:2";
/// XEP-0334.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0352.
pub const CSI: &str = "urn:xmpp:csi:0";
/// XEP-0353.
pub const JINGLE_MESSAGE: &str = "urn:xmpp:jingle-message:0";
/// XEP-0357.
pub const PUSH: &str = "urn:xmpp:push:0";
/// XEP-0359.
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// XEP-0386.
pub const BIND2: &str = "urn:xmpp:bind:0";
/// XEP-0388.
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// XEP-0398.
pub const AVATAR_CONVERSION: &str = "urn:xmpp:pep-vcard-conversion:0";
/// XEP-0402.
pub const BOOKMARKS: &str = "urn:xmpp:bookmarks:1";
/// What Chaski says of accounts: a contact's new key (docs/protocol.md).
pub const REGISTRATION: &str = "urn:chaski:registration:0";
/// XEP-0300.
pub const HASHES: &str = "urn:xmpp:hashes:2";
/// XEP-0363.
pub const UPLOAD: &str = "urn:xmpp:http:upload:0";
/// XEP-0363 §6: what a file is for.
pub const UPLOAD_PURPOSE: &str = "urn:xmpp:http:upload:purpose:0";
/// Ours: what a client says of a content that it is going to upload (docs/protocol.md "Uploads").
pub const MEDIA: &str = "urn:chaski:media:0";
/// XEP-0440.
pub const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// XEP-0484.
pub const FAST: &str = "urn:xmpp:fast:0";
/// Quicksy's contact synchronisation.
pub const QUICKSY_SYNC: &str = "im.quicksy.synchronization:0";
/// XML names §3: what the prefix `xml` is bound to, always.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// XML names §3: what the prefix `xmlns` is bound to, and nothing else may be.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
