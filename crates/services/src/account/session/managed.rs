//! The data of a session's stream management (XEP-0198): counts, what was asked and when.

use crate::wire::ConnId;
use chaski_store::Seq;
use chaski_xmpp::sm::Inbound;

/// What a session with stream management keeps besides its queue.
#[derive(Debug, Default)]
pub(crate) struct Managed {
    /// How many stanzas the client has sent, and how many of them are handled.
    pub(crate) inbound: Inbound,
    /// The id for resumption, if the client has enabled that. 128 random bits: only the client that was told can know it.
    pub(crate) resume_id: Option<[u8; 16]>,
    /// An `<r/>` was sent and is not answered yet.
    pub(crate) requested: bool,
    /// A timer watches for the answer to the `<r/>`.
    pub(crate) watched: bool,
    /// An `<r/>` is to be sent at the end of the turn.
    pub(crate) ask_due: bool,
    /// A timer is set for an `<r/>` that is sent alone.
    pub(crate) ask_timed: bool,
    /// A timer is set to ask about stanzas that are no messages.
    pub(crate) remind_timed: bool,
    /// A timer limits how long the client's `<r/>` may wait for its `<a/>`.
    pub(crate) answer_timed: bool,
    /// The client's `<r/>` is to be answered at the end of the turn.
    pub(crate) answer_due: bool,
    /// When the last `<r/>` was sent; 0: never.
    pub(crate) requested_ms: u64,
    /// What few sessions have at a time.
    pub(crate) rare: Option<Box<Rare>>,
}

/// See [`Managed::rare`].
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// The connection on which the session is being resumed; nothing is written to it before `<resumed/>`.
    pub(crate) resuming: Option<ConnId>,
    /// Until when the session can be resumed, while it hibernates.
    pub(crate) hibernates_until_ms: Option<u64>,
    /// Messages sent before stream management was enabled: the acknowledgement of the client's TCP counts for them.
    pub(crate) before: Vec<Seq>,
    /// The time for resumption that the client has asked for, if it is shorter than usual.
    pub(crate) resume_max_ms: Option<u64>,
}

impl Managed {
    /// Messages sent before stream management was enabled and not yet confirmed.
    pub(crate) fn before(&self) -> &[Seq] {
        self.rare.as_ref().map_or(&[], |rare| &rare.before)
    }

    /// Takes out the messages sent before stream management was enabled.
    pub(crate) fn take_before(&mut self) -> Vec<Seq> {
        let before = self.rare.as_mut().map(|rare| std::mem::take(&mut rare.before)).unwrap_or_default();
        self.tidy();
        before
    }

    pub(crate) fn resuming(&self) -> Option<ConnId> {
        self.rare.as_ref()?.resuming
    }

    /// Takes out the connection on which the session is being resumed.
    pub(crate) fn take_resuming(&mut self) -> Option<ConnId> {
        let resuming = self.rare.as_mut()?.resuming.take();
        self.tidy();
        resuming
    }

    /// The session gets another connection: no `<r/>` was sent on that one.
    pub(crate) fn forget_requests(&mut self) {
        (self.requested, self.requested_ms, self.ask_due, self.answer_due) = (false, 0, false, false);
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn tidy(&mut self) {
        self.rare.take_if(|rare| {
            let Rare { resuming, hibernates_until_ms, before, resume_max_ms } = &**rare;
            let nothing = (resuming, hibernates_until_ms, resume_max_ms) == (&None, &None, &None);
            nothing && before.is_empty()
        });
    }
}
