//! What a client sends is checked, stamped with its sender's full JID, addressed, and sent on its way.
//!
//! Promises: nothing leaves under another sender's name (RFC 6120 §8.1.2.1); every request and every message that
//! can't be sent is answered with one error. Specification: RFC 6120 §8 and §10, RFC 6121 §8.1.

use super::Refuse;
use super::compose::{self, Fate};
use super::refuse::{is_answerable, refusal};
use crate::account::Account;
use crate::account::hidden;
use crate::account::hidden::Verdict;
use crate::account::session::language::Language;
use crate::account::session::{End, Session};
use crate::budget;
use crate::effects::letter::{Handling, Origin, RoutedStanza};
use crate::owner::context::Context;
use crate::owner::desk::Desk;
use crate::owner::session::carbons;
use crate::owner::state::Owner;
use crate::owner::visit::Visit;
use crate::owner::{dispatch, mailbox};
use crate::rate::IsHeavy;
use crate::realm::Pressure;
use crate::rooms::{caps, presence, upload};
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::sm::StanzaIndex;
use chaski_xmpp::stanza::{IqType, MessageType, PresenceType};
use chaski_xmpp::stored::{Facts, Has};
use chaski_xmpp::{JidRef, Kind, Stanza, StanzaCondition, StanzaError, Stored, ns};

/// Who has sent the stanza at hand.
#[derive(Clone, Copy)]
pub(super) struct Sender<'f> {
    account: AccountId,
    session: SessionId,
    /// The stanza's number in the session's stream management (XEP-0198). `None`: the session does not use it.
    index: Option<StanzaIndex>,
    /// The session's full JID.
    from: &'f str,
}

impl Sender<'_> {
    /// The routed stanza that carries `stanza` to this account.
    fn routed(
        &self,
        account: AccountId,
        to: &JidRef<'_>,
        stanza: Stored,
        handling: Handling,
    ) -> RoutedStanza {
        RoutedStanza::new(account, to.resource.map(Box::from), stanza, handling).sent_by(self.account)
    }
}

/// What a JID in `to` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Account(AccountId),
    /// The server's domain, without or with a resource.
    Domain,
    /// The domain of the server's upload service.
    Uploads,
    /// A domain of another server. There is no federation.
    Remote,
    /// A local part that no account can have.
    Nobody,
}

impl Owner {
    /// Handles a stanza that the client of this session has sent.
    pub(crate) fn client_stanza(&mut self, ctx: &mut Context<'_>, id: SessionId, stanza: &Stanza<'_>) {
        let Some(account_id) = self.directory.account_of(id) else { return };
        let mut from = std::mem::take(&mut self.from);
        let Some(Visit { desk, account }) = self.visit(account_id) else { return };
        // Activity is noted here, since a session may last for days: its account must not be taken for abandoned, or else its
        // registration lock would lapse.
        let is_news = account.record.is_seen_due(ctx.unix_ms);
        desk.metrics.stanzas_received_total.inc();
        desk.spend(budget::STANZA);
        desk.trace(ctx, account_id, || {
            format!("session {} says: {}, {} bytes", id.0, stanza.kind().name(), stanza.bytes().len())
        });
        from.clear();
        let Some(session) = account.session(id) else { return };
        from.push_str(&account.bare);
        from.push('/');
        from.push_str(&session.resource);
        (desk.at_hand, desk.language) = (Some(id), session.language());
        if !is_own(account, session, stanza) {
            desk.doom(id, End::over("invalid-from", "not your address"));
        } else if let Some(session) = account.session_mut(id) {
            let index = session.managed.as_mut().map(|managed| managed.inbound.received());
            let sender = Sender { account: account_id, session: id, index, from: &from };
            let refused = match account.ledger.is_gone() {
                // The account has been removed. This session stays only to receive the answer to its request for that.
                true => Some(StanzaCondition::NotAuthorized.into()),
                false => hidden::refuses(account, stanza),
            };
            match stanza.kind() {
                _ if let Some(error) = refused => self.answer(ctx, sender, stanza, error),
                Kind::Message => self.client_message(ctx, sender, stanza),
                Kind::Presence => self.client_presence(ctx, sender, stanza),
                Kind::Iq => self.client_iq(ctx, sender, stanza),
                Kind::Nonza => {}
            }
        }
        self.from = from;
        (self.desk.at_hand, self.desk.language) = (None, Language::default());
        if is_news {
            self.note_activity(ctx, account_id);
        }
    }

