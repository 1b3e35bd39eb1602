//! Sends a presence broadcast to the sessions of an account in memory, without a routed stanza or letter for each recipient.

use super::context::Context;
use super::desk::Desk;
use crate::account::Account;
use crate::account::roster::Contact;
use crate::effects::presence::PresenceBroadcast;

/// Sends a presence broadcast to the available sessions of an account in memory.
pub(crate) fn hear(desk: &mut Desk, ctx: &mut Context<'_>, account: &mut Account, tell: &PresenceBroadcast) {
    let Account { id, sessions, roster, bare, .. } = account;
    let mut stanza = None;
    for session in sessions.iter_mut().filter(|session| session.presence.is_available()) {
        let stanza = stanza.get_or_insert_with(|| tell.addressed(&mut desk.scratch, bare));
        // The roster is searched only where the result matters, since that costs cache misses.
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
