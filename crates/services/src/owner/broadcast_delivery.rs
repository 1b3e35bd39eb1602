//! An account in memory is told of somebody's presence, without a stanza, routed stanza or envelope of its own.

use super::context::Context;
use super::desk::Desk;
use crate::account::Account;
use crate::account::roster::Contact;
use crate::effects::presence::PresenceBroadcast;

/// An account that is in memory is told of somebody's presence.
pub(crate) fn hear(desk: &mut Desk, ctx: &mut Context<'_>, account: &mut Account, tell: &PresenceBroadcast) {
    let Account { id, sessions, roster, bare, .. } = account;
    let mut stanza = None;
    for session in sessions.iter_mut().filter(|session| session.presence.is_available()) {
        let stanza = stanza.get_or_insert_with(|| tell.addressed(&mut desk.scratch, bare));
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
