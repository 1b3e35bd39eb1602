//! Parcels at the owner of their recipient, and on the way there.
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
use crate::effects::letter::{Handling, Letter, Parcel};
use crate::effects::turn::outbox::Post;
use crate::owner::context::Context;
use crate::owner::desk::InFlight;
use crate::owner::directory::Work;
use crate::owner::outgoing::Class;
use crate::owner::session::carbons;
use crate::owner::state::Owner;
use crate::owner::{dispatch, mailbox};
use crate::rooms::presence;
use crate::ticket::Purpose;
use chaski_store::{AccountId, StoreError};
use chaski_xmpp::stanza::{IqType, MessageType};
use chaski_xmpp::{Kind, Stanza, write};

impl Owner {
    /// Sends a parcel to its recipient's owner, which may be this shard, now or with the next tick ([`super::strangers`]).
    pub(crate) fn forward(&mut self, ctx: &mut Context<'_>, parcel: Parcel) {
        if let Some(parcel) = self.unhurried(ctx, parcel) {
            self.send_on(ctx, parcel);
        }
    }

    /// The same, now.
    pub(crate) fn send_on(&mut self, ctx: &mut Context<'_>, parcel: Parcel) {
        self.desk.spend(budget::CARRIED);
        let number = self.desk.realm.places.owner_number(parcel.to);
        let owner = self.desk.owner(parcel.to);
        if owner == self.desk.here {
            return self.arrive(ctx, parcel);
        }
        let class = class(&parcel);
        let posted = self.desk.outgoing.post(ctx, number, Letter::Parcel(Box::new(parcel)), class);
        let Err(Letter::Parcel(parcel)) = posted else { return };
        match class {
            Class::Presence => self.desk.metrics.presence_dropped_total.inc(),
            Class::Request | Class::Mail => self.refuse(*parcel, Refuse::Busy),
            Class::Must | Class::Awaited | Class::Settling => self.desk.metrics.envelopes_lost_total.inc(),
        }
    }

    /// A parcel at its recipient's owner.
    pub(crate) fn arrive(&mut self, ctx: &mut Context<'_>, parcel: Parcel) {
        match self.desk.lines.is_empty() {
            true => self.arrive_now(ctx, parcel),
            false => self.in_line(ctx, parcel),
        }
    }

    /// The same with nothing before it.
    pub(crate) fn arrive_now(&mut self, ctx: &mut Context<'_>, parcel: Parcel) {
        let settles = parcel.settles;
        self.with_account(ctx, parcel.to, Work::Parcel(parcel));
        self.desk.settle(settles);
    }

    /// A parcel for an account that is in memory.
    pub(crate) fn receive(&mut self, ctx: &mut Context<'_>, parcel: Parcel) {
        self.desk.trace(ctx, parcel.to, || arrival(&parcel));
        let Some(account) = self.directory.present(parcel.to) else { return };
        if account.saving.is_gone() || parcel.is_refused || account.record.is_of_before(parcel.sent_unix_ms) {
            return self.refuse_as_for_nobody(ctx, parcel);
        }
        if account.record.is_moving() && matches!(parcel.handling, Handling::Mail { .. }) {
            // Its mailbox has been looked at for the last time: the sender is told, instead of the message being lost.
            return self.refuse(parcel, Refuse::Nobody);
        }
        if blocked::refuses(account, &parcel.stanza) {
            return self.receive_from_blocked(ctx, parcel);
        }
        match parcel.kind() {
            Kind::Message => self.receive_message(ctx, parcel),
            Kind::Presence => {
                self.in_room(ctx, parcel.to, |turn, account| {
                    presence::received(turn, account, &parcel.stanza, parcel.resource.as_deref());
                });
            }
            Kind::Iq => self.receive_iq(ctx, parcel),
            Kind::Nonza => {}
        }
    }

