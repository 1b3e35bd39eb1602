//! The door of a shard: the calls by which the edge drives the owner of its accounts.
//!
//! No method blocks: what needs the disk or another shard goes on in [`Shard::completion`] or [`Shard::envelope`]. The edge calls
//! [`Shard::end_turn`] once after each batch of events. The calls are carried out in [`crate::owner`].

use crate::effects::letter::Envelope;
use crate::effects::login::Question;
use crate::effects::turn::command::Command;
use crate::owner::context::Context;
use crate::owner::mailbox;
use crate::owner::state::Owner;
use crate::realm::Realm;
use crate::wire::{Closed, ConnId, SessionId};
use chaski_store::{Completion, ShardIndex};
use chaski_xmpp::sm::Nonza;
use chaski_xmpp::{Husk, Kind, ParseError, Stanza};
use std::sync::Arc;

/// Timers handled in one call, so that the timers of everybody who logged in together do not hold up messages.
const TIMERS_PER_CALL: usize = 32;
/// Refusals sent in one call, for the same reason.
const REFUSALS_PER_CALL: usize = 128;

/// See the module.
pub struct Shard {
    pub(crate) owner: Owner,
}

impl Shard {
    /// An empty shard. Its metrics are registered with `registry`.
    pub fn new(index: ShardIndex, realm: Arc<Realm>, registry: &mut chaski_telemetry::Registry) -> Self {
        Self { owner: Owner::new(index, realm, registry) }
    }

    /// The edge has written `<resumed/>` on this connection: the session sends again what its client has not acknowledged, and
    /// goes on. Does nothing if the session has been resumed on yet another connection meanwhile.
    pub fn resumed(&mut self, ctx: &mut Context<'_>, session: SessionId, conn: ConnId) {
        self.owner.resumed_now(ctx, session, conn);
        self.owner.settle(ctx);
    }

    /// A top-level element of a session's stream: a stanza, an element of stream management (`<enable/>`, `<r/>`, `<a/>`), or
    /// `<active/>` and `<inactive/>` (XEP-0352). Any other element ends the session with `unsupported-stanza-type`.
    pub fn element(&mut self, ctx: &mut Context<'_>, session: SessionId, element: &Stanza<'_>) {
        match element.kind() {
            Kind::Nonza => self.owner.foreign(ctx, session, element),
            Kind::Message | Kind::Presence | Kind::Iq => self.owner.at_the_gate(ctx, session, element),
        }
        self.owner.settle(ctx);
    }

    /// A stanza of a session was not accepted: `husk` is what is left of it, and `why` the reason. It is counted and answered in
    /// its turn.
    pub fn refused(&mut self, ctx: &mut Context<'_>, session: SessionId, husk: &Husk, why: ParseError) {
        self.owner.husk_at_the_gate(ctx, session, husk, why);
        self.owner.settle(ctx);
    }

    /// An element of stream management that the edge has parsed already.
    pub fn nonza(&mut self, ctx: &mut Context<'_>, session: SessionId, nonza: &Nonza<'_>) {
        self.owner.counted(ctx, session, nonza);
        self.owner.settle(ctx);
    }

    /// The peer's TCP has acknowledged everything written to the session's connection until now. The shard asks for this call by
    /// [`crate::owner::wire::Wire::confirm`]; if it is true when the connection ends, the edge makes this call before
    /// [`Self::closed`].
    pub fn confirmed(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        if let Some((desk, account)) = self.owner.account_of(session) {
            mailbox::confirmed(desk, ctx, account, session);
            self.owner.settle(ctx);
        }
    }

    /// All bytes written to the session's connection have been sent. Called for a connection that had unsent bytes or is
    /// [paused](crate::owner::wire::Wire::pause).
    pub fn writable(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        self.owner.read_on(ctx, session);
    }

    /// The session has got a connection whose stream has this language tag (`xml:lang`), or none. Called before anything that its
    /// client sends is passed on.
    pub fn speaks(&mut self, session: SessionId, language: Option<&str>) {
        self.owner.with_session(session, |session, desk| session.speak(desk, language));
    }

