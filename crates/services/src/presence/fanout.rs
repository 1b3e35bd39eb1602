//! One presence for many contacts: written once, carried to each shard once, addressed where it is delivered.
//!
//! A broadcast is most of what a messenger's server delivers, so its way is short: no stanza, parcel or envelope for each
//! contact, and nothing is parsed again. The room posts a [`Tell`]; the router splits it by shard; [`hear`] hands it to
//! each recipient's available sessions (RFC 6121 §4.2.2, §4.4.2). An account with settings of its own, or one whose
//! records are being loaded or whose roster is being saved, gets it as a parcel like any other stanza, and whatever looks at those applies.

use crate::context::Context;
use crate::data::data;
use crate::desk::Desk;
use crate::directory::Account;
use crate::roster::Contact;
use chaski_store::AccountId;
use chaski_xmpp::Stored;

/// A presence for many accounts.
#[derive(Clone)]
pub struct Tell {
    /// With `from` and without `to`.
    pub(crate) stanza: Stored,
    /// It says that somebody has gone: it must arrive.
    pub(crate) is_end: bool,
    /// Whose it is.
    pub(crate) by: AccountId,
    /// The same as contacts know it.
    pub(crate) sender: Contact,
    /// For whom: phone accounts, whose address follows from the key. Bounded by the sender's roster.
    pub(crate) to: Vec<AccountId>,
}

impl Tell {
    /// The same for nobody.
    pub(crate) fn without_recipients(&self) -> Self {
        let Self { stanza, is_end, by, sender, to: _ } = self;
        Self { stanza: stanza.clone(), is_end: *is_end, by: *by, sender: sender.clone(), to: Vec::new() }
    }

    /// The stanza for one of them.
    pub(crate) fn addressed(&self, desk: &mut Desk, bare: &str) -> Stored {
        self.stanza.addressed(bare, None, &mut desk.scratch)
    }

    /// As a stanza that goes its own way.
    pub(crate) fn stanza_for(&self, desk: &mut Desk, to: AccountId) -> Option<Stored> {
        let jid = Contact::from_account(to)?.jid(&desk.realm.domain);
        Some(self.addressed(desk, &jid))
    }
}

/// An account that is in memory is told of somebody's presence.
pub(crate) fn hear(desk: &mut Desk, ctx: &mut Context<'_>, account: &mut Account, tell: &Tell) {
    let Account { id, sessions, roster, bare, .. } = account;
    let mut stanza = None;
    for session in sessions.iter_mut().filter(|session| session.presence.is_available()) {
        let stanza = stanza.get_or_insert_with(|| tell.addressed(desk, bare));
        // Looked up only where it matters: a roster is far away in memory.
        let is_contact =
            || roster.state(&tell.sender).to() || Contact::from_account(*id) == Some(tell.sender.clone());
        let may_end = session.is_inactive() || !session.has_transient_room(desk, ctx, stanza.len());
        if may_end && is_contact() {
            session.send(desk, ctx, stanza.clone());
        } else if !session.send_droppable(desk, ctx, stanza) {
            desk.metrics.presence_dropped_total.inc();
        }
    }
}

data!(struct Tell { stanza, is_end, by, sender, to });
