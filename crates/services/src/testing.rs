//! A stage for plays: real shards on the memory engine, with clients made of vectors. For tests only.
//!
//! ```text
//! let mut stage = Stage::new(2);
//! let romeo = stage.login(ROMEO, "orchard");
//! stage.send(romeo, "<presence/>");
//! assert_eq!(stage.received(romeo), […]);
//! ```
//! Everything runs until it is quiet after each call, unless the stage is told to hold the store back
//! ([`Stage::hold_store`]). Envelopes of different shards overtake each other at random (seeded); those from one
//! shard to another stay in order, as in the real queues. Each is written and read on its way ([`Stage::hand_letters_over`]).
//!
//! Whatever clients see is written down and judged by docs/promises.md when the stage is dropped ([`Stage::judge`]).

mod accounts;
mod disk;
mod edge;
mod judge;
mod links;
mod logins;
mod observer;
mod stages;
mod store;

use crate::effects::login::{Ask, Denied, Resumed};
use crate::effects::turn::command::{AtWork, Refusal};
use crate::owner::context::Context;
use crate::owner::dispatch;
use crate::places::{Incarnation, Places};
use crate::realm::relays::Relays;
use crate::realm::uploads::Uploads;
use crate::realm::{Limits, Realm};
use crate::shard::Shard;
use crate::wire::{Closed, ConnId, SessionId, StreamEnd};
use chaski_promises::{Cause, Event};
use chaski_store::memory::MemoryEngine;
use chaski_store::{AccountId, Completion, Engine, ShardIndex, ShardStore};
use chaski_xmpp::stream::InlineResume;
use chaski_xmpp::{Husk, Stanza};
use disk::OnDisk;
use edge::{Line, Outside, StageWire};
pub use links::Link;
use logins::granted;
pub use observer::Claim;
use observer::Observer;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::{Arc, Mutex};

/// The domain of every play.
pub const DOMAIN: &str = "chaski.example";

/// A client of the play: one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(pub ConnId);

/// See the module.
pub struct Stage {
    /// The engine, to be made to fail or to be looked into.
    pub engine: MemoryEngine,
    /// What is used instead of it, if the stage is to keep things on a disk.
    disk: Option<OnDisk>,
    /// Monotonic time.
    pub now_ms: u64,
    /// What the machine's clock, which was set meanwhile, shows beyond what has passed.
    pub shown_by_ms: i64,
    /// How short of memory it is.
    pub pressure: crate::realm::Pressure,
    realm: Arc<Realm>,
    /// How often it was started.
    runs: u64,
    shards: Vec<Shard>,
    stores: Vec<Box<dyn ShardStore>>,
    outside: Outside,
    observer: Observer,
    rng: StdRng,
    next_conn: u64,
    /// Letters are written and read on their way, as between processes.
    encodes: bool,
    store_held: bool,
    /// Completions that the store had ready when the stage was told to set them apart.
    apart: Vec<(u16, Completion)>,
}

impl Stage {
    fn made(
        engine: MemoryEngine,
        limits: Limits,
        shards: u16,
        (admins, relays, uploads): (&[&str], Relays, Option<Box<Uploads>>),
    ) -> Self {
        let admins = admins.iter().map(|admin| format!("{admin}@{DOMAIN}").into_boxed_str()).collect();
        let realm = Arc::new(Realm {
            domain: DOMAIN.into(),
            places: Places::of_one_process(Incarnation(1), shards),
            secrets: engine.secrets(),
            admins,
            limits,
            knobs: dispatch::knobs(),
            relays,
            uploads,
            started_unix_ms: 1_000_000,
            version: "0.0.0",
        });
        let observer = Observer::new(&realm.limits);
        let mut stage = Self {
            engine,
            disk: None,
            now_ms: 1_000_000,
            shown_by_ms: 0,
            pressure: crate::realm::Pressure::None,
            realm,
            runs: 0,
            shards: Vec::new(),
            stores: Vec::new(),
            outside: Outside::default(),
            observer,
            rng: StdRng::seed_from_u64(7),
            next_conn: 0,
            encodes: true,
            store_held: false,
            apart: Vec::new(),
        };
        stage.start();
        stage
    }

