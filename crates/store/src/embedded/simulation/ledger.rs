//! What a caller of the store has been told, and what the store must therefore show after the power was cut.
//!
//! The ledger is told each call and each completion that came before the cut, in order, and keeps them as a flat list of
//! [`Event`]s as well. After each opening it is told everything that the store shows. It says what promise is broken, in a
//! sentence, as an `Err`. Two judges hear all of it: the checker of docs/promises.md, to which a store is a server with one client
//! for each mailbox ([`StoreHistory`]); and this file's own rules, which know of a store what no client can see: numbers, records,
//! phone books, and when a deletion is settled.
//!
//! What it holds the store to (`crate::mailbox`, `crate::records`, `crate::books`):
//! - What was committed and not acknowledged is there, once, with its bytes, in the order of its numbers, which only grow.
//! - What was refused is not there, and nothing is that nobody has put there.
//! - What was acknowledged or purged may be there at the first opening after a cut, and never after one at which it was
//!   gone. It is not there at all if the acknowledgement was settled: something of the same shard was committed that was appended after it
//!   (and a second has passed, if SQLite has the message),
//!   the engine was closed, or a minute has passed in which the disk had room. After a purge that was answered, nothing is.
//! - The last committed value of a record is there, or one that was submitted after it; records written in one batch are
//!   all there or none. So with phone books.

mod values;

use crate::AccountId;
use chaski_promises::Knobs;
use chaski_promises::store::StoreHistory;
use std::collections::{BTreeMap, BTreeSet};
use values::Values;

/// What a caller saw, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields' names say all")]
pub enum Event {
    /// A message was appended; `again`: it was there already.
    Appended { account: AccountId, id: u128, again: bool },
    /// It is durable.
    Committed { account: AccountId, id: u128 },
    /// It was not kept.
    Refused { account: AccountId, id: u128 },
    /// A read showed it.
    Shown { account: AccountId, id: u128, seq: u64 },
    /// The account's client has it.
    Acknowledged { account: AccountId, id: u128 },
    /// The account was dropped, as this ticket's completion will say.
    Purged { account: AccountId, ticket: u128 },
    /// A record or a phone book was changed, as this ticket's completion will say.
    Changed { key: String, ticket: u128 },
    /// The change with this ticket is durable, or not kept.
    Settled { ticket: u128, kept: bool },
    /// So much time passes.
    Passed { ms: u64 },
    /// The engine was closed in good order.
    Closed,
    /// The power went.
    Cut,
    /// The engine was opened.
    Opened,
}

/// What is known of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Submitted; nothing was said of it yet.
    Submitted,
    /// Durable.
    Committed,
    /// Acknowledged or purged: when so many appends had been submitted, at this moment. `None`: nothing settles it but time.
    Acked(Option<(u64, u64)>),
    /// Never to be seen again: refused, acknowledged for certain, or lost before it was durable.
    Gone(&'static str),
}

#[derive(Debug)]
struct Message {
    text: Vec<u8>,
    /// More than one if it was taken again while SQLite had it.
    seqs: Vec<u64>,
    state: State,
    /// When it was appended, by the ledger's count of events.
    since: usize,
}

/// A message that was shown.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its number.
    pub seq: u64,
    /// Its identity.
    pub id: u128,
    /// Its bytes.
    pub text: Vec<u8>,
}

/// See the file's head.
#[derive(Debug)]
pub struct Ledger {
    promises: StoreHistory,
    events: Vec<Event>,
    messages: BTreeMap<(AccountId, u128), Message>,
    appends: u64,
    last_seq: BTreeMap<AccountId, u64>,
    records: BTreeMap<String, Values<Option<Vec<u8>>>>,
    books: BTreeMap<AccountId, Values<BTreeSet<u64>>>,
    /// A deletion may be waiting for room on the disk: only time settles an acknowledgement.
    short_of_room: bool,
    /// What is gone for good once a purge is durable, by its ticket.
    purges: BTreeMap<u128, (AccountId, Vec<u128>)>,
    /// Time in which every thread had its turns.
    fair_ms: u64,
    shards: u16,
    returned: u64,
}

