//! The directory: the accounts whose state is in this shard's memory, and their sessions.
//!
//! An account's records are loaded when somebody needs it; what arrives meanwhile is parked in order, bounded. An
//! account stays while it has sessions, and afterwards until newer idle ones push it out.
//! Called by `router` and `shard`. Owns the only copy of an account's live state (one owner, see ARCHITECTURE.md).

use crate::accounts::AccountRecord;
use crate::roster::Roster;
use crate::session::Session;
use crate::wire::SessionId;
use chaski_store::{AccountId, Revision};

/// A resident account: what it is, and who is online for it.
pub struct Account {
    /// Its key.
    pub id: AccountId,
    /// Its bare JID.
    pub bare: Box<str>,
    /// Its record.
    pub record: Box<AccountRecord>,
    /// The record's revision in the store.
    pub record_revision: Revision,
    /// Its roster with subscription states and the requests that wait for an answer.
    pub roster: Roster,
    /// The roster document's revision in the store, if there is one.
    pub roster_revision: Option<Revision>,
    /// Its sessions in order of binding, hibernating ones included. Few: see `Limits::sessions_per_account`.
    pub sessions: Vec<Session>,
}

impl Account {
    /// The session with this id.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// The session with this id, to be changed.
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.id == id)
    }

    /// The session bound to this resource.
    pub fn resource(&self, resource: &str) -> Option<&Session> {
        self.sessions.iter().find(|session| &*session.resource == resource)
    }

    /// The full JID of one of its sessions.
    pub fn full_jid(&self, session: &Session) -> String {
        format!("{}/{}", self.bare, session.resource)
    }
}
