//! The stages that there are: of so many shards, with these bounds, relays, uploads.

use super::{DOMAIN, Stage};
use crate::realm::Limits;
use crate::realm::relays::Relays;
use crate::realm::uploads::Uploads;
use chaski_store::memory::MemoryEngine;
use chaski_store::{Engine, Shares};

impl Stage {
    /// A stage with so many shards and default limits.
    pub fn new(shards: u16) -> Self {
        Self::with_limits(shards, Limits::default())
    }

    /// A stage with these limits.
    pub fn with_limits(shards: u16, limits: Limits) -> Self {
        Self::on(MemoryEngine::new(), shards, limits)
    }

    /// A stage whose mailboxes have room for so many messages.
    pub fn with_mailboxes_of(shards: u16, messages: u32) -> Self {
        Self::with_shares(shards, messages, Shares::WHOLE)
    }

    /// The same, of which each sender may have a share.
    pub fn with_shares(shards: u16, messages: u32, shares: Shares) -> Self {
        let engine = MemoryEngine::with_mailbox_bounds(messages, 1 << 30, shares);
        Self::on(engine, shards, Limits::default())
    }

    /// A stage on which these accounts are administrators.
    pub fn with_admins(shards: u16, admins: &[&str]) -> Self {
        Self::of(MemoryEngine::new(), shards, Limits::default(), admins, Relays::default())
    }

    /// A stage whose server names these for calls.
    pub fn with_relays(shards: u16, relays: Relays) -> Self {
        Self::of(MemoryEngine::new(), shards, Limits::default(), &["admin"], relays)
    }

    /// A stage whose uploads are as `change` makes them.
    pub fn with_uploads(shards: u16, limits: Limits, change: impl FnOnce(&mut Uploads)) -> Self {
        let engine = MemoryEngine::new();
        let mut uploads = Self::uploads(&engine);
        change(&mut uploads);
        Self::made(engine, limits, shards, (&["admin"], Relays::default(), Some(uploads)))
    }

    /// A stage without them.
    pub fn without_uploads(shards: u16) -> Self {
        let parts = (&["admin"][..], Relays::default(), None);
        Self::made(MemoryEngine::new(), Limits::default(), shards, parts)
    }

    fn uploads(engine: &MemoryEngine) -> Box<Uploads> {
        let (host, url) = (format!("upload.{DOMAIN}"), format!("https://{DOMAIN}/media"));
        Box::new(Uploads::new(&host, &url, engine.secrets()))
    }

    fn on(engine: MemoryEngine, shards: u16, limits: Limits) -> Self {
        Self::of(engine, shards, limits, &["admin"], Relays::default())
    }

    fn of(engine: MemoryEngine, shards: u16, limits: Limits, admins: &[&str], relays: Relays) -> Self {
        let uploads = Self::uploads(&engine);
        Self::made(engine, limits, shards, (admins, relays, Some(uploads)))
    }
}