    /// An empty server with some of its knobs turned.
    pub fn turned(shards: u16, knobs: &[(&str, u64)]) -> Self {
        let stage = Self::new(shards);
        knobs.iter().for_each(|(name, value)| stage.turn(name, *value));
        stage
    }

    /// Turns a knob.
    pub fn turn(&self, name: &str, value: u64) {
        self.realm.knobs.turn(name, value).expect("a knob");
    }

    /// Everything in memory is gone, and the server starts again on what the store holds.
    pub fn crash(&mut self) {
        self.observer.now_ms = self.now_ms;
        self.observer.crashed();
        self.start();
    }

    /// The same, and what was on its way between shards arrives after it.
    pub fn crash_with_envelopes_under_way(&mut self) {
        let under_way = std::mem::take(&mut self.outside.envelopes);
        self.crash();
        self.outside.envelopes = under_way;
    }

    /// Envelopes that were for an earlier run, of all shards.
    pub fn envelopes_astray(&self) -> u64 {
        self.shards.iter().map(|shard| shard.owner.desk.metrics.envelopes_astray_total.get()).sum()
    }

    fn start(&mut self) {
        let shards = self.realm.shards();
        self.outside = Outside::default();
        let left = self.disk.as_mut().map(OnDisk::cut);
        self.stores.clear();
        self.shards.clear();
        if let (Some(disk), Some(left)) = (&mut self.disk, left) {
            disk.open_on(left);
        }
        self.runs += 1;
        if let Some(realm) = Arc::get_mut(&mut self.realm) {
            realm.places = Places::of_one_process(Incarnation(self.runs), shards);
            realm.secrets = self.engine.secrets();
        }
        for index in 0..shards {
            let waker: chaski_store::Waker = Arc::new(|| {});
            self.stores.push(match &mut self.disk {
                Some(disk) => disk.attach(ShardIndex(index), shards),
                None => self.engine.attach(ShardIndex(index), shards, waker),
            });
            let mut registry = chaski_telemetry::Registry::default();
            self.shards.push(Shard::new(ShardIndex(index), self.realm.clone(), &mut registry));
        }
    }

