//! Stanzas at the owner of their recipient, and on the way to it.
//!
//! Specification: RFC 6121 §8.5 (what a server does for its local user).

use super::Refuse;
use crate::account::blocked;
use crate::account::first_stanza;
use crate::account::hidden;
use crate::account::hidden::Verdict;
use crate::account::roster::Contact;
use crate::account::session::Session;
use crate::account::shows;
use crate::budget;
use crate::effects::letter::{Handling, Letter, RoutedStanza};
use crate::effects::turn::outbox::Post;
use crate::owner::context::Context;
use crate::owner::desk::InFlight;
use crate::owner::directory::Work;
use crate::owner::outgoing::Class;
use crate::owner::session::carbons;
use crate::owner::state::Owner;
use crate::owner::visit::Visit;
use crate::owner::{dispatch, mailbox};
use crate::rooms::presence;
use crate::ticket::Purpose;
use chaski_store::{AccountId, StoreError};
use chaski_xmpp::stanza::{IqType, MessageType};
use chaski_xmpp::{Kind, Stanza, write};

impl Owner {
    /// Sends a routed stanza to its recipient's owner, which may be this shard: now, or with the next tick if it is for a
    /// stranger ([`super::strangers`]).
    pub(crate) fn forward(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        if let Some(routed) = self.unhurried(ctx, routed) {
            self.send_on(ctx, routed);
        }
    }

    /// Sends a routed stanza to its recipient's owner now.
    pub(crate) fn send_on(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        self.desk.spend(budget::CARRIED);
        let number = self.desk.realm.places.owner_number(routed.to);
        let owner = self.desk.owner(routed.to);
        if owner == self.desk.here {
            return self.arrive(ctx, routed);
        }
        let class = class(&routed);
        let posted = self.desk.outgoing.post(ctx, number, Letter::RoutedStanza(Box::new(routed)), class);
        let Err(Letter::RoutedStanza(routed)) = posted else { return };
        match class {
            Class::Presence => self.desk.metrics.presence_dropped_total.inc(),
            Class::Request | Class::Mail => self.refuse(*routed, Refuse::Busy),
            Class::Must | Class::Awaited | Class::Settling => self.desk.metrics.envelopes_lost_total.inc(),
        }
    }

    /// Handles a routed stanza at its recipient's owner: at once, or behind what its sender has in the broadcast queue of this
    /// shard.
    pub(crate) fn arrive(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        match self.desk.lines.is_empty() {
            true => self.arrive_now(ctx, routed),
            false => self.in_line(ctx, routed),
        }
    }

    /// Handles a routed stanza at its recipient's owner at once.
    pub(crate) fn arrive_now(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        let settles = routed.settles;
        self.with_account(ctx, routed.to, Work::RoutedStanza(routed));
        self.desk.settle(settles);
    }

    /// Handles a routed stanza whose recipient's account is in memory.
    pub(crate) fn receive(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        self.desk.trace(ctx, routed.to, || arrival(&routed));
        let Some(account) = self.at_work(routed.to) else { return };
        if account.ledger.is_gone() || routed.is_refused || account.record.is_of_before(routed.sent_unix_ms) {
            return self.refuse_as_for_nobody(ctx, routed);
        }
        if account.record.is_moving() && matches!(routed.handling, Handling::Mail { .. }) {
            // The account moves to another number, and its mailbox has been read for that already: the sender gets an error, and
            // the message is not lost silently.
            return self.refuse(routed, Refuse::Nobody);
        }
        if blocked::refuses(account, &routed.stanza) {
            return self.receive_from_blocked(ctx, routed);
        }
        match routed.kind() {
            Kind::Message => self.receive_message(ctx, routed),
            Kind::Presence => {
                self.in_room(ctx, routed.to, |turn, account| {
                    presence::received(turn, account, &routed.stanza, routed.resource.as_deref());
                });
            }
            Kind::Iq => self.receive_iq(ctx, routed),
            Kind::Nonza => {}
        }
    }

