//! The outbox: what a room asks for, in order.

use super::command::Command;
use super::command::reply::Due;
use super::contact_sync::SyncRequest;
use super::errand::Errand;
use super::media_index::MediaRequest;
use crate::account::roster::Undo;
use crate::effects::event::Event;
use crate::effects::pep::PepNotification;
use crate::effects::presence::{PresenceBroadcast, Probes};
use crate::wire::SessionId;
use chaski_store::AccountId;
use chaski_xmpp::Stored;

/// What a room asks for, in order.
#[derive(Default)]
pub struct Outbox {
    /// The posts, in the order in which they are carried out.
    pub posts: Vec<Post>,
    /// The account's roster has changed and has to be saved; this takes the change back if that fails. No post is sent before the
    /// change is durable.
    pub undo: Option<Undo>,
    /// With `undo`: what is sent instead of `posts` if the roster can't be saved (the error for the client).
    pub unless_saved: Vec<Post>,
    /// How many of `posts` are events.
    pub(crate) events: usize,
}

/// One thing to be sent. Stanzas are whole, in the stored form (begin `<presence `, `<iq ` or `<message `).
pub enum Post {
    /// To one session of the account at hand (an IQ's answer, a roster push, a contact's presence). Dropped if the
    /// session has gone.
    Session {
        /// Which session.
        session: SessionId,
        /// The stanza, with `to` being that session's full JID.
        stanza: Stored,
    },
    /// To one session of the account at hand, behind the messages that wait for it in the mailbox.
    BehindMail {
        /// Which session.
        session: SessionId,
        /// The stanza.
        stanza: Stored,
    },
    /// A stanza of a stranger to one session of the account at hand: dropped if it would fill the session's queue, behind which
    /// the client's own requests wait.
    Droppable {
        /// Which session.
        session: SessionId,
        /// The stanza.
        stanza: Stored,
    },
    /// To any account, this one included: routed like a client's stanza (but never answered by an error).
    Account {
        /// The account addressed.
        to: AccountId,
        /// The resource, if it goes to a full JID.
        resource: Option<Box<str>>,
        /// The stanza with `from` (a JID of the account at hand) and `to`.
        stanza: Stored,
    },
    /// A presence for many accounts, perhaps including this one.
    PresenceBroadcast(PresenceBroadcast),
    /// Presence probes to many accounts.
    Probes(Probes),
    /// A command for the owner of the account that it names. Its own reply carries the outcome to a room of this shard
    /// ([`crate::effects::turn::command::Reply::room`]).
    Command(Box<Command>),
    /// A room has answered a command: what has to be done for that.
    Due(Due),
    /// A PEP notification to another account, or a request for last items of its nodes. Dropped if its shard is overloaded.
    PepNotification(Box<PepNotification>),
    /// Reads or writes records of the account at hand.
    Errand(Errand),
    /// Asks the index of uploaded media, or changes it.
    Media(Box<MediaRequest>),
    /// Does something with the account's phone book.
    #[expect(private_interfaces, reason = "rooms of this crate only")]
    ContactSync(Box<SyncRequest>),
    /// These accounts have come into the phone book of the account at hand, or gone out of it: they are to look how they stand with it.
    Hints(Vec<u64>),
    /// Something has happened that other rooms may have to know. They are told when the room has returned, and what they say takes
    /// its place here.
    #[expect(private_interfaces, reason = "rooms of this crate only")]
    Event(Box<Event>),
}

impl Post {
    /// If this post changes what the next stanza of the account has to see: the place where the session is noted that waits for
    /// it.
    pub(crate) fn waiter(&mut self) -> Option<&mut Option<SessionId>> {
        match self {
            Self::Errand(errand) if errand.is_change => Some(&mut errand.by),
            Self::ContactSync(request) => request.answer.waiter(),
            _ => None,
        }
    }
}

impl Outbox {
    /// Posts a stanza to a session of the account at hand.
    pub fn to_session(&mut self, session: SessionId, stanza: impl Into<Stored>) {
        self.posts.push(Post::Session { session, stanza: stanza.into() });
    }

    /// Posts a stanza to an account's bare JID.
    pub fn to_account(&mut self, to: AccountId, stanza: impl Into<Stored>) {
        self.posts.push(Post::Account { to, resource: None, stanza: stanza.into() });
    }

    /// Posts a PEP notification to another account, or a request for last items.
    pub fn pep_notification(&mut self, pep_notification: PepNotification) {
        self.posts.push(Post::PepNotification(Box::new(pep_notification)));
    }

    /// Has records of the account at hand read or written, and goes on then.
    pub fn errand(&mut self, errand: Errand) {
        self.posts.push(Post::Errand(errand));
    }

    /// Tells the other rooms that something has happened.
    pub(crate) fn event(&mut self, event: Event) {
        self.events += 1;
        self.posts.push(Post::Event(Box::new(event)));
    }

    /// Posts a presence to many accounts.
    pub(crate) fn tell(&mut self, tell: PresenceBroadcast) {
        if !tell.to.is_empty() {
            self.posts.push(Post::PresenceBroadcast(tell));
        }
    }

    /// Asks many accounts for their presence.
    pub(crate) fn ask(&mut self, probes: Probes) {
        if !probes.to.is_empty() {
            self.posts.push(Post::Probes(probes));
        }
    }

    /// Posts a stanza to a full JID.
    pub fn to_resource(&mut self, to: AccountId, resource: &str, stanza: impl Into<Stored>) {
        self.posts.push(Post::Account { to, resource: Some(resource.into()), stanza: stanza.into() });
    }
}
