//! The presence subscription between an account and one contact, as one side sees it: a pure state machine.
//!
//! RFC 6121 §3 and Appendix A. Each side of a subscription keeps its own state, on its own shard; the two talk
//! only through presence stanzas. [`Subscription::outbound`] is what the account's client sends,
//! [`Subscription::inbound`] what arrives from the contact. Called by [`crate::account::roster::Roster`].
//!
//! In addition to the RFC's flags there are two for the phone book: the contact is in the account's phone book, and has the
//! account in its own. Two accounts that have each other in their phone books see each other's presence as if both had subscribed
//! ([`Subscription::to`], [`Subscription::from`]), for as long as that is so. The subscriptions that users made themselves are
//! kept apart ([`Subscription::subscribed_to`], [`Subscription::subscribed_from`]): they neither make nor end what the phone
//! books cause.

/// The four kinds of presence that manage a subscription (RFC 6121 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The sender wants the receiver's presence.
    Subscribe,
    /// The sender allows the receiver to have its presence.
    Subscribed,
    /// The sender no longer wants the receiver's presence.
    Unsubscribe,
    /// The sender no longer allows the receiver to have its presence, or denies a request.
    Unsubscribed,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Subscribe, Self::Subscribed, Self::Unsubscribe, Self::Unsubscribed];

    /// The value of the stanza's `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Subscribed => "subscribed",
            Self::Unsubscribe => "unsubscribe",
            Self::Unsubscribed => "unsubscribed",
        }
    }

    /// The inverse of [`as_str`](Self::as_str).
    pub fn parse(value: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().as_bytes() == value)
    }
}

/// The state towards one contact, as a set of flags in one byte.
///
/// `to` and `pending_out` never stand together, nor `from` and `pending_in`, nor `from` and `approved`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Subscription(u8);

const TO: u8 = 1;
const FROM: u8 = 2;
const PENDING_OUT: u8 = 4;
const PENDING_IN: u8 = 8;
const APPROVED: u8 = 16;
const LISTED: u8 = 32;
/// The contact is in the account's phone book, and has an account.
const BOOKED: u8 = 64;
/// In addition to `BOOKED`: the contact has the account in its phone book.
const MUTUAL: u8 = 128;

/// Presence that is due to the contact after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceDue {
    /// None.
    Nothing,
    /// The contact may see us from now on: the current presence of every available session (§3.1.5).
    Current,
    /// The contact may no longer see us: unavailable from every available session (§3.2.2, §3.3.3).
    Unavailable,
}

/// What follows from a stanza that the account's client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbound {
    /// The state from now on.
    pub next: Subscription,
    /// Whether the stanza goes on to the contact (Appendix A.2).
    pub route: bool,
    /// What the contact is to be sent besides.
    pub presence: PresenceDue,
}

/// What follows from a stanza that came from the contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    /// The state from now on.
    pub next: Subscription,
    /// Whether the account's clients see the stanza (Appendix A.3).
    pub deliver: bool,
    /// Whether the server answers in the account's name with `subscribed` (§3.1.3, §3.4.2).
    pub approve: bool,
    /// What the contact is to be sent besides.
    pub presence: PresenceDue,
}

impl Subscription {
    /// Nothing between the two, and the contact is not in the roster.
    pub const STRANGER: Self = Self(0);

    /// The state with these flags, or `None` for a combination that can't be (a damaged document).
    pub fn from_flags(flags: Flags) -> Option<Self> {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let state = Self(
            bit(flags.to, TO)
                | bit(flags.from, FROM)
                | bit(flags.pending_out, PENDING_OUT)
                | bit(flags.pending_in, PENDING_IN)
                | bit(flags.approved, APPROVED)
                | bit(flags.listed, LISTED),
        );
        state.is_consistent().then_some(state)
    }

    fn is_consistent(self) -> bool {
        let visible = self.0 & (TO | FROM | PENDING_OUT | APPROVED) != 0;
        !(self.has(TO | PENDING_OUT) || self.has(FROM | PENDING_IN) || self.has(FROM | APPROVED))
            && (!visible || self.has(LISTED))
    }

    fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }

    fn with(self, bits: u8) -> Self {
        Self(self.0 | bits)
    }

    fn without(self, bits: u8) -> Self {
        Self(self.0 & !bits)
    }

    /// The account receives the contact's presence.
    pub fn to(self) -> bool {
        self.has(TO) || self.is_mutual()
    }

    /// The contact receives the account's presence.
    pub fn from(self) -> bool {
        self.has(FROM) || self.is_mutual()
    }

    /// The account has subscribed to the contact's presence, whatever the phone books say.
    pub fn subscribed_to(self) -> bool {
        self.has(TO)
    }

    /// The contact has subscribed to the account's presence, whatever the phone books say.
    pub fn subscribed_from(self) -> bool {
        self.has(FROM)
    }

    /// The contact is in the account's phone book, and has an account.
    pub fn is_booked(self) -> bool {
        self.has(BOOKED)
    }

    /// Each of the two is in the other's phone book.
    pub fn is_mutual(self) -> bool {
        self.has(MUTUAL)
    }

    /// What the phone book says of the contact, in the form that [`Self::booked`] takes.
    pub(crate) fn book(self) -> Option<bool> {
        self.is_booked().then(|| self.is_mutual())
    }

    /// This state with other flags for the phone book: not in it, in it, or (`Some(true)`) each in the other's.
    pub(crate) fn booked(self, mutual: Option<bool>) -> Self {
        let other = self.without(BOOKED | MUTUAL);
        match mutual {
            None => other,
            Some(false) => other.with(BOOKED),
            Some(true) => other.with(BOOKED | MUTUAL),
        }
    }

    /// The contact is an item of the roster only because of the phone book.
    pub(crate) fn is_only_booked(self) -> bool {
        self.is_booked() && self.without(BOOKED | MUTUAL).is_stranger()
    }

    /// The account has sent a subscription request, and the contact has not answered.
    pub fn pending_out(self) -> bool {
        self.has(PENDING_OUT)
    }

    /// `ask='subscribe'`: the account has sent a request and does not see the contact's presence yet.
    pub fn asks(self) -> bool {
        self.pending_out() && !self.to()
    }

    /// The contact has sent a subscription request, and the account has not answered.
    pub fn pending_in(self) -> bool {
        self.has(PENDING_IN)
    }

    /// The server will approve a request of the contact (§3.4).
    pub fn approved(self) -> bool {
        self.has(APPROVED)
    }

    /// The contact is an item of the roster as clients see it. A contact that has only sent a request is not.
    pub fn is_listed(self) -> bool {
        self.0 & (LISTED | BOOKED) != 0
    }

    /// The contact is an item because a client of the account has made it one, not only because of the phone book.
    pub(crate) fn is_listed_by_owner(self) -> bool {
        self.has(LISTED)
    }

    /// There is nothing between the two: the entry can be dropped.
    pub fn is_stranger(self) -> bool {
        self == Self::STRANGER
    }

    /// This state as an item of the roster (roster set, §2.3). An item that exists because of the phone book remains the phone
    /// book's: it goes when the number leaves the phone book.
    pub fn listed(self) -> Self {
        if self.is_listed() { self } else { self.with(LISTED) }
    }

    /// The value of the item's `subscription` attribute (§2.1.2.5).
    pub fn as_str(self) -> &'static str {
        match (self.to(), self.from()) {
            (false, false) => "none",
            (true, false) => "to",
            (false, true) => "from",
            (true, true) => "both",
        }
    }

    /// Whether clients see a difference between the two states (so that a roster push is due).
    pub fn looks_different(self, other: Self) -> bool {
        let visible = |state: Self| (state.as_str(), state.asks(), state.approved(), state.is_listed());
        visible(self) != visible(other)
    }

    /// The account's client sends a stanza of this kind to the contact (Appendix A.2).
    pub fn outbound(self, kind: Kind) -> Outbound {
        use PresenceDue::{Current, Nothing, Unavailable};
        let (next, route, presence) = match kind {
            Kind::Subscribe if self.to() => (self, true, Nothing),
            Kind::Subscribe => (self.with(PENDING_OUT | LISTED), true, Nothing),
            Kind::Unsubscribe => (self.without(TO | PENDING_OUT), true, Nothing),
            Kind::Subscribed if self.has(FROM) => (self, false, Nothing),
            Kind::Subscribed if self.pending_in() => {
                (self.without(PENDING_IN | APPROVED).with(FROM | LISTED), true, Current)
            }
            Kind::Subscribed => (self.with(APPROVED | LISTED), false, Nothing),
            Kind::Unsubscribed => {
                let next = self.without(FROM | PENDING_IN | APPROVED);
                let presence = if self.from() && !next.from() { Unavailable } else { Nothing };
                (next, self.has(FROM) || self.pending_in(), presence)
            }
        };
        Outbound { next, route, presence }
    }

    /// A stanza of this kind arrives from the contact (Appendix A.3).
    pub fn inbound(self, kind: Kind) -> Inbound {
        use PresenceDue::{Current, Nothing, Unavailable};
        let ignored = Inbound { next: self, deliver: false, approve: false, presence: Nothing };
        let delivered = |next| Inbound { next, deliver: true, ..ignored };
        match kind {
            Kind::Subscribe if self.from() => Inbound { approve: true, presence: Current, ..ignored },
            Kind::Subscribe if self.approved() => Inbound {
                next: self.without(PENDING_IN | APPROVED).with(FROM | LISTED),
                approve: true,
                presence: Current,
                ..ignored
            },
            Kind::Subscribe if self.pending_in() => ignored,
            Kind::Subscribe => delivered(self.with(PENDING_IN)),
            Kind::Unsubscribe if self.has(FROM) => {
                let next = self.without(FROM);
                Inbound { presence: if next.from() { Nothing } else { Unavailable }, ..delivered(next) }
            }
            Kind::Unsubscribe if self.pending_in() => delivered(self.without(PENDING_IN)),
            Kind::Subscribed if self.pending_out() => delivered(self.without(PENDING_OUT).with(TO)),
            Kind::Unsubscribed if self.has(TO) || self.pending_out() => {
                delivered(self.without(TO | PENDING_OUT))
            }
            Kind::Unsubscribe | Kind::Subscribed | Kind::Unsubscribed => ignored,
        }
    }
}

/// The flags of a [`Subscription`] by name, as kept in the roster's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "named like the questions of Subscription")]
pub struct Flags {
    pub to: bool,
    pub from: bool,
    pub pending_out: bool,
    pub pending_in: bool,
    pub approved: bool,
    pub listed: bool,
}

/// As the RFC writes it: `None + Pending Out/In`.
impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.to(), self.from()) {
            (false, false) => "None",
            (true, false) => "To",
            (false, true) => "From",
            (true, true) => "Both",
        })?;
        f.write_str(match (self.pending_out(), self.pending_in()) {
            (false, false) => "",
            (true, false) => " + Pending Out",
            (false, true) => " + Pending In",
            (true, true) => " + Pending Out/In",
        })?;
        if self.approved() {
            f.write_str(", approved")?;
        }
        match (self.is_booked(), self.is_mutual()) {
            (_, true) => f.write_str(", in both books")?,
            (true, false) => f.write_str(", in the book")?,
            (false, false) => {}
        }
        if !self.is_listed() {
            f.write_str(", unlisted")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