/// After this the message of an acknowledgement is deleted from SQLite too: till then the segment with the acknowledgement may
/// be unlinked before, and a cut brings the message back once.
const SETTLING_MS: u64 = 1_000;

type Judged = Result<(), String>;

/// Messages are forgotten by the judge of promises after so long: no life has so many minutes.
const FORGET_AFTER_MS: u64 = 10 * 86_400_000;

impl Default for Ledger {
    fn default() -> Self {
        let knobs = Knobs { forget_after_ms: FORGET_AFTER_MS, ..Knobs::default() };
        Self {
            promises: StoreHistory::new(knobs),
            events: Vec::new(),
            messages: BTreeMap::new(),
            appends: 0,
            last_seq: BTreeMap::new(),
            records: BTreeMap::new(),
            books: BTreeMap::new(),
            short_of_room: false,
            purges: BTreeMap::new(),
            fair_ms: 0,
            shards: 0,
            returned: 0,
        }
    }
}

impl Ledger {
    /// Whether docs/promises.md is kept.
    fn judged(&self) -> Judged {
        match self.promises.verdicts().first() {
            None => Ok(()),
            Some(verdict) => Err(format!("promise {verdict}")),
        }
    }

    /// So much time passes.
    pub fn passed(&mut self, ms: u64) {
        self.events.push(Event::Passed { ms });
        self.promises.pass(ms);
    }

    /// The power goes.
    pub fn cut(&mut self) {
        self.events.push(Event::Cut);
        self.promises.cut(true);
    }

    /// The engine was closed in good order.
    pub fn closed(&mut self) {
        self.events.push(Event::Closed);
        self.promises.closed();
    }

    /// Everything so far.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Acknowledged messages that a cut has brought back.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// Time in which every thread had its turns.
    pub fn passed_fairly(&mut self, ms: u64) {
        self.fair_ms += ms;
    }

    /// The engine is open with so many shards, each of which hands over its appends and acknowledgements in order.
    pub fn attached(&mut self, shards: u16) {
        self.events.push(Event::Opened);
        self.shards = shards;
    }

    /// Now, for [`Self::read`].
    pub fn now(&self) -> usize {
        self.events.len()
    }

    /// The disk has room or hasn't.
    pub fn room(&mut self, enough: bool) {
        if !enough {
            self.short_of_room = true;
            for message in self.messages.values_mut() {
                if let State::Acked(settled) = &mut message.state {
                    *settled = None;
                }
            }
        }
    }

    /// A message was appended: the store gave it a number, or knew it already (`None`). Its place among appends.
    pub fn appended(
        &mut self,
        account: AccountId,
        id: u128,
        text: Vec<u8>,
        seq: Option<u64>,
    ) -> Result<u64, String> {
        self.events.push(Event::Appended { account, id, again: seq.is_none() });
        self.promises.submitted(account.to_bits(), id, &text);
        self.appends += 1;
        let since = self.events.len();
        let known = self.messages.entry((account, id));
        match (seq, known) {
            (Some(seq), known) => {
                let last = self.last_seq.entry(account).or_default();
                if seq <= *last {
                    return Err(format!("message {id} has number {seq}, not above {last}"));
                }
                *last = seq;
                let new = Message { text, seqs: Vec::new(), state: State::Submitted, since };
                known.or_insert(new).seqs.push(seq);
            }
            (None, std::collections::btree_map::Entry::Vacant(_)) => {
                return Err(format!("message {id} was never sent and is called a repetition"));
            }
            (None, _) => {}
        }
        Ok(self.appends)
    }

    /// The append that was the `place`th is durable.
    pub fn committed(&mut self, account: AccountId, id: u128, place: u64) {
        self.events.push(Event::Committed { account, id });
        self.promises.confirmed(account.to_bits(), id);
        let Some(message) = self.messages.get_mut(&(account, id)) else { return };
        if matches!(message.state, State::Acked(_) | State::Gone(_)) {
            // At once, because it was acknowledged: that says nothing of the disk.
            return;
        }
        message.state = State::Committed;
        let shard = account.shard(self.shards);
        for ((of, _), message) in &mut self.messages {
            if of.shard(self.shards) == shard
                && let State::Acked(Some((before, at_ms))) = message.state
                && before < place
                && at_ms + SETTLING_MS <= self.fair_ms
            {
                message.state = State::Gone("acknowledged");
            }
        }
    }

