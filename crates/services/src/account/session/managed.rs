//! Stream management of a session as it is kept (XEP-0198): counts, what was asked and when, and what hardly any session has.

use crate::wire::ConnId;
use chaski_store::Seq;
use chaski_xmpp::sm::Inbound;

/// What a session with stream management keeps besides its queue.
#[derive(Debug, Default)]
pub(crate) struct Managed {
    /// What the client has sent, and how much of it is handled.
    pub(crate) inbound: Inbound,
    /// The id for resumption, if the client asked for it. 128 random bits: who knows it was told.
    pub(crate) resume_id: Option<[u8; 16]>,
    /// The last `<r/>` was not answered yet.
    pub(crate) requested: bool,
    /// A timer watches over the `<r/>`.
    pub(crate) watched: bool,
    /// The client is to be asked at the end of the turn.
    pub(crate) ask_due: bool,
    /// A timer will have the next `<r/>` sent.
    pub(crate) ask_timed: bool,
    /// A timer will look for what is unacknowledged and no message.
    pub(crate) remind_timed: bool,
    /// A timer watches over the client's `<r/>`.
    pub(crate) answer_timed: bool,
    /// The client's `<r/>` can be answered at the end of the turn.
    pub(crate) answer_due: bool,
    /// When the last `<r/>` was sent; 0 is never.
    pub(crate) requested_ms: u64,
    /// What few sessions have at any time.
    pub(crate) rare: Option<Box<Rare>>,
}

/// See [`Managed::rare`].
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// It is being resumed on this connection, which waits for its `<resumed/>`: nothing is written before that.
    pub(crate) resuming: Option<ConnId>,
    /// Until when it can be resumed, while it hibernates.
    pub(crate) hibernates_until_ms: Option<u64>,
    /// Messages sent before stream management was enabled: TCP's confirmation acknowledges them.
    pub(crate) before: Vec<Seq>,
    /// The client wants to be resumable for a shorter time than others are.
    pub(crate) resume_max_ms: Option<u64>,
}

impl Managed {
    /// Messages sent before stream management was enabled and not yet confirmed.
    pub(crate) fn before(&self) -> &[Seq] {
        self.rare.as_ref().map_or(&[], |rare| &rare.before)
    }

    /// Takes those.
    pub(crate) fn take_before(&mut self) -> Vec<Seq> {
        let before = self.rare.as_mut().map(|rare| std::mem::take(&mut rare.before)).unwrap_or_default();
        self.tidy();
        before
    }

    pub(crate) fn resuming(&self) -> Option<ConnId> {
        self.rare.as_ref()?.resuming
    }

    /// Takes the connection on which it is being resumed.
    pub(crate) fn take_resuming(&mut self) -> Option<ConnId> {
        let resuming = self.rare.as_mut()?.resuming.take();
        self.tidy();
        resuming
    }

    /// The connection is another one: nothing was asked on it.
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