    /// One call of a shard's rooms, as the edge makes it, and nothing after it.
    pub fn call<T>(&mut self, shard: u16, call: impl FnOnce(&mut Shard, &mut Context<'_>) -> T) -> T {
        let index = usize::from(shard);
        self.observer.now_ms = self.now_ms;
        let (outside, observer) = (&mut self.outside, &mut self.observer);
        let mut wire = StageWire { shard, encodes: self.encodes, outside, observer };
        let mut ctx = Context {
            now_ms: self.now_ms,
            unix_ms: 1_700_000_000_000 + self.now_ms,
            shown_by_ms: self.shown_by_ms,
            pressure: self.pressure,
            rng: &mut self.rng,
            store: &mut *self.stores[index],
            wire: &mut wire,
            at_work: AtWork::new(),
        };
        let done = call(&mut self.shards[index], &mut ctx);
        self.observer.take_answers();
        done
    }

    /// Runs until nothing moves: turns end, stores complete (unless held), envelopes arrive.
    pub fn settle(&mut self) {
        loop {
            let mut moved = false;
            for shard in 0..self.realm.shards() {
                moved |= self.call(shard, |room, ctx| room.end_turn(ctx));
                moved |= !self.store_held && self.complete(shard);
            }
            moved |= self.deliver_envelope() || self.read_on();
            if !moved && (self.store_held || !self.step_disk()) {
                return;
            }
        }
    }

    /// A turn of one shard ends, and what its store has completed comes in. Whether there is more to do.
    pub fn end_turn(&mut self, shard: u16) -> bool {
        let more = self.call(shard, |room, ctx| room.end_turn(ctx));
        self.complete(shard) || more
    }

    /// A connection that was paused, and is read again or has nothing unsent, goes on.
    fn read_on(&mut self) -> bool {
        let goes_on = |line: &Line| match line.paused {
            true => line.unsent_bytes == 0 && line.session.is_some() && !line.is_told,
            false => !line.unread.is_empty(),
        };
        let Some(line) = self.outside.lines.values_mut().find(|line| goes_on(line)) else { return false };
        let (shard, session) = (line.shard, line.session);
        if line.paused {
            line.is_told = true;
            if let Some(session) = session {
                self.call(shard, |room, ctx| room.writable(ctx, session));
            }
        } else if let (Some(element), Some(session)) = (line.unread.pop_front(), session) {
            let stanza = Stanza::parse(element.as_bytes()).expect("it was parsed before");
            self.observe_sent(shard, session, &stanza);
            self.call(shard, |room, ctx| room.element(ctx, session, &stanza));
        }
        true
    }

    /// Lets in what a shard's store has completed, held or not, and ends no turn. Whether there was anything.
    pub fn complete(&mut self, shard: u16) -> bool {
        let mut completions = Vec::new();
        self.stores[usize::from(shard)].poll(&mut completions);
        let any = !completions.is_empty();
        for completion in completions {
            self.call(shard, |room, ctx| room.completion(ctx, completion));
        }
        any
    }

    /// From now on letters are handed over as they are, as within one process, instead of being written and read.
    pub fn hand_letters_over(&mut self) {
        self.encodes = false;
    }

    /// A client sends what the edge does not accept.
    pub fn send_bad(&mut self, client: Client, stanza: &str) {
        let why = Stanza::parse(stanza.as_bytes()).expect_err("it is accepted");
        let husk = Husk::of_whole(stanza.as_bytes()).expect("a stanza whose end can be found");
        let line = self.outside.lines.get(&client.0).map(|line| (line.shard, line.session));
        if let Some((shard, Some(session))) = line {
            let named = self.observer.session(shard, session);
            self.observer.see(Event::Sent { session: named, letter: None });
            self.call(shard, |room, ctx| room.refused(ctx, session, &husk, why));
            self.settle();
        }
    }

    /// The client's stream is in this language.
    pub fn speak(&mut self, client: Client, language: Option<&str>) {
        let line = self.line(client);
        let (shard, session) = (line.shard, line.session.expect("the client is bound"));
        self.call(shard, |room, _| room.speaks(session, language));
    }

    /// The session of a client that has one.
    pub fn session(&mut self, client: Client) -> Option<SessionId> {
        self.line(client).session
    }

    /// How many bytes wait for room in a shard.
    pub fn late_bytes(&self, shard: u16) -> i64 {
        self.shards[usize::from(shard)].owner.desk.metrics.late_bytes.get()
    }

    /// Lets time pass, second by second.
    pub fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            let passes_ms = (end_ms - self.now_ms).min(1_000);
            self.now_ms += passes_ms;
            if let Some(disk) = &self.disk {
                disk.pass(passes_ms);
            }
            for shard in 0..self.realm.shards() {
                while self.call(shard, |room, ctx| room.tick(ctx)) {}
            }
            self.settle();
        }
    }

    /// The shard that owns an account.
    pub fn owner(&self, local: &str) -> u16 {
        account(local).shard(self.realm.shards()).0
    }

    /// A connection that is not bound yet, on the shard of its account.
    pub fn connect(&mut self, local: &str) -> Client {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        let shard = self.owner(local);
        self.outside.lines.insert(conn, Line { shard, ..Line::default() });
        Client(conn)
    }

    /// Connects and binds with the first key; the account is made if there is none.
    pub fn login(&mut self, local: &str, resource: &str) -> Client {
        if self.credentials(0, local).expect("the store answers").is_none() {
            self.set_account(local, 1).expect("the account can be made");
        }
        let client = self.connect(local);
        let bound = self.bind(client, local, 1, Some(resource)).expect("bind succeeds");
        assert_eq!(bound.full_jid, format!("{local}@{DOMAIN}/{resource}"));
        client
    }

    /// Logs in, with stream management and initial presence. Gives the id for resumption as well.
    pub fn arrive(&mut self, local: &str, resource: &str) -> (Client, String) {
        let client = self.login(local, resource);
        self.send(client, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        let enabled = self.received(client).pop().expect("enable is answered");
        let stanza = Stanza::parse(enabled.as_bytes()).expect("it is well-formed");
        let id = stanza.attr("id").expect("resumption was asked for").into_owned();
        self.send(client, "<presence/>");
        (client, id)
    }

    /// Resumes on a new connection and, if that succeeds, gets what was not acknowledged.
    pub fn resume(&mut self, local: &str, previd: &str, h: u32) -> (Client, Result<Resumed, Denied>) {
        self.resume_as(local, 1, previd, h)
    }

    /// The same, with a key of this generation.
    pub fn resume_as(
        &mut self,
        local: &str,
        generation: u32,
        previd: &str,
        h: u32,
    ) -> (Client, Result<Resumed, Denied>) {
        let client = self.ask_to_resume(local, generation, previd, h);
        if self.line(client).verdict.is_none() {
            // Its account has to be loaded first.
            self.hold_store(false);
        }
        let result = self.awaited(client).expect("resume is answered").map(granted!(Resumed));
        if result.is_ok() {
            self.finish_resume(client);
        } else {
            self.observe_refusal((local, generation), previd, h);
        }
        (client, result)
    }

    /// Asks for a resumption; the edge has not yet told the client of its success.
    pub fn begin_resume(&mut self, local: &str, previd: &str, h: u32) -> Client {
        self.ask_to_resume(local, 1, previd, h)
    }

    fn ask_to_resume(&mut self, local: &str, generation: u32, previd: &str, h: u32) -> Client {
        let client = self.connect(local);
        let line = self.line(client);
        (line.key, line.claim) = (generation, Some((previd.to_owned(), h)));
        self.ask(
            client,
            (local, Some(generation)),
            Ask::Resume(InlineResume { previd: previd.to_owned(), h }),
        );
        let line = self.line(client);
        (line.counted, line.acknowledged) = (h, h);
        client
    }

    /// The edge has told the client.
    pub fn finish_resume(&mut self, client: Client) {
        let line = self.line(client);
        if let (shard, Some(session)) = (line.shard, line.session) {
            self.call(shard, |room, ctx| room.resumed(ctx, session, client.0));
            self.settle();
        }
    }

    /// The client sends an element.
    pub fn send(&mut self, client: Client, element: &str) {
        self.begin_send(client, element);
        self.settle();
    }

    /// The same, and the turn in which it comes is not over.
    pub fn begin_send(&mut self, client: Client, element: &str) {
        let stanza =
            Stanza::parse(element.as_bytes()).expect("a client of a play sends well-formed elements");
        let line = self.line(client);
        let (shard, session) = (line.shard, line.session.expect("the client is bound"));
        if line.paused || !line.unread.is_empty() {
            line.unread.push_back(element.to_owned());
            return;
        }
        self.observe_sent(shard, session, &stanza);
        self.call(shard, |room, ctx| room.element(ctx, session, &stanza));
    }

    /// Takes what the client has received since the last time.
    pub fn received(&mut self, client: Client) -> Vec<String> {
        std::mem::take(&mut self.line(client).received)
    }

    /// Takes what it has received, without elements of stream management.
    pub fn stanzas(&mut self, client: Client) -> Vec<String> {
        let mut received = self.received(client);
        received.retain(|element| !element.contains("urn:xmpp:sm:3"));
        received
    }

    /// How many stanzas the client has received, as it counts them.
    pub fn counted(&mut self, client: Client) -> u32 {
        self.line(client).counted
    }

    /// The client acknowledges all stanzas but the last `but`.
    pub fn acknowledge(&mut self, client: Client, but: u32) {
        let h = self.counted(client) - but;
        self.send(client, &format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
    }

    /// The client acknowledges all stanzas but the last `but`, unless it has acknowledged more before.
    pub fn acknowledge_at_most(&mut self, client: Client, but: u32) {
        let h = (self.counted(client) - but).max(self.line(client).acknowledged);
        self.line(client).acknowledged = h;
        self.send(client, &format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
    }

    /// The highest count that the client has acknowledged by [`Self::acknowledge_at_most`] or by resuming.
    pub fn acknowledged(&mut self, client: Client) -> u32 {
        self.line(client).acknowledged
    }

    /// How the server closed the client's stream, if it has.
    pub fn closed_with(&mut self, client: Client) -> Option<Option<StreamEnd>> {
        self.line(client).closed.clone()
    }

    /// The client's connection is over.
    pub fn lose(&mut self, client: Client, why: Closed) {
        self.lose_unread(client, why, 0);
    }

    /// The client's connection is over, and the last so many stanzas that were written to it have not arrived.
    pub fn lose_unread(&mut self, client: Client, why: Closed, missing: u32) {
        let line = self.line(client);
        let (shard, session) = (line.shard, line.session.take());
        line.closed.get_or_insert(None);
        if let Some(session) = session {
            let named = self.observer.session(shard, session);
            self.observer.now_ms = self.now_ms;
            match why {
                Closed::Lost => self.observer.lost(named, missing),
                Closed::Clean => {
                    self.observer.lost(named, missing);
                    self.observer.see(Event::Ended { session: named, cause: Some(Cause::Client) });
                }
            }
            self.call(shard, |room, ctx| room.closed(ctx, session, client.0, why));
        }
        self.settle();
    }

    /// The client's TCP confirms everything, if it was asked to. Whether it was.
    pub fn confirm(&mut self, client: Client) -> bool {
        let line = self.line(client);
        let asked = std::mem::take(&mut line.wants_confirmation);
        if let (true, shard, Some(session)) = (asked, line.shard, line.session) {
            let named = self.observer.session(shard, session);
            self.observer.confirmed(named);
            self.call(shard, |room, ctx| room.confirmed(ctx, session));
            self.settle();
        }
        asked
    }

    /// Sets how many bytes the client has not taken; at 0 its connection becomes writable.
    pub fn set_unsent_bytes(&mut self, client: Client, bytes: usize) {
        let line = self.line(client);
        line.unsent_bytes = bytes;
        if let (0, shard, Some(session)) = (bytes, line.shard, line.session) {
            self.call(shard, |room, ctx| room.writable(ctx, session));
            self.settle();
        }
    }

    /// How many messages wait in an account's mailbox.
    pub fn waiting(&self, local: &str) -> u64 {
        let owner = usize::from(self.owner(local));
        self.stores[owner].usage(account(local)).messages
    }

    /// How many accounts are in a shard's memory.
    pub fn resident(&self, shard: u16) -> usize {
        self.shards[usize::from(shard)].owner.directory.levels().0
    }

    /// Whether an account is in memory.
    pub fn is_resident(&self, id: AccountId) -> bool {
        let owner = usize::from(id.shard(self.realm.shards()).0);
        self.shards[owner].owner.directory.ids().any(|resident| resident == id)
    }

    /// How many accounts a shard is loading.
    pub fn loading(&self, shard: u16) -> usize {
        self.shards[usize::from(shard)].owner.directory.levels().1
    }

    /// How much a shard has refused because too much waited for records.
    pub fn loads_refused(&self, shard: u16) -> u64 {
        self.shards[usize::from(shard)].owner.desk.metrics.loads_refused_total.get()
    }

    /// How many timers a shard has set.
    pub fn timers(&self, shard: u16) -> usize {
        self.shards[usize::from(shard)].owner.desk.timers.len()
    }

    /// How many bytes a shard holds back for inactive clients.
    pub fn held_bytes(&self, shard: u16) -> i64 {
        self.shards[usize::from(shard)].owner.desk.metrics.held_bytes.get()
    }

    fn line(&mut self, client: Client) -> &mut Line {
        self.outside.lines.entry(client.0).or_default()
    }
}

/// The answer to a request, once there is one.
pub type Pending<T> = Arc<Mutex<Option<Result<T, Refusal>>>>;

/// The account of a local part.
pub fn account(local: &str) -> AccountId {
    AccountId::from_local(local).expect("a name of a play is valid")
}
