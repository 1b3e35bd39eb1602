//! The reference: the smallest server that keeps the promises. No I/O, no clock, no protocol; what it does is what
//! docs/promises.md says, and nothing is in it for speed.
//!
//! It is told what clients, operators and misfortune do, and tells what an observer would see of that: a valid history.
//! [`play`] drives it at random. Called by the checker's own tests, and by whoever wants a history that is known to be good.

pub mod play;

use crate::event::{Account, Cause, Content, Device, Event, Letter, Lock, Session, Showing, StanzaId, Timed};
use crate::mix;
use std::collections::{BTreeMap, BTreeSet};

/// A message in a mailbox.
#[derive(Debug, Clone)]
struct Entry {
    place: u64,
    from: Account,
    content: Content,
    stanza_id: StanzaId,
    is_durable: bool,
    /// The sender's session and its count, to be covered once it is durable.
    accepted_ms: u64,
}

/// An account.
#[derive(Debug, Default)]
struct Home {
    key: u32,
    seen_ms: u64,
    blocks: BTreeSet<Account>,
    mailbox: Vec<Entry>,
}

/// A stanza that was written to a session.
#[derive(Debug, Clone)]
struct Sent {
    showing: Option<Showing>,
    place: Option<u64>,
    /// What was acknowledged elsewhere is written again to who has got it once; what never arrived there is not.
    has_arrived: bool,
}

/// A session.
#[derive(Debug)]
struct Stream {
    account: Account,
    device: Device,
    key: u32,
    is_connected: bool,
    lost_ms: u64,
    /// Stanzas from the client, those that are covered, and the places of those that are not durable: by count.
    received: u32,
    covered: u32,
    held: BTreeMap<u32, u64>,
    /// Stanzas to the client: unacknowledged ones and the count of the others.
    queue: Vec<Sent>,
    acknowledged: u32,
    /// Up to where in the mailbox it was sent.
    cursor: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Model {
    now_ms: u64,
    homes: BTreeMap<Account, Home>,
    streams: BTreeMap<Session, Stream>,
    history: Vec<Timed>,
    last_place: u64,
    last_session: u64,
    last_device: BTreeMap<(Account, u32), Device>,
}

/// As the knobs of a checker say by default.
const RESUME_MS: u64 = 300_000;
const ACKNOWLEDGED_WITHIN_MS: u64 = 60_000;
const SEEN_WITHIN_MS: u64 = 30 * 86_400_000;

impl Model {
    /// An empty world.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was seen so far.
    pub fn history(&self) -> &[Timed] {
        &self.history
    }

    /// All that was seen.
    pub fn into_history(self) -> Vec<Timed> {
        self.history
    }

    fn tell(&mut self, event: Event) {
        self.history.push(Timed { at_ms: self.now_ms, event });
    }

    /// Time passes: who does not acknowledge for a minute is cut, and who was cut for too long is over.
    pub fn pass(&mut self, ms: u64) {
        if ms >= ACKNOWLEDGED_WITHIN_MS {
            let is_late = |stream: &Stream| stream.is_connected && !stream.queue.is_empty();
            let late: Vec<Session> =
                self.streams.iter().filter(|(_, s)| is_late(s)).map(|(id, _)| *id).collect();
            late.into_iter().for_each(|session| self.lose(session, 0));
        }
        self.now_ms += ms;
        let now_ms = self.now_ms;
        let is_over = |stream: &Stream| !stream.is_connected && stream.lost_ms + RESUME_MS <= now_ms;
        self.streams.retain(|_, stream| !is_over(stream));
    }

    /// Whether there is such an account.
    pub fn has(&self, account: Account) -> bool {
        self.homes.contains_key(&account)
    }

    /// Somebody registers the number, with or without a proof of continuity (A3, A1).
    pub fn register(&mut self, account: Account, proof: bool) {
        let now_ms = self.now_ms;
        let silent_ms = self.homes.get(&account).map_or(0, |home| now_ms - home.seen_ms);
        if !proof && silent_ms > SEEN_WITHIN_MS {
            let key = self.homes.get(&account).map_or(0, |home| home.key);
            self.homes.insert(account, Home { key, ..Home::default() });
        }
        let home = self.homes.entry(account).or_default();
        (home.key, home.seen_ms) = (home.key + 1, now_ms);
        let key = home.key;
        self.streams.retain(|_, stream| stream.account != account);
        self.tell(Event::Registered { account, key, proof, silent_ms, lock: Lock::None });
    }

    /// The account is removed; everything of it is gone before that is answered (A2).
    pub fn remove(&mut self, account: Account) {
        self.tell(Event::Removing { account });
        self.homes.remove(&account);
        self.streams.retain(|_, stream| stream.account != account);
        self.tell(Event::Removed { account });
    }