    /// Handles a stanza of a session that the parser or the policy has refused: it counts as received (XEP-0198 §4), since the
    /// client would otherwise send it again, and is answered with an error.
    pub(crate) fn client_refused(
        &mut self,
        ctx: &mut Context<'_>,
        id: SessionId,
        husk: &Stanza<'_>,
        error: &StanzaError<'_>,
    ) {
        let Some(account_id) = self.directory.account_of(id) else { return };
        let Some(Visit { desk, account }) = self.visit(account_id) else { return };
        desk.metrics.stanzas_received_total.inc();
        desk.spend(budget::STANZA);
        let Some(session) = account.session(id) else { return };
        let from = format!("{}/{}", account.bare, session.resource);
        let managed = account.session_mut(id).and_then(|session| session.managed.as_mut());
        let index = managed.map(|managed| managed.inbound.received());
        self.answer(ctx, Sender { account: account_id, session: id, index, from: &from }, husk, *error);
    }

    fn client_message(&mut self, ctx: &mut Context<'_>, sender: Sender<'_>, message: &Stanza<'_>) {
        let facts = Facts::of(message);
        let text = message.to();
        let mut scratch = String::new();
        // RFC 6121 §8.1.1.1: a message without `to` is for the sender's own account.
        let to = match text.as_deref().map(|text| JidRef::parse(text, &mut scratch)) {
            None => JidRef::split(sender.from).to_bare(),
            Some(Ok(to)) => to,
            Some(Err(_)) => return self.answer(ctx, sender, message, StanzaCondition::JidMalformed.into()),
        };
        let account = match self.recipient(ctx, sender, facts, &to) {
            Ok(Some(account)) => account,
            Ok(None) => return self.desk.metrics.messages_dropped_total.inc(),
            Err(error) => return self.answer(ctx, sender, message, error),
        };
        if facts.has(Has::RECEIPT) {
            self.note_receipt(ctx, sender, message);
        }
        let (handling, stanza_id) = match self.handling(ctx, sender, (message, facts), &to) {
            Ok(handled) => handled,
            Err(why) => return self.answer(ctx, sender, message, why.error()),
        };
        let stanza = compose::message(&mut self.desk, message, facts, sender.from, &to, stanza_id);
        let mut routed = sender.routed(account, &to, stanza, handling).sent_at(ctx.unix_ms);
        routed.copied = carbons::is_copied(facts);
        self.send_message(ctx, sender, routed);
    }

