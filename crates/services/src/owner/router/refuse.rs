//! Refusing: exactly one error for a stanza that can't be handled, and no error for an error.
//!
//! The sender gets the same error whether the account does not exist, does not show itself to the sender, or lacks the resource.
//! Specification: RFC 6120 §8.3, RFC 6121 §8.5.

use crate::budget;
use crate::effects::letter::{Handling, Origin, RoutedStanza};
use crate::owner::context::Context;
use crate::owner::directory::{Found, Parking, TABLES, Work};
use crate::owner::refusals::Refusals;
use crate::owner::state::Owner;
use crate::ticket::Purpose;
use chaski_store::{AccountId, StoreError};
use chaski_xmpp::stanza::{IqType, MessageType, PresenceType};
use chaski_xmpp::{
    ErrorType, Header, JidRef, Kind, Stanza, StanzaCondition, StanzaError, Stored, Writer, ns, write,
};

/// The capacity that a shard's queue of refusals keeps when it becomes empty.
const LATE_KEPT: usize = 64;

/// Why a stanza is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refuse {
    /// There is no such account or resource, or the sender may not see it.
    Nobody,
    /// Too much already waits for the recipient's account to be loaded, or for the shard that owns it.
    Busy,
    /// The recipient's mailbox is full.
    MailboxFull,
    /// The disk is full, too slow or fails, for now.
    StoreFails,
    /// The sender has asked about too many numbers ([`crate::account::acquaintances`]).
    TooManyNew,
    /// The sender has had too much stored lately.
    TooFast,
}

impl Refuse {
    /// The error that the sender gets.
    pub(crate) fn error(self) -> StanzaError<'static> {
        let constraint = StanzaError::new(StanzaCondition::ResourceConstraint).with_type(ErrorType::Wait);
        match self {
            Self::Nobody => StanzaError::new(StanzaCondition::ServiceUnavailable),
            Self::Busy => constraint.with_text("the server is overloaded, try again later"),
            Self::MailboxFull => constraint.with_text("the recipient's mailbox is full"),
            Self::TooManyNew => {
                constraint.with_text("you have asked about too many new numbers, try again later")
            }
            Self::TooFast => constraint.with_text("you send more than can be kept for you, try again later"),
            Self::StoreFails => constraint.with_text("the server can't store messages now, try again later"),
        }
    }
}

impl From<&StoreError> for Refuse {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::MailboxFull => Self::MailboxFull,
            StoreError::Full | StoreError::Overloaded | StoreError::Conflict | StoreError::Failed(_) => {
                Self::StoreFails
            }
        }
    }
}

/// Whether RFC 6120 §8.3.1 allows an error as the answer to this stanza. (RFC 6121 §8.5 asks for none for presence, headlines and
/// chat states: [`is_answered`] sees to that.)
pub(crate) fn is_answerable(stanza: &Stanza<'_>) -> bool {
    match stanza.kind() {
        Kind::Message => stanza.message_type() != MessageType::Error,
        Kind::Presence => stanza.presence_type() != Some(PresenceType::Error),
        Kind::Iq => matches!(stanza.iq_type(), Some(IqType::Get | IqType::Set) | None),
        Kind::Nonza => false,
    }
}

/// Writes the answer to a refused stanza: an error. One request is answered otherwise: whoever asks an account that does not
/// exist, or does not show itself to the asker, for its `disco#items` gets an empty list (XEP-0030 §8).
pub(crate) fn refusal(
    out: &mut Vec<u8>,
    stanza: &Stanza<'_>,
    from: Option<&str>,
    to: Option<&str>,
    error: &StanzaError<'_>,
) {
    let items = stanza
        .child("query", ns::DISCO_ITEMS)
        .filter(|_| error.condition == StanzaCondition::ServiceUnavailable && asks_an_account(stanza, from));
    let Some(items) = items else { return write::error_reply(out, stanza, from, to, error) };
    let id = stanza.id();
    let mut writer = Writer::new(out);
    Header { from, to, id: id.as_deref(), type_attr: Some("result") }.open(&mut writer, Kind::Iq);
    writer.open_ns("query", ns::DISCO_ITEMS).attr_opt("node", items.attr("node").as_deref()).close_all();
}

