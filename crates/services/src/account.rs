//! Accounts as they are in memory: plain documents, the sessions that are bound, and questions about both.
//!
//! The lowest layer that knows what an account is. Pure: nothing here sends, stores or decides when something is written. Rooms
//! ([`crate::rooms`]) are lent one [`Account`] at a time; its owner ([`crate::owner`]) alone has them all, brings them into memory and
//! writes their documents.

pub mod acquaintances;
pub(crate) mod blocked;
pub mod blocks;
pub mod caps;
pub(crate) mod contact_sync_quota;
pub mod credentials;
pub mod fast_tokens;
pub(crate) mod first_stanza;
pub(crate) mod hidden;
pub mod interests;
pub mod name;
pub mod network;
pub mod nodes;
pub mod phone;
pub(crate) mod photo;
pub mod presence;
pub(crate) mod rare;
pub mod record;
pub mod resident;
pub mod roster;
pub mod session;
pub mod settings;
pub mod shows;
pub(crate) mod viewer;

use crate::rate::StoredRate;
use crate::wire::SessionId;
use chaski_store::AccountId;
use name::AccountName;
use nodes::Nodes;
use rare::Rare;
use record::AccountRecord;
use resident::ResidentRecord;
use roster::Roster;
use session::Session;
use settings::Settings;

/// An account in memory: its documents and its sessions. Kept small: there is one for each user that is online.
pub struct Account {
    /// Its key.
    pub id: AccountId,
    /// Its bare JID.
    pub bare: Box<str>,
    /// Its record.
    pub record: ResidentRecord,
    /// Its roster with the states of subscriptions and the requests that wait for an answer.
    pub roster: Roster,
    /// Its privacy settings and block list. `None`: the defaults hold.
    pub settings: Option<Box<Settings>>,
    /// Its personal eventing nodes, if it has any.
    pub nodes: Option<Box<Nodes>>,
    /// Its sessions in order of binding, hibernating ones included. Few: see `Limits::sessions_per_account`.
    pub sessions: Vec<Session>,
    /// State that hardly any account has, of several rooms.
    pub(crate) rare: Rare,
    /// The rate at which its messages may be stored.
    pub(crate) stored_rate: StoredRate,
}

/// What the store keeps of an account, besides its mailbox.
pub(crate) struct Records {
    pub(crate) record: AccountRecord,
    pub(crate) roster: Roster,
    pub(crate) settings: Option<Box<Settings>>,
    pub(crate) nodes: Option<Box<Nodes>>,
}

impl Account {
    pub(crate) fn new(domain: &str, records: Records) -> Self {
        let Records { record, roster, settings, nodes } = records;
        Self {
            id: record.name.account(),
            bare: format!("{}@{domain}", record.name).into(),
            record: ResidentRecord::new(record),
            roster,
            settings,
            nodes,
            sessions: Vec::new(),
            rare: Rare::default(),
            stored_rate: StoredRate::default(),
        }
    }

    /// The account's name: its phone number, or the local part of its JID.
    pub(crate) fn name(&self) -> AccountName {
        match self.id.phone_number() {
            Some(number) => AccountName::Phone(number),
            None => AccountName::Service(self.bare.split('@').next().unwrap_or_default().to_owned()),
        }
    }

    /// Its record in the form in which the store keeps it.
    pub(crate) fn full_record(&self) -> AccountRecord {
        self.record.record(self.name())
    }

    /// Adds a session. Most accounts have one, so no capacity is kept for more.
    pub(crate) fn add_session(&mut self, session: Session) {
        self.sessions.reserve_exact(1);
        self.sessions.push(session);
    }

    /// Takes a session out.
    pub(crate) fn remove_session(&mut self, id: SessionId) -> Option<Session> {
        let place = self.sessions.iter().position(|session| session.id == id)?;
        let session = self.sessions.remove(place);
        self.sessions.shrink_to_fit();
        Some(session)
    }

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