    /// Handles a stanza from somebody whom the account has blocked. The sender sees what a stranger sees of an account that is
    /// away and shows strangers nothing: messages are accepted and dropped, other stanzas are answered as for a number that has
    /// no account. Errors that the server has written in the blocked sender's name are still delivered: they report messages that
    /// were sent before the block.
    fn receive_from_blocked(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        self.desk.metrics.stanzas_blocked_total.inc();
        match (routed.kind(), routed.handling) {
            (Kind::Presence, _) => self.in_room(ctx, routed.to, |turn, account| {
                presence::received_from_blocked(turn, account, &routed.stanza);
            }),
            (Kind::Message, Handling::Quiet) if routed.stanza.message_type() == MessageType::Error => {
                self.receive_message(ctx, routed);
            }
            (Kind::Iq, Handling::Quiet) => self.receive_iq(ctx, routed),
            (_, Handling::Quiet) => {}
            (Kind::Message, _) => self.drop_from_blocked(ctx, &routed),
            _ => self.refuse_as_for_nobody(ctx, routed),
        }
    }

    /// Drops a message from a blocked sender, unnoticed: the acceptance comes when the message would have been durable, and the
    /// message is charged to its sender like one that is kept ([`mailbox::charge`]).
    fn drop_from_blocked(&mut self, ctx: &mut Context<'_>, routed: &RoutedStanza) {
        let Handling::Mail { origin, is_heavy, .. } = routed.handling else { return };
        let by = mailbox::By { account: routed.by, is_heavy, sent_unix_ms: routed.sent_unix_ms };
        let Some(Visit { desk, account }) = self.visit(routed.to) else { return };
        let key = desk.in_flight.insert(InFlight {
            to: routed.to,
            origin,
            stanza: routed.stanza.clone(),
            sent_unix_ms: routed.sent_unix_ms,
        });
        let ticket = Purpose::Message(key).ticket();
        if let Err(error) = mailbox::charge(ctx, account, by, &routed.stanza, ticket) {
            desk.in_flight.remove(key);
            self.refuse(routed.clone(), Refuse::from(&error));
        }
    }

    fn receive_message(&mut self, ctx: &mut Context<'_>, mut routed: RoutedStanza) {
        let Some(Visit { desk, account }) = self.visit(routed.to) else { return };
        match hidden::incoming_message(account, &routed.stanza) {
            Verdict::Swallow => return desk.settle(routed.origin()),
            Verdict::Instead(stanza) => routed.stanza = stanza,
            Verdict::Pass => {}
        }
        let resource = routed.resource.as_deref();
        if routed.handling != Handling::Quiet {
            first_stanza::heard(account, routed.by, ctx.unix_ms);
        }
        if routed.settles.is_some_and(|origin| account.session(origin.session).is_none()) {
            // The resource now belongs to another session than the one whose message caused the error. The new session has sent
            // that message again, and would relate the error to its own copy.
            return;
        }
        let by = routed.by;
        let Handling::Mail { id, is_heavy, origin } = routed.handling else {
            let droppable = routed.handling == Handling::Relay;
            mailbox::pass(desk, ctx, account, resource, &routed.stanza, droppable);
            // A message for a resource that is gone is delivered to nobody, and so not copied either.
            if routed.copied && resource.is_none_or(|resource| account.resource(resource).is_some()) {
                carbons::received(desk, ctx, account, resource, &routed.stanza);
            }
            return;
        };
        let stanza = routed.stanza.clone();
        let sent_unix_ms = routed.sent_unix_ms;
        let key =
            desk.in_flight.insert(InFlight { to: routed.to, origin, stanza: stanza.clone(), sent_unix_ms });
        let ticket = Purpose::Message(key).ticket();
        let message = (id, mailbox::By { account: by, is_heavy, sent_unix_ms }, stanza);
        match mailbox::append(desk, ctx, account, resource, message, ticket) {
            Ok(mailbox::IsNew(is_new)) if is_new && routed.copied => {
                carbons::received(desk, ctx, account, resource, &routed.stanza);
            }
            Ok(_) => {}
            Err(error) => {
                desk.trace(ctx, routed.to, || format!("a message is refused: {error}"));
                desk.in_flight.remove(key);
                self.refuse(routed, Refuse::from(&error));
            }
        }
    }

