//! A session as it is kept: one bound resource of an account, over one connection or several in turn.
//!
//! Data and questions about it. What happens to a session (sending, acknowledging, ending) is the owner's
//! (`owner/session`); rooms see [`Session::id`], [`Session::resource`], [`Session::presence`] and what a client has said of itself.

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
    /// What is sent and not acknowledged. Without stream management: messages alone, counted by TCP's confirmation.
    pub(crate) queue: Outbound<Sent>,
    /// Bytes in the queue that are no messages of the mailbox.
    pub(crate) other_bytes: u32,
    /// Messages in the queue.
    pub(crate) mail_waiting: u32,
    /// Their bytes.
    pub(crate) mail_bytes: u32,
    /// TCP's confirmation has been asked for.
    pub(crate) confirming: bool,
    /// A timer will have it read on.
    pub(crate) retrying: bool,
    /// Where it is in the mailbox.
    pub(crate) progress: Progress,
    /// The nodes it wants to hear of, kept by the caps room and shared with all sessions of the same client.
    pub(crate) interests: Option<Arc<Interests>>,
    /// What its client has said of itself.
    pub(crate) wishes: Wishes,
    /// The language of its stream.
    pub(crate) language: Language,
    /// What waits for its client to become active.
    pub(crate) held: Option<Box<Held>>,
}

/// What a client has said of itself, in one byte: there is one of these in every session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wishes(u8);

impl Wishes {
    /// It wants copies of what the account's other sessions send and get (XEP-0280).
    pub(crate) const CARBONS: Self = Self(1);
    /// Nobody looks at it (XEP-0352).
    pub(crate) const INACTIVE: Self = Self(2);
    /// It left its resource to the server.
    pub(crate) const NO_RESOURCE: Self = Self(4);

    pub(crate) fn has(self, wish: Self) -> bool {
        self.0 & wish.0 != 0
    }

    pub(crate) fn set(&mut self, wish: Self, wished: bool) {
        self.0 = if wished { self.0 | wish.0 } else { self.0 & !wish.0 };
    }
}

/// Where a session is in its account's mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has been sent every entry that is for it.
    Live,
    /// Entries after this one are still to be read.
    Behind(Seq),
    /// The store's disk has been asked for the entries after this one.
    Reading {
        after: Seq,
        /// An entry has been appended since.
        appended: bool,
        /// The answer is of no use: it is to read from the start.
        rewound: bool,
    },
}

/// A stanza in a session's queue.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) stanza: Stored,
    /// Its place in the mailbox, if it is there.
    pub(crate) mail: Option<Mail>,
}

/// A queued stanza's mailbox entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mail {
    pub(crate) seq: Seq,
    pub(crate) accepted_unix_ms: u64,
}

/// How a session ends before its client wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// For good: replaced, kicked, its key void, its time over.
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

    /// The server made its resource up: nobody knows it who was not told.
    pub(crate) fn has_secret_resource(&self) -> bool {
        self.wishes.has(Wishes::NO_RESOURCE)
    }

    /// The language of its stream, in which its stanzas are that name none.
    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// Whether it wants to hear of this node.
    pub(crate) fn is_interested_in(&self, node: &str) -> bool {
        self.interests.as_ref().is_some_and(|interests| interests.has(node))
    }

    /// Whether this entry has been sent to the client and not been acknowledged.
    pub(crate) fn has_unacknowledged(&self, seq: Seq) -> bool {
        let queued = || self.queue.iter().any(|sent| sent.mail.is_some_and(|mail| mail.seq == seq));
        let before = || self.managed.as_ref().is_some_and(|managed| managed.before().contains(&seq));
        (self.mail_waiting > 0 && queued()) || before()
    }

    /// Has it read the mailbox from the start: what it has and has not acknowledged is left out.
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