    /// Something from somebody whom the account has blocked: he gets what a stranger gets of an account that is away and shows
    /// strangers nothing. Messages are accepted and dropped; for the rest that is what a number gets that is nobody's. Errors
    /// that the server has written in his name still tell of messages that were sent before.
    fn receive_from_blocked(&mut self, ctx: &mut Context<'_>, parcel: Parcel) {
        self.desk.metrics.stanzas_blocked_total.inc();
        match (parcel.kind(), parcel.handling) {
            (Kind::Presence, _) => self.in_room(ctx, parcel.to, |turn, account| {
                presence::received_from_blocked(turn, account, &parcel.stanza);
            }),
            (Kind::Message, Handling::Quiet) if parcel.stanza.message_type() == MessageType::Error => {
                self.receive_message(ctx, parcel);
            }
            (Kind::Iq, Handling::Quiet) => self.receive_iq(ctx, parcel),
            (_, Handling::Quiet) => {}
            (Kind::Message, _) => self.drop_from_blocked(ctx, &parcel),
            _ => self.refuse_as_for_nobody(ctx, parcel),
        }
    }

    /// A message of somebody who is blocked. Whoever sent it is told that it was accepted when it would have been, and it is
    /// charged like one that is kept ([`mailbox::charge`]): nothing tells that it is not.
    fn drop_from_blocked(&mut self, ctx: &mut Context<'_>, parcel: &Parcel) {
        let Handling::Mail { origin, is_heavy, .. } = parcel.handling else { return };
        let by = mailbox::By { account: parcel.by, is_heavy, sent_unix_ms: parcel.sent_unix_ms };
        let Some(account) = self.directory.present(parcel.to) else { return };
        let key = self.desk.in_flight.insert(InFlight {
            origin,
            stanza: parcel.stanza.clone(),
            sent_unix_ms: parcel.sent_unix_ms,
        });
        let ticket = Purpose::Message(key).ticket();
        if let Err(error) = mailbox::charge(ctx, account, by, &parcel.stanza, ticket) {
            self.desk.in_flight.remove(key);
            self.refuse(parcel.clone(), Refuse::from(&error));
        }
    }

    fn receive_message(&mut self, ctx: &mut Context<'_>, mut parcel: Parcel) {
        let Some(account) = self.directory.present(parcel.to) else { return };
        match hidden::incoming_message(account, &parcel.stanza) {
            Verdict::Swallow => return self.desk.settle(parcel.origin()),
            Verdict::Instead(stanza) => parcel.stanza = stanza,
            Verdict::Pass => {}
        }
        let resource = parcel.resource.as_deref();
        if parcel.handling != Handling::Quiet {
            first_stanza::heard(account, parcel.by, ctx.unix_ms);
        }
        if parcel.settles.is_some_and(|origin| account.session(origin.session).is_none()) {
            // An error is for the session that sent the message. Who has come in its place has sent the message again, and would take this
            // for that one's.
            return;
        }
        let by = parcel.by;
        let Handling::Mail { id, is_heavy, origin } = parcel.handling else {
            let droppable = parcel.handling == Handling::Relay;
            mailbox::pass(&mut self.desk, ctx, account, resource, &parcel.stanza, droppable);
            // What was for one that has gone is for nobody.
            if parcel.copied && resource.is_none_or(|resource| account.resource(resource).is_some()) {
                carbons::received(&mut self.desk, ctx, account, resource, &parcel.stanza);
            }
            return;
        };
        let stanza = parcel.stanza.clone();
        let sent_unix_ms = parcel.sent_unix_ms;
        let key = self.desk.in_flight.insert(InFlight { origin, stanza: stanza.clone(), sent_unix_ms });
        let ticket = Purpose::Message(key).ticket();
        let message = (id, mailbox::By { account: by, is_heavy, sent_unix_ms }, stanza);
        match mailbox::append(&mut self.desk, ctx, account, resource, message, ticket) {
            Ok(mailbox::IsNew(is_new)) if is_new && parcel.copied => {
                carbons::received(&mut self.desk, ctx, account, resource, &parcel.stanza);
            }
            Ok(_) => {}
            Err(error) => {
                self.desk.trace(ctx, parcel.to, || format!("a message is refused: {error}"));
                self.desk.in_flight.remove(key);
                self.refuse(parcel, Refuse::from(&error));
            }
        }
    }

