//! A shard: the rooms of the accounts that one thread owns, and the calls by which the edge drives them.
//!
//! Every method is one turn: it never blocks, and what needs the disk or another shard goes on in
//! [`Shard::completion`] or [`Shard::envelope`]. The edge calls [`Shard::end_turn`] once after each batch of events.
//! Here is only the door to each room: logins in [`login`], [`admission`] and [`tokens`], ends in [`ending`], what waits for room in [`gate`], commands in
//! [`control`], [`new_key`] and [`asked`], records in [`resident`], stanzas in [`crate::router`], acknowledgements in [`crate::mailbox`].

mod admission;
mod asked;
mod books;
mod control;
mod dump;
mod ending;
mod errands;
mod gate;
mod index;
mod login;
mod moving;
mod new_key;
mod removal;
mod resident;
mod rooms;
pub(crate) mod rosters;
mod shares;
mod tidings;
pub(crate) mod tokens;

use crate::budget;
use crate::command::{Command, Reply};
use crate::context::{Context, Realm};
use crate::desk::{Desk, RoomMetrics};
use crate::directory::{Account, Bounds, Directory, Work};
use crate::mailbox;
use crate::places::Place;
use crate::router::{Class, Envelope, Letter, Stamp};
use crate::session::Session;
use crate::ticket::{Purpose, Stay};
use crate::wire::{Closed, ConnId, SessionId};
use books::Books;
use chaski_store::{AccountId, Completion, ShardIndex};
use chaski_xmpp::sm::Nonza;
use chaski_xmpp::{Husk, Kind, ParseError, Stanza, ns};
use control::Pending;
use removal::Removals;
pub(crate) use resident::TABLES;
use slab::Slab;
use std::collections::VecDeque;
use std::sync::Arc;

/// Timers dealt with in one call, so that those of everybody who logged in together do not hold up the messages.
const TIMERS_PER_CALL: usize = 32;
/// Refusals told in one call, likewise.
const REFUSALS_PER_CALL: usize = 128;

/// See the module.
pub struct Shard {
    pub(crate) desk: Desk,
    pub(crate) directory: Directory,
    pub(crate) books: Books,
    /// Commands that wait for the store.
    commands: Slab<Pending>,
    removals: Removals,
    /// What the index of media was asked.
    asked_of_index: Slab<index::Asked>,
    /// Who waits until notices of new keys are durable.
    notices: Slab<Reply<()>>,
    /// Who waits for answers from other places.
    asked: asked::AskedOfOthers,
    /// Accounts removed lately, with the generation of their last key.
    removed: VecDeque<(AccountId, u32)>,
    /// Where the sender's full JID is written. Empty between uses.
    pub(crate) from: String,
}

impl Shard {
    /// An empty shard. Its metrics are registered with `registry`.
    pub fn new(index: ShardIndex, realm: Arc<Realm>, registry: &mut chaski_telemetry::Registry) -> Self {
        let metrics = Arc::new(RoomMetrics::default());
        registry.register(metrics.clone());
        let books = Books::new();
        registry.register(books.metrics.clone());
        Self {
            directory: Directory::new(Bounds::of(&realm.limits), &realm.secret),
            desk: Desk::new(index, realm, metrics),
            books,
            commands: Slab::new(),
            removals: Removals::default(),
            asked_of_index: Slab::new(),
            notices: Slab::new(),
            asked: asked::AskedOfOthers::default(),
            removed: VecDeque::new(),
            from: String::new(),
        }
    }

    /// `<resumed/>` is written on this connection: sends again what the client has not acknowledged, then goes on. Does
    /// nothing if the session has been resumed on yet another one meanwhile.
    pub fn resumed(&mut self, ctx: &mut Context<'_>, session: SessionId, conn: ConnId) {
        self.resumed_now(ctx, session, conn);
        self.settle(ctx);
    }

