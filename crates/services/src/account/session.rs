//! The data of a session: one bound resource of an account, over one connection or several in turn.
//!
//! Data and questions about them. What happens to a session (sending, acknowledging, ending) is done by its owner
//! (`owner/session`). Rooms see [`Session::id`], [`Session::resource`], [`Session::presence`] and what the client has enabled.

pub(crate) mod behind;
pub(crate) mod csi;
pub(crate) mod language;
pub(crate) mod late;
pub(crate) mod managed;

use super::interests::Interests;
use super::presence::SessionPresence;
use crate::wire::{ConnId, SessionId, StreamEnd};
use chaski_store::Seq;
use chaski_xmpp::Stored;
use chaski_xmpp::sm::Outbound;
pub(crate) use csi::Held;
use language::Language;
pub(crate) use managed::Managed;
use std::sync::Arc;

/// A session. Kept small: an idle one is most of what a shard's memory holds.
pub struct Session {
    /// Its id, unique within its shard's life.
    pub id: SessionId,
    /// The resource.
    pub resource: Box<str>,
    /// Its presence, kept by the presence room.
    pub presence: SessionPresence,
    /// Its connection; `None` while it hibernates.
    pub(crate) conn: Option<ConnId>,
    /// Stream management, once the client has enabled it.
    pub(crate) managed: Option<Managed>,
    /// Stanzas that were sent and are not acknowledged. Without stream management these are messages only, acknowledged by the
    /// client's TCP.
    pub(crate) queue: Outbound<Sent>,
    /// Bytes of the stanzas in the queue that are no messages of the mailbox.
    pub(crate) other_bytes: u32,
    /// Messages of the mailbox in the queue.
    pub(crate) mail_waiting: u32,
    /// Bytes of those messages.
    pub(crate) mail_bytes: u32,
    /// The client's TCP has been asked for its acknowledgement.
    pub(crate) confirming: bool,
    /// A timer is set that makes the session read on from the mailbox.
    pub(crate) retrying: bool,
    /// How far the session has read its account's mailbox.
    pub(crate) progress: Progress,
    /// The PEP nodes of which the client wants notifications, kept by the caps room and shared with all sessions of the same
    /// client.
    pub(crate) interests: Option<Arc<Interests>>,
    /// What the client has enabled.
    pub(crate) wishes: Wishes,
    /// The language of the session's stream.
    pub(crate) language: Language,
    /// Stanzas that wait until the client becomes active or has room, and answers that wait for the mailbox.
    pub(crate) held: Option<Box<Held>>,
}

/// What a client has enabled, in one byte: every session has this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wishes(u8);

impl Wishes {
    /// The client wants carbon copies (XEP-0280).
    pub(crate) const CARBONS: Self = Self(1);
    /// The client has said that it is inactive (XEP-0352).
    pub(crate) const INACTIVE: Self = Self(2);
    /// The client has let the server choose the resource.
    pub(crate) const NO_RESOURCE: Self = Self(4);

    pub(crate) fn has(self, wish: Self) -> bool {
        self.0 & wish.0 != 0
    }

    pub(crate) fn set(&mut self, wish: Self, wished: bool) {
        self.0 = if wished { self.0 | wish.0 } else { self.0 & !wish.0 };
    }
}

/// How far a session has read its account's mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The session has been sent every entry that is for it.
    Live,
    /// Entries after this one have still to be read.
    Behind(Seq),
    /// The store has been asked to read the entries after this one from disk.
    Reading {
        after: Seq,
        /// An entry has been appended since the store was asked.
        appended: bool,
        /// The answer will be ignored: the session has to read from the start.
        rewound: bool,
    },
}

/// A stanza in a session's queue.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) stanza: Stored,
    /// The stanza's entry in the mailbox, if it has one.
    pub(crate) mail: Option<Mail>,
}

/// A queued stanza's mailbox entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mail {
    pub(crate) seq: Seq,
    pub(crate) accepted_unix_ms: u64,
}

/// How a session ends although its client has not closed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The session ends for good: replaced, kicked by an operator, key void, or expired.
    Over(Option<StreamEnd>),
    /// The connection is cut; a resumable session hibernates.
    Cut(StreamEnd),
}

impl End {
    pub(crate) fn over(condition: &'static str, text: &str) -> Self {
        Self::Over(Some(StreamEnd::new(condition, text)))
    }

    pub(crate) fn cut(condition: &'static str, text: &str) -> Self {
        Self::Cut(StreamEnd::new(condition, text))
    }
}

impl Session {
    pub(crate) fn new(id: SessionId, resource: Box<str>, conn: ConnId, secret_resource: bool) -> Self {
        Self {
            id,
            resource,
            presence: SessionPresence::default(),
            conn: Some(conn),
            managed: None,
            queue: Outbound::new(),
            other_bytes: 0,
            mail_waiting: 0,
            mail_bytes: 0,
            confirming: false,
            retrying: false,
            progress: Progress::Live,
            interests: None,
            wishes: if secret_resource { Wishes::NO_RESOURCE } else { Wishes::default() },
            language: Language::default(),
            held: None,
        }
    }

    /// Whether the server has chosen the resource at random, so that only accounts that were told it know it.
    pub(crate) fn has_secret_resource(&self) -> bool {
        self.wishes.has(Wishes::NO_RESOURCE)
    }

    /// The language of the session's stream, which is the language of its stanzas without `xml:lang`.
    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// Whether the client wants notifications of this PEP node.
    pub(crate) fn is_interested_in(&self, node: &str) -> bool {
        self.interests.as_ref().is_some_and(|interests| interests.has(node))
    }

    /// Whether this mailbox entry has been sent to the client and is not acknowledged.
    pub(crate) fn has_unacknowledged(&self, seq: Seq) -> bool {
        let queued = || self.queue.iter().any(|sent| sent.mail.is_some_and(|mail| mail.seq == seq));
        let before = || self.managed.as_ref().is_some_and(|managed| managed.before().contains(&seq));
        (self.mail_waiting > 0 && queued()) || before()
    }

    /// Makes the session read the mailbox from the start. Entries that were sent and are not acknowledged are left out.
    pub(crate) fn rewind(&mut self) {
        self.progress = match self.progress {
            Progress::Reading { after, appended, .. } => Progress::Reading { after, appended, rewound: true },
            _ => Progress::Behind(Seq(0)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        // Each is one allocation, which glibc rounds up to the next multiple of 16, less 8.
        assert!(size_of::<Session>() <= 200, "{}", size_of::<Session>());
        assert!(size_of::<Managed>() <= 72, "{}", size_of::<Managed>());
    }
}