/// Whether a stanza is an IQ `get` to an account's bare JID.
fn asks_an_account(stanza: &Stanza<'_>, to: Option<&str>) -> bool {
    let to = to.map(JidRef::split);
    stanza.kind() == Kind::Iq
        && stanza.iq_type() == Some(IqType::Get)
        && to.is_some_and(|to| to.local.is_some() && to.resource.is_none())
}

/// Whether the sender of a routed stanza gets an error when the stanza is refused.
fn is_answered(routed: &RoutedStanza) -> bool {
    match (routed.kind(), routed.handling) {
        (_, Handling::Quiet) | (Kind::Presence | Kind::Nonza, _) => false,
        (Kind::Message, handling) => handling != Handling::Relay,
        (Kind::Iq, _) => true,
    }
}

impl Owner {
    /// Refuses a stanza for an account in memory exactly as a stanza for a number without an account is refused, so that neither
    /// the time nor the fate of very many stanzas tells that the account exists. So the store is asked for the account first
    /// (once for all stanzas that come meanwhile), the same bounds hold, and the error comes at once only if this sender got it
    /// before. A stanza that has waited until the account was loaded has waited long enough.
    pub(crate) fn refuse_as_for_nobody(&mut self, ctx: &mut Context<'_>, routed: RoutedStanza) {
        if routed.has_waited {
            return self.refuse_as_nobody(routed, false);
        }
        let (account, by) = (routed.to, routed.by);
        let work = Work::RoutedStanza(RoutedStanza { is_refused: true, ..routed });
        if let Some(Refusals { waiting, bytes, .. }) = self.desk.refusals.get_mut(&account) {
            let has_room = self.directory.room.take(waiting.len(), bytes, Parking::of(&work));
            return match work {
                Work::RoutedStanza(routed) if has_room => waiting.push(routed),
                work => self.overloaded(ctx, work),
            };
        }
        if self.directory.was_told_nobody(by, account) {
            self.desk.metrics.loads_spared_total.inc();
            if let Work::RoutedStanza(routed) = work {
                self.refuse_as_nobody(routed, false);
            }
            return;
        }
        if !self.directory.room.has(0, 0, Parking::of(&work)) {
            return self.overloaded(ctx, work);
        }
        let asker = work.asker(account);
        if !self.directory.begin_look(asker) {
            if let Found::Overloaded(work) = self.directory.wait(asker, account, work) {
                self.overloaded(ctx, work);
            }
            return;
        }
        let mut bytes = 0;
        self.directory.room.keep(&mut bytes, Parking::of(&work));
        if let Work::RoutedStanza(routed) = work {
            self.desk.spend(budget::READ);
            self.desk.refusals.insert(account, Refusals { asker, waiting: vec![routed], bytes });
            ctx.store.load(account, TABLES, Purpose::Refusal(account).ticket());
        }
    }

    /// The store has answered the look-up that [`Self::refuse_as_for_nobody`] began: refuses all stanzas that waited for it.
    pub(crate) fn refuse_after_all(&mut self, ctx: &mut Context<'_>, account: AccountId, has_looked: bool) {
        let Some(Refusals { asker, waiting, bytes }) = self.desk.refusals.remove(&account) else { return };
        self.directory.room.give_back(waiting.len(), bytes);
        self.directory.look_ended(asker);
        self.directory.looked_at(account);
        for routed in waiting {
            match has_looked {
                true => self.refuse_as_nobody(routed, false),
                false => self.refuse(routed, Refuse::StoreFails),
            }
        }
        self.let_waiting_on(ctx);
    }

