//! The roster room's part of a turn: answers a client's roster IQ, saves, pushes, and cancels subscriptions.
//!
//! RFC 6121 §2. Called by [`crate::owner::dispatch`] for the account's own sessions only.

use super::query::Request as Query;
use crate::account::Account;
use crate::account::roster::{Contact, Kind, PresenceDue, Removed};
use crate::effects::event::Event;
use crate::effects::iq::{Reply, Request};
use crate::effects::turn::Turn;
use crate::effects::turn::command::BookChange;
use crate::effects::turn::contact_sync::{Answer, Refused, SyncRequest, SyncWork};
use crate::effects::turn::outbox::Post;
use crate::wire::SessionId;
use chaski_xmpp::stanza::IqType;
use chaski_xmpp::{Header, StanzaCondition, ns, write};

/// A roster IQ of one of the account's sessions.
pub(super) fn asked(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    request: &Request<'_>,
    reply: Reply,
) {
    if !request.child.is("query", ns::ROSTER) {
        return reply.error(turn.outbox, StanzaCondition::ServiceUnavailable);
    }
    let iq_type = if request.is_get { IqType::Get } else { IqType::Set };
    let query = match Query::read(iq_type, &request.child, &account.bare, &turn.realm.domain) {
        Err(condition) => return reply.error(turn.outbox, condition),
        Ok(Query::Get { version }) => {
            if let Some(session) = account.session_mut(session) {
                session.presence.set_interested();
            }
            return show(turn, account, session, version.as_deref(), reply);
        }
        Ok(Query::Remove { contact }) if account.roster.state(&contact).is_booked() => {
            return strike_out(turn, account, ItemRemoval { session, contact, reply });
        }
        Ok(query) => query,
    };
    finish(turn, account, session, query, reply);
}

/// Sends a client the roster: all of it, or only what has changed since the version that the client has (§2.6).
fn show(turn: &mut Turn<'_>, account: &mut Account, session: SessionId, version: Option<&str>, reply: Reply) {
    let domain = &turn.realm.domain;
    if let Some(before) = version
        && let Some(changed) = account.roster.changed_since(before)
    {
        reply.result(turn.outbox, b"");
        let current = account.roster.version();
        for (at, contact) in changed.iter().enumerate() {
            // Each push before the last one carries the client's old version, so that an interrupted client asks for the same
            // changes again.
            let version = if at + 1 == changed.len() { &*current } else { before };
            let payload = account.roster.push(contact, version, domain);
            send_push(turn, account, session, (&format!("push-{current}-{at}"), &payload));
        }
        return;
    }
    let answer = account.roster.answer(version, domain);
    account.roster.note_sent();
    reply.result(turn.outbox, &answer.unwrap_or_default());
}

fn finish(turn: &mut Turn<'_>, account: &mut Account, session: SessionId, query: Query, reply: Reply) {
    if let Err(condition) = change(turn, account, query) {
        return reply.error(turn.outbox, condition);
    }
    let failed = reply.error_stanza(&StanzaCondition::InternalServerError.into());
    turn.outbox.unless_saved.push(Post::Session { session, stanza: failed.into() });
    reply.result(turn.outbox, b"");
}

/// The removal of an item whose number is in the phone book: the number has to be removed there first, or the item would come
/// back at once.
struct ItemRemoval {
    session: SessionId,
    contact: Contact,
    reply: Reply,
}

fn strike_out(turn: &mut Turn<'_>, account: &Account, removal: ItemRemoval) {
    let Contact::Phone(number) = removal.contact else { return };
    let want = SyncWork::Change(BookChange::Change { add: Vec::new(), remove: vec![number] });
    let answer =
        Answer::room_when_followed(move |turn, account, result| removal.answer(turn, account, result.err()));
    let wish = SyncRequest { account: account.id, want, answer };
    turn.outbox.posts.push(Post::ContactSync(Box::new(wish)));
}

impl ItemRemoval {
    /// The number is out of the phone book and the roster has followed, or that was refused. Now the rest of the item and its
    /// subscriptions can be removed.
    fn answer(self, turn: &mut Turn<'_>, account: &mut Account, refused: Option<Refused>) {
        if let Some(refused) = refused {
            return self.reply.error(turn.outbox, refused.condition());
        }
        let state = account.roster.state(&self.contact);
        if !state.is_listed() || state.is_booked() {
            return self.reply.result(turn.outbox, b"");
        }
        finish(turn, account, self.session, Query::Remove { contact: self.contact }, self.reply);
    }
}

fn change(turn: &mut Turn<'_>, account: &mut Account, query: Query) -> Result<(), StanzaCondition> {
    if turn.busy.roster {
        return Err(StanzaCondition::ResourceConstraint);
    }
    match query {
        Query::Get { .. } => {}
        Query::Set { contact, name, groups } => {
            let undo = account.roster.undo_point(&contact);
            let set = account.roster.set(&contact, &name, groups, turn.realm.knobs.of());
            set.map_err(|_| StanzaCondition::ResourceConstraint)?;
            turn.outbox.undo = Some(undo);
            turn.outbox.event(Event::RosterItemChanged(contact));
        }
        Query::Remove { contact } => {
            let undo = account.roster.undo_point(&contact);
            let removed = account.roster.remove(&contact).ok_or(StanzaCondition::ItemNotFound)?;
            turn.outbox.undo = Some(undo);
            cancel(turn, account, contact, removed);
        }
    }
    Ok(())
}

/// Pushes the contact's item to every session that has asked for the roster (§2.1.6).
pub(super) fn push(turn: &mut Turn<'_>, account: &Account, contact: &Contact) {
    let interested = || account.sessions.iter().filter(|session| session.presence.is_interested());
    if interested().next().is_none() {
        return;
    }
    let version = account.roster.version();
    let payload = account.roster.push(contact, &version, &turn.realm.domain);
    let id = format!("push-{version}");
    for session in interested() {
        send_push(turn, account, session.id, (&id, &payload));
    }
}

fn send_push(turn: &mut Turn<'_>, account: &Account, session: SessionId, (id, payload): (&str, &[u8])) {
    let Some(to) = account.session(session).map(|session| account.full_jid(session)) else { return };
    let header = Header { from: None, to: Some(&to), id: Some(id), type_attr: Some("set") };
    let mut out = Vec::with_capacity(payload.len() + 96);
    write::stanza(&mut out, chaski_xmpp::Kind::Iq, &header, payload);
    turn.outbox.to_session(session, out);
}

/// An item has been removed: its subscriptions end with it (§2.5.2).
fn cancel(turn: &mut Turn<'_>, account: &Account, contact: Contact, removed: Removed) {
    turn.outbox.event(Event::RosterItemChanged(contact.clone()));
    if removed.presence != PresenceDue::Nothing {
        let due = removed.presence;
        turn.outbox.event(Event::SubscriptionChanged { contact: contact.clone(), due, is_repeated: false });
    }
    if removed.unsubscribe {
        turn.tell(account, &contact, Kind::Unsubscribe);
    }
    if removed.unsubscribed {
        turn.tell(account, &contact, Kind::Unsubscribed);
    }
}
