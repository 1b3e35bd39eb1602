//! A shard: the rooms of the accounts that one thread owns, and the calls by which the edge drives them.
//!
//! Every method is one turn: it never blocks, and what needs the disk or another shard goes on in
//! [`Shard::completion`] or [`Shard::envelope`]. The edge calls [`Shard::end_turn`] once after each batch of events.

use crate::command::Command;
use crate::context::{Context, Realm};
use crate::router::Envelope;
use crate::wire::{Authenticated, Closed, ConnId, SessionId};
use chaski_store::{AccountId, Completion, ShardIndex};
use chaski_xmpp::Stanza;
use std::sync::Arc;

/// See the module.
pub struct Shard {
    index: ShardIndex,
    realm: Arc<Realm>,
}

impl Shard {
    /// An empty shard. Its metrics are registered with `registry`.
    pub fn new(index: ShardIndex, realm: Arc<Realm>, registry: &mut chaski_telemetry::Registry) -> Self {
        let _ = registry;
        Self { index, realm }
    }

    /// Asks for an account's credentials, whichever shard owns it. Answered by [`crate::wire::Wire::credentials`],
    /// perhaps within this call.
    pub fn lookup_credentials(&mut self, ctx: &mut Context<'_>, conn: ConnId, account: AccountId) {
        todo!()
    }

    /// Makes a session on a connection of the account's owner shard. `resource`: what the client asks for (prepared
    /// or not); `None` lets the server choose. Answered by [`crate::wire::Wire::bound`], perhaps within this call.
    pub fn bind(&mut self, ctx: &mut Context<'_>, conn: ConnId, who: Authenticated, resource: Option<&str>) {
        todo!()
    }

    /// Continues a session on a new connection (XEP-0198 §5). Answered by [`crate::wire::Wire::resumed`], perhaps
    /// within this call; on success the edge writes `<resumed/>` and calls [`Self::resumed`].
    pub fn resume(&mut self, ctx: &mut Context<'_>, conn: ConnId, who: Authenticated, previd: &str, h: u32) {
        todo!()
    }

    /// `<resumed/>` is written: sends again what the client has not acknowledged, then goes on.
    pub fn resumed(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        todo!()
    }

    /// A top-level element of a session: a stanza, or `<enable/>`, `<r/>`, `<a/>` of stream management.
    pub fn element(&mut self, ctx: &mut Context<'_>, session: SessionId, element: &Stanza<'_>) {
        todo!()
    }

    /// Everything written before the last [`crate::wire::Wire::confirm`] has been acknowledged by the peer's TCP.
    pub fn confirmed(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        todo!()
    }

    /// The session's connection, which had unsent bytes, has none now.
    pub fn writable(&mut self, ctx: &mut Context<'_>, session: SessionId) {
        todo!()
    }

    /// The session's connection is over. Not called for a connection that the rooms closed.
    pub fn closed(&mut self, ctx: &mut Context<'_>, session: SessionId, why: Closed) {
        todo!()
    }

    /// A connection that has asked something ([`Self::lookup_credentials`], [`Self::bind`], [`Self::resume`]) and not
    /// been answered is over: the answer is no longer wanted.
    pub fn abandoned(&mut self, ctx: &mut Context<'_>, conn: ConnId) {
        todo!()
    }

    /// Another shard has sent this.
    pub fn envelope(&mut self, ctx: &mut Context<'_>, envelope: Envelope) {
        todo!()
    }

    /// Something to be done for the HTTP side or the admin socket, on any shard (it is passed on to the owner).
    pub fn command(&mut self, ctx: &mut Context<'_>, command: Command) {
        todo!()
    }

    /// The store has finished something: one item of [`chaski_store::ShardStore::poll`].
    pub fn completion(&mut self, ctx: &mut Context<'_>, completion: Completion) {
        todo!()
    }

    /// Coarse timers. Call about once a second.
    pub fn tick(&mut self, ctx: &mut Context<'_>) {
        todo!()
    }

    /// Ends a turn: hands what was collected to the store and to other shards. Call after each batch of events.
    pub fn end_turn(&mut self, ctx: &mut Context<'_>) {
        todo!()
    }
}
