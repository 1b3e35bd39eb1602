//! The door of a shard: the calls by which the edge drives the owner of its accounts.
//!
//! Every method is one turn: it never blocks, and what needs the disk or another shard goes on in
//! [`Shard::completion`] or [`Shard::envelope`]. The edge calls [`Shard::end_turn`] once after each batch of events.
//! What is done with it all is in [`crate::owner`].

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

/// Timers dealt with in one call, so that those of everybody who logged in together do not hold up the messages.
const TIMERS_PER_CALL: usize = 32;
/// Refusals told in one call, likewise.
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

    /// `<resumed/>` is written on this connection: sends again what the client has not acknowledged, then goes on. Does
    /// nothing if the session has been resumed on yet another one meanwhile.
    pub fn resumed(&mut self, ctx: &mut Context<'_>, session: SessionId, conn: ConnId) {
        self.owner.resumed_now(ctx, session, conn);
        self.owner.settle(ctx);
    }

    /// A top-level element of a session: a stanza, `<enable/>`, `<r/>`, `<a/>` of stream management, `<active/>` and
    /// `<inactive/>` (XEP-0352). Anything else ends the session with `unsupported-stanza-type`.
    pub fn element(&mut self, ctx: &mut Context<'_>, session: SessionId, element: &Stanza<'_>) {
        match element.kind() {
            Kind::Nonza => self.owner.foreign(ctx, session, element),
            Kind::Message | Kind::Presence | Kind::Iq => self.owner.at_the_gate(ctx, session, element),
        }
        self.owner.settle(ctx);
    }

    /// A stanza of a session that is not accepted, and why; what is left of it. Counted and answered in its turn.
    pub fn refused(&mut self, ctx: &mut Context<'_>, session: SessionId, husk: &Husk, why: ParseError) {
        self.owner.husk_at_the_gate(ctx, session, husk, why);
        self.owner.settle(ctx);
    }

    /// The same of stream management, for an edge that has read it already.
    pub fn nonza(&mut self, ctx: &mut Context<'_>, session: SessionId, nonza: &Nonza<'_>) {
        self.owner.counted(ctx, session, nonza);
        self.owner.settle(ctx);
    }

    /// Everything written to the session's connection until now has been acknowledged by the peer's TCP. Asked for by
    /// [`crate::owner::wire::Wire::confirm`]; if it is true when the connection ends, the edge says so before [`Self::closed`].
    pub fn confirmed(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        if let Some((desk, account)) = self.owner.account_of(session) {
            mailbox::confirmed(desk, ctx, account, session);
            self.owner.settle(ctx);
        }
    }

    /// The session's connection, which had unsent bytes or is [paused](crate::owner::wire::Wire::pause), has none unsent now.
    pub fn writable(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        self.owner.read_on(ctx, session);
    }

    /// The session has got a connection whose stream is in this language (a tag), or names none. Called before anything that
    /// its client says.
    pub fn speaks(&mut self, session: SessionId, language: Option<&str>) {
        self.owner.with_session(session, |session, desk| session.speak(desk, language));
    }

    /// The session's connection is over. Not called for a connection that the rooms closed. Does nothing if the session
    /// has another by now: it was resumed away from this one.
    pub fn closed(&mut self, ctx: &mut Context<'_>, session: SessionId, conn: ConnId, why: Closed) {
        self.owner.over(ctx, session, conn, why);
        self.owner.settle(ctx);
    }

    /// Another shard has sent this.
    pub fn envelope(&mut self, ctx: &mut Context<'_>, envelope: Envelope) {
        if envelope.to() != self.owner.desk.here {
            // For an earlier run of this node: whoever waits for it was in that one, or asks again.
            return self.owner.desk.metrics.envelopes_astray_total.inc();
        }
        if envelope.stamp.is_none_or(|stamp| self.owner.is_next(&stamp, &envelope.letter)) {
            self.owner.open(ctx, envelope.letter);
        }
        self.owner.settle(ctx);
    }

    /// Something to be done for the HTTP side or the admin socket, on any shard (it is passed on to the owner).
    pub fn command(&mut self, ctx: &mut Context<'_>, command: Command) {
        self.owner.command_to_owner(ctx, command);
        self.owner.settle(ctx);
    }

    /// The store has finished something: one item of [`chaski_store::ShardStore::poll`].
    pub fn completion(&mut self, ctx: &mut Context<'_>, completion: Completion) {
        self.owner.completed(ctx, completion);
        self.owner.settle(ctx);
    }

    /// Coarse timers. Call about four times a second. `true`: more are due, call again after what else there is to do. Many are
    /// due together a while after many have logged in together.
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

    /// A connection of this shard asks an account's owner, whichever shard that is. Answered by
    /// [`crate::owner::wire::Wire::verdict`], perhaps within this call.
    pub fn login(&mut self, ctx: &mut Context<'_>, question: Question) {
        self.owner.login(ctx, question);
    }

    /// A turn in which every account has its share begins. Not to be called while another shard can't keep up with what this one
    /// sends it: then who has spent its share waits for that shard, too.
    pub fn renew_shares(&mut self) {
        self.owner.renew_shares();
    }

    /// Whether some account has spent a share that is not renewed yet.
    pub fn has_debtors(&self) -> bool {
        self.owner.has_debtors()
    }

    /// How much is to be read of a session's connection now; 0: its account has had its share of this turn. What is done between
    /// this and [`Self::has_read`] is done for it.
    pub fn readable_bytes(&mut self, session: SessionId) -> usize {
        self.owner.readable_bytes(session)
    }

    /// Whether what was dealt with since [`Self::readable_bytes`] leaves something of the share: small stanzas can cost far more
    /// than their bytes say, and what is left of them then waits for the next share, unread.
    pub fn may_go_on(&self) -> bool {
        self.owner.may_go_on()
    }

    /// So many bytes of a session's connection have been read and dealt with.
    pub fn has_read(&mut self, session: SessionId, bytes: usize) {
        self.owner.has_read(session, bytes);
    }

    /// The shard is about to stop, and there will be no tick: all goes now.
    pub fn carry_before_stop(&mut self, ctx: &mut Context<'_>) {
        self.owner.carry_before_stop(ctx);
    }
}