    /// The key is changed (A1).
    pub fn change_key(&mut self, account: Account) {
        let Some(home) = self.homes.get_mut(&account) else { return };
        home.key += 1;
        let key = home.key;
        self.streams.retain(|_, stream| stream.account != account);
        self.tell(Event::KeyChanged { account, key });
    }

    /// Its owner goes to another number, which must be free.
    pub fn change_number(&mut self, from: Account, to: Account) {
        if self.homes.contains_key(&to) {
            return;
        }
        let Some(home) = self.homes.remove(&from) else { return };
        self.streams.retain(|_, stream| stream.account != from);
        self.homes.insert(to, home);
        self.tell(Event::Moved { from, to });
    }

    /// One blocks another (P2).
    pub fn block(&mut self, by: Account, whom: Account) {
        let Some(home) = self.homes.get_mut(&by) else { return };
        home.blocks.insert(whom);
        self.tell(Event::Blocking { by, whom });
        self.tell(Event::Blocked { by, whom });
    }

    /// And no more.
    pub fn unblock(&mut self, by: Account, whom: Account) {
        let Some(home) = self.homes.get_mut(&by) else { return };
        home.blocks.remove(&whom);
        self.tell(Event::Unblocked { by, whom: Some(whom) });
    }

    /// A device logs in, in place of its earlier session, and is sent what waits.
    pub fn begin(&mut self, account: Account, device: u32) -> Option<Session> {
        let home = self.homes.get_mut(&account)?;
        let (key, now_ms) = (home.key, self.now_ms);
        home.seen_ms = now_ms;
        let count = self.last_device.len() as u64;
        let device = *self.last_device.entry((account, device)).or_insert(Device(count));
        let is_old = |stream: &Stream| stream.device == device;
        for session in self
            .streams
            .iter()
            .filter(|(_, s)| is_old(s) && s.is_connected)
            .map(|(id, _)| *id)
            .collect::<Vec<_>>()
        {
            self.tell(Event::Lost { session, missing: 0 });
        }
        self.streams.retain(|_, stream| !is_old(stream));
        self.last_session += 1;
        let session = Session(self.last_session);
        let stream = Stream {
            account,
            device,
            key,
            is_connected: true,
            lost_ms: 0,
            received: 0,
            covered: 0,
            held: BTreeMap::new(),
            queue: Vec::new(),
            acknowledged: 0,
            cursor: 0,
        };
        self.streams.insert(session, stream);
        self.tell(Event::Began { session, account, device, key });
        self.tell(Event::Managed { session });
        self.deliver(account);
        Some(session)
    }

    /// The sessions that are connected.
    pub fn connected(&self) -> Vec<Session> {
        self.streams.iter().filter(|(_, stream)| stream.is_connected).map(|(id, _)| *id).collect()
    }

    /// The sessions that are lost and may go on.
    pub fn lost(&self) -> Vec<Session> {
        self.streams.iter().filter(|(_, stream)| !stream.is_connected).map(|(id, _)| *id).collect()
    }

    /// A client sends a message: refused, dropped, or put into the mailbox and delivered; durable with the next [`Self::sync`].
    pub fn send(&mut self, session: Session, to: Account, content: Content) {
        let Some(stream) = self.streams.get_mut(&session).filter(|stream| stream.is_connected) else {
            return;
        };
        stream.received += 1;
        let (from, count) = (stream.account, stream.received);
        let letter = Letter { to, resource: None, content, kept: true };
        self.tell(Event::Sent { session, letter: Some(letter) });
        let Some(home) = self.homes.get_mut(&to) else {
            return self.tell(Event::Refused { session, to, content: Some(content), is_bound: false });
        };
        if home.blocks.contains(&from) {
            return;
        }
        let repeated = home
            .mailbox
            .iter()
            .find(|entry| content.identity.is_some() && entry.from == from && entry.content == content);
        let place = match repeated {
            Some(entry) if entry.is_durable => return,
            Some(entry) => entry.place,
            None => {
                self.last_place += 1;
                let stanza_id = StanzaId(match content.identity {
                    Some(identity) => mix(from.0 ^ mix(to.0 ^ mix(identity))),
                    None => mix(self.last_place),
                });
                let place = self.last_place;
                let accepted_ms = self.now_ms;
                home.mailbox.push(Entry { place, from, content, stanza_id, is_durable: false, accepted_ms });
                place
            }
        };
        if let Some(stream) = self.streams.get_mut(&session) {
            stream.held.insert(count, place);
        }
        self.deliver(to);
    }

    /// Every session that is there gets what is new, in order.
    fn deliver(&mut self, account: Account) {
        let Some(home) = self.homes.get(&account) else { return };
        let mut shown = Vec::new();
        for (session, stream) in &mut self.streams {
            if stream.account != account || !stream.is_connected {
                continue;
            }
            for entry in home.mailbox.iter().filter(|entry| entry.place > stream.cursor) {
                let Entry { place, from, content, stanza_id, accepted_ms, .. } = entry.clone();
                let delayed = accepted_ms != self.now_ms;
                let showing = Some(Showing { from, content, stanza_id: Some(stanza_id), delayed });
                stream.queue.push(Sent { showing, place: Some(place), has_arrived: true });
                shown.push(Event::Shown { session: *session, showing });
            }
            stream.cursor = home.mailbox.last().map_or(stream.cursor, |entry| entry.place.max(stream.cursor));
        }
        for event in shown {
            self.tell(event);
        }
    }