    /// A top-level element of a session: a stanza, `<enable/>`, `<r/>`, `<a/>` of stream management, `<active/>` and
    /// `<inactive/>` (XEP-0352). Anything else ends the session with `unsupported-stanza-type`.
    pub fn element(&mut self, ctx: &mut Context<'_>, session: SessionId, element: &Stanza<'_>) {
        match element.kind() {
            Kind::Nonza => self.foreign(ctx, session, element),
            Kind::Message | Kind::Presence | Kind::Iq => self.at_the_gate(ctx, session, element),
        }
        self.settle(ctx);
    }

    /// A stanza of a session that is not accepted, and why; what is left of it. Counted and answered in its turn.
    pub fn refused(&mut self, ctx: &mut Context<'_>, session: SessionId, husk: &Husk, why: ParseError) {
        self.husk_at_the_gate(ctx, session, husk, why);
        self.settle(ctx);
    }

    /// The same of stream management, for an edge that has read it already.
    pub fn nonza(&mut self, ctx: &mut Context<'_>, session: SessionId, nonza: &Nonza<'_>) {
        self.counted(ctx, session, nonza);
        self.settle(ctx);
    }

    fn counted(&mut self, ctx: &mut Context<'_>, id: SessionId, nonza: &Nonza<'_>) {
        self.said_beside(ctx, id, |desk, ctx, account| {
            if let Nonza::Ack { h } = *nonza {
                return mailbox::acknowledged(desk, ctx, account, id, h);
            }
            let Some(session) = account.session_mut(id) else { return };
            match *nonza {
                Nonza::Request => session.requested(desk, ctx),
                Nonza::Enable { resume, max } => session.enable(desk, ctx, resume, max),
                Nonza::Resume { .. } => session.resume_refused(desk, ctx),
                Nonza::Ack { .. } | Nonza::Enabled { .. } | Nonza::Resumed { .. } | Nonza::Failed { .. } => {
                    session.unexpected(desk)
                }
            }
        });
    }

    /// An element that is no stanza.
    fn foreign(&mut self, ctx: &mut Context<'_>, id: SessionId, element: &Stanza<'_>) {
        let read = Nonza::parse(&element.root());
        if let Some(Ok(nonza)) = read {
            return self.counted(ctx, id, &nonza);
        }
        self.said_beside(ctx, id, |desk, ctx, account| {
            let Some(session) = account.session_mut(id) else { return };
            match read {
                Some(_) => session.unexpected(desk),
                None if element.is("active", ns::CSI) => session.set_inactive(desk, ctx, false),
                None if element.is("inactive", ns::CSI) => session.set_inactive(desk, ctx, true),
                None => session.foreign(desk),
            }
        });
    }