    fn receive_iq(&mut self, ctx: &mut Context<'_>, parcel: Parcel) {
        let whole = parcel.stanza.whole();
        let Ok(stanza) = Stanza::parse(&whole) else { return };
        let is_request = matches!(stanza.iq_type(), Some(IqType::Get | IqType::Set));
        let Some(resource) = parcel.resource.as_deref() else {
            if is_request && self.is_answered_as_nobody(ctx, parcel.to, &stanza) {
                self.refuse_as_for_nobody(ctx, parcel.clone());
            }
            return;
        };
        let Some(account) = self.directory.present(parcel.to) else { return };
        let from = stanza.from().unwrap_or_default();
        let asker = from.split_once('/').map_or(&*from, |(bare, _)| bare);
        // Who is not shown the session must not learn of it; but who knows a resource that we made up was told it, which
        // is no news from whom the account has hidden itself since.
        let was_told = |session: &Session| {
            let contact = Contact::new(asker, &self.desk.realm.domain);
            session.has_secret_resource() && !shows::hides_online(account, &contact)
        };
        let target = account.resource(resource).filter(|session| {
            !is_request
                || parcel.handling == Handling::Quiet
                || was_told(session)
                || presence::may_see(account, session.id, asker)
        });
        let target = target.filter(|_| {
            !is_request
                || parcel.handling == Handling::Quiet
                || !hidden::asks_in_vain(account, asker, &stanza)
        });
        match target.map(|session| session.id).and_then(|id| account.session_mut(id)) {
            // What a client sends must not fill the queue, behind which its own stanzas wait: answers need no permission, and
            // anybody who knows or guesses a resource could hold it up with them.
            Some(session) if parcel.handling == Handling::Relay => {
                let sent = session.send_droppable(&mut self.desk, ctx, &parcel.stanza);
                if !sent && is_request {
                    self.refuse(parcel.clone(), Refuse::Busy);
                }
            }
            Some(session) => session.send(&mut self.desk, ctx, parcel.stanza.clone()),
            None => self.refuse_as_for_nobody(ctx, parcel.clone()),
        }
    }

    /// Has another account's request to the bare JID answered. True: it is to be refused instead, because a stranger's
    /// answer would be what he is told of nobody, only sooner.
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

    /// A parcel for an account that does not exist. Presence leads to nothing.
    pub(crate) fn receive_for_nobody(&mut self, parcel: Parcel) {
        self.refuse_as_nobody(parcel, true);
    }

    /// The store has committed a message.
    pub(crate) fn committed(&mut self, ctx: &Context<'_>, key: usize) {
        if let Some(in_flight) = self.desk.in_flight.try_remove(key) {
            self.desk.metrics.acceptance_us.observe_since(in_flight.sent_unix_ms, ctx.unix_ms);
            self.desk.settle(in_flight.origin);
        }
    }

    /// The store has refused a message after it had taken it.
    pub(crate) fn not_committed(&mut self, key: usize, error: &StoreError) {
        let Some(in_flight) = self.desk.in_flight.try_remove(key) else { return };
        tracing::warn!(%error, "a message could not be stored");
        self.desk.metrics.messages_refused_full_total.inc();
        self.bounce_and_settle(&in_flight.stanza, &Refuse::from(error).error(), in_flight.origin);
    }
}

/// What has come for an account, without saying from whom.
fn arrival(parcel: &Parcel) -> String {
    let fate = match parcel.handling {
        Handling::Mail { .. } => "to be stored",
        Handling::Relay => "for who is there",
        Handling::Quiet => "of the server",
    };
    format!("arrives: {}, {} bytes, {fate}", parcel.kind().name(), parcel.stanza.len())
}

/// What becomes of a parcel for which its owner has no room.
fn class(parcel: &Parcel) -> Class {
    match parcel.kind() {
        _ if parcel.settles.is_some() => Class::Settling,
        _ if parcel.must_arrive() => Class::Must,
        Kind::Presence => Class::Presence,
        _ if matches!(parcel.handling, Handling::Mail { .. }) => Class::Mail,
        _ => Class::Request,
    }
}
