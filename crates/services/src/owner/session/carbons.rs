//! Carbon copies of messages for an account's other sessions (XEP-0280): of what one of them sends, and of what is addressed to
//! one of them alone.
//!
//! Called by [`crate::owner::dispatch`] (`<enable/>`, `<disable/>`), by `admission` (Bind 2) and by the router for each message
//! of a client. Promises: a copy is made by the owner of the account alone; its `from` is the account's bare JID, which no client
//! can have as its `from`; a copy is never copied again; a session that gets the message gets no copy of it. Copies are dropped
//! rather than fill a session's queue. Copies are not stored: the messages are.

use crate::account::Account;
use crate::account::session::{Session, Wishes};
use crate::effects::iq::{Door, Reply, Request, Scope, Xep};
use crate::effects::turn::Turn;
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use crate::wire::SessionId;
use chaski_xmpp::stanza::MessageType;
use chaski_xmpp::stored::{Facts, Has};
use chaski_xmpp::{Header, Kind, StanzaCondition, Stored, Writer, ns, write};

/// What this file implements.
pub(crate) const SPEC: &[Xep] = &[
    Xep::new(280, "1.0.1", "Message Carbons", &[(Scope::Domain, ns::CARBONS)]),
    Xep::new(297, "1.0", "Stanza Forwarding", &[]),
];

/// The direction of a copied message, seen from the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Sent,
    Received,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

impl Session {
    /// Switches carbon copies for this session on or off.
    pub(crate) fn set_carbons(&mut self, wanted: bool) {
        self.wishes.set(Wishes::CARBONS, wanted);
    }
}

/// The door for `urn:xmpp:carbons:2`: requests go to the domain (§4.1), or, from some clients, to the account.
pub(crate) const DOORS: &[Door] =
    &[Door { ns: ns::CARBONS, owner: Some(asked), other: None, domain: Some(asked) }];

/// Handles `<enable/>` or `<disable/>`, as often as a client sends them (§10.1).
fn asked(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    request: &Request<'_>,
    reply: Reply,
) {
    let wanted = match (request.is_get, request.child.name()) {
        (false, "enable") => true,
        (false, "disable") => false,
        _ => return reply.error(turn.outbox, StanzaCondition::BadRequest),
    };
    if let Some(session) = account.session_mut(session) {
        session.set_carbons(wanted);
    }
    reply.result(turn.outbox, &[]);
}

/// Whether a message that a client sends is copied (§6.1). A message that holds an element of this specification is not: it asks
/// not to be copied (`<private/>`, §9), or is a copy, or pretends to be one.
pub(crate) fn is_copied(message: Facts) -> bool {
    const INSTANT: Has = Has::BODY.and(Has::RECEIPT).and(Has::CHAT_STATE).and(Has::MARKER).and(Has::CALL);
    let is_said = match message.message_type() {
        MessageType::Chat => true,
        MessageType::Normal => message.has(INSTANT),
        MessageType::Groupchat | MessageType::Headline | MessageType::Error => false,
    };
    is_said && !message.has(Has::NO_COPY.and(Has::CARBON))
}

/// A session has sent a message to another account: sends copies to the account's other sessions.
pub(crate) fn sent(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    sender: SessionId,
    stored: &Stored,
) {
    copy(desk, ctx, account, Way::Sent, stored, |session| session.id != sender);
}

/// A message has come for the account, or for the session with this resource: sends copies to the sessions that do not get the
/// message itself. A message to the bare JID is not copied to a session that is not available yet: that session will read it from
/// the mailbox. One to another session's full JID is.
pub(crate) fn received(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    resource: Option<&str>,
    stored: &Stored,
) {
    let target = resource.and_then(|resource| account.resource(resource)).map(|session| session.id);
    copy(desk, ctx, account, Way::Received, stored, |session| match target {
        Some(target) => session.id != target,
        None => session.presence.is_available() && !session.presence.takes_messages(),
    });
}

fn copy(
    desk: &mut Desk,
    ctx: &mut Context<'_>,
    account: &mut Account,
    way: Way,
    stored: &Stored,
    is_other: impl Fn(&Session) -> bool,
) {
    let wants = |session: &Session| session.wishes.has(Wishes::CARBONS) && is_other(session);
    if !account.sessions.iter().any(wants) {
        return;
    }
    let from = stored.from();
    let Account { bare, sessions, .. } = account;
    let is_state = stored.facts().is_bare_chat_state();
    let chat = (stored.message_type() == MessageType::Chat).then_some("chat");
    for session in sessions.iter_mut().filter(|session| wants(session)) {
        let full = format!("{bare}/{}", session.resource);
        // The session that sent the message to a sibling has it already. An inactive client need not know at once what is being
        // typed on another device.
        if from.as_deref() == Some(&*full) || (is_state && session.is_inactive()) {
            continue;
        }
        let header = Header { from: Some(bare), to: Some(&full), type_attr: chat, ..Header::default() };
        // Wrapped in a copy, the message may be larger or deeper than what a client has to accept; then there is no copy.
        let Some(copy) = wrapped(&header, way, stored) else { return };
        match session.send_droppable(desk, ctx, &copy) {
            true => desk.metrics.carbons_total.inc(),
            false => desk.metrics.messages_dropped_total.inc(),
        }
    }
}

/// A message wrapped in `<forwarded/>` (XEP-0297). The stored form has no default namespace declaration on `<message>`, so one is
/// added.
fn wrapped(header: &Header<'_>, way: Way, stored: &Stored) -> Option<Stored> {
    let [first, head, back] = stored.pieces();
    let rest = first.strip_prefix(b"<message").unwrap_or_default();
    let mut payload = Vec::with_capacity(stored.len() + 192);
    let mut writer = Writer::new(&mut payload);
    writer.open_ns(way.name(), ns::CARBONS).open_ns("forwarded", ns::FORWARD);
    writer.raw(b"<message xmlns='jabber:client'").raw(rest).raw(head).raw(back);
    writer.close_all();
    drop(writer);
    let mut copy = Vec::with_capacity(payload.len() + 192);
    write::stanza(&mut copy, Kind::Message, header, &payload);
    Stored::parse(&copy).ok()
}
