//! What all rooms of a shard share besides the accounts: limits, counters, timers, and what a turn has collected.
//!
//! Apart from the accounts, so that a room can hold one account and its desk at the same time.

use crate::budget::Budget;
use crate::caps::Caps;
use crate::context::{Context, Realm};
use crate::directory::Keyed;
use crate::outbox::Outbox;
use crate::pep::Tiding;
use crate::places::Place;
use crate::presence::Presences;
use crate::router::{InFlight, Lines, Origin, Outgoing, Parcel, Refusals, Strangers};
use crate::session::language::{Language, Languages};
use crate::session::{End, Sent};
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

chaski_telemetry::metrics! {
    /// What the router, the mailbox and the directory count.
    pub struct RoomMetrics("chaski_rooms") {
        /// Stanzas received from clients.
        stanzas_received_total: Counter,
        /// Messages put into mailboxes.
        messages_stored_total: Counter,
        /// Messages of a mailbox that are intact and can't be understood: a newer program's, or a fault.
        messages_unreadable_total: Counter,
        /// Messages that the store knew already (sent again by a client).
        messages_duplicate_total: Counter,
        /// Messages written to clients from mailboxes, at once or late.
        messages_delivered_total: Counter,
        /// Of those, the ones read from a backlog.
        messages_delivered_late_total: Counter,
        /// Messages sent again after a resumption.
        messages_resent_total: Counter,
        /// Messages acknowledged by their recipients.
        messages_acknowledged_total: Counter,
        /// Messages that are never stored (chat states, headlines, errors, no-store).
        messages_transient_total: Counter,
        /// Stanzas that an account was not given because it has blocked their sender.
        stanzas_blocked_total: Counter,
        /// Reports to the operator (XEP-0377) that were kept.
        reports_total: Counter,
        /// Stanzas refused with an error.
        stanzas_refused_total: Counter,
        /// Messages by the time from their sender's session to the disk, in microseconds (counted in milliseconds).
        acceptance_us: Histogram,
        /// Messages by the time from their sender's session to that of a recipient who has kept up, likewise.
        delivery_us: Histogram,
        /// Messages refused because the mailbox or the store was full.
        messages_refused_full_total: Counter,
        /// Messages refused because their sender had stored too much lately.
        messages_refused_rate_total: Counter,
        /// Messages that wait to be durable.
        messages_in_flight: Gauge,
        /// Sessions, hibernating ones included.
        sessions: Gauge,
        /// Sessions that wait to be resumed.
        sessions_hibernating: Gauge,
        /// Sessions resumed.
        sessions_resumed_total: Counter,
        /// Sessions ended because their client was too slow or did not acknowledge.
        sessions_cut_total: Counter,
        /// Accounts in memory.
        accounts_resident: Gauge,
        /// Accounts whose records are being loaded.
        accounts_loading: Gauge,
        /// Stanzas and calls that wait for an account's records.
        parked: Gauge,
        /// Bytes of these.
        parked_bytes: Gauge,
        /// Stanzas that wait because their account has enough records being loaded for it.
        loads_waiting: Gauge,
        /// Stanzas, logins and calls refused because too much waited for records.
        loads_refused_total: Counter,
        /// Stanzas answered without a look-up, because their account had been told before that nobody is there.
        loads_spared_total: Counter,
        /// Answers to strangers that nobody is there, which wait for the next tick.
        refusals_late: Gauge,
        /// Stanzas for strangers that are no messages to be kept, which wait for the next tick.
        strangers_waiting: Gauge,
        /// Bytes of these.
        strangers_bytes: Gauge,
        /// Messages that are not stored, dropped because their session had too much unacknowledged.
        messages_dropped_total: Counter,
        /// Presence dropped because another shard was overloaded, or because its session was.
        presence_dropped_total: Counter,
        /// Accounts that are still to be told of somebody's presence: it is for very many, and told in several turns.
        presence_waiting: Gauge,
        /// Bytes of stanzas that stand behind such presence of their sender.
        behind_presence_bytes: Gauge,
        /// Presence, chat states and events held back because their client is inactive.
        stanzas_held_total: Counter,
        /// Of those that were held, the ones that something later replaced.
        stanzas_folded_total: Counter,
        /// Bytes held back now.
        held_bytes: Gauge,
        /// Stanzas that had to wait until their client acknowledged, or took, what it was sent before.
        stanzas_late_total: Counter,
        /// Stanzas of clients that had to wait behind those.
        stanzas_parked_total: Counter,
        /// Bytes that wait for either now.
        late_bytes: Gauge,
        /// Answers and pushes lost because far too many waited for a session that was cut for it already.
        stanzas_lost_total: Counter,
        /// Answers that were sent behind what waited in the mailbox.
        answers_behind_mail_total: Counter,
        /// Copies of messages sent to an account's other sessions.
        carbons_total: Counter,
        /// News of nodes, and questions for last items, dropped because a shard was overloaded.
        tidings_dropped_total: Counter,
        /// News of nodes, and questions for last items, that wait for their turn.
        tidings_waiting: Gauge,
        /// Envelopes that wait because another shard was overloaded.
        envelopes_waiting: Gauge,
        /// Answers, farewells and hints lost because too many waited, or were kept. No acceptance, and no error that settles a message.
        envelopes_lost_total: Counter,
        /// Envelopes whose receivers have not yet said that they have them.
        envelopes_kept: Gauge,
        /// Bytes of these.
        envelopes_kept_bytes: Gauge,
        /// Envelopes sent again because they were lost on the way.
        envelopes_sent_again_total: Counter,
        /// Envelopes that came again, or before one that was lost: dropped.
        envelopes_repeated_total: Counter,
        /// Places that have said nothing for a while although something was sent to them: messages for them are refused.
        places_silent: Gauge,
        /// Answers of other places' owners that somebody here waits for.
        answers_awaited: Gauge,
        /// Of those, answers that did not come in time.
        answers_missing_total: Counter,
        /// Commands that a shard of this process has forgotten to answer: a fault of the program.
        answers_forgotten_total: Counter,
        /// Envelopes for an earlier run of the node, dropped.
        envelopes_astray_total: Counter,
        /// Errands of a room that were refused because too many of the same account waited.
        errands_refused_total: Counter,
        /// Streams whose language is not added to their stanzas, because too many others are spoken.
        languages_unsaid_total: Counter,
        /// Tokens given to clients (XEP-0484).
        tokens_issued_total: Counter,
        /// Logins by a token.
        tokens_proved_total: Counter,
        /// Claims to have a token that were not good.
        tokens_refused_total: Counter,
        /// Accounts removed: nothing is left of them.
        accounts_removed_total: Counter,
        /// Accounts that are being removed, or whose number is being cleared.
        removals_under_way: Gauge,
        /// Steps of removals tried again because the store had failed.
        removals_retried_total: Counter,
        /// Accounts that did not exist and of which something was found and deleted.
        leftovers_cleared_total: Counter,
        /// Upload slots granted.
        slots_granted_total: Counter,
        /// Slots finished at once, because the account refers to the content or has shown its URL.
        slots_finished_total: Counter,
        /// Slots refused because the account had asked for too many, or for too many bytes, lately.
        slots_refused_rate_total: Counter,
        /// Slots refused because the account's files take all its room.
        slots_refused_quota_total: Counter,
        /// Slots refused because the operator has blocked the content that was announced.
        slots_refused_blocked_total: Counter,
        /// Questions to the index of media, and changes of it, that are under way.
        index_waiting: Gauge,
        /// Of these, refused because too many were.
        index_refused_total: Counter,
        /// Records that could not be saved.
        saves_failed_total: Counter,
    }
}