    /// The account that a message of a client is for, if it may be sent there. `Ok(None)`: it is dropped, and nobody is told.
    fn recipient(
        &mut self,
        ctx: &mut Context<'_>,
        sender: Sender<'_>,
        facts: Facts,
        to: &JidRef<'_>,
    ) -> Result<Option<AccountId>, StanzaError<'static>> {
        let account = match self.place(to) {
            Place::Account(account) => account,
            place => return Err(nowhere(place)),
        };
        match facts.message_type() {
            // RFC 6121 §8.5.2.1.1: an error tells nothing to those who did not cause it. Else anybody would reach every session
            // by one.
            MessageType::Error if to.resource.is_none() => return Ok(None),
            MessageType::Error => return Ok(Some(account)),
            // There are no groups here; to a full JID (§8.5.3.1) it is that session's own affair.
            MessageType::Groupchat if to.resource.is_none() => return Err(Refuse::Nobody.error()),
            _ => {}
        }
        if self.may_ask(ctx, sender.account, account) {
            Ok(Some(account))
        } else {
            Err(Refuse::TooManyNew.error())
        }
    }

    /// What is to be done with a message of a client at its recipient's owner, and its stanza-id if it is stored.
    fn handling(
        &mut self,
        ctx: &mut Context<'_>,
        sender: Sender<'_>,
        (message, facts): (&Stanza<'_>, Facts),
        to: &JidRef<'_>,
    ) -> Result<(Handling, Option<u128>), Refuse> {
        if compose::fate(facts) == Fate::Transient {
            self.desk.metrics.messages_transient_total.inc();
            return Ok((Handling::Relay, None));
        }
        if ctx.pressure >= Pressure::Messages {
            return Err(Refuse::Busy);
        }
        let (IsHeavy(is_heavy), origin) = self.hold(ctx.now_ms, sender, message.bytes().len())?;
        let bare = sender.from.split_once('/').map_or(sender.from, |(bare, _)| bare);
        let Desk { realm, scratch, .. } = &mut self.desk;
        let secret = realm.secrets.of_ids(ctx.unix_ms);
        let identity = compose::identity(secret, scratch, ctx.rng, message, to, bare);
        Ok((Handling::Mail { id: identity.id, is_heavy, origin }, Some(identity.stanza_id)))
    }

    /// A message goes to its recipient's owner; the sender's other sessions get copies.
    fn send_message(&mut self, ctx: &mut Context<'_>, sender: Sender<'_>, mut routed: RoutedStanza) {
        let Some(Visit { desk, account: own }) = self.visit(sender.account) else { return };
        // Who writes to the own account has it copied there, where it arrives.
        if routed.copied && routed.to != sender.account {
            carbons::sent(desk, ctx, own, sender.session, &routed.stanza);
        }
        match hidden::outgoing_message(own, &routed.stanza) {
            Verdict::Swallow => return desk.settle(routed.origin()),
            Verdict::Instead(stanza) => routed.stanza = stanza,
            Verdict::Pass => {}
        }
        desk.routed.push_back(routed);
    }

    /// Charges a message that is to be stored to its sender's rate, and counts it as one whose acceptance the session waits for.
    fn hold(
        &mut self,
        now_ms: u64,
        sender: Sender<'_>,
        bytes: usize,
    ) -> Result<(IsHeavy, Option<Origin>), Refuse> {
        let limits = &self.desk.realm.limits;
        let Some(account) = self.directory.present(sender.account) else { return Err(Refuse::Nobody) };
        let Account { stored_rate, sessions, .. } = &mut account.account;
        let session = sessions.iter_mut().find(|session| session.id == sender.session);
        let managed = session.and_then(|session| session.managed.as_mut()).zip(sender.index);
        if managed.as_ref().is_some_and(|(managed, _)| managed.inbound.held() >= limits.held_stanzas) {
            return Err(Refuse::Busy);
        }
        let Ok(is_heavy) = stored_rate.take(limits, sender.account, now_ms, bytes) else {
            self.desk.metrics.messages_refused_rate_total.inc();
            return Err(Refuse::TooFast);
        };
        let origin = managed.map(|(managed, index)| {
            managed.inbound.hold(index);
            Origin { place: self.desk.here, session: sender.session, index }
        });
        Ok((is_heavy, origin))
    }

    /// If a message holds a receipt (XEP-0184) and its session has no stream management, notes that the client has the message
    /// named in it.
    fn note_receipt(&mut self, ctx: &mut Context<'_>, sender: Sender<'_>, message: &Stanza<'_>) {
        if sender.index.is_some() {
            return;
        }
        let Some(receipt) = message.child("received", ns::RECEIPTS) else { return };
        let Some(Visit { desk, account }) = self.visit(sender.account) else { return };
        if let Some(id) = receipt.attr("id") {
            mailbox::receipted(desk, ctx, account, sender.session, &id);
        }
    }

    fn client_presence(&mut self, ctx: &mut Context<'_>, sender: Sender<'_>, stanza: &Stanza<'_>) {
        if let Some(to) = stanza.to() {
            let mut scratch = String::new();
            let Ok(to) = JidRef::parse(&to, &mut scratch) else {
                return self.answer(ctx, sender, stanza, StanzaCondition::JidMalformed.into());
            };
            if let Place::Account(account) = self.place(&to)
                && asks(stanza)
                && !self.may_ask(ctx, sender.account, account)
            {
                return self.answer(ctx, sender, stanza, Refuse::TooManyNew.error());
            }
        }
        let took = self.takes_messages(sender);
        self.in_room(ctx, sender.account, |turn, account| {
            presence::sent(turn, account, sender.session, stanza)
        });
        if !took
            && self.takes_messages(sender)
            && let Some(account) = self.directory.present(sender.account)
        {
            mailbox::attend(&mut self.desk, ctx, account, sender.session);
        }
    }

    fn takes_messages(&mut self, sender: Sender<'_>) -> bool {
        let session = self.directory.present(sender.account).and_then(|a| a.session(sender.session));
        session.is_some_and(|session| session.presence.takes_messages())
    }

    fn client_iq(&mut self, ctx: &mut Context<'_>, sender: Sender<'_>, stanza: &Stanza<'_>) {
        let (kind, children) = (stanza.iq_type(), stanza.child_count());
        let is_request = match kind {
            Some(IqType::Get | IqType::Set) if children == 1 && stanza.id().is_some() => true,
            Some(IqType::Result | IqType::Error) => false,
            // RFC 6120 §8.2.3. A request without an id gets its error without one.
            _ => return self.answer(ctx, sender, stanza, StanzaCondition::BadRequest.into()),
        };
        let text = stanza.to();
        let mut scratch = String::new();
        let Some(text) = text.as_deref() else { return self.ask_own(ctx, sender, stanza, is_request) };
        let Ok(to) = JidRef::parse(text, &mut scratch) else {
            return self.answer(ctx, sender, stanza, StanzaCondition::JidMalformed.into());
        };
        match self.place(&to) {
            Place::Account(account) if account == sender.account && to.resource.is_none() => {
                self.ask_own(ctx, sender, stanza, is_request);
            }
            Place::Account(account) if is_request && !self.may_ask(ctx, sender.account, account) => {
                self.answer(ctx, sender, stanza, Refuse::TooManyNew.error());
            }
            Place::Account(account) => {
                let stored = compose::request(&mut self.desk, stanza, sender.from, &to);
                let routed = sender.routed(account, &to, stored, Handling::Relay).sent_at(ctx.unix_ms);
                if routed.resource.is_none() {
                    self.is_under_way(sender, kind);
                }
                self.desk.routed.push_back(routed);
            }
            Place::Domain if to.resource.is_none() && is_request => {
                let before = self.desk.iqs_sent;
                self.in_room(ctx, sender.account, |turn, account| {
                    dispatch::asked_of_domain(turn, account, sender.session, stanza);
                });
                if self.desk.iqs_sent == before {
                    self.is_under_way(sender, kind);
                }
            }
            Place::Uploads if to.resource.is_none() && is_request => {
                let before = self.desk.iqs_sent;
                self.in_room(ctx, sender.account, |turn, account| {
                    upload::asked(turn, account, sender.session, stanza);
                });
                if self.desk.iqs_sent == before {
                    self.is_under_way(sender, kind);
                }
            }
            place => self.answer(ctx, sender, stanza, nowhere(place)),
        }
    }

    fn ask_own(&mut self, ctx: &mut Context<'_>, sender: Sender<'_>, stanza: &Stanza<'_>, is_request: bool) {
        let before = self.desk.iqs_sent;
        self.in_room(ctx, sender.account, |turn, account| {
            if is_request {
                dispatch::asked_by_owner(turn, account, sender.session, stanza);
            } else {
                // Answers to roster pushes and similar results need no handling.
                caps::answered(turn, account, sender.session, stanza);
            }
        });
        if self.desk.iqs_sent == before {
            self.is_under_way(sender, stanza.iq_type());
        }
    }

    /// Counts a request that the server has not answered at once, so that what the client sends next can wait for the answer.
    /// Only a `get` is counted: answers to a `set` are short.
    fn is_under_way(&mut self, sender: Sender<'_>, kind: Option<IqType>) {
        if kind != Some(IqType::Get) {
            return;
        }
        let session = self.directory.present(sender.account).and_then(|a| a.session_mut(sender.session));
        if let Some(session) = session {
            session.asks();
        }
    }

    /// Answers the sender's stanza with an error, unless RFC 6120 or 6121 forbids an error for it.
    fn answer(
        &mut self,
        ctx: &mut Context<'_>,
        sender: Sender<'_>,
        stanza: &Stanza<'_>,
        error: StanzaError<'_>,
    ) {
        if !is_answerable(stanza) {
            return;
        }
        self.desk.metrics.stanzas_refused_total.inc();
        let malformed = error.condition == StanzaCondition::JidMalformed;
        let to = stanza.to().filter(|_| !malformed);
        let realm = std::sync::Arc::clone(&self.desk.realm);
        let from = if malformed { Some(&*realm.domain) } else { to.as_deref() };
        let reply = self.desk.compose(|out| refusal(out, stanza, from, Some(sender.from), &error));
        let session = self.directory.present(sender.account).and_then(|a| a.session_mut(sender.session));
        if let Some(session) = session {
            session.send(&mut self.desk, ctx, reply);
        }
    }

    fn place(&self, to: &JidRef<'_>) -> Place {
        if to.domain != &*self.desk.realm.domain {
            let uploads = self.desk.realm.uploads.as_deref();
            if to.local.is_none() && uploads.is_some_and(|uploads| *uploads.host == *to.domain) {
                return Place::Uploads;
            }
            return Place::Remote;
        }
        match to.local {
            None => Place::Domain,
            Some(local) => AccountId::from_local(local).map_or(Place::Nobody, Place::Account),
        }
    }
}

/// The error for a stanza to a JID that names no account.
fn nowhere(place: Place) -> StanzaError<'static> {
    match place {
        Place::Remote => StanzaCondition::RemoteServerNotFound.into(),
        _ => Refuse::Nobody.error(),
    }
}

/// Whether a presence asks its recipient for something, or shows the sender to the recipient, so that an answer may come back.
fn asks(presence: &Stanza<'_>) -> bool {
    let kind = presence.presence_type();
    matches!(kind, Some(PresenceType::Available | PresenceType::Probe | PresenceType::Subscribe))
}

/// Whether a stanza's `from`, if it has one, is its sender's own bare or full JID.
fn is_own(account: &Account, session: &Session, stanza: &Stanza<'_>) -> bool {
    let Some(from) = stanza.from() else { return true };
    let mut scratch = String::new();
    let own = JidRef::split(&account.bare);
    JidRef::parse(&from, &mut scratch).is_ok_and(|from| {
        from.to_bare() == own && from.resource.is_none_or(|resource| *resource == *session.resource)
    })
}