    /// Answers a stanza with `service-unavailable`. Remembers that this sender was told so, if the sender is told at all.
    pub(crate) fn refuse_as_nobody(&mut self, routed: RoutedStanza, is_nobody: bool) {
        let is_mail = matches!(routed.handling, Handling::Mail { .. });
        if is_answered(&routed) {
            self.directory.told_nobody(routed.by, routed.to, is_nobody);
            if !is_mail {
                return self.refuse_late(&routed);
            }
        } else if is_nobody {
            // The sender gets no answer, but must not be looked up anew each time: an account that exists stays in memory, so
            // this number is remembered, too.
            self.directory.told_nobody(routed.by, routed.to, true);
        }
        self.refuse(routed, Refuse::Nobody);
    }

    /// Sends the error with the next tick. An error sent at once would come some microseconds earlier or later depending on
    /// whether an account had been asked what it shows or does not exist, and a sender who asks often enough would see that.
    /// First messages are exempt: they may tell (docs/promises.md, P1) and wait for nothing.
    fn refuse_late(&mut self, routed: &RoutedStanza) {
        let origin = routed.origin();
        let Some(told) = self.answer_to(&routed.stanza, &Refuse::Nobody.error()) else {
            return self.desk.settle(origin);
        };
        self.desk.late.push_back(RoutedStanza { settles: origin, ..told });
        if self.desk.late.len() > self.desk.realm.limits.late_refusals {
            self.tell_refused(1);
        }
        self.desk.metrics.refusals_late.set(self.desk.late.len() as i64);
    }

    /// Sends at most so many of the errors that wait for the tick, the oldest first. Returns whether more wait.
    pub(crate) fn tell_refused(&mut self, most: usize) -> bool {
        let count = most.min(self.desk.late.len());
        self.desk.routed.extend(self.desk.late.drain(..count));
        if self.desk.late.is_empty() {
            // A burst of refusals must not leave its capacity allocated for ever.
            self.desk.late.shrink_to(LATE_KEPT);
        }
        self.desk.metrics.refusals_late.set(self.desk.late.len() as i64);
        !self.desk.late.is_empty()
    }

    /// Refuses a routed stanza: its sender gets an error if it is a request or a message that was to be stored. A message that
    /// its sender's session waits for counts as settled.
    pub(crate) fn refuse(&mut self, routed: RoutedStanza, why: Refuse) {
        if matches!(routed.handling, Handling::Mail { .. }) && why != Refuse::Nobody {
            self.desk.metrics.messages_refused_full_total.inc();
        }
        if is_answered(&routed) {
            self.bounce_and_settle(&routed.stanza, &why.error(), routed.origin());
        } else {
            self.desk.settle(routed.origin());
        }
    }

    /// Sends the error that answers a stanza in stored form to its sender.
    pub(crate) fn bounce(&mut self, stanza: &Stored, error: &StanzaError<'_>) {
        self.bounce_and_settle(stanza, error, None);
    }

    /// Sends the error for a message that its sender's session waits for. The error and the settling of the message travel as one
    /// letter: if the settling arrived and the error got lost, the sender would take the message for accepted.
    pub(crate) fn bounce_and_settle(
        &mut self,
        stanza: &Stored,
        error: &StanzaError<'_>,
        origin: Option<Origin>,
    ) {
        match self.answer_to(stanza, error) {
            Some(routed) => self.desk.routed.push_back(RoutedStanza { settles: origin, ..routed }),
            None => self.desk.settle(origin),
        }
    }

    fn answer_to(&mut self, stanza: &Stored, error: &StanzaError<'_>) -> Option<RoutedStanza> {
        let whole = stanza.whole();
        let stanza = Stanza::parse(&whole).ok().filter(is_answerable)?;
        let (to, from) = (stanza.to()?, stanza.from()?);
        let sender = JidRef::split(&from);
        let account = sender.local.and_then(AccountId::from_local)?;
        self.desk.metrics.stanzas_refused_total.inc();
        let reply = self.desk.compose(|out| refusal(out, &stanza, Some(&to), Some(&from), error));
        Some(RoutedStanza::new(account, sender.resource.map(Box::from), reply, Handling::Quiet))
    }
}