/// See the module.
pub(crate) struct Desk {
    /// Which shard this is.
    pub(crate) index: ShardIndex,
    /// Its address.
    pub(crate) here: Place,
    pub(crate) realm: Arc<Realm>,
    pub(crate) metrics: Arc<RoomMetrics>,
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
    pub(crate) tidings: VecDeque<Box<Tiding>>,
    /// Presence for very many, told piece by piece.
    pub(crate) lines: Lines,
    /// What is for strangers, and waits for the next tick.
    pub(crate) strangers: Strangers,
    /// Stanzas of this turn on their way, in order.
    pub(crate) parcels: VecDeque<Parcel>,
    /// Messages that the store has not committed yet; the key is the ticket's. Bounded by the store's queue.
    pub(crate) in_flight: Slab<InFlight>,
    /// Stanzas that are refused once the store has looked, in order. Bounded like those that wait for an account's load.
    pub(crate) refusals: HashMap<AccountId, Refusals>,
    /// Errors that say that nobody is there, on their way with the next tick, in order. Bounded: the oldest goes sooner.
    pub(crate) late: VecDeque<Parcel>,
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
    /// Tidings that are still carried in this turn.
    pub(crate) tidings_left: usize,
    /// On its way to other shards.
    pub(crate) outgoing: Outgoing,
    /// Accounts that an operator looks at.
    pub(crate) traces: Traces,
}

impl Desk {
    pub(crate) fn new(index: ShardIndex, realm: Arc<Realm>, metrics: Arc<RoomMetrics>) -> Self {
        let here = realm.places.here(index);
        let outgoing = Outgoing::new(&realm.places, here, &realm.limits);
        let tidings_left = realm.limits.tidings_per_turn;
        let budgets = HashMap::with_hasher(Keyed::new(&realm.secret));
        Self {
            index,
            here,
            realm,
            metrics,
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
            tidings: VecDeque::new(),
            lines: Lines::default(),
            strangers: Strangers::default(),
            parcels: VecDeque::new(),
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
            tidings_left,
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
        !self.parcels.is_empty()
            || self.outgoing.has_own(usize::from(self.index.0))
            || !self.tidings.is_empty()
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