    /// It was not kept.
    pub fn refused(&mut self, account: AccountId, id: u128) {
        self.events.push(Event::Refused { account, id });
        self.promises.refused(account.to_bits(), id);
        if let Some(message) = self.messages.get_mut(&(account, id))
            && message.state == State::Submitted
        {
            message.state = State::Gone("refused");
        }
    }

    /// Identities of an account's messages that its client could be shown, with their numbers.
    pub fn live(&self, account: AccountId) -> Vec<(u128, Vec<u64>)> {
        let live = self.of(account).filter(|(_, message)| message.is_live());
        live.map(|(id, message)| (id, message.seqs.clone())).collect()
    }

    fn of(&self, account: AccountId) -> impl Iterator<Item = (u128, &Message)> {
        let range = (account, 0)..=(account, u128::MAX);
        self.messages.range(range).map(|(&(_, id), message)| (id, message))
    }

    /// The account's client has these. It was shown them, and all before them, if by nobody else then by who had appended them.
    pub fn acked(&mut self, account: AccountId, ids: &[u128]) {
        self.hand_over(account, ids);
        for &id in ids {
            self.events.push(Event::Acknowledged { account, id });
        }
        self.settling(account, ids);
    }

    /// These are to be gone.
    fn settling(&mut self, account: AccountId, ids: &[u128]) {
        let settled = (!self.short_of_room).then_some((self.appends, self.fair_ms));
        for &id in ids {
            if let Some(message) = self.messages.get_mut(&(account, id))
                && message.is_live()
            {
                message.state = State::Acked(settled);
            }
        }
    }

    /// For the judge of promises: a client gets what waits, in order, up to the last of these, and acknowledges these.
    fn hand_over(&mut self, account: AccountId, ids: &[u128]) {
        let mut live: Vec<(u64, u128)> = self
            .of(account)
            .filter(|(_, message)| message.is_live())
            .filter_map(|(id, message)| Some((*message.seqs.first()?, id)))
            .collect();
        live.sort_unstable();
        let Some(last) = live.iter().rposition(|(_, id)| ids.contains(id)) else { return };
        for (_, id) in &live[..=last] {
            self.promises.read(account.to_bits(), *id, &self.messages[&(account, *id)].text);
        }
        for id in ids {
            if let Some(message) = self.messages.get(&(account, *id)) {
                self.promises.acknowledged(account.to_bits(), *id, &message.text);
            }
        }
    }

    /// The account is gone: its mailbox, its phone book, the records under its key.
    pub fn purged(&mut self, account: AccountId, ticket: u128) {
        let ids: Vec<u128> = self.live(account).into_iter().map(|(id, _)| id).collect();
        self.settling(account, &ids);
        self.promises.purging(account.to_bits(), ticket);
        self.events.push(Event::Purged { account, ticket });
        let under = format!("{}/", account.record_key());
        for (_, values) in self.records.iter_mut().filter(|(key, _)| key.starts_with(&under)) {
            values.under_way.push((ticket, None));
        }
        if let Some(values) = self.books.get_mut(&account) {
            values.under_way.push((ticket, BTreeSet::new()));
        }
        let gone = self.of(account).filter(|(_, message)| matches!(message.state, State::Acked(_)));
        let gone = gone.map(|(id, _)| id).collect();
        self.purges.insert(ticket, (account, gone));
    }

    /// It is durable that nothing of the account is left: nothing of it comes back any more.
    pub fn purge_settled(&mut self, ticket: u128) {
        self.settled(ticket, true);
        self.promises.purged(ticket);
        let Some((account, ids)) = self.purges.remove(&ticket) else { return };
        for id in ids {
            if let Some(message) = self.messages.get_mut(&(account, id))
                && matches!(message.state, State::Acked(_))
            {
                message.state = State::Gone("purged for certain");
            }
        }
    }

