//! Subscription stanzas (RFC 6121 §3): what the state machine decides is carried out.
//!
//! The order is the RFC's: a contact that gains a subscription gets `subscribed` before the presence; one that loses it gets
//! `unavailable` before `unsubscribed`. Nothing is sent before the roster is durable (`Outbox::undo`).

use super::broadcast::plain_unavailable;
use super::directed::{last_for, stanza_for};
use super::local_account;
use crate::account::Account;
use crate::account::blocked::blocks_contact;
use crate::account::hidden::Hidden;
use crate::account::roster::{Contact, Kind, PresenceDue};
use crate::account::shows::hides_online;
use crate::effects::event::Event;
use crate::effects::iq::Reply;
use crate::effects::turn::Turn;
use crate::effects::turn::outbox::Post;
use crate::wire::SessionId;
use chaski_xmpp::rewrite::left_out;
use chaski_xmpp::rewrite::{Attr, Rewrite, rewrite};
use chaski_xmpp::{JidRef, Stanza, StanzaCondition, Stored};

/// A client sends a subscription stanza to a contact.
pub(super) fn sent(
    turn: &mut Turn<'_>,
    account: &mut Account,
    session: SessionId,
    stanza: &Stanza<'_>,
    to: JidRef<'_>,
    kind: Kind,
) -> Result<(), StanzaCondition> {
    let bare = to.to_bare().to_string();
    if bare == *account.bare {
        return Err(StanzaCondition::NotAllowed);
    }
    if kind == Kind::Subscribe && to.domain != &*turn.realm.domain {
        return Err(StanzaCondition::RemoteServerNotFound);
    }
    if turn.busy.roster {
        return Err(StanzaCondition::ResourceConstraint);
    }
    let contact = Contact::new(&bare, &turn.realm.domain);
    let undo = account.roster.undo_point(&contact);
    let step = account
        .roster
        .outbound(&contact, kind, turn.realm.knobs.of())
        .map_err(|_| StanzaCondition::ResourceConstraint)?;
    if step.changed {
        turn.outbox.undo = Some(undo);
        let reply = Reply::to_owner(account, session, stanza);
        let failed = reply.error_stanza(&StanzaCondition::InternalServerError.into());
        // A presence that is taken has no other answer.
        reply.give_up();
        turn.outbox.unless_saved.push(Post::Session { session, stanza: failed.into() });
    }
    let due = step.presence;
    if due == PresenceDue::Unavailable {
        turn.outbox.event(Event::SubscriptionChanged { contact: contact.clone(), due, is_repeated: false });
    }
    if step.pass_on {
        route(turn, account, stanza, to, &bare);
    }
    if step.push {
        turn.outbox.event(Event::RosterItemChanged(contact.clone()));
    }
    if due == PresenceDue::Current {
        turn.outbox.event(Event::SubscriptionChanged { contact, due, is_repeated: false });
    }
    Ok(())
}

/// §3.1.2: sends the stanza on, from the account's bare JID to the contact's.
fn route(turn: &mut Turn<'_>, account: &Account, stanza: &Stanza<'_>, to: JidRef<'_>, bare: &str) {
    let Some(target) = local_account(to, &turn.realm.domain) else { return };
    let mut out = Vec::with_capacity(stanza.bytes().len() + 64);
    let skip = left_out(stanza, &turn.realm.domain, &account.bare);
    let (from, to) = (Attr::Set(&account.bare), Attr::Set(bare));
    let change = Rewrite { from, to, lang: turn.lang, skip: &skip, ..Rewrite::default() };
    rewrite(stanza, &change, &mut out);
    turn.outbox.to_account(target, out);
}

/// A subscription stanza arrives from a contact.
pub(super) fn received(
    turn: &mut Turn<'_>,
    account: &mut Account,
    stanza: &Stored,
    from: JidRef<'_>,
    kind: Kind,
) {
    let contact = Contact::new(&from.to_bare().to_string(), &turn.realm.domain);
    let whole = stanza.whole();
    let text = std::str::from_utf8(&whole).unwrap_or_default();
    let undo = account.roster.undo_point(&contact);
    let before = account.roster.state(&contact);
    // With a full roster, or with too many changes of the roster waiting, the request is dropped: it can be made again
    // ([`RosterKnobs`](crate::account::roster::RosterKnobs)).
    if turn.busy.roster {
        return;
    }
    let Ok(step) = account.roster.inbound(&contact, kind, text, turn.realm.knobs.of()) else { return };
    turn.outbox.undo = step.changed.then_some(undo);
    if step.pass_on && !blocks_contact(account, &contact) {
        let is_stranger = !(before.to() || before.from() || before.pending_out());
        deliver(turn, account, stanza, kind, is_stranger);
    }
    if step.push {
        turn.outbox.event(Event::RosterItemChanged(contact.clone()));
    }
    if step.approve {
        turn.tell(account, &contact, Kind::Subscribed);
    }
    if step.presence != PresenceDue::Nothing {
        // A contact that asks for a subscription which it has gets presence again, but not the last items of all nodes each time.
        let is_repeated = !step.changed;
        turn.outbox.event(Event::SubscriptionChanged { contact, due: step.presence, is_repeated });
    }
}

/// Delivers a subscription stanza to the account's sessions. A request is for available sessions. The other kinds report a change
/// of the roster, and so also go to sessions that have only asked for the roster (§3.1.3, §3.1.6, §3.2.3, §3.3.3). A stranger
/// could send requests and withdraw them for ever, which must not fill a session's queue: the stanza may be dropped, since the
/// roster keeps the request.
fn deliver(turn: &mut Turn<'_>, account: &Account, stanza: &Stored, kind: Kind, is_stranger: bool) {
    for session in &account.sessions {
        let watches = kind != Kind::Subscribe && session.presence.is_interested();
        if !(watches || session.presence.is_available()) {
            continue;
        }
        match is_stranger {
            true => turn.outbox.posts.push(Post::Droppable { session: session.id, stanza: stanza.clone() }),
            false => turn.outbox.to_session(session.id, stanza.clone()),
        }
    }
}

/// Sends a contact the presence that a change of its subscription makes due. A contact that may not see that the account is
/// online must not learn it from `unavailable` either.
pub(super) fn pay(turn: &mut Turn<'_>, account: &Account, contact: &Contact, due: PresenceDue) {
    if due != PresenceDue::Nothing && !hides_online(account, contact) {
        send_due(turn, account, contact, due);
    }
}

/// Sends a contact the presence that is due, whatever the settings are.
pub(super) fn send_due(turn: &mut Turn<'_>, account: &Account, contact: &Contact, due: PresenceDue) {
    let Some(target) = contact.account(&turn.realm.domain) else { return };
    let to = contact.jid(&turn.realm.domain);
    let hidden = Hidden::from_contact(account, contact);
    for session in &account.sessions {
        let Some(last) = last_for(account, session, &to) else { continue };
        let stanza = match due {
            PresenceDue::Unavailable => stanza_for(&plain_unavailable(&account.full_jid(session)), &to),
            _ => hidden.redact_text(&last).into_owned(),
        };
        turn.outbox.to_account(target, stanza);
    }
}