    /// The session's connection is over. Not called for a connection that the shard has closed. Does nothing if the session has
    /// another connection by now, because it was resumed on that one.
    pub fn closed(&mut self, ctx: &mut Context<'_>, session: SessionId, conn: ConnId, why: Closed) {
        self.owner.over(ctx, session, conn, why);
        self.owner.settle(ctx);
    }

    /// Another shard has sent this envelope.
    pub fn envelope(&mut self, ctx: &mut Context<'_>, envelope: Envelope) {
        if envelope.to() != self.owner.desk.here {
            // The envelope is for an earlier run of this node. Whatever waited for it was part of that run, or asks again.
            return self.owner.desk.metrics.envelopes_astray_total.inc();
        }
        if envelope.stamp.is_none_or(|stamp| self.owner.is_next(&stamp, &envelope.letter)) {
            self.owner.open(ctx, envelope.letter);
        }
        self.owner.settle(ctx);
    }

    /// A command from HTTP or the admin socket. It may be called on any shard, and is passed on to the owner of the account.
    pub fn command(&mut self, ctx: &mut Context<'_>, command: Command) {
        self.owner.command_to_owner(ctx, command);
        self.owner.settle(ctx);
    }

    /// The store has finished something: one item of [`chaski_store::ShardStore::poll`].
    pub fn completion(&mut self, ctx: &mut Context<'_>, completion: Completion) {
        self.owner.completed(ctx, completion);
        self.owner.settle(ctx);
    }

    /// Handles coarse timers. Call about four times a second. `true`: more are due; call again after other work. Many timers are
    /// due together a while after many clients have logged in together.
    #[must_use]
    pub fn tick(&mut self, ctx: &mut Context<'_>) -> bool {
        for _ in 0..TIMERS_PER_CALL {
            let Some((session, timer)) = self.owner.desk.timers.next_due(ctx.now_ms) else { break };
            self.owner.timer(ctx, session, timer);
        }
        self.owner.removals_tick(ctx);
        self.owner.asked_tick(ctx);
        self.owner.desk.traces.tick(ctx.now_ms);
        self.owner.links_tick(ctx);
        let more = self.owner.books_tick(ctx) | self.owner.strangers_turn(ctx);
        self.owner.settle(ctx);
        let more = more | self.owner.tell_refused(REFUSALS_PER_CALL);
        self.owner.settle(ctx);
        more || self.owner.desk.timers.is_due(ctx.now_ms)
    }

    /// Ends a turn: hands what was collected to the store and to other shards. Call after each batch of events.
    /// `true`: there is more to be done, in a turn that begins at once.
    #[must_use]
    pub fn end_turn(&mut self, ctx: &mut Context<'_>) -> bool {
        self.owner.turn_ends(ctx)
    }

    /// A connection of this shard sends a login request to the account's owner, on whichever shard. Answered by
    /// [`crate::owner::wire::Wire::verdict`], perhaps within this call.
    pub fn login(&mut self, ctx: &mut Context<'_>, question: Question) {
        self.owner.login(ctx, question);
    }

    /// A turn begins in which every account has a new share of work. Not to be called while another shard can't keep up with what
    /// this one sends: an account that has spent its share then waits for that shard, too.
    pub fn renew_shares(&mut self) {
        self.owner.renew_shares();
    }

    /// Whether some account has spent a share that is not renewed yet.
    pub fn has_debtors(&self) -> bool {
        self.owner.has_debtors()
    }

    /// How many bytes of a session's connection are to be read now; 0: its account has had its share of this turn. Work from this
    /// call until [`Self::has_read`] is charged to that account.
    pub fn readable_bytes(&mut self, session: SessionId) -> usize {
        self.owner.readable_bytes(session)
    }

    /// Whether something is left of the share after the work done since [`Self::readable_bytes`]. Small stanzas can cost far more
    /// than their bytes say; the rest of what was received then waits for the next share.
    pub fn may_go_on(&self) -> bool {
        self.owner.may_go_on()
    }

    /// Charges the account of a session for having this many bytes read and handled.
    pub fn has_read(&mut self, session: SessionId, bytes: usize) {
        self.owner.has_read(session, bytes);
    }

    /// The shard is about to stop and gets no further tick: sends everything that waits for one.
    pub fn carry_before_stop(&mut self, ctx: &mut Context<'_>) {
        self.owner.carry_before_stop(ctx);
    }
}