    /// A session says something that is no stanza. Who reads for weeks and writes nothing else must not be taken for gone: the number
    /// would count as silent.
    fn said_beside(
        &mut self,
        ctx: &mut Context<'_>,
        id: SessionId,
        act: impl FnOnce(&mut Desk, &mut Context<'_>, &mut Account),
    ) {
        self.desk.spend(budget::WRITTEN);
        let Some((desk, account)) = self.account_of(id) else { return };
        let (owner, is_news) = (account.id, account.record.is_seen_due(ctx.unix_ms));
        act(desk, ctx, account);
        if is_news {
            self.note_activity(ctx, owner);
        }
    }

    /// Everything written to the session's connection until now has been acknowledged by the peer's TCP. Asked for by
    /// [`crate::wire::Wire::confirm`]; if it is true when the connection ends, the edge says so before [`Self::closed`].
    pub fn confirmed(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        if let Some((desk, account)) = self.account_of(session) {
            mailbox::confirmed(desk, ctx, account, session);
            self.settle(ctx);
        }
    }

    /// The session's connection, which had unsent bytes or is [paused](crate::wire::Wire::pause), has none unsent now.
    pub fn writable(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        self.with_session(session, |session, desk| session.ease(desk));
        if let Some((desk, account)) = self.account_of(session) {
            mailbox::read_on(desk, ctx, account, session);
            self.settle(ctx);
        }
    }

    /// The session has got a connection whose stream is in this language (a tag), or names none. Called before anything that
    /// its client says.
    pub fn speaks(&mut self, session: SessionId, language: Option<&str>) {
        self.with_session(session, |session, desk| session.speak(desk, language));
    }

    /// The session's connection is over. Not called for a connection that the rooms closed. Does nothing if the session
    /// has another by now: it was resumed away from this one.
    pub fn closed(&mut self, ctx: &mut Context<'_>, session: SessionId, conn: ConnId, why: Closed) {
        self.over(ctx, session, conn, why);
        self.settle(ctx);
    }

    /// Another shard has sent this.
    pub fn envelope(&mut self, ctx: &mut Context<'_>, envelope: Envelope) {
        if envelope.to() != self.desk.here {
            // For an earlier run of this node: whoever waits for it was in that one, or asks again.
            return self.desk.metrics.envelopes_astray_total.inc();
        }
        if envelope.stamp.is_none_or(|stamp| self.is_next(&stamp, &envelope.letter)) {
            self.open(ctx, envelope.letter);
        }
        self.settle(ctx);
    }

    fn open(&mut self, ctx: &mut Context<'_>, letter: Letter) {
        match letter {
            Letter::Parcel(parcel) => self.arrive(ctx, *parcel),
            Letter::Tell(tell) => self.told(ctx, *tell),
            Letter::Probes(probes) => self.probed(ctx, &probes),
            Letter::Settled(origins) => self.release(ctx, &origins),
            Letter::Login(question) => self.with_account(ctx, question.account, Work::Login(*question)),
            Letter::Verdict { conn, number, verdict } => ctx.wire.verdict(conn, number, *verdict),
            Letter::Tiding(tiding) => self.with_account(ctx, tiding.to(), Work::Tiding(tiding)),
            Letter::Look(hints) => self.look_all(ctx, hints),
            Letter::LookAtAll => self.look_at_all(),
            Letter::Asked(asked) => self.asked(ctx, *asked),
            Letter::Answer { number, outcome } => self.answered(ctx, number, *outcome),
            Letter::Seen | Letter::Tally(_) | Letter::Gone => {}
        }
    }

    /// Something to be done for the HTTP side or the admin socket, on any shard (it is passed on to the owner).
    pub fn command(&mut self, ctx: &mut Context<'_>, command: Command) {
        self.command_to_owner(ctx, command);
        self.settle(ctx);
    }

    /// The store has finished something: one item of [`chaski_store::ShardStore::poll`].
    pub fn completion(&mut self, ctx: &mut Context<'_>, completion: Completion) {
        match completion {
            Completion::Committed(ticket) => match Purpose::of(ticket) {
                Some(Purpose::Message(key)) => self.committed(ctx, key),
                Some(Purpose::Notice(key)) => self.noticed(ctx, key, Ok(())),
                _ => {}
            },
            Completion::Refused(ticket, error) => match Purpose::of(ticket) {
                Some(Purpose::Message(key)) => self.not_committed(key, &error),
                Some(Purpose::Notice(key)) => self.noticed(ctx, key, Err(error)),
                _ => {}
            },
            Completion::Gap(account) => {
                if let Some(account) = self.directory.present(account) {
                    mailbox::inherit(&mut self.desk, ctx, account);
                }
            }
            Completion::Read { ticket, result } => {
                if let Some(Purpose::Read(id)) = Purpose::of(ticket)
                    && let Some((desk, account)) = self.account_of(id)
                {
                    mailbox::read_done(desk, ctx, account, id, result);
                }
            }
            Completion::Loaded { ticket, result, book } => match Purpose::of(ticket) {
                Some(Purpose::Load(id, load)) => self.loaded(ctx, (id, load), result, &book),
                Some(Purpose::Errand(id, stay)) if self.is_still(id, stay) => {
                    self.errand_read(ctx, id, result);
                }
                Some(Purpose::Refusal(id)) => self.refuse_after_all(ctx, id, result.is_ok()),
                _ => {}
            },
            Completion::Book { ticket, result } => match Purpose::of(ticket) {
                Some(Purpose::Book(key)) => self.book_answered(ctx, key, result),
                Some(Purpose::Holders) => self.holders_found(ctx, result),
                _ => {}
            },
            Completion::Media { ticket, result } => {
                if let Some(Purpose::Index(key)) = Purpose::of(ticket) {
                    self.index_answered(ctx, key, result);
                }
            }
            Completion::Purged { ticket, result } => {
                if let Some(Purpose::Purge(id)) = Purpose::of(ticket) {
                    self.purged(ctx, id, result);
                }
            }
            Completion::Leftovers { result, .. } => self.leftovers_found(ctx, result),
            Completion::Saved { ticket, result } => match Purpose::of(ticket) {
                Some(Purpose::Roster(id, stay)) if self.is_still(id, stay) => {
                    self.roster_saved(ctx, id, result);
                }
                Some(Purpose::Record(id, stay)) => self.record_saved(ctx, (id, stay), result),
                Some(Purpose::Command(key)) => self.command_saved(ctx, key, result),
                Some(Purpose::Errand(id, stay)) if self.is_still(id, stay) => {
                    self.errand_written(ctx, id, result.map(drop));
                }
                Some(Purpose::Mark(id)) => self.marked(ctx, id, result),
                _ => {}
            },
        }
        self.settle(ctx);
    }

    /// Coarse timers. Call about four times a second. `true`: more are due, call again after what else there is to do. Many are
    /// due together a while after many have logged in together.
    #[must_use]
    pub fn tick(&mut self, ctx: &mut Context<'_>) -> bool {
        for _ in 0..TIMERS_PER_CALL {
            let Some((session, timer)) = self.desk.timers.next_due(ctx.now_ms) else { break };
            self.timer(ctx, session, timer);
        }
        self.removals_tick(ctx);
        self.asked_tick(ctx);
        self.desk.traces.tick(ctx.now_ms);
        self.links_tick(ctx);
        let more = self.books_tick(ctx) | self.strangers_turn(ctx);
        self.settle(ctx);
        let more = more | self.tell_refused(REFUSALS_PER_CALL);
        self.settle(ctx);
        more || self.desk.timers.is_due(ctx.now_ms)
    }

    /// Ends a turn: hands what was collected to the store and to other shards. Call after each batch of events.
    /// `true`: there is more to be done, in a turn that begins at once.
    #[must_use]
    pub fn end_turn(&mut self, ctx: &mut Context<'_>) -> bool {
        self.settle(ctx);
        let is_more_told = self.lines_turn(ctx);
        self.settle(ctx);
        if !self.desk.turned.is_empty() {
            let mut turned = std::mem::take(&mut self.desk.turned);
            for session in turned.drain(..) {
                self.with_session(session, |session, desk| session.turn_ends(desk, ctx));
            }
            self.desk.turned = turned;
        }
        self.desk.outgoing.flush(ctx);
        ctx.store.flush();
        let metrics = &self.desk.metrics;
        metrics.envelopes_waiting.set(self.desk.outgoing.waiting() as i64);
        metrics.messages_in_flight.set(self.desk.in_flight.len() as i64);
        let (resident, loading) = self.directory.levels();
        metrics.accounts_resident.set(resident as i64);
        metrics.accounts_loading.set(loading as i64);
        let (parked, parked_bytes) = self.directory.room.level();
        metrics.parked.set(parked as i64);
        metrics.parked_bytes.set(parked_bytes as i64);
        metrics.loads_waiting.set(self.directory.waiting() as i64);
        self.charge_owed();
        self.tidings_turn() || is_more_told
    }

    fn with_session(&mut self, id: SessionId, call: impl FnOnce(&mut Session, &mut Desk)) {
        if let Some((desk, account)) = self.account_of(id)
            && let Some(session) = account.session_mut(id)
        {
            call(session, desk);
        }
    }

    /// Carries out what the call has collected: stanzas on their way, sessions to be ended, acceptances.
    pub(crate) fn settle(&mut self, ctx: &mut Context<'_>) {
        if self.desk.has_collected() {
            self.settle_all(ctx);
        }
    }

    #[inline(never)] // Most calls leave nothing, and would pay for the room that this needs.
    fn settle_all(&mut self, ctx: &mut Context<'_>) {
        loop {
            if let Some(parcel) = self.desk.parcels.pop_front() {
                self.forward(ctx, parcel);
            } else if let Some(tiding) = self.next_tiding() {
                self.send_tiding(ctx, tiding);
            } else if !self.desk.doomed.is_empty() {
                self.end_doomed(ctx);
            } else if let Some(session) = self.desk.eased.pop() {
                self.let_through(ctx, session);
            } else {
                break;
            }
        }
        let here = usize::from(self.desk.index.0);
        let own = self.desk.outgoing.take_own(here);
        self.release(ctx, &own);
        self.desk.outgoing.return_own(here, own);
    }

    /// Messages of our sessions are settled.
    fn release(&mut self, ctx: &Context<'_>, origins: &[crate::router::Origin]) {
        for origin in origins {
            if let Some((desk, account)) = self.account_of(origin.session) {
                desk.trace(ctx, account.id, || {
                    format!("accepted or refused: a message of session {}", origin.session.0)
                });
                if let Some(session) = account.session_mut(origin.session) {
                    session.release(desk, origin.index);
                }
            }
        }
    }

    /// Whether an account is the one for which something was asked of the store.
    fn is_still(&mut self, id: AccountId, stay: Stay) -> bool {
        self.directory.still(id, stay).is_some()
    }

    /// The account of a session, with the desk.
    pub(crate) fn account_of(&mut self, session: SessionId) -> Option<(&mut Desk, &mut Account)> {
        let account = self.directory.account_of(session)?;
        Some((&mut self.desk, self.directory.present(account)?))
    }

    /// Whether what has come over a link is the next there, and not one that has come before or behind one that is lost.
    fn is_next(&mut self, stamp: &Stamp, letter: &Letter) -> bool {
        let Some(number) = self.desk.realm.places.number_of(stamp.from()) else {
            // Of an earlier run of another node.
            self.desk.metrics.envelopes_astray_total.inc();
            return false;
        };
        let came = self.desk.outgoing.came(number, stamp, letter);
        self.desk.metrics.envelopes_sent_again_total.add(came.again as u64);
        if !came.is_next && !matches!(letter, Letter::Seen | Letter::Tally(_)) {
            self.desk.metrics.envelopes_repeated_total.inc();
        }
        came.is_next
    }

    fn links_tick(&mut self, ctx: &mut Context<'_>) {
        self.desk.outgoing.tick(ctx);
        let (metrics, level) = (&self.desk.metrics, self.desk.outgoing.level());
        metrics.envelopes_kept.set(level.kept as i64);
        metrics.envelopes_kept_bytes.set(level.bytes as i64);
        metrics.places_silent.set(level.silent as i64);
    }

    /// Sends to another place what somebody waits for.
    pub(crate) fn reliably(&mut self, ctx: &mut Context<'_>, to: Place, letter: Letter) {
        if !self.hand_on(ctx, to, letter, Class::Awaited) {
            self.desk.metrics.envelopes_lost_total.inc();
        }
    }

    /// Sends something to another place. False: there is no room for one of its class, which the caller makes good. For a run that is
    /// over there is nothing to be lost.
    pub(crate) fn hand_on(&mut self, ctx: &mut Context<'_>, to: Place, letter: Letter, class: Class) -> bool {
        let Some(number) = self.desk.realm.places.number_of(to) else { return true };
        self.desk.outgoing.post(ctx, number, letter, class).is_ok()
    }
}