    fn receive_iq(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        let whole = routed.stanza.whole();
        let Ok(stanza) = Stanza::parse(&whole) else { return };
        let is_request = matches!(stanza.iq_type(), Some(IqType::Get | IqType::Set));
        let Some(resource) = routed.resource.as_deref() else {
            if is_request && self.is_answered_as_nobody(ctx, routed.to, &stanza) {
                self.refuse_as_for_nobody(ctx, routed.clone());
            }
            return;
        };
        let Some(Visit { desk, account }) = self.visit(routed.to) else { return };
        let from = stanza.from().unwrap_or_default();
        let asker = from.split_once('/').map_or(&*from, |(bare, _)| bare);
        // A session must not be revealed to an account that may not see its presence. But an account that knows a resource made
        // up by the server was told that resource before, so the request reveals nothing new, unless the owner has hidden itself
        // from that account since.
        let was_told = |session: &Session| {
            let contact = Contact::new(asker, &desk.realm.domain);
            session.has_secret_resource() && !shows::hides_online(account, &contact)
        };
        let target = account.resource(resource).filter(|session| {
            !is_request
                || routed.handling == Handling::Quiet
                || was_told(session)
                || presence::may_see(account, session.id, asker)
        });
        let target = target.filter(|_| {
            !is_request
                || routed.handling == Handling::Quiet
                || !hidden::asks_in_vain(account, asker, &stanza)
        });
        match target.map(|session| session.id).and_then(|id| account.session_mut(id)) {
            // A stanza of another client must not fill the session's queue, because the session's own requests wait behind a full
            // queue. Answers need no permission, so anybody who knows or guesses a resource could stop it with them.
            Some(session) if routed.handling == Handling::Relay => {
                let sent = session.send_droppable(desk, ctx, &routed.stanza);
                if !sent && is_request {
                    self.refuse(routed.clone(), Refuse::Busy);
                }
            }
            Some(session) => session.send(desk, ctx, routed.stanza.clone()),
            None => self.refuse_as_for_nobody(ctx, routed.clone()),
        }
    }

    /// Answers another account's request to the bare JID. Returns true if the answer would be the error for a number that has no
    /// account: then the caller has to refuse the request the slow way, because the early answer would tell that there is an
    /// account.
    fn is_answered_as_nobody(&mut self, ctx: &mut Context<'_>, id: AccountId, request: &Stanza<'_>) -> bool {
        let (to, from) = (request.to(), request.from());
        let error = Refuse::Nobody.error();
        let refusal =
            self.desk.compose(|out| write::error_reply(out, request, to.as_deref(), from.as_deref(), &error));
        let mut is_refusal = false;
        self.in_room(ctx, id, |turn, account| {
            dispatch::asked_by_other(turn, account, request);
            let answer = turn
                .outbox
                .posts
                .pop_if(|post| matches!(post, Post::Account { stanza, .. } if *stanza == refusal));
            is_refusal = answer.is_some();
        });
        is_refusal
    }

    /// Handles a routed stanza for an account that does not exist: an error for messages and requests, nothing for presence.
    pub(crate) fn receive_for_nobody(&mut self, routed: RoutedStanza) {
        self.refuse_as_nobody(routed, true);
    }

    /// The store has committed a message: its sender's session may acknowledge it.
    pub(crate) fn committed(&mut self, ctx: &Context<'_>, key: usize) {
        if let Some(in_flight) = self.desk.in_flight.try_remove(key) {
            self.desk.metrics.acceptance_us.observe_since(in_flight.sent_unix_ms, ctx.unix_ms);
            self.desk.settle(in_flight.origin);
        }
    }

    /// The store had queued a message and has then failed to commit it: its sender gets an error. Sessions that it was written to at once, and that
    /// may be resumed, do not write it again: it must not be seen after that error (docs/promises.md, M5).
    pub(crate) fn not_committed(&mut self, key: usize, error: &StoreError) {
        let Some(in_flight) = self.desk.in_flight.try_remove(key) else { return };
        tracing::warn!(%error, "a message could not be stored");
        self.desk.metrics.messages_refused_full_total.inc();
        if let Some(account) = self.directory.present(in_flight.to) {
            account.sessions.iter_mut().for_each(|session| session.take_back(&in_flight.stanza));
        }
        self.bounce_and_settle(&in_flight.stanza, &Refuse::from(error).error(), in_flight.origin);
    }
}

/// One line of a trace for a stanza that has arrived. It does not name the sender.
fn arrival(routed: &RoutedStanza) -> String {
    let fate = match routed.handling {
        Handling::Mail { .. } => "to be stored",
        Handling::Relay => "for who is there",
        Handling::Quiet => "of the server",
    };
    format!("arrives: {}, {} bytes, {fate}", routed.kind().name(), routed.stanza.len())
}

/// What becomes of a routed stanza if the link to its recipient's owner has no room.
fn class(routed: &RoutedStanza) -> Class {
    match routed.kind() {
        _ if routed.settles.is_some() => Class::Settling,
        _ if routed.must_arrive() => Class::Must,
        Kind::Presence => Class::Presence,
        _ if matches!(routed.handling, Handling::Mail { .. }) => Class::Mail,
        _ => Class::Request,
    }
}
