//! Refusing: exactly one error for a stanza that can't be handled, and none for an error.
//!
//! What the sender learns is the same whether an account does not exist, does not show itself to him, or its resource is not there.
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

/// Room for refusals that a shard keeps.
const LATE_KEPT: usize = 64;

/// Why a stanza is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refuse {
    /// Nobody there, or nobody whom the sender may see.
    Nobody,
    /// Too much waits for this account's records, or for its shard.
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
    /// As the sender is told.
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

/// Whether an error may answer this stanza (RFC 6120 §8.3.1; RFC 6121 §8.5: none for presence, headlines, chat states).
pub(crate) fn is_answerable(stanza: &Stanza<'_>) -> bool {
    match stanza.kind() {
        Kind::Message => stanza.message_type() != MessageType::Error,
        Kind::Presence => stanza.presence_type() != Some(PresenceType::Error),
        Kind::Iq => matches!(stanza.iq_type(), Some(IqType::Get | IqType::Set) | None),
        Kind::Nonza => false,
    }
}

/// Writes what answers a stanza that is refused: an error; but whoever asks an account for its items that is not there, or
/// does not show itself to him, is told that there are none (XEP-0030 §8).
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

/// Whether it is a question to a bare JID.
fn asks_an_account(stanza: &Stanza<'_>, to: Option<&str>) -> bool {
    let to = to.map(JidRef::split);
    stanza.kind() == Kind::Iq
        && stanza.iq_type() == Some(IqType::Get)
        && to.is_some_and(|to| to.local.is_some() && to.resource.is_none())
}

/// Whether the sender of a routed stanza that is refused is told.
fn is_answered(routed: &RoutedStanza) -> bool {
    match (routed.kind(), routed.handling) {
        (_, Handling::Quiet) | (Kind::Presence | Kind::Nonza, _) => false,
        (Kind::Message, handling) => handling != Handling::Relay,
        (Kind::Iq, _) => true,
    }
}

impl Owner {
    /// Refuses a stanza for an account that is in memory as one for nobody is refused: after the store has looked, once
    /// for all that come meanwhile, and beyond the same bounds not at all; at once if its sender was told before. Else the time
    /// that it takes, or what becomes of very many, would tell that there is somebody. What has waited for the account's own
    /// load has waited enough.
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

    /// The store has looked.
    pub(crate) fn refuse_after_all(&mut self, ctx: &mut Context<'_>, account: AccountId, has_looked: bool) {
        let Some(Refusals { asker, waiting, bytes }) = self.desk.refusals.remove(&account) else { return };
        self.directory.room.give_back(waiting.len(), bytes);
        self.directory.look_ended(asker);
        for routed in waiting {
            match has_looked {
                true => self.refuse_as_nobody(routed, false),
                false => self.refuse(routed, Refuse::StoreFails),
            }
        }
        self.let_waiting_on(ctx);
    }

    /// Tells a stanza's sender that nobody is there, and remembers it if the sender hears of it.
    pub(crate) fn refuse_as_nobody(&mut self, routed: RoutedStanza, is_nobody: bool) {
        let is_mail = matches!(routed.handling, Handling::Mail { .. });
        if is_answered(&routed) {
            self.directory.told_nobody(routed.by, routed.to, is_nobody);
            if !is_mail {
                return self.refuse_late(&routed);
            }
        } else if is_nobody {
            // Who is there stays in memory, and is found there again.
            self.directory.told_nobody(routed.by, routed.to, true);
        }
        self.refuse(routed, Refuse::Nobody);
    }

    /// Tells it with the next tick. What stands behind it is some microseconds more or less of work, whether an account was asked what it
    /// shows, or there is none: who asks often enough would see it. A first message may tell, and waits for nothing.
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

    /// Tells so many of those that wait, the oldest first. Whether there are more.
    pub(crate) fn tell_refused(&mut self, most: usize) -> bool {
        let count = most.min(self.desk.late.len());
        self.desk.routed.extend(self.desk.late.drain(..count));
        if self.desk.late.is_empty() {
            // What a storm has made of it must not stay as capacity for ever.
            self.desk.late.shrink_to(LATE_KEPT);
        }
        self.desk.metrics.refusals_late.set(self.desk.late.len() as i64);
        !self.desk.late.is_empty()
    }

    /// Refuses a stanza on its way: an error to its sender if it is a message that was to be stored or a request. Who
    /// waits for its acceptance need not wait any longer.
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

    /// The same for a message whose sender waits. The error and what settles the message go together or not at all: an
    /// acceptance whose error was lost on the way would say that the message is kept.
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
