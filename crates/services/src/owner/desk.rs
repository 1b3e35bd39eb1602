//! What all rooms of a shard share besides the accounts: limits, counters, timers, and what a turn has collected.
//!
//! Apart from the accounts, so that a room can hold one account and its desk at the same time.

use super::metrics::OwnerMetrics;
use crate::account::caps::Caps;
use crate::account::presence::Presences;
use crate::account::session::language::{Language, Languages};
use crate::account::session::{End, Sent};
use crate::budget::Budget;
use crate::effects::letter::{Origin, RoutedStanza};
use crate::effects::pep::{PepKnobs, PepNotification};
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

/// Empty queues kept, and the largest that is: some 300 KiB.
const ROOMS_MAX: usize = 256;
const ROOM_CAPACITY_MAX: usize = 32;

/// A message that the store has taken and not committed: what is needed if it is refused after all.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) origin: Option<Origin>,
    pub(crate) stanza: Stored,
    /// When a client has sent it; 0 if none has.
    pub(crate) sent_unix_ms: u64,
}

/// See the module.
pub(crate) struct Desk {
    /// Which shard this is.
    pub(crate) index: ShardIndex,
    /// Its address.
    pub(crate) here: Place,
    pub(crate) realm: Arc<Realm>,
    pub(crate) metrics: Arc<OwnerMetrics>,
    /// What rooms count.
    pub(crate) room_metrics: RoomMetrics,
    pub(crate) timers: Timers,
    /// Where stanzas are written before they become an `Arc`. Empty between uses.
    pub(crate) scratch: Vec<u8>,
    /// Where an address is written.
    pub(crate) text: String,
    /// Where the seqs of one acknowledgement are collected. Empty between uses.
    pub(crate) seqs: Vec<Seq>,
    /// Sessions that have something to say at the end of the turn: an `<a/>`, an `<r/>`. Some twice.
    pub(crate) turned: Vec<SessionId>,
    /// Sessions in which there may be room for what waits. Some twice. Empty between calls.
    pub(crate) eased: Vec<SessionId>,
    /// How many IQs were sent to clients: whether a request has been answered at once.
    pub(crate) iqs_sent: u64,
    /// Memory of queues that have become empty, for those that get something.
    pub(crate) rooms: Vec<Room<Sent>>,
    /// Presences that sessions share.
    pub(crate) presences: Presences,
    /// Lent to a room for one call. Empty between uses.
    pub(crate) outbox: Outbox,
    /// Sessions to be ended or cut once nobody holds their account.
    pub(crate) doomed: VecDeque<(SessionId, End)>,
    /// What the shard's clients can.
    pub(crate) caps: Caps,
    /// In which languages their streams are.
    pub(crate) languages: Languages,
    /// The session whose client's stanza is at hand.
    pub(crate) at_hand: Option<SessionId>,
    /// The language of its stream.
    pub(crate) language: Language,
    /// News of nodes on their way to other accounts, in order.
    pub(crate) pep_notifications: VecDeque<Box<PepNotification>>,
    /// Presence for very many, told piece by piece.
    pub(crate) lines: Lines,
    /// What is for strangers, and waits for the next tick.
    pub(crate) strangers: Strangers,
    /// Stanzas of this turn on their way, in order.
    pub(crate) routed: VecDeque<RoutedStanza>,
    /// Messages that the store has not committed yet; the key is the ticket's. Bounded by the store's queue.
    pub(crate) in_flight: Slab<InFlight>,
    /// Stanzas that are refused once the store has looked, in order. Bounded like those that wait for an account's load.
    pub(crate) refusals: HashMap<AccountId, Refusals>,
    /// Errors that say that nobody is there, on their way with the next tick, in order. Bounded: the oldest goes sooner.
    pub(crate) late: VecDeque<RoutedStanza>,
    /// Records of accounts that are being saved without anybody waiting for it.
    pub(crate) records_saving: usize,
    /// Work done since a connection was last begun to be read ([`crate::budget`]).
    pub(crate) work: u32,
    /// How much of it may be done until then: what was left of the account's share.
    pub(crate) work_most: u32,
    /// What accounts have spent that is not paid yet.
    pub(crate) budgets: HashMap<AccountId, Budget, Keyed>,
    /// What is to be charged to the accounts of sessions at the end of the turn.
    pub(crate) owed: Vec<(SessionId, u32)>,
    /// Turns in which all had their share, going round.
    pub(crate) turn: u32,
    /// So many of these from now on, somebody may have spent some of it.
    pub(crate) owing_turns: u32,
    /// PEP notifications that are still carried in this turn.
    pub(crate) pep_notifications_left: usize,
    /// On its way to other shards.
    pub(crate) outgoing: Outgoing,
    /// Accounts that an operator looks at.
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
        let pep_notifications_left = realm.knobs.of::<PepKnobs>().notifications_per_turn.size();
        let budgets = HashMap::with_hasher(Keyed::new(&realm.secret));
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
            pep_notifications_left,
            outgoing,
            traces: Traces::default(),
        }
    }

    /// Writes a stanza by `write` into the scratch and makes it shareable: one allocation of the right size.
    pub(crate) fn compose(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Stored {
        let stanza = Stored::composed(&mut self.scratch, write);
        self.ease_scratch();
        stanza
    }

    /// One huge stanza must not be remembered for ever.
    pub(crate) fn ease_scratch(&mut self) {
        if self.scratch.capacity() > 64 << 10 {
            self.scratch = Vec::new();
        }
    }

    /// Keeps an empty queue's memory for the next that needs some.
    pub(crate) fn keep_room(&mut self, room: Room<Sent>) {
        if self.rooms.len() < ROOMS_MAX && room.capacity() <= ROOM_CAPACITY_MAX {
            self.rooms.push(room);
        }
    }

    /// Has a session ended or cut as soon as its account is free.
    pub(crate) fn doom(&mut self, session: SessionId, end: End) {
        self.doomed.push_back((session, end));
    }

    /// Whether a call has left something to be carried out.
    pub(crate) fn has_collected(&self) -> bool {
        !self.routed.is_empty()
            || self.outgoing.has_own(usize::from(self.index.0))
            || !self.pep_notifications.is_empty()
            || !self.doomed.is_empty()
            || !self.eased.is_empty()
    }

    /// Notes what happens to an account, for an operator who looks at it ([`crate::trace`]).
    pub(crate) fn trace(&mut self, ctx: &Context<'_>, account: AccountId, what: impl FnOnce() -> String) {
        self.traces.note(account, ctx.unix_ms, what);
    }

    /// Who owns an account.
    pub(crate) fn owner(&self, account: AccountId) -> Place {
        self.realm.places.owner(account)
    }

    /// A message of `origin` is settled: its sender's count may advance.
    pub(crate) fn settle(&mut self, origin: Option<Origin>) {
        if let Some(origin) = origin {
            self.outgoing.settled(self.realm.places.number_of(origin.place), origin);
        }
    }
}