    /// The disk has it.
    pub fn sync(&mut self) {
        for home in self.homes.values_mut() {
            home.mailbox.iter_mut().for_each(|entry| entry.is_durable = true);
        }
        self.streams.values_mut().for_each(|stream| stream.held.clear());
    }

    /// `<r/>`: the answer covers what is handled.
    pub fn ask(&mut self, session: Session) {
        let Some(stream) = self.streams.get_mut(&session).filter(|stream| stream.is_connected) else {
            return;
        };
        let h = stream.held.first_key_value().map_or(stream.received, |(first, _)| first - 1);
        stream.covered = h;
        self.tell(Event::Covered { session, h });
    }

    /// The client acknowledges all but the last so many; that deletes.
    pub fn acknowledge(&mut self, session: Session, but: usize) {
        let Some(stream) = self.streams.get_mut(&session).filter(|stream| stream.is_connected) else {
            return;
        };
        let count = stream.queue.len().saturating_sub(but);
        let h = stream.acknowledged + count as u32;
        self.acknowledged(session, count);
        self.tell(Event::Acknowledged { session, h });
    }

    fn acknowledged(&mut self, session: Session, count: usize) {
        let Some(stream) = self.streams.get_mut(&session) else { return };
        stream.acknowledged += count as u32;
        let gone: BTreeSet<u64> = stream.queue.drain(..count).filter_map(|sent| sent.place).collect();
        let account = stream.account;
        if let Some(home) = self.homes.get_mut(&account) {
            home.mailbox.retain(|entry| !gone.contains(&entry.place));
        }
        // Durable or gone: nothing to wait for.
        for stream in self.streams.values_mut() {
            stream.held.retain(|_, place| !gone.contains(place));
        }
    }

    /// The connection is lost, and the last so many stanzas have not arrived.
    pub fn lose(&mut self, session: Session, missing: usize) {
        let now_ms = self.now_ms;
        let Some(stream) = self.streams.get_mut(&session).filter(|stream| stream.is_connected) else {
            return;
        };
        (stream.is_connected, stream.lost_ms) = (false, now_ms);
        let missing = missing.min(stream.queue.len());
        let arrived = stream.queue.len() - missing;
        stream.queue[arrived..].iter_mut().for_each(|sent| sent.has_arrived = false);
        self.tell(Event::Lost { session, missing: missing as u32 });
    }

    /// The client ends its session.
    pub fn end(&mut self, session: Session) {
        if self.streams.remove(&session).is_some() {
            self.tell(Event::Ended { session, cause: Some(Cause::Client) });
        }
    }

    /// The session goes on: what was not covered is forgotten, what had not arrived comes again, then what is new.
    pub fn resume(&mut self, session: Session) {
        let Some(stream) = self.streams.get_mut(&session).filter(|stream| !stream.is_connected) else {
            return;
        };
        let h = stream.held.first_key_value().map_or(stream.received, |(first, _)| first - 1);
        stream.held.clear();
        (stream.received, stream.covered, stream.is_connected) = (h, h, true);
        let arrived = stream.queue.iter().take_while(|sent| sent.has_arrived).count();
        let (account, key, count) = (stream.account, stream.key, stream.acknowledged + arrived as u32);
        self.acknowledged(session, arrived);
        self.tell(Event::Resumed { session, key, h, arrived: count });
        let Some(stream) = self.streams.get_mut(&session) else { return };
        stream.queue.iter_mut().for_each(|sent| sent.has_arrived = true);
        let again: Vec<Event> =
            stream.queue.iter().map(|sent| Event::Shown { session, showing: sent.showing }).collect();
        again.into_iter().for_each(|event| self.tell(event));
        self.deliver(account);
    }

    /// The process, or the power, is gone: what is not durable is lost, and so are the sessions.
    pub fn crash(&mut self, power: bool) {
        self.tell(Event::Crashed { power });
        self.streams.clear();
        for home in self.homes.values_mut() {
            home.mailbox.retain(|entry| entry.is_durable);
        }
    }

    /// In the end the disk is well, and a new device of every account gets what is left.
    pub fn drain(&mut self) {
        self.sync();
        for session in self.connected() {
            self.ask(session);
            self.tell(Event::Quiet { session });
        }
        let accounts: Vec<Account> = self.homes.keys().copied().collect();
        for account in accounts {
            if let Some(session) = self.begin(account, u32::MAX) {
                self.acknowledge(session, 0);
                self.end(session);
            }
            self.tell(Event::Drained { account });
        }
    }
}
