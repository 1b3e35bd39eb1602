//! The desk: what all files of an owner need besides the accounts: limits, metrics, timers, and what a turn has collected.
//!
//! It is apart from the accounts, so that code can borrow one account and the desk at the same time.

use super::metrics::OwnerMetrics;
use crate::account::caps::Caps;
use crate::account::presence::Presences;
use crate::account::session::language::{Language, Languages};
use crate::account::session::{End, Sent};
use crate::budget::Budget;
use crate::effects::letter::{Origin, RoutedStanza};
use crate::effects::pep::PepNotification;
use crate::effects::turn::outbox::Outbox;
use crate::metrics::RoomMetrics;
use crate::owner::broadcast_queue::Lines;
use crate::owner::context::Context;
use crate::owner::directory::Keyed;
use crate::owner::outgoing::Outgoing;
use crate::owner::refusals::Refusals;
use crate::owner::strangers::Strangers;
use crate::places::Place;
use crate::realm::Realm;
use crate::timers::Timers;
use crate::trace::Traces;
use crate::wire::SessionId;
use chaski_store::{AccountId, Seq, ShardIndex};
use chaski_xmpp::Stored;
use chaski_xmpp::sm::Room;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How many buffers of empty queues are kept, and the largest that is kept: some 300 KiB in all.
const ROOMS_MAX: usize = 256;
const ROOM_CAPACITY_MAX: usize = 32;

/// A message that the store has queued and not committed: what is needed for the error if the commit fails.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Whose mailbox it is for.
    pub(crate) to: AccountId,
    pub(crate) origin: Option<Origin>,
    pub(crate) stanza: Stored,
    /// When a client has sent the message; 0 if the server has written it.
    pub(crate) sent_unix_ms: u64,
}

/// See the module.
pub(crate) struct Desk {
    /// Which shard this is.
    pub(crate) index: ShardIndex,
    /// The address of this shard.
    pub(crate) here: Place,
    pub(crate) realm: Arc<Realm>,
    pub(crate) metrics: Arc<OwnerMetrics>,
    /// The metrics that rooms declare.
    pub(crate) room_metrics: RoomMetrics,
    pub(crate) timers: Timers,
    /// Where stanzas are written before they become an `Arc`. Empty between uses.
    pub(crate) scratch: Vec<u8>,
    /// Where a JID is written. Empty between uses.
    pub(crate) text: String,
    /// Where the mailbox positions of one acknowledgement are collected. Empty between uses.
    pub(crate) seqs: Vec<Seq>,
    /// Sessions that have an `<a/>` or `<r/>` to write at the end of the turn. Some are in it twice.
    pub(crate) turned: Vec<SessionId>,
    /// Sessions whose queue may have room for what waits. Some are in it twice. Empty between calls.
    pub(crate) eased: Vec<SessionId>,
    /// How many IQs were sent to clients. By comparing, the router knows whether a request was answered at once.
    pub(crate) iqs_sent: u64,
    /// Buffers of queues that have become empty, for the next queues that get something.
    pub(crate) rooms: Vec<Room<Sent>>,
    /// Presence stanzas that several sessions share.
    pub(crate) presences: Presences,
    /// The outbox that is lent to a room for one call. Empty between uses.
    pub(crate) outbox: Outbox,
    /// Sessions to be ended or cut when no code borrows their account any more.
    pub(crate) doomed: VecDeque<(SessionId, End)>,
    /// The entity capabilities (XEP-0115) of the shard's clients.
    pub(crate) caps: Caps,
    /// The languages of the clients' streams.
    pub(crate) languages: Languages,
    /// The session whose client's stanza is being handled.
    pub(crate) at_hand: Option<SessionId>,
    /// The language of that session's stream.
    pub(crate) language: Language,
    /// PEP notifications on their way to other accounts, in order.
    pub(crate) pep_notifications: VecDeque<Box<PepNotification>>,
    /// Presence broadcasts for very many recipients, told piece by piece.
    pub(crate) lines: Lines,
    /// Stanzas for strangers that wait for the next tick.
    pub(crate) strangers: Strangers,
    /// Stanzas that this turn has posted and not sent on yet, in order.
    pub(crate) routed: VecDeque<RoutedStanza>,
    /// Messages that the store has not committed yet; the key is the ticket's. Bounded by the store's queue.
    pub(crate) in_flight: Slab<InFlight>,
    /// Stanzas that are refused when the store has looked their recipient up, in order. Bounded like work that is parked for a
    /// load.
    pub(crate) refusals: HashMap<AccountId, Refusals>,
    /// Errors that say `service-unavailable` and are sent with the next tick, in order. Bounded: beyond, the oldest is sent at
    /// once.
    pub(crate) late: VecDeque<RoutedStanza>,
    /// How many records of accounts are being saved without anybody waiting for that.
    pub(crate) records_saving: usize,
    /// Work done since the shard began to read the present connection ([`crate::budget`]).
    pub(crate) work: u32,
    /// The most of `work` that may be done for the present connection: what was left of its account's share.
    pub(crate) work_most: u32,
    /// What accounts have spent beyond their shares of past turns.
    pub(crate) budgets: HashMap<AccountId, Budget, Keyed>,
    /// What is to be charged to the accounts of sessions at the end of the turn.
    pub(crate) owed: Vec<(SessionId, u32)>,
    /// The number of turns in which all accounts had their share; it wraps around.
    pub(crate) turn: u32,
    /// For so many more turns, some account may have spent part of its share.
    pub(crate) owing_turns: u32,
    /// How many PEP notifications were sent in this turn; a knob bounds them.
    pub(crate) pep_notifications_sent: usize,
    /// Letters to other shards.
    pub(crate) outgoing: Outgoing,
    /// Accounts that an operator traces.
    pub(crate) traces: Traces,
}