    /// A read that was asked at `since` has shown these, behind number `after`.
    pub fn read(
        &mut self,
        account: AccountId,
        after: u64,
        since: usize,
        shown: &[Shown],
        more: bool,
    ) -> Judged {
        self.check_shown(account, after, shown)?;
        for one in shown {
            self.events.push(Event::Shown { account, id: one.id, seq: one.seq });
            let message = &self.messages[&(account, one.id)];
            if !message.is_live() {
                return Err(format!("message {} is shown and is {:?}", one.id, message.state));
            }
        }
        let end = if more { shown.last().map_or(after, |last| last.seq) } else { u64::MAX };
        for (id, message) in self.of(account) {
            // One that was taken twice may be shown under either number.
            let [seq] = message.seqs[..] else { continue };
            let expected = message.is_live() && message.since <= since && seq > after && seq <= end;
            if expected && !shown.iter().any(|one| one.id == id) {
                return Err(format!("message {id} ({seq}) is not shown, read behind {after}, more: {more}"));
            }
        }
        if after == 0 {
            self.show(account, shown);
        }
        self.judged()
    }

    fn show(&mut self, account: AccountId, shown: &[Shown]) {
        for one in shown {
            self.promises.read(account.to_bits(), one.id, &one.text);
        }
    }

    fn check_shown(&self, account: AccountId, after: u64, shown: &[Shown]) -> Judged {
        if !shown.is_sorted_by(|a, b| a.seq < b.seq) || shown.iter().any(|one| one.seq <= after) {
            return Err(format!("out of order: {:?}", shown.iter().map(|one| one.seq).collect::<Vec<_>>()));
        }
        for one in shown {
            let Some(message) = self.messages.get(&(account, one.id)) else {
                return Err(format!("message {} is shown and was never sent to this account", one.id));
            };
            if message.text != one.text {
                return Err(format!("message {} is shown with other bytes", one.id));
            }
            if !message.seqs.contains(&one.seq) {
                return Err(format!("message {} is shown as {}, not {:?}", one.id, one.seq, message.seqs));
            }
        }
        Ok(())
    }

    /// Everything in a mailbox after an opening; `closed`: the engine had been closed in good order.
    pub fn opened(&mut self, account: AccountId, shown: &[Shown], closed: bool) -> Judged {
        self.check_shown(account, 0, shown)?;
        self.promises.rewound(account.to_bits());
        self.show(account, shown);
        self.promises.drained(account.to_bits());
        self.judged()?;
        let seqs: BTreeMap<u128, u64> = shown.iter().map(|one| (one.id, one.seq)).collect();
        if seqs.len() < shown.len() {
            return Err("a message is there twice".to_owned());
        }
        let range = (account, 0)..=(account, u128::MAX);
        for (&(_, id), message) in self.messages.range_mut(range) {
            let seq = seqs.get(&id);
            message.state = match (message.state, seq) {
                (State::Gone(why), Some(_)) => return Err(format!("message {id} is back, which was {why}")),
                (State::Acked(_), Some(_)) if closed => {
                    return Err(format!("message {id} is back after a stop in good order"));
                }
                (State::Committed, None) => return Err(format!("message {id} is lost, which was committed")),
                (State::Acked(_), Some(_)) => {
                    self.returned += 1;
                    State::Committed
                }
                (State::Submitted | State::Committed, Some(_)) => State::Committed,
                (State::Submitted, None) => State::Gone("lost before it was durable"),
                (State::Acked(_), None) => State::Gone("acknowledged"),
                (State::Gone(why), None) => State::Gone(why),
            };
            if let Some(&seq) = seq {
                message.seqs = vec![seq];
            }
            message.since = 0;
        }
        Ok(())
    }

    /// A minute has passed with room on the disk: what is acknowledged is gone for good.
    pub fn minute_passed(&mut self) {
        self.short_of_room = false;
        for message in self.messages.values_mut() {
            if let State::Acked(_) = message.state {
                message.state = State::Gone("acknowledged a minute before");
            }
        }
    }

    /// Messages that wait.
    pub fn waiting(&self) -> usize {
        self.messages.values().filter(|message| message.is_live()).count()
    }
}

impl Message {
    fn is_live(&self) -> bool {
        matches!(self.state, State::Submitted | State::Committed)
    }
}