impl Desk {
    pub(crate) fn new(
        index: ShardIndex,
        realm: Arc<Realm>,
        (metrics, room_metrics): (Arc<OwnerMetrics>, RoomMetrics),
    ) -> Self {
        let here = realm.places.here(index);
        let outgoing = Outgoing::new(&realm.places, here, &realm.limits);
        let budgets = HashMap::with_hasher(Keyed::new(&realm.secrets.root));
        Self {
            index,
            here,
            realm,
            metrics,
            room_metrics,
            timers: Timers::default(),
            scratch: Vec::new(),
            text: String::new(),
            seqs: Vec::new(),
            turned: Vec::new(),
            eased: Vec::new(),
            iqs_sent: 0,
            rooms: Vec::new(),
            presences: Presences::default(),
            outbox: Outbox::default(),
            doomed: VecDeque::new(),
            caps: Caps::default(),
            languages: Languages::default(),
            at_hand: None,
            language: Language::default(),
            pep_notifications: VecDeque::new(),
            lines: Lines::default(),
            strangers: Strangers::default(),
            routed: VecDeque::new(),
            in_flight: Slab::new(),
            refusals: HashMap::new(),
            late: VecDeque::new(),
            records_saving: 0,
            work: 0,
            work_most: u32::MAX,
            budgets,
            owed: Vec::new(),
            turn: 0,
            owing_turns: 0,
            pep_notifications_sent: 0,
            outgoing,
            traces: Traces::default(),
        }
    }

    /// Writes a stanza by `write` into the scratch buffer and makes it shareable, with one allocation of the right size.
    pub(crate) fn compose(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Stored {
        let stanza = Stored::composed(&mut self.scratch, write);
        self.ease_scratch();
        stanza
    }

    /// Frees the scratch buffer if one huge stanza has made it large.
    pub(crate) fn ease_scratch(&mut self) {
        if self.scratch.capacity() > 64 << 10 {
            self.scratch = Vec::new();
        }
    }

    /// Keeps an empty queue's buffer for the next queue that needs one.
    pub(crate) fn keep_room(&mut self, room: Room<Sent>) {
        if self.rooms.len() < ROOMS_MAX && room.capacity() <= ROOM_CAPACITY_MAX {
            self.rooms.push(room);
        }
    }

    /// Has a session ended or cut as soon as no code borrows its account.
    pub(crate) fn doom(&mut self, session: SessionId, end: End) {
        self.doomed.push_back((session, end));
    }

    /// Whether the present call has collected something to be carried out.
    pub(crate) fn has_collected(&self) -> bool {
        !self.routed.is_empty()
            || self.outgoing.has_own(usize::from(self.index.0))
            || !self.pep_notifications.is_empty()
            || !self.doomed.is_empty()
            || !self.eased.is_empty()
    }

    /// Adds a line to the trace of an account that an operator traces ([`crate::trace`]).
    #[inline]
    pub(crate) fn trace(&mut self, ctx: &Context<'_>, account: AccountId, what: impl FnOnce() -> String) {
        self.traces.note(account, ctx.unix_ms, what);
    }

    /// Who owns an account.
    pub(crate) fn owner(&self, account: AccountId) -> Place {
        self.realm.places.owner(account)
    }

    /// A message is accepted or refused: its sender's session need not wait for it any more.
    pub(crate) fn settle(&mut self, origin: Option<Origin>) {
        if let Some(origin) = origin {
            self.outgoing.settled(self.realm.places.number_of(origin.place), origin);
        }
    }
}
